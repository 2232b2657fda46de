"""A plan brought into force by updates (RFC 2136): all of it, or back, or known where it stands.

What belongs here: the steps of the change. What goes into which message is in `updates`, how one is
sent in `sending`.

Each message requires the zone to have the SOA record that was read, and what it changes to be as it
was read. So nothing is done to what somebody else changed meanwhile. Of several messages each is a
whole of its own; killed between two, the next plan goes on from there.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from types import TracebackType

from consulfwd.apply.change import Command, Run
from consulfwd.dns import const
from consulfwd.errors import ApplyError
from consulfwd.zones.model import Act
from consulfwd.zones.sinks.groups import by_name, in_messages, marked, named, too_large
from consulfwd.zones.sinks.ownership import unfit
from consulfwd.zones.sinks.sending import GOES_ON, Seen, Sending, Unable, Zone
from consulfwd.zones.sinks.updates import Batch, collapsed, inverse, undone
from consulfwd.zones.target import Left, Push

# So many names may fail by themselves.
_MOST_LEFT = 10
_LARGE = "its name needs more than a message holds"
_FEWER = "let fewer instances have that name"


class UpdateChange:
    """What is to be done to a zone by updates (see `apply.change.Change`)."""

    def __init__(self, zone: Zone, push: Push) -> None:
        self._zone = zone
        self._push = push
        self._batches: list[Batch] = []
        # What was not done, though the change is in force (see `target.Partial`).
        self.left: list[Left] = []
        self._sending = Sending(zone, push)

    @property
    def where(self) -> str:
        return self._zone.where

    @property
    def target(self) -> Hashable:
        return "updates", self._zone.origin, frozenset(map(str, self._zone.servers))

    def due(self) -> bool:
        return bool(self._push.acts)

    def __enter__(self) -> UpdateChange:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nobody is kept off: updates say what must be there."""

    def plan(self) -> bool:
        """Make the messages, for the zone as it is now: that must be what the plan is for."""
        if not self.due():
            return False
        acts = self._push.acts
        seen = self._zone.look()
        base, now = self._push.base, seen.base
        same = (base.ours, base.foreign) == (now.ours, now.foreign)
        if not same or undone(inverse(acts), now.ours):
            raise self._sending.changed(seen)
        foreign = unfit(self._zone.ownership, acts, seen.parted.foreign)
        if foreign:
            what = f"not changed, as these are not ours: {named(foreign)}"
            raise ApplyError(self.where, what, "see whose they are, and `ownership`")
        groups = marked(self._zone.ownership, acts, seen.parted)
        self._batches, large = in_messages(groups, seen.contents, seen.parted)
        self._leave(large, _LARGE)
        if large and not self._batches:
            raise ApplyError(self.where, f"not changed: {too_large(large)}", _FEWER)
        self._sending.goes_on_from(seen)
        return True

    def check(self, command: Command, run: Run) -> None:
        """There is nothing a command could read."""

    def put(self) -> None:
        for number, batch in enumerate(self._batches):
            if number:
                self._sending.stage = f"updated by {number} of {len(self._batches)} messages"
            self._send_or_leave(batch)
        self._complete()

    def _send_or_leave(self, batch: Batch) -> None:
        """Send what can be sent: what a server fails at costs its name alone.

        BIND takes no more than so many records of a type at a name (max-records-per-type), and
        fails at the whole message. Where all fails, or much, it is not for what is in them.
        """
        names = {one.act.key.name for one in self.left}
        if not batch.parts and any(act.key.name in names for act in batch.acts):
            return  # what it goes on from is not there
        try:
            self._sending.send(batch)
        except Unable as error:
            halves = batch.halves()
            if halves is not None:
                for half in halves:
                    self._send_or_leave(half)
                return
            self._leave(batch.acts, error.what)
            names |= {act.key.name for act in batch.acts}
            if len(names) > _MOST_LEFT or len(self.left) == len(self._push.acts):
                raise

    def _leave(self, acts: Sequence[Act], why: str) -> None:
        ours = {act.key for act in self._push.acts}
        self.left += [Left(act, why) for act in acts if act.key in ours]

    def _complete(self) -> None:
        """Send once more what was left out in silence.

        Knot, where it signs, takes no CNAME record at a name that has signatures of records which
        go by the same message.
        """
        going = {act.key.name for act in self._push.acts if act.after is None}
        aliases = [act for act in self._push.acts if act.key.type == const.CNAME and act.after]
        left = {one.act.key for one in self.left}
        aliases = [act for act in aliases if act.key.name in going and act.key not in left]
        if aliases:
            seen = self._zone.look(self._sending.server, anew=True)
            missing = [act for act in aliases if act.key not in seen.contents.records]
            self._send_groups(seen, missing)

    def verify(self) -> str:
        """Read the zone again, and compare what was changed."""
        sending = self._sending
        seen = self._zone.look(sending.server)
        if undone(sending.done, seen.contents.records):
            seen = self._zone.look(sending.server, anew=True)
        missing = undone(sending.done, seen.contents.records)
        if not missing:
            return ""
        if seen.contents.soa != sending.soa:
            return f"{seen.server} was changed again by somebody else: {named(missing)}"
        return f"{seen.server} took the update, but does not show {named(missing)}"

    def put_back(self) -> None:
        """Undo what was done, if nobody else has changed that since."""
        sending = self._sending
        if not sending.done and not sending.unsure:
            return
        sending.stage = "not taken back"
        sending.check()
        seen = self._zone.look(sending.server, anew=True)
        records = seen.contents.records
        if sending.unsure and not undone(sending.unsure, records):
            sending.done += sending.unsure
        elif sending.soa and seen.contents.soa != sending.soa and not sending.unchanged(seen):
            number = len(sending.done)
            what = f"changed by somebody else meanwhile: {number} changes are not taken back"
            raise ApplyError(self.where, what, GOES_ON)
        sending.unsure = ()
        inverted = inverse(collapsed(sending.done))
        left = [one.key for one in inverted if records.get(one.key) not in (one.before, one.after)]
        self._send_groups(seen, [one for one in inverted if records.get(one.key) == one.before])
        sending.done.clear()
        if left:
            what = f"not taken back, as it is not what was sent: {named(left)}"
            raise ApplyError(self.where, what, GOES_ON)

    def settle(self) -> str | None:
        self._sending = Sending(self._zone, self._push)
        return None

    def leave(self) -> None:
        """What is there stays: whether it is as it should be is seen by reading it."""

    def _send_groups(self, seen: Seen, acts: Sequence[Act]) -> None:
        self._sending.goes_on_from(seen)
        groups = by_name(self._zone.ownership, acts)
        batches, large = in_messages(groups, seen.contents, seen.parted)
        for batch in batches:
            self._sending.send(batch)
        if large:
            raise ApplyError(self.where, too_large(large), GOES_ON)
