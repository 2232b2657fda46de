"""Who asks too much over UDP: token buckets of clients and of their networks. Pure.

What belongs here: whose queries are counted together, who is over, which of those are told to come
by TCP. What they are told is the listeners', whether a client has shown that its address is its
own (which lifts the limit) another's. `now` is passed in, in seconds of any clock that goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

# Buckets that are remembered of each kind. Those that are full again are forgotten first, and are
# looked for so often (seconds).
MAX_BUCKETS, SWEEP_EVERY = 8192, 0.1
# Addresses remembered that are not limited, and that are.
MAX_KNOWN = 4096
# Whoever may not ask is told so that often a second, and that often at once (a misconfigured host
# shall see why); all whom there is no bucket for together ten times as often.
STRANGERS, STRANGERS_AT_ONCE = 10.0, 20.0
# While more queries come than can be answered: so many a second of each client and each network
# about names that nobody knows. What is known costs little.
NEW, NEW_OF_NETWORK = 20.0, 400.0
# Link-local addresses of IPv6: each neighbour has one of this prefix.
_LINK = b"\xfe\x80\0\0\0\0\0\0"


class Buckets:
    """Token buckets: `rate` queries a second, `burst` of them at once, at most `most` buckets.

    Of each the time is kept when it is full again (the virtual scheduling of GCRA), so one nobody
    takes from needs no place. If there are more in use than places, all others share one bucket of
    `crowd` queries a second: no flood of made-up addresses takes anything from who has a place.
    """

    __slots__ = ("_crowd", "_crowd_full_at", "_each", "_full_at", "_lasts", "_most", "_swept_at")

    def __init__(self, rate: float, burst: float, crowd: float, most: int | None = None) -> None:
        self._each = 1.0 / rate
        # Half a query more: sums of fractions are not exact.
        self._lasts = (burst + 0.5) / rate
        self._crowd = 1.0 / crowd
        self._crowd_full_at = 0.0
        self._most = MAX_BUCKETS if most is None else most
        self._swept_at = -SWEEP_EVERY
        self._full_at: dict[bytes, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: bytes, now: float) -> bool:
        """Take a token from the bucket of `key`; False where it is empty."""
        full_at = self._full_at.get(key)
        if full_at is None:
            if len(self._full_at) >= self._most and not self._has_swept(now):
                return self._take_of_crowd(now)
            full_at = now
        elif full_at < now:
            full_at = now
        full_at += self._each
        if full_at - now > self._lasts:
            return False
        self._full_at[key] = full_at
        return True

    def _has_swept(self, now: float) -> bool:
        """Forget the full ones, if that was not done just now; return whether there is room."""
        if now - self._swept_at < SWEEP_EVERY:
            return False
        self._swept_at = now
        for key in [key for key, full_at in self._full_at.items() if full_at <= now]:
            del self._full_at[key]
        return len(self._full_at) < self._most

    def _take_of_crowd(self, now: float) -> bool:
        full_at = max(self._crowd_full_at, now) + self._crowd
        if full_at - now > 1.0 + self._crowd / 2:
            return False
        self._crowd_full_at = full_at
        return True


@dataclass(frozen=True)
class Rules:
    """What the settings say: queries a second (0: no limit), `burst` seconds' worth at once.

    Each `slip`-th query over that is told to come by TCP (0: none); `exempt` networks are never
    limited, nor is this host unless `own_host` says so.
    """

    per_client: int = 0
    per_network: int = 0
    burst: float = 5.0
    slip: int = 1
    exempt: tuple[IPv4Network | IPv6Network, ...] = ()
    own_host: bool = False


def one_client(address: bytes) -> bytes:
    """Return what stands for the client at an address (4 or 16 octets)."""
    if len(address) == 4 or address[:8] == _LINK:
        return address
    return address[:8]


class Limiter:
    """Says who is over: `on` is whether off-host clients are limited, `own_host` whether all are.

    A client is an IPv4 address or a /64 of IPv6 (RFC 4291 section 2.5.1), a network a /24 or a
    /56; on a link each neighbour is a client, and the link no network.
    """

    def __init__(self) -> None:
        self.on = self.own_host = False
        # How many queries were over, of which address the last one.
        self.over_in_all = 0
        self.last = b""
        self._rules = Rules()
        self._clients: Buckets | None = None
        self._networks: Buckets | None = None
        self._strangers = Buckets(STRANGERS, STRANGERS_AT_ONCE, 10 * STRANGERS)
        self._new_clients = Buckets(NEW, NEW, 10 * NEW)
        self._new_networks = Buckets(NEW_OF_NETWORK, NEW_OF_NETWORK, 10 * NEW_OF_NETWORK)
        self._own: frozenset[bytes] = frozenset()
        self._free: set[bytes] = set()
        self._not_free: set[bytes] = set()

    def use(self, rules: Rules, own: Iterable[str] = ()) -> None:
        """Go by rules from now on; `own` are this host's addresses (text, a zone index allowed).

        Where the rules are the same nobody's bucket is filled by that.
        """
        self._own = frozenset(ip_address(one.partition("%")[0]).packed for one in own)
        self._free.clear()
        self._not_free.clear()
        if rules == self._rules:
            return
        self._rules = rules
        self._clients = _buckets(rules.per_client, rules)
        self._networks = _buckets(rules.per_network, rules)
        self.on = self._clients is not None or self._networks is not None
        self.own_host = self.on and rules.own_host

    def over(self, address: bytes, now: float) -> bool:
        """Count a query of an address (4 or 16 octets); return whether it is one too many."""
        return self._over(address, now, self._clients, self._networks)

    def over_new(self, address: bytes, now: float) -> bool:
        """Count a question about an unknown name, while more come than can be answered."""
        return self._over(address, now, self._new_clients, self._new_networks)

    def _over(
        self, address: bytes, now: float, clients: Buckets | None, networks: Buckets | None
    ) -> bool:
        if address in self._free:
            return False
        if len(address) == 4:
            client, network = address, address[:3]
        elif address[:8] == _LINK:
            client = network = address
        else:
            client, network = address[:8], address[:7]
        # What is one client's fault takes nothing from its neighbours.
        if (clients is None or clients.take(client, now)) and (
            networks is None or network is client or networks.take(network, now)
        ):
            return False
        if address not in self._not_free:
            free = self._is_free(address)
            known = self._free if free else self._not_free
            if len(known) >= MAX_KNOWN:
                known.clear()
            known.add(address)
            if free:
                return False
        self.over_in_all += 1
        self.last = address
        return True

    def _is_free(self, packed: bytes) -> bool:
        """Return whether an address is not limited: asked once it would be."""
        address = ip_address(packed)
        if not self._rules.own_host and (address.is_loopback or packed in self._own):
            return True
        return any(address in network for network in self._rules.exempt)

    def slips(self) -> bool:
        """Return whether the one that was over last is to be told to come by TCP."""
        slip = self._rules.slip
        return slip > 0 and self.over_in_all % slip == 0

    def may_be_told(self, stranger: bytes, now: float) -> bool:
        """Return whether one who may not ask is told so: replies are not for whoever is named."""
        return self._strangers.take(stranger, now)


def _buckets(rate: int, rules: Rules) -> Buckets | None:
    """Return buckets of that many queries a second: who has no place shares what ten have."""
    return Buckets(rate, max(rate * rules.burst, 1.0), 10 * rate) if rate else None
