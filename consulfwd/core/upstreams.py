"""Health of the servers asked (agents and recursors): states, round-trip times, order, hedging.

The state machine is the table TRANSITIONS; an event that is not in it for a state raises and
changes nothing. Must not know about messages, sockets or clocks: `now` is passed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random


class State(Enum):
    """Health of one upstream."""

    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"
    PROBING = "probing"

    __hash__ = object.__hash__  # identity is enough, and much faster on the query path


class Event(Enum):
    """What was learned about an upstream."""

    GOOD = "good reply"
    BAD = "bad reply"
    SILENT = "no reply"
    REFUSED = "connection refused"
    LIED = "contradicted by another"
    RISEN = "good replies in a row"
    LOOPED = "leads back to this server"

    __hash__ = object.__hash__


# Counted events (see Health) reach the table only when enough of them came in a row.
TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.UP, Event.GOOD): State.UP,
    (State.UP, Event.BAD): State.SUSPECT,
    (State.UP, Event.SILENT): State.SUSPECT,
    (State.UP, Event.REFUSED): State.DOWN,
    (State.UP, Event.LIED): State.SUSPECT,
    (State.UP, Event.LOOPED): State.DOWN,
    (State.SUSPECT, Event.GOOD): State.SUSPECT,
    (State.SUSPECT, Event.RISEN): State.UP,
    (State.SUSPECT, Event.BAD): State.DOWN,
    (State.SUSPECT, Event.SILENT): State.DOWN,
    (State.SUSPECT, Event.REFUSED): State.DOWN,
    (State.SUSPECT, Event.LIED): State.SUSPECT,
    (State.SUSPECT, Event.LOOPED): State.DOWN,
    (State.DOWN, Event.GOOD): State.PROBING,
    (State.DOWN, Event.BAD): State.DOWN,
    (State.DOWN, Event.SILENT): State.DOWN,
    (State.DOWN, Event.REFUSED): State.DOWN,
    (State.DOWN, Event.LIED): State.DOWN,
    (State.DOWN, Event.LOOPED): State.DOWN,
    (State.PROBING, Event.GOOD): State.PROBING,
    (State.PROBING, Event.RISEN): State.UP,
    (State.PROBING, Event.BAD): State.DOWN,
    (State.PROBING, Event.SILENT): State.DOWN,
    (State.PROBING, Event.REFUSED): State.DOWN,
    (State.PROBING, Event.LIED): State.DOWN,
    (State.PROBING, Event.LOOPED): State.DOWN,
}
MAX_PENALTY = 8
# How long (seconds) after a fall or a return an agent may still lack a part of its catalog.
SETTLING = 30.0
# What counts toward rising, or from suspect to down, lies so long (seconds) apart: many replies, or
# many silences, at once prove no more than one.
APART = 0.05
# Slower than this (seconds), and than so many times the time of the fastest one, an agent limps.
LIMP, LIMP_TIMES = 0.05, 4
# How long (seconds) who gave a lame reply is asked behind the others.
LAME_FOR = 60.0
# When it is tried again (seconds) whether who did not answer with EDNS does, at first and at last.
EDNS_FIRST, EDNS_CEILING = 2.0, 900.0
# After so many seconds without a sign of life another program may be there.
ANOTHER = 60.0
# Times made by subtraction are this inexact.
_EPSILON = 1e-6


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
    so that it is asked nothing but loop tests; `lame` why it is asked behind the others for now,
    as what it said was no answer; `knows_edns` that it has answered with EDNS; `plain` that it
    answers only without, which is looked into at `edns_at`; `sent`
    counts what it was asked; `unanswered` are the questions counted in `silent`, `wanted_at` is
    when a probe was last wanted for their sake.
    """

    __slots__ = (
        "address", "bad", "changed_at", "counted_at", "edns_at", "edns_pause", "good", "is_agent",
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
        self.looped = False
        self.lame = ""
        self.lame_until = 0.0
        self.plain = self.knows_edns = False
        self.edns_at, self.edns_pause = 0.0, EDNS_FIRST
        self.sent = 0
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
        if self.state is not State.UP:
            return True
        return self.changed_at > 0 and now - self.changed_at < SETTLING

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


def hearsay(upstream: Upstream) -> bool:
    """Return whether a refusal by this server is told in a datagram off the host (ICMP)."""
    return upstream.transport == "udp" and not upstream.on_host


def transition(state: State, event: Event) -> State:
    """Return the state after `event`. Raises KeyError for an event that cannot happen."""
    return TRANSITIONS[state, event]


class Health:
    """Turns outcomes of queries into state changes, counting what must come in a row.

    `version` grows with each change, so that orders made from the states can be kept until then;
    `risen` with each upstream that is well again. `wanted` are those to be probed at once.
    """

    def __init__(self) -> None:
        self.version = 0
        self.risen = 0
        self.wanted: list[Upstream] = []
        self.changes: list[tuple[Upstream, State, State, str]] = []
        self.doubted: dict[Upstream, None] = {}
        # Those that are lame, or plain, for now.
        self._odd: dict[Upstream, None] = {}

    def good(self, upstream: Upstream, now: float, rtt: float, *, measure: bool = True) -> None:
        """Note a usable reply that took `rtt` seconds; without `measure` the time says nothing.

        What an agent had queued while it hung shows that it lives, not that it is well again:
        toward rising count replies to what was asked since the last change of state, and since the
        last that counted.
        """
        upstream.last_reply = now
        upstream.silent = upstream.bad = 0
        if upstream.unanswered:
            upstream.unanswered.clear()
        if upstream.state is State.UP:
            if measure:
                upstream.measured(rtt)
            return
        if upstream.looped:
            return
        if upstream.state is State.DOWN:
            upstream.good = 1
            self._apply(upstream, Event.GOOD, now, "answers again")
        elif now - rtt < max(upstream.changed_at, upstream.counted_at + APART) - _EPSILON:
            return
        else:
            upstream.good += 1
            upstream.counted_at = now
            if measure:
                upstream.measured(rtt)
        if upstream.good >= max(upstream.needed, upstream.tuning.rise):
            self._apply(upstream, Event.RISEN, now, f"{upstream.good} good replies in a row")

    def alive(self, upstream: Upstream, now: float) -> None:
        """Note a reply that shows no more than that somebody is there."""
        upstream.last_reply = now
        upstream.silent = 0

    def bad(self, upstream: Upstream, now: float, why: str) -> None:
        """Note a reply that is the server's own fault (garbage, an error others do not give)."""
        upstream.last_reply = now
        upstream.silent = 0
        self._bad_sign(upstream, now, why)

    def _bad_sign(self, upstream: Upstream, now: float, why: str) -> None:
        upstream.good = 0
        upstream.bad += 1
        patient = upstream.state is State.UP or upstream.state is State.SUSPECT
        if upstream.bad >= upstream.tuning.fall or not patient:
            self._apply(upstream, Event.BAD, now, why)

    def doubt(self, upstream: Upstream, now: float) -> None:
        """Note an error reply that may be about the name: a probe is to tell (`in_doubt`)."""
        upstream.last_reply = now
        upstream.silent = 0
        self.doubted[upstream] = None

    def in_doubt(self) -> list[Upstream]:
        """Return those in doubt since the last call that are up; others are probed anyway."""
        due = [one for one in self.doubted if one.state is State.UP]
        self.doubted.clear()
        return due

    def silent(
        self, upstream: Upstream, now: float, asked_at: float, about: bytes | None = b""
    ) -> None:
        """Note that a query sent at `asked_at` had no reply in the upstream's usual time.

        One that has answered something else since is slow for that name, not silent; so may one be
        that leaves the same question (`about`, b"" for a probe) unanswered once more, or one about
        another datacenter (None): a probe is to tell. What one that is suspect was asked all at
        once says no more than one query: a pause is not the end.
        """
        if upstream.last_reply > asked_at:
            return
        if about is None or about in upstream.unanswered:
            if upstream.state is State.UP and now >= upstream.wanted_at + APART:
                upstream.wanted_at = now
                self.wanted.append(upstream)
            return
        if upstream.state is State.SUSPECT:
            if asked_at < max(upstream.changed_at, upstream.counted_at + APART) - _EPSILON:
                return
            upstream.counted_at = now
        upstream.good = 0
        upstream.silent += 1
        if about:
            upstream.unanswered.add(about)
        patient = upstream.state is State.UP or upstream.state is State.SUSPECT
        if upstream.silent >= upstream.tuning.fall or not patient:
            upstream.silent = 0
            upstream.unanswered.clear()
            self._apply(upstream, Event.SILENT, now, "does not answer")

    def refused(self, upstream: Upstream, now: float, why: str) -> None:
        """Note that nothing listens there (ICMP port unreachable, connection refused).

        On the host the kernel knows; elsewhere a datagram says so, which anybody may have sent, or
        a host in the middle of a restart: one bad sign.
        """
        if hearsay(upstream):
            self._bad_sign(upstream, now, why)
            return
        upstream.good = 0
        self._apply(upstream, Event.REFUSED, now, why)

    def lied(
        self, upstream: Upstream, now: float, why: str = "denied what another agent answers"
    ) -> None:
        """Note that others had an answer where this one denied the name, or left out most."""
        upstream.good = 0
        self._apply(upstream, Event.LIED, now, why)

    def looped(self, upstream: Upstream, now: float) -> None:
        """Note that a loop test came back: it is not asked until one does not (`unlooped`)."""
        if upstream.looped:
            return
        upstream.looped = True
        upstream.good = 0
        if upstream.state is State.DOWN:
            self.version += 1
            self.changes.append((upstream, State.DOWN, State.DOWN, Event.LOOPED.value))
        else:
            self._apply(upstream, Event.LOOPED, now, Event.LOOPED.value)

    def unlooped(self, upstream: Upstream, now: float) -> None:
        """Note that a loop test went through and did not come back."""
        if upstream.looped:
            upstream.looped = False
            upstream.last_reply = now
            upstream.good = 1
            self._apply(upstream, Event.GOOD, now, "leads elsewhere now")

    def knows_no_edns(self, upstream: Upstream, now: float) -> None:
        """Note that it answered without EDNS what it did not with (RFC 6891 section 7)."""
        upstream.plain, upstream.knows_edns = True, False
        self._edns_looked_into(upstream, now)
        self.version += 1

    def knows_edns(self, upstream: Upstream) -> None:
        """Note that it answered with EDNS."""
        upstream.knows_edns = True
        if upstream.plain:
            upstream.plain = False
            upstream.edns_pause = EDNS_FIRST
            self.version += 1

    def in_doubt_of_edns(self, upstream: Upstream, now: float) -> bool:
        """Return whether a recursor that does not answer may do so without EDNS."""
        if upstream.is_agent or upstream.state is State.UP:
            return False
        return not upstream.knows_edns or now - upstream.changed_at >= ANOTHER

    def _edns_looked_into(self, upstream: Upstream, now: float) -> None:
        self._odd[upstream] = None
        upstream.edns_at = now + upstream.edns_pause
        upstream.edns_pause = min(upstream.edns_pause * 4, EDNS_CEILING)

    def lame(self, upstream: Upstream, now: float, why: str) -> None:
        """Note a reply that was no answer, though it is none of an error either."""
        before = upstream.behind
        upstream.last_reply = now
        upstream.silent = 0
        upstream.lame = why
        upstream.lame_until = now + LAME_FOR
        self._odd[upstream] = None
        self._placed(upstream, before, "")

    def second(self, now: float) -> list[Upstream]:
        """Return whom to ask once with EDNS, and put those back in place that were lame long ago.

        What was lame may have been about one name, what dropped EDNS may have been a network.
        """
        due = []
        for upstream in list(self._odd):
            if upstream.lame and now >= upstream.lame_until:
                before = upstream.behind
                upstream.lame = ""
                self._placed(upstream, before, "it was lame for a name a while ago")
            if upstream.plain and now >= upstream.edns_at:
                self._edns_looked_into(upstream, now)
                due.append(upstream)
            if not upstream.lame and not upstream.plain:
                del self._odd[upstream]
        return due

    def rank(self, upstream: Upstream, now: float, reason: str) -> None:
        """Put an upstream behind the others that are up, for a reason; "" puts it back.

        Told like a change of state, with the state it has on both sides.
        """
        before = upstream.behind
        upstream.poor = reason
        self._placed(upstream, before, "its data is good again")

    def pace(self, upstream: Upstream, slow: bool) -> None:
        """Note whether an agent limps: if so it comes behind the others that are up (`rank`)."""
        before = upstream.behind
        upstream.slow = slow
        self._placed(upstream, before, "no other is much faster")

    def _placed(self, upstream: Upstream, before: str, good: str) -> None:
        if bool(before) != bool(upstream.behind):
            self.version += 1
            why = upstream.behind or good
            self.changes.append((upstream, upstream.state, upstream.state, why))

    def _apply(self, upstream: Upstream, event: Event, now: float, why: str) -> None:
        old = upstream.state
        new = transition(old, event)
        if new is old:
            return
        tuning = upstream.tuning
        if old is State.UP:
            flaps = upstream.changed_at > 0 and now - upstream.changed_at < tuning.steady
            needed = 2 * max(upstream.needed, tuning.rise) if flaps else tuning.rise
            upstream.needed = min(needed, MAX_PENALTY * tuning.rise)
        upstream.state = new
        upstream.up = new is State.UP
        self.risen += upstream.up
        if old is State.DOWN:
            # Whoever was gone may be another program now.
            upstream.plain = False
        upstream.changed_at = now
        upstream.bad = upstream.silent = 0
        if new is not State.PROBING:
            upstream.good = 0
        upstream.probe_pause = tuning.probe_first
        upstream.probe_at = now + tuning.probe_first
        self.version += 1
        self.changes.append((upstream, old, new, why))

    def probe_due(self, upstreams: Iterable[Upstream], now: float) -> list[Upstream]:
        """Return the upstreams to probe now, and put off their next probe (backoff)."""
        due = []
        for upstream in upstreams:
            if upstream.state is not State.UP and upstream.probe_at <= now:
                due.append(upstream)
                upstream.probe_at = now + upstream.probe_pause
                if upstream.state is State.DOWN:
                    ceiling = upstream.tuning.probe_ceiling
                    upstream.probe_pause = min(upstream.probe_pause * 2, ceiling)
        return due


def jitter(pause: float, rng: random.Random) -> float:
    """Return `pause` lengthened by up to an eighth, so that hosts do not probe in step."""
    return pause * (1 + rng.random() / 8)
