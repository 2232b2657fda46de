"""A page asked for at an address over HTTP/1.1, and whether it is right.

What belongs here: the request, what its reply is worth, redirects. The octets of a reply are read
in `consul.http_reply`. The address is the one that is checked: no name is looked up, nor is one
after a redirect.
"""

from __future__ import annotations

import ssl
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from consulfwd import __version__
from consulfwd.config.failover_checks import HttpCheck
from consulfwd.consul.http_reply import BadReply, HttpReply
from consulfwd.failover.checks.connecting import Stream, Trust, connected
from consulfwd.failover.checks.looking import Progress, Wrong
from consulfwd.failover.checks.sought import Sought
from consulfwd.failover.model import Address

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LONGEST = 2_048


class _Place(NamedTuple):
    """What is asked for, and where."""

    scheme: str
    host: str
    port: int
    target: str
    url: str

    @property
    def named(self) -> str:
        """The host and port as a header says them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def _place(url: str) -> _Place:
    """Return where a URL leads. Raises ValueError."""
    parts = urlsplit(url)
    host, port = parts.hostname, parts.port
    if parts.scheme not in _PORTS or not host or port == 0 or not _plain(url):
        raise ValueError(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Place(parts.scheme, host, port or _PORTS[parts.scheme], target, url)


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text and len(text) <= _LONGEST


class HttpLook:
    """Asks for a page; Wrong says what is not right with it."""

    def __init__(self, settings: HttpCheck) -> None:
        self._settings = settings
        self._place = _place(settings.url)
        self._right = tuple(_span(one) for one in settings.status)
        self._sought = Sought(settings.contains, settings.matches)
        self._trust = Trust(settings.ca_file, settings.verify)

    async def look(self, address: Address, progress: Progress) -> str:
        """Return the status, and that what is sought was there."""
        place = self._place
        for _ in range(self._settings.redirects + 1):
            status, leads = await self._once(str(address.ip), place, progress)
            if not leads:
                found = ", and what is sought is there" if self._sought else ""
                return f"HTTP {status}{found}"
            place = self._led(place, status, leads)
        raise Wrong(f"more than {self._settings.redirects} redirects")

    async def _once(self, ip: str, place: _Place, progress: Progress) -> tuple[int, str]:
        """Ask once; return the status, and where a redirect leads that is to be followed."""
        tls: ssl.SSLContext | None = None
        if place.scheme == "https":
            progress.at("reading certificates", ours=True)
            tls = await self._trust.context()
        name = self._settings.server_name or place.host
        async with connected(ip, place.port, progress, tls, name) as stream:
            progress.at("waiting for its reply")
            await stream.send(self._request(place))
            reply = HttpReply(head_only=self._settings.method == "HEAD")
            try:
                return await self._read(stream, reply, progress)
            except BadReply as bad:
                raise Wrong(str(bad)) from None

    async def _read(
        self, stream: Stream, reply: HttpReply, progress: Progress
    ) -> tuple[int, str]:
        body = b""
        while not reply.status:
            octets = await stream.receive()
            body = reply.feed(octets)
            if not octets:
                reply.end()
        right = any(least <= reply.status <= most for least, most in self._right)
        if not right:
            leads = reply.headers.get("location", "")
            if self._settings.redirects and reply.status in _REDIRECTS and leads:
                return reply.status, leads
            raise Wrong(f"HTTP {reply.status}")
        if self._sought:
            progress.at("waiting for the rest of its page")
            await self._look_for(stream, reply, body)
        return reply.status, ""

    async def _look_for(self, stream: Stream, reply: HttpReply, body: bytes) -> None:
        looking = self._sought.begin()
        await looking.feed(body)
        while looking.missing and not looking.full and not reply.whole:
            octets = await stream.receive()
            await looking.feed(reply.feed(octets))
            if not octets:
                reply.end()
        if reply.whole:
            looking.end()
        if looking.missing:
            where = "the page" if reply.whole else "the first 64 KB of the page"
            raise Wrong(f"HTTP {reply.status}, but without {looking.missing} in {where}")

    def _request(self, place: _Place) -> bytes:
        headers = {
            "Host": self._settings.host or place.named,
            "User-Agent": f"consulfwd/{__version__} (health check)",
            "Accept": "*/*",
            # Nothing is unpacked here: what is sought is sought in what is sent.
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        for name, value in self._settings.headers.items():
            known = next((one for one in headers if one.lower() == name.lower()), name)
            headers[known] = value
        lines = [f"{self._settings.method} {place.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join((*lines, "", "")).encode("ascii")

    def _led(self, place: _Place, status: int, leads: str) -> _Place:
        """Return where a redirect leads, if it may be followed."""
        try:
            to = _place(urljoin(place.url, leads))
        except ValueError:
            raise Wrong(f"HTTP {status}, which leads to no URL") from None
        if to.host != place.host:
            raise Wrong(f"HTTP {status}, which leads to another host: {to.host}")
        if place.scheme == "https" and to.scheme == "http":
            raise Wrong(f"HTTP {status}, which leads from HTTPS to HTTP")
        return to


def _span(status: str) -> tuple[int, int]:
    least, _, most = status.partition("-")
    return int(least), int(most or least)
