"""Cookies (RFC 7873) as listeners use them: taken out of a query, put into its reply.

What belongs here: whose queries have theirs looked at, the counts, when our own secret is replaced.
What makes a cookie right is `core.cookies`'s.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from consulfwd.config.sections import Auto
from consulfwd.core.cookies import Cookies, Standing
from consulfwd.dns import const, replies
from consulfwd.dns.cookies import MARK, put_cookie, take_cookie
from consulfwd.errors import WireError
from consulfwd.net.clock import Clock
from consulfwd.net.flight import Counters

SECRET_SIZE = 16


class Opened:
    """A query without its cookie, and the one for its reply (None: there are too many to make)."""

    __slots__ = ("_cookie", "_most", "asks", "query")

    def __init__(self, query: bytes, asks: bool, cookie: bytes | None, most: int) -> None:
        self.query = query
        self.asks = asks
        self._cookie = cookie
        self._most = most

    @property
    def has_cookie(self) -> bool:
        """Return whether replies get a cookie."""
        return self._cookie is not None

    def put(self, reply: bytes) -> bytes:
        """Return a reply to the query with its cookie."""
        return reply if self._cookie is None else put_cookie(reply, self._cookie, self._most)

    def alone(self) -> bytes:
        """Return the reply to who asks for a cookie and nothing else (RFC 7873 section 5.4)."""
        return self.put(replies.refuse(self.query, const.NOERROR))


class Jar:
    """The cookies of one server; `on` is whether any are looked at, so that else nothing is done,
    `on_loopback` whether those of clients there are, too.

    Without secrets of a site it has one of its own, from the system's random source.
    """

    def __init__(self, clock: Clock, counters: Counters) -> None:
        self.on = False
        self._clock = clock
        self._counters = counters
        self.on_loopback = False
        self._own = True
        # Called when a secret of our own was replaced.
        self.replaced: Callable[[], None] = lambda: None
        self._cookies = Cookies((os.urandom(SECRET_SIZE),), clock.wall())

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """Return the secrets in force, the one that cookies are made by first."""
        return self._cookies.secrets

    def use(self, enabled: Auto, secrets: Sequence[bytes] = ()) -> None:
        """Go by settings from now on; `secrets` are those of a site, none: our own.

        Our own stays over that: clients have cookies of it.
        """
        now = self._clock.wall()
        self.on, self.on_loopback = enabled is not False, enabled is True
        if secrets and tuple(secrets) != self._cookies.secrets:
            self._cookies.use(secrets, now)
        elif not secrets and not self._own:
            self._cookies.use((os.urandom(SECRET_SIZE),), now)
        self._own = not secrets

    def look(self) -> None:
        """Replace a secret of our own that has had its day."""
        now = self._clock.wall()
        if self.on and self._own and self._cookies.due(now):
            self._cookies.replace(os.urandom(SECRET_SIZE), now)
            self.replaced()

    def serves(self, host: str) -> bool:
        """Return whether the cookies of who asks from an address are looked at.

        By themselves not those from loopback: nobody else can ask in its name, and a load balancer
        there may keep one client's reply for all, cookie and all.
        """
        return self.on and (self.on_loopback or not _octets(host)[1])

    def proves(self, address: bytes, query: bytes) -> bool:
        """Return whether a raw query has a right cookie: who sent it is at that address."""
        if not self.on or MARK not in query:
            return False
        try:
            taken = take_cookie(query, replies.OWN_SIZE)
        except WireError:
            return False
        if taken is None:
            return False
        now = self._clock.wall()
        return self._cookies.known(address, taken.cookie, now) is Standing.RIGHT

    def open(self, data: bytes, host: str, most: int) -> Opened | None:
        """Return what a raw query with a cookie asks, None if it has none.

        A reply will have `most` octets at most, or as many as the client takes. Raises WireError
        for a cookie of a length that none has.
        """
        return self._open(data, _octets(host)[0], most)

    def _open(self, data: bytes, address: bytes, most: int) -> Opened | None:
        taken = take_cookie(data, most)
        if taken is None:
            return None
        now = self._clock.wall()
        standing = self._cookies.known(address, taken.cookie, now)
        counters = self._counters
        counters.cookies += 1
        if standing is Standing.RIGHT:
            counters.right_cookies += 1
        elif standing is Standing.WRONG:
            counters.wrong_cookies += 1
        cookie = self._cookies.reply(address, taken.cookie, now)
        room = most if most == replies.STREAM_LIMIT else taken.size
        return Opened(taken.query, taken.asks, cookie, room)

    def without(self, raw: bytes, most: int) -> bytes:
        """Return a query (both without its ID) without its cookie, as questions are kept."""
        try:
            taken = take_cookie(b"\0\0" + raw, most)
        except WireError:
            return raw
        return raw if taken is None else taken.query[2:]

    def challenge(self, data: bytes, address: bytes) -> bytes | None:
        """Return BADCOOKIE for a raw query whose server cookie is wrong (RFC 7873 section 5.2.4).

        It is no longer than the query, or None: who is named as its sender gets no more than was
        sent in his name.
        """
        if not self.on or MARK not in data:
            return None
        try:
            opened = self._open(data, address, replies.OWN_SIZE)
        except WireError:
            return None
        if opened is None or not opened.asks or not opened.has_cookie:
            return None
        reply = opened.put(replies.refuse(opened.query, const.BADCOOKIE))
        return reply if len(reply) <= len(data) else None


@lru_cache(4096)
def _octets(host: str) -> tuple[bytes, bool]:
    """Return an address (text, a zone index allowed) as octets, and whether it is on loopback."""
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.packed, address.is_loopback
