"""HTTP/1.1 as far as it is needed (RFC 9112): requests read within bounds, heads written.

Pure: octets in, values out. It takes less than it might: what a browser, curl, Prometheus or our
own commands never send is refused.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

# A line of a head, all of it, what a body may come to (octets); and how many fields there may be.
LINE, HEAD, BODY, FIELDS = 8_192, 32_768, 65_536, 100
END = b"\r\n\r\n"

_TOKEN = frozenset(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~")
_VISIBLE = frozenset(map(chr, range(33, 127)))
_LONGEST_METHOD = 16
# These decide who may do what: there must be one of each at most.
_SINGLE = frozenset({"host", "origin", "authorization", "content-length", "content-type"})

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ON_ALL = (
    f"Content-Security-Policy: {POLICY}\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cache-Control: no-store\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
)
JSON, TEXT = "application/json", "text/plain; charset=utf-8"


class HttpError(Exception):
    """A request that is answered with an error: `status`, what is told, further fields."""

    def __init__(self, status: int, message: str, **fields: str) -> None:
        self.status = status
        self.message = message
        self.fields = {name.replace("_", "-"): value for name, value in fields.items()}
        super().__init__(message)


class Request(NamedTuple):
    """What is asked for; names of `fields` are in lower case. `keep` the connection afterwards."""

    method: str
    path: str
    query: str
    fields: Mapping[str, str]
    keep: bool
    length: int


class Stream(Protocol):
    """A reply without an end."""

    async def next(self) -> bytes:
        """Return what is to be sent next; nothing is the end."""
        ...

    def close(self) -> None:
        """Nobody reads any more."""
        ...


class Reply(NamedTuple):
    """What is answered; with a `stream` that follows the body."""

    status: int
    kind: str
    body: bytes = b""
    fields: Mapping[str, str] = {}
    stream: Stream | None = None


def parse(head: bytes) -> Request:
    """Return the request a head is of, without the empty line at its end. Raises HttpError."""
    first, *rest = head.split(b"\r\n")
    if len(first) > LINE:
        raise HttpError(414, f"the request line is longer than {LINE} octets")
    if len(rest) > FIELDS or any(len(one) > LINE for one in rest):
        raise HttpError(431, f"more than {FIELDS} fields, or one longer than {LINE} octets")
    method, target, version = _first(first)
    fields: dict[str, str] = {}
    for line in rest:
        name, value = _field(line)
        if name in fields:
            if name in _SINGLE:
                raise HttpError(400, f"{name} stands there twice")
            value = f"{fields[name]}, {value}"
        fields[name] = value
    if "transfer-encoding" in fields:
        raise HttpError(411, "send the body with its Content-Length")
    options = {one.strip().lower() for one in fields.get("connection", "").split(",")}
    keep = "close" not in options if version == "HTTP/1.1" else "keep-alive" in options
    path, _, query = target.partition("?")
    return Request(method, path, query, fields, keep, _length(fields))


def _first(line: bytes) -> tuple[str, str, str]:
    words = line.decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/"):
        raise HttpError(400, "that is not HTTP")
    method, target, version = words
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise HttpError(505, "HTTP/1.1 is spoken here")
    if not 0 < len(method) <= _LONGEST_METHOD or not _TOKEN.issuperset(method):
        raise HttpError(400, "that is no method")
    if not target.startswith("/") or not _VISIBLE.issuperset(target):
        raise HttpError(400, "the target must be a path")
    return method, target, version


def _field(line: bytes) -> tuple[str, str]:
    name, colon, value = line.decode("latin-1").partition(":")
    value = value.strip(" \t")
    if not colon or not name or not _TOKEN.issuperset(name):
        raise HttpError(400, "a header field is not NAME: VALUE")
    if any((one < " " and one != "\t") or one == "\x7f" for one in value):
        raise HttpError(400, "a header field has control characters")
    return name.lower(), value


def _length(fields: Mapping[str, str]) -> int:
    said = fields.get("content-length", "0")
    if not said.isascii() or not said.isdigit():
        raise HttpError(400, "the Content-Length is no number")
    if len(said) > 10 or int(said) > BODY:
        raise HttpError(413, f"the body is longer than {BODY} octets")
    return int(said)


def values_of(request: Request, body: bytes) -> dict[str, Any]:
    """Return the JSON object that a request brings. Raises HttpError."""
    kind = request.fields.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        raise HttpError(415, "an order comes as a JSON object (Content-Type: application/json)")
    try:
        said = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise HttpError(400, "the body is no JSON object")
    return said


def as_json(status: int, said: Mapping[str, Any]) -> Reply:
    """Return a reply with a JSON object."""
    return Reply(status, JSON, json.dumps(said).encode() + b"\n")


def refusal(error: HttpError) -> Reply:
    """Return an error as it is answered."""
    return as_json(error.status, {"error": error.message})._replace(fields=error.fields)


def head_of(reply: Reply, *, keep: bool) -> bytes:
    """Return the head of a reply."""
    lines = [
        f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n",
        f"Content-Type: {reply.kind}\r\n",
        ON_ALL,
        *(f"{name}: {value}\r\n" for name, value in reply.fields.items()),
    ]
    if reply.stream is None:
        lines.append(f"Content-Length: {len(reply.body)}\r\n")
    # What has no length ends with the connection.
    lines.append("\r\n" if keep and reply.stream is None else "Connection: close\r\n\r\n")
    return "".join(lines).encode("latin-1")
