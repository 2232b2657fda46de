"""What becomes of a server's health by what comes of asking it: counted, and told.

Must not know about messages, sockets or clocks: `now` is passed in. An event that cannot happen in
a state raises and changes nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import TYPE_CHECKING

from consulfwd.core.durations import BOUNDS, Durations
from consulfwd.core.states import Event, State, transition
from consulfwd.core.upstreams import EDNS_CEILING, EDNS_FIRST, Upstream, hearsay

if TYPE_CHECKING:
    import random

MAX_PENALTY = 8
# What counts toward rising, or from suspect to down, lies so long (seconds) apart: many replies, or
# many silences, at once prove no more than one.
APART = 0.05
# How long (seconds) who gave a lame reply is asked behind the others.
LAME_FOR = 60.0
# After so many seconds without a sign of life another program may be there.
ANOTHER = 60.0
# What is told of who is taken out for work, and who is back.
DRAINED, UNDRAINED = "taken out for work", "back from work"
# Times made by subtraction are this inexact.
_EPSILON = 1e-6


class Health:
    """Turns outcomes of queries into state changes, counting what must come in a row.

    `version` grows with each change, so that orders made from the states can be kept until then;
    `risen` with each upstream that is well again. `wanted` are those to be probed at once; `took`
    is how long those took that are up, the recursors and the agents; `drained` has the names of
    those taken out for work by their keys: it is of the place, whoever is there, and whether it is
    in the settings or the catalog just now.
    """

    def __init__(self) -> None:
        self.version = 0
        self.risen = 0
        self.took = (Durations(), Durations())
        self.wanted: list[Upstream] = []
        self.drained: dict[tuple[str, str, int], str] = {}
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
                took = self.took[upstream.is_agent]
                took.counts[bisect_left(BOUNDS, rtt)] += 1
                took.seconds += rtt
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
        if hearsay(upstream, why):
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

    def rank(self, upstream: Upstream, reason: str) -> None:
        """Put an upstream behind the others that are up, for a reason; "" puts it back.

        Told like a change of state, with the state it has on both sides.
        """
        before = upstream.behind
        upstream.poor = reason
        self._placed(upstream, before, "its data is good again")

    def drain(self, upstream: Upstream) -> None:
        """Note that an upstream is taken out for work: it is asked only while no other is up."""
        self.drained[upstream.key] = upstream.name
        if not upstream.drained:
            upstream.drained = True
            self.version += 1
            self.changes.append((upstream, upstream.state, upstream.state, DRAINED))

    def undrain(self, upstream: Upstream) -> None:
        """Note that an upstream may be asked again."""
        self.drained.pop(upstream.key, None)
        if upstream.drained:
            upstream.drained = False
            self.version += 1
            self.changes.append((upstream, upstream.state, upstream.state, UNDRAINED))

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
        upstream.changes += 1
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
