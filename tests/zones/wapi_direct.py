"""Members of a grid asked without a connection: for tests of what is asked, in which order.

It stands for `infoblox_http.Http`: what that makes of each reply and of each fault is what this
makes of it (`test_infoblox_http` compares the two).
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterable, Mapping
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import unquote, urlsplit

from consulfwd.zones.sinks.infoblox_http import LIMIT, Broken
from consulfwd.zones.sinks.infoblox_words import Answer
from tests.zones.wapi import Breaks, Came, Member


class Direct:
    """The way to these members, each known by the port of its URL."""

    def __init__(self, members: Iterable[Member], timeout: float) -> None:
        self._members = {one.port: one for one in members}
        self._timeout = timeout

    @classmethod
    def to(cls, members: Iterable[Member]) -> Any:
        """Return what stands for `Http` when a target is made."""
        there = list(members)

        def connect(trusted: ssl.SSLContext, timeout: float) -> Direct:
            return cls(there, timeout)

        return connect

    async def ask(
        self,
        method: str,
        base: str,
        path: str,
        params: Mapping[str, str],
        body: Mapping[str, Any] | None,
        shown: Mapping[str, str],
    ) -> tuple[Answer, str]:
        url = urlsplit(base)
        member = self._members[url.port or 0]
        headers = {name.lower(): value for name, value in shown.items()}
        if body is not None:
            headers["content-type"] = "application/json"
        came = Came(
            method,
            # As it is once it was quoted for a URL, and read there.
            f"{url.path}/{unquote(path)}",
            dict(params),
            headers,
            b"" if body is None else json.dumps(body).encode(),
        )
        with member.busy():
            await asyncio.sleep(0)
            try:
                reply = member.reply(came)
            except Breaks as breaks:
                raise Broken(self._told(breaks), slow=breaks.kind == "hang") from None
        after = reply.headers.get("Retry-After", "")
        cookies = SimpleCookie(reply.headers.get("Set-Cookie", ""))
        cookie = cookies["ibapauth"].coded_value if "ibapauth" in cookies else ""
        return Answer(reply.status, reply.body, float(after) if after else None), cookie

    async def close(self) -> None:
        return None

    def _told(self, breaks: Breaks) -> str:
        if breaks.kind == "hang":
            return f"no reply within {self._timeout:g} s"
        if breaks.kind == "huge":
            return f"a reply of more than {LIMIT >> 20} MiB"
        return "the connection broke"
