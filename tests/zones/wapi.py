"""Members of a grid that answer the WAPI, with faults on request: for tests.

What a grid holds and refuses is in `wapi_rules`; here is who may ask, cookies, pages, forms of
errors, and what breaks. How a request comes is not known here: over TLS (`wapi_served`), or in the
same process (`wapi_direct`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any, NamedTuple

from tests.zones.wapi_rules import PROTO, Grid, Object, Refused

VERSION = "v2.11"
USER, PASSWORD = "consulfwd", "s3cret: \u00e4"
_ROOT = f"/wapi/{VERSION}/"
_OPTIONS = {"_paging", "_return_as_object", "_max_results", "_page_id", "_return_fields",
            "_return_fields+"}  # fmt: skip
_PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
# What a member's web server sends its visitors on to the grid master with.
_SENT_ON = (
    '<HTML><HEAD><META HTTP-EQUIV="REFRESH" CONTENT = "0; URL=https://192.0.2.1/"></HEAD></HTML>'
)


class Asked(NamedTuple):
    """A request as it came; faults are chosen by it."""

    method: str
    path: str
    query: dict[str, str]
    shown: str


class Came(NamedTuple):
    """A request: `path` from the root of the server on, names of headers in small letters."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes


class Reply(NamedTuple):
    """What is sent back."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class Breaks(Exception):
    """No reply comes, or not all of it: `kind` is cut, hang or huge; `half` is what does come."""

    def __init__(self, kind: str, half: Reply | None = None) -> None:
        self.kind = kind
        self.half = half
        super().__init__(kind)


# Each fault is asked for its kind with each request: "" for none.
Fault = Callable[[Asked], str]


def nth(number: int, kind: str, of: Callable[[Asked], bool] = lambda _: True) -> Fault:
    """Return a fault of the nth such request (from 0), once."""
    numbers = count()
    return lambda asked: kind if of(asked) and next(numbers) == number else ""


def always(kind: str, of: Callable[[Asked], bool] = lambda _: True) -> Fault:
    """Return a fault of all such requests."""
    return lambda asked: kind if of(asked) else ""


def writing(asked: Asked) -> bool:
    """Is something to be written?"""
    return asked.method != "GET"


class Member:
    """One member of a grid: `role` is master, candidate (it may be read) or member."""

    def __init__(self, grid: Grid, role: str = "master") -> None:
        self.port = 0
        self.begin(grid, role)

    def begin(self, grid: Grid, role: str = "master") -> None:
        """Be a member of a grid, as if it were new, at the same port."""
        self.grid = grid
        self.role = role
        self.user, self.password = USER, PASSWORD
        self.faults: list[Fault] = []
        self.asked: list[Asked] = []
        # How many times a cookie may be shown before it is too old.
        self.cookie_lives = 1_000_000
        self.gives_cookies = True
        self.logins = 0
        # What went wrong in here, where nobody but the one who asked heard of it.
        self.failed: list[Exception] = []
        self.most_at_once = self._at_once = 0
        self._cookies: dict[str, int] = {}
        self._pages: dict[str, tuple[str, dict[str, str], list[Object]]] = {}
        self._numbers = count()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}{_ROOT.rstrip('/')}"

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Be at a request meanwhile."""
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            self._at_once -= 1

    def reply(self, came: Came) -> Reply:
        """Answer one request. Raises Breaks where a fault wants that."""
        shown = "cookie" if "cookie" in came.headers else came.headers.get("authorization", "")
        asked = Asked(came.method, came.path.removeprefix(_ROOT), came.query, shown)
        self.asked.append(asked)
        kind = next(filter(None, (fault(asked) for fault in self.faults)), "")
        if kind == "cut before":
            raise Breaks("cut")
        if kind in ("hang", "huge"):
            raise Breaks(kind)
        if kind.startswith("status "):
            status, _, seconds = kind.removeprefix("status ").partition(" after ")
            return _page(int(status), "no", **({"Retry-After": seconds} if seconds else {}))
        if kind == "redirect":
            return Reply(302, b"", {"Location": "https://192.0.2.1/wapi/v2.11/"})
        if kind.startswith("body "):
            return Reply(200, kind.removeprefix("body ").encode(), {"Content-Type": _JSON})
        try:
            reply = self._answer(came, asked)
        except Refused as refused:
            reply = _of_json(refused.body, refused.status)
        if kind == "cut after":
            raise Breaks("cut")
        if kind == "500 after":
            return _page(500, "Internal Server Error")
        if kind == "cut page":
            raise Breaks("cut", reply)
        return reply

    def _answer(self, came: Came, asked: Asked) -> Reply:
        if not came.path.startswith(_ROOT):
            version = came.path.split("/")[2].removeprefix("v")
            return Reply(400, f"Version {version} not supported".encode(), {})
        if self.role == "member":
            return Reply(200, _SENT_ON.encode(), {"Content-Type": "text/html"})
        cookie = self._authenticated(came)
        if cookie is None:
            return _page(401, "401 Authorization Required")
        if self.role == "candidate" and asked.method != "GET":
            raise Refused(PROTO, "Write operations are not allowed: read-only API access", 403)
        if asked.method == "GET":
            found: Any = self._get(asked)
        elif asked.query:
            raise Refused(PROTO, f"Unknown argument/field: '{min(asked.query)}'")
        elif asked.method == "DELETE":
            found = self.grid.delete(asked.path)
        else:
            given = _object(came)
            create = asked.method == "POST"
            found = (self.grid.create if create else self.grid.change)(asked.path, given)
        reply = _of_json(found, 201 if asked.method == "POST" else 200)
        if cookie:
            set_cookie = f'ibapauth="{cookie}"; httponly; Path=/'
            return reply._replace(headers={**reply.headers, "Set-Cookie": set_cookie})
        return reply

    def _authenticated(self, came: Came) -> str | None:
        """Return a new cookie, "" where one was shown or none is given, None for a stranger."""
        shown = came.headers.get("cookie", "").removeprefix("ibapauth=").strip('"')
        if shown:
            self._cookies[shown] = self._cookies.get(shown, 0) - 1
            return "" if self._cookies[shown] >= 0 else None
        self.logins += 1
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if came.headers.get("authorization") != f"Basic {login}":
            return None
        if not self.gives_cookies:
            return ""
        made = f"group=admins,ctime=1,ip=127.0.0.1,su=0,timeout=600,number={next(self._numbers)}"
        self._cookies[made] = self.cookie_lives
        return made

    def _get(self, asked: Asked) -> Any:
        options = {key: value for key, value in asked.query.items() if key.startswith("_")}
        if unknown := options.keys() - _OPTIONS:
            raise Refused(PROTO, f"Unknown argument/field: '{min(unknown)}'")
        searches = {key: value for key, value in asked.query.items() if key not in options}
        limit = self.grid.limit
        most = int(options.get("_max_results", -limit))
        paging = options.get("_paging") == "1"
        if paging and (not 0 < most <= limit or options.get("_return_as_object") != "1"):
            raise Refused(PROTO, "_paging needs _return_as_object=1 and a positive _max_results")
        if "_page_id" in options:
            found = self._following(options["_page_id"], asked)
        else:
            found = self.grid.search(asked.path, searches)
        wanted, plus = options.get("_return_fields"), options.get("_return_fields+")
        names = self.grid.fields(asked.path, wanted, plus)
        following = ""
        if paging and len(found) > most:
            following = f"page{next(self._numbers)}"
            same = {key: value for key, value in asked.query.items() if key != "_page_id"}
            self._pages[following] = (asked.path, same, found[most:])
            found = found[:most]
        elif most < 0 and len(found) > -most:
            raise Refused(PROTO, f"Result set too large ({-most})")
        # What is not there, as the address of a PTR record of the other family, is left out.
        result = [
            {"_ref": one["_ref"]} | {name: one[name] for name in names if name in one}
            for one in found[: abs(most)]
        ]
        if options.get("_return_as_object") != "1":
            return result
        return {"result": result, **({"next_page_id": following} if following else {})}

    def _following(self, page: str, asked: Asked) -> list[Object]:
        path, same, found = self._pages.get(page, ("", {}, []))
        if path != asked.path or same != {k: v for k, v in asked.query.items() if k != "_page_id"}:
            raise Refused(PROTO, f"Invalid value for _page_id: {page}")
        return found


_JSON = "application/json"


def _of_json(found: Any, status: int) -> Reply:
    return Reply(status, json.dumps(found).encode(), {"Content-Type": _JSON})


def _page(status: int, text: str, **headers: str) -> Reply:
    return Reply(status, _PAGE.format(text).encode(), {"Content-Type": "text/html", **headers})


def _object(came: Came) -> Object:
    if came.headers.get("content-type", "").partition(";")[0] != _JSON:
        raise Refused(PROTO, "Content-Type is not supported")
    try:
        given = json.loads(came.body)
    except ValueError as error:
        raise Refused("Client.Ibap.Proto.JSONDecoding", f"JSON Decoding: {error}") from None
    if not isinstance(given, dict):
        raise Refused(PROTO, "a list or object is expected")
    return given
