"""The servers asked (agents and recursors): where each is, how it is, how long it takes.

What follows from a reply is `core.health`'s. Must not know about messages, sockets or clocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from consulfwd.core.states import State

# Why a server at a link-local address cannot be asked; that is for sure.
NO_INTERFACE = "its interface is not there"
# How long (seconds) after a fall or a return an agent may still lack a part of its catalog.
SETTLING = 30.0
# For how long after its return it cannot speak for others that came back, too: agents that start
# together read Raft's log at the same time, and are asked meanwhile.
CATCHING_UP = 2.0
# When it is tried again (seconds) whether who did not answer with EDNS does, at first and at last.
EDNS_FIRST, EDNS_CEILING = 2.0, 900.0
# Slower than this (seconds), and than so many times the time of the fastest one, an agent limps.
LIMP, LIMP_TIMES = 0.05, 4


@dataclass(frozen=True)
class Tuning:
    """Thresholds for one kind of upstream; times in seconds, the rest counts.

    fall     silent or bad outcomes in a row before an upstream is suspect (and again: down)
    rise     good replies in a row before it is up again; twice as many for each time it fell
             within `steady` seconds of coming up, at most MAX_PENALTY times as many
    hedge_*  bounds of the time after which the next upstream is asked too
    probe_*  bounds of the pause between probes
    """

    fall: int = 3
    rise: int = 3
    hedge_floor: float = 0.010
    hedge_initial: float = 0.020
    hedge_ceiling: float = 0.250
    probe_first: float = 0.100
    probe_ceiling: float = 0.800
    steady: float = 10.0


AGENT = Tuning()
# A recursor's time for a name it must look up itself is no sign of trouble.
RECURSOR = Tuning(fall=4, rise=2, hedge_floor=0.1, hedge_initial=0.3, hedge_ceiling=1.0)


class Upstream:
    """One server: its address, its measured round-trip time, its health.

    `key` is (transport, address, port) and identifies it across reloads; `on_host` says that
    replies cannot come from elsewhere, so that ports need not be random; `knows_itself` that this
    agent has answered for Consul's own service before; `up` is `state is UP`, told faster; `poor`
    why it is asked behind those that are up too ("" for no reason), though it answers; `slow` that
    it limps, which has the same effect; `looped` that what it is asked comes back to this server,
    so that it is asked nothing but loop tests; `drained` that it was taken out for work, so that
    it is asked only while no other is up; `lame` why it is asked behind the others for now,
    as what it said was no answer; `knows_edns` that it has answered with EDNS; `plain` that it
    answers only without, which is looked into at `edns_at`; `sent`
    counts what it was asked, `changes` how often its state changed; `unanswered` are the questions
    counted in `silent`, `wanted_at` is when a probe was last wanted for their sake.
    """

    __slots__ = (
        "address", "bad", "changed_at", "changes", "counted_at", "drained", "edns_at", "edns_pause",
        "good",
        "is_agent",
        "knows_edns", "knows_itself", "lame", "lame_until", "last_reply",
        "looped", "name", "needed", "on_host", "plain", "poor",
        "port", "probe_at", "probe_pause", "rttvar", "sent", "silent", "slow", "srtt", "state",
        "tls_name", "transport", "tuning", "unanswered", "up", "wanted_at",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        address: str,
        port: int,
        *,
        is_agent: bool,
        transport: str = "udp",
        tls_name: str | None = None,
        on_host: bool = False,
    ) -> None:
        self.name = name
        self.address = address
        self.port = port
        self.is_agent = is_agent
        self.transport = transport
        self.tls_name = tls_name
        self.on_host = on_host
        self.tuning = AGENT if is_agent else RECURSOR
        self.state = State.UP
        self.up = True
        self.srtt = self.rttvar = 0.0
        self.last_reply = 0.0
        self.changed_at = self.counted_at = 0.0
        self.good = self.bad = self.silent = 0
        self.needed = 0
        self.knows_itself = False
        self.poor = ""
        self.slow = False
        self.looped = self.drained = False
        self.lame = ""
        self.lame_until = 0.0
        self.plain = self.knows_edns = False
        self.edns_at, self.edns_pause = 0.0, EDNS_FIRST
        self.sent = self.changes = 0
        self.probe_at = 0.0
        self.probe_pause = self.tuning.probe_first
        self.unanswered: set[bytes] = set()
        self.wanted_at = 0.0

    @property
    def key(self) -> tuple[str, str, int]:
        """Return what identifies this server across reloads."""
        return self.transport, self.address, self.port

    @property
    def behind(self) -> str:
        """Return why it is asked behind the others that are up, "" if it is not."""
        return self.poor or self.lame or ("much slower than the others" if self.slow else "")

    def unsettled(self, now: float) -> bool:
        """Return whether it is not well, or not for long: it may not know all there is yet."""
        return self._well_for_less(SETTLING, now)

    def just_back(self, now: float) -> bool:
        """Return whether it is not well, or came back a moment ago: what it lacks says nothing."""
        return self._well_for_less(CATCHING_UP, now)

    def _well_for_less(self, seconds: float, now: float) -> bool:
        if self.state is not State.UP:
            return True
        return self.changed_at > 0 and now - self.changed_at < seconds

    def hedge_after(self) -> float:
        """Return how long to wait for a reply before the next upstream is asked too."""
        tuning = self.tuning
        if not self.srtt:
            return tuning.hedge_initial
        usual = usual_wait(self.srtt, self.rttvar)
        return min(max(usual, tuning.hedge_floor), tuning.hedge_ceiling)

    def measured(self, rtt: float) -> None:
        """Take a round-trip time into the running mean and deviation.

        More than the longest wait for anyone counts as that: one reply after a long sleep must
        not make many of the next queries wait.
        """
        rtt = min(rtt, self.tuning.hedge_ceiling)
        self.srtt, self.rttvar = smoothed(self.srtt, self.rttvar, rtt)


def smoothed(srtt: float, rttvar: float, rtt: float) -> tuple[float, float]:
    """Return a mean and a deviation with one more round-trip time in it (RFC 6298 section 2).

    That one limps no more is seen sooner than that it does: it is asked seldom meanwhile.
    """
    if not srtt:
        return rtt, rtt / 2
    rttvar += (abs(srtt - rtt) - rttvar) / 4
    return srtt + (rtt - srtt) / (2 if rtt < srtt / LIMP_TIMES else 8), rttvar


def usual_wait(srtt: float, rttvar: float) -> float:
    """Return the time within which nearly every reply comes."""
    return max(3 * srtt, srtt + 4 * rttvar)


def all_down(upstreams: Iterable[Upstream]) -> bool:
    """Return whether none of these is expected to answer."""
    return all(upstream.state is State.DOWN for upstream in upstreams)


def hearsay(upstream: Upstream, why: str) -> bool:
    """Return whether a refusal by this server is told in a datagram off the host (ICMP)."""
    return upstream.transport == "udp" and not upstream.on_host and why != NO_INTERFACE
