"""What may go wrong with a development agent, switched on and off while it runs.

What belongs here: the switches, their chance, how often they still strike, and holding back what
a frozen process would hold back. Must not know: how a message is sent or what it says.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator

_HELD_AT_MOST = 10_000


class _Switch:
    """Chance and count of one fault. `hits`: how often it struck since the last `clear()`."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.off()
        self.hits = 0

    def off(self) -> None:
        self._probability = 0.0
        self._left: int | None = None

    @property
    def armed(self) -> bool:
        return self._probability > 0 and self._left != 0

    def strikes(self) -> bool:
        """True when the message at hand is hit; counts it."""
        if not self.armed or (self._probability < 1 and self._rng.random() >= self._probability):
            return False
        if self._left is not None:
            self._left -= 1
        self.hits += 1
        return True

    def _arm(self, probability: float, count: int | None) -> None:
        if not 0 <= probability <= 1:
            raise ValueError(f"a probability lies between 0 and 1: {probability}")
        self._probability, self._left = probability, count


class Fault(_Switch):
    """A fault that is there or not: `on(probability=1.0, count=None)`, `off()`."""

    def on(self, probability: float = 1.0, count: int | None = None) -> None:
        """Strikes each message with this probability, at most `count` times (None: no limit)."""
        self._arm(probability, count)


class Measured(_Switch):
    """A fault with a measure (seconds, records, a status): `on(amount, probability, count)`."""

    amount: float = 0

    def on(self, amount: float, probability: float = 1.0, count: int | None = None) -> None:
        """As `Fault.on`, with how much of it."""
        self.amount = amount
        self._arm(probability, count)


class _Group:
    """Some switches that are cleared together."""

    def switches(self) -> Iterator[_Switch]:
        return (each for each in vars(self).values() if isinstance(each, _Switch))

    def clear(self) -> None:
        for switch in self.switches():
            switch.off()
            switch.hits = 0


class DnsFaults(_Group):
    """Faults of DNS messages. Where several strike, the first listed here decides the reply."""

    def __init__(self, rng: random.Random) -> None:
        self.drop = Fault(rng)  # no reply at all
        self.garbage = Fault(rng)  # the right ID, a reply's flags, then noise
        self.servfail = Fault(rng)
        self.refused = Fault(rng)
        self.formerr = Fault(rng)
        # Of queries with an OPT, as servers and firewalls do that know none:
        self.edns_drop = Fault(rng)
        self.edns_notimp = Fault(rng)  # NOTIMP, without an OPT
        self.edns_badvers = Fault(rng)
        # An error in other words, of a server that does not have the zone:
        self.hollow = Fault(rng)  # NOERROR and nothing else
        self.referral = Fault(rng)  # name servers of the name's parent
        self.upward = Fault(rng)  # name servers of the root
        self.nxdomain = Fault(rng)  # for names under Consul's domain and in arpa; not SOA, NS
        self.alias_loop = Fault(rng)  # two aliases that lead to each other
        self.alias_alone = Fault(rng)  # an alias, and no word of its target
        self.huge = Measured(rng)  # so many octets at most
        self.truncate = Fault(rng)  # TC set, every record removed
        self.silent_cut = Measured(rng)  # only the first n answers, no TC
        # These add to whatever the reply is:
        self.no_edns = Fault(rng)  # no OPT although the query had one
        self.opt_twice = Fault(rng)
        self.wrong_question = Fault(rng)  # the reply repeats another name
        self.wrong_case = Fault(rng)  # the name in another case than it was asked in
        self.wrong_class = Fault(rng)  # records of class CH
        self.wrong_id = Fault(rng)
        self.bits = Measured(rng)  # further bits of the header set, as in 0x0420: AA and AD
        self.query_again = Fault(rng)  # QR clear
        self.ttl = Measured(rng)  # of every record
        self.behind = Measured(rng)  # n octets behind the message
        self.half = Fault(rng)  # half of the message, as if that were all
        self.twice = Fault(rng)
        self.spoofed = Measured(rng)  # n forged replies (wrong ID, wrong name) before the real one
        self.delay = Measured(rng)  # seconds


class TcpFaults(DnsFaults):
    """Those of DNS messages, and those of a connection."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.refuse = Fault(rng)  # reset right after the handshake; a closed port: stop("tcp")
        self.half_close = Fault(rng)  # half of the reply, then end of stream
        self.stall = Fault(rng)  # half of the reply, then nothing, connection open
        self.slow = Measured(rng)  # one byte at a time, this many seconds apart


class HttpFaults(_Group):
    """Faults of HTTP requests. A closed port: `stop("http")` of the agent."""

    def __init__(self, rng: random.Random) -> None:
        self.refuse = Fault(rng)  # connection reset instead of a response
        self.hang = Fault(rng)  # never answered; strikes those that wait for a change as well
        self.delay = Measured(rng)  # seconds before the request is looked at
        self.status = Measured(rng)  # an error: 429, 500, 503, ...
        self.empty = Fault(rng)  # 200 with an empty list, as after a restart or a lost token
        self.filtered = Fault(rng)  # one entry is left out, as from a token that may not read all
        self.index_reset = Fault(rng)  # X-Consul-Index 1, as after a restored snapshot
        self.no_leader = Fault(rng)  # X-Consul-KnownLeader false
        self.last_contact = Measured(rng)  # X-Consul-LastContact, in seconds


class Faults:
    """All faults of one agent. `any` strikes on UDP and TCP alike and has one count for both.

    `frozen` is a stopped process (SIGSTOP): what arrives is held, what was about to leave too.
    `resume(nxdomain_for=...)` lets go; for that many seconds by the agent's clock it then answers
    as agents coming back from a pause were seen to: NXDOMAIN, and over HTTP empty lists.
    """

    def __init__(self, rng: random.Random, clock: Callable[[], float]) -> None:
        self.rng = rng
        self.clock = clock
        self.any = DnsFaults(rng)
        self.udp = DnsFaults(rng)
        self.tcp = TcpFaults(rng)
        self.http = HttpFaults(rng)
        self._frozen = False
        self._forgetful_until = float("-inf")
        self._held: list[Callable[[], None]] = []

    @property
    def frozen(self) -> bool:
        return self._frozen

    @frozen.setter
    def frozen(self, value: bool) -> None:
        if value:
            self._frozen = True
        else:
            self.resume()

    def resume(self, nxdomain_for: float = 0.0) -> None:
        """Goes on, in the order in which things arrived, forgetful for `nxdomain_for` seconds."""
        self._frozen = False
        self._forgetful_until = self.clock() + nxdomain_for if nxdomain_for else float("-inf")
        held, self._held = self._held, []
        for go in held:
            go()

    @property
    def forgetful(self) -> bool:
        """True while the agent does not yet know its services again."""
        return self.clock() < self._forgetful_until

    @property
    def holding(self) -> int:
        """How many messages a frozen agent holds back."""
        return len(self._held)

    def when_running(self, go: Callable[[], None]) -> None:
        """Calls `go` now, or at `resume()` if frozen; what does not fit a buffer is lost."""
        if not self._frozen:
            go()
        elif len(self._held) < _HELD_AT_MOST:
            self._held.append(go)

    async def running(self) -> None:
        """Returns once the agent is not frozen."""
        while self._frozen:
            released = asyncio.Event()
            self._held.append(released.set)
            await released.wait()

    def strikes(self, name: str, *, udp: bool) -> float | None:
        """Whether the fault `name` hits a message now: its amount (1 without one), else None."""
        for group in (self.udp if udp else self.tcp, self.any):
            switch = getattr(group, name, None)
            if isinstance(switch, _Switch) and switch.strikes():
                return switch.amount if isinstance(switch, Measured) else 1
        return None

    def forget_held(self) -> None:
        """A process that dies takes what it held with it, and is not frozen when it is back."""
        self._frozen, self._forgetful_until = False, float("-inf")
        self._held.clear()

    def clear(self) -> None:
        """Every fault off, counters at 0, a frozen agent resumed."""
        for group in (self.any, self.udp, self.tcp, self.http):
            group.clear()
        self.resume()
