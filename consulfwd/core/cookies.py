"""DNS cookies (RFC 7873, in RFC 9018's form): who has shown that its address is its own. Pure.

What belongs here: making server cookies and knowing one's own again, by secrets that are passed in.
Where they are in a message is `dns.cookies`'s; what who has a right one may do, others'. `now` is
the time of day in seconds, as other servers with the same secret have it, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from consulfwd.dns.cookies import CLIENT_SIZE, SERVER_SIZE
from consulfwd.dns.siphash import siphash24

# A cookie holds for an hour, and for five minutes before it was made, as clocks differ; one of half
# an hour is replaced (RFC 9018 section 4.3).
LASTS, AHEAD, RENEWED = 3600, 300, 1800
# Secrets of our own are replaced once a day (RFC 7873 section 7.1), the last one holding on.
SECRET_LASTS = 86_400.0
# Right cookies that need not be looked at again, and how many may be made and looked at in a
# second: 20,000 take half of a processor core.
MAX_KNOWN, MAX_HASHES = 4096, 10_000
_VERSION = b"\1\0\0\0"
_HEAD = CLIENT_SIZE + 8


class Standing(Enum):
    """What a query's cookie says of who sent it."""

    NEW = "a client cookie alone"
    RIGHT = "a server cookie of ours"
    WRONG = "a server cookie that is not ours, or too old"


class Cookies:
    """Makes cookies by the first of `secrets` (16 octets each), takes those of any of them."""

    def __init__(self, secrets: Sequence[bytes], now: float) -> None:
        self.secrets = tuple(secrets)
        self._since = now
        # By address and cookie: until when it need not be looked at, and what is replied with.
        self._known: dict[bytes, tuple[float, bytes]] = {}
        self._second, self._hashes = 0, 0

    def use(self, secrets: Sequence[bytes], now: float) -> None:
        """Go by other secrets from now on."""
        self.secrets, self._since = tuple(secrets), now
        self._known.clear()

    def due(self, now: float) -> bool:
        """Return whether a secret of our own has had its day (or the time of day was set)."""
        return not 0 <= now - self._since < SECRET_LASTS

    def replace(self, secret: bytes, now: float) -> None:
        """Make cookies by another secret; those of the last one hold."""
        self.use((secret, *self.secrets[:1]), now)

    def known(self, address: bytes, cookie: bytes, now: float) -> Standing:
        """Return what a cookie (client's and server's in one) says of an address (4 or 16 octets).

        A right one is not looked at twice; of others no more than `MAX_HASHES` in a second, beyond
        which they count as wrong.
        """
        if len(cookie) == CLIENT_SIZE:
            return Standing.NEW
        seen = self._known.get(address + cookie)
        if seen is not None and seen[0] > now:
            return Standing.RIGHT
        if len(cookie) != CLIENT_SIZE + SERVER_SIZE or cookie[8:12] != _VERSION:
            return Standing.WRONG
        made_at = int.from_bytes(cookie[12:16], "big")
        # Serial number arithmetic (RFC 1982): 32 bits are over in 2106.
        age = (int(now) - made_at + (1 << 31)) % (1 << 32) - (1 << 31)
        if not -AHEAD <= age <= LASTS:
            return Standing.WRONG
        hashed = cookie[:_HEAD] + address
        for secret in self.secrets:
            if not self._may_hash(now):
                return Standing.WRONG
            if siphash24(secret, hashed) == cookie[_HEAD:]:
                # One by an older secret is replaced at once.
                if age < RENEWED and secret is self.secrets[0]:
                    self._remember(address + cookie, now + min(RENEWED - age, RENEWED), cookie)
                return Standing.RIGHT
        return Standing.WRONG

    def reply(self, address: bytes, cookie: bytes, now: float) -> bytes | None:
        """Return the cookie to reply with to a query that had this one.

        It is the same while that is right and young, so that it costs nothing. None when too many
        were made in this second.
        """
        seen = self._known.get(address + cookie)
        if seen is not None and seen[0] > now:
            return seen[1]
        if not self._may_hash(now):
            return None
        return server_cookie(self.secrets[0], address, cookie[:CLIENT_SIZE], now)

    def _remember(self, key: bytes, until: float, cookie: bytes) -> None:
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[key] = (until, cookie)

    def _may_hash(self, now: float) -> bool:
        if int(now) != self._second:
            self._second, self._hashes = int(now), 0
        self._hashes += 1
        return self._hashes <= MAX_HASHES


def server_cookie(secret: bytes, address: bytes, client: bytes, now: float) -> bytes:
    """Return a client's cookie and the server's for an address (RFC 9018 section 4)."""
    head = client + _VERSION + (int(now) % (1 << 32)).to_bytes(4, "big")
    return head + siphash24(secret, head + address)
