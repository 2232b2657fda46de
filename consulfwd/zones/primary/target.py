"""The hidden primary as a target: a plan becomes the next version, on disk and then served.

What belongs here: what a change of this kind does at each step. How a version is kept is `store`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from ipaddress import IPv4Address
from math import inf
from time import monotonic
from types import TracebackType

from consulfwd.apply.change import Command, Run
from consulfwd.dns import const, names
from consulfwd.errors import ApplyError
from consulfwd.zones.model import Act, Apex, Key, RRset, difference
from consulfwd.zones.primary import answering, content, versions
from consulfwd.zones.primary.answering import Asked, Served
from consulfwd.zones.primary.store import Store
from consulfwd.zones.primary.versions import Version, Whole, Writer
from consulfwd.zones.target import Base, Push

_ASKED = IPv4Address("127.0.0.1")
# Seconds until secondaries that did not say what they have are asked again.
_AGAIN = 60.0


class Primary:
    """A zone that is served here.

    `announce` is called with each version that is served from now on, in whatever thread changes
    the zone.
    """

    def __init__(
        self,
        store: Store,
        origin: bytes,
        apex: Apex,
        announce: Callable[[Version], None] = lambda version: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.origin = origin
        self.apex = apex
        self.announce = announce
        self.clock = clock
        # Returns what secondaries have, of a version that was given out elsewhere; None for nobody.
        self.fetch: Callable[[Version], Whole | None] = lambda version: None
        # Returns the newest serial that secondaries have; None where none of them says.
        self.newest: Callable[[], int | None] = lambda: None
        self.hush: Callable[[], None] = lambda: None
        # Whether others serve the zone: then nothing is answered here.
        self.resting = False
        self._unsure = True
        self._base: Base | None = None
        self._fetched = -_AGAIN

    @property
    def where(self) -> str:
        """What it is called in messages."""
        return f"the primary of {names.to_text(self.origin)}"

    @property
    def digest(self) -> str:
        """What tells the content there is from others: kept with the serial, for a takeover."""
        return self.store.versions.digest

    @property
    def behind(self) -> bool:
        """Whether others gave out a later version, and nobody says what was in it."""
        return self.store.versions.behind

    def given(self, serial: int, digest: str = "", number: int = 0) -> None:
        """Note the serial that was published last, its `digest`, and the number of that lock.

        If it is a later one than there is here, nothing is served until secondaries say what that
        is (`read`), or until the next change, which begins above it, and is to be made even if
        nothing differs (`due`).
        """
        self._fetched = min(self._fetched, monotonic())
        with self.store.lock:
            self.store.versions.given(serial, digest, number)

    def lead(self) -> None:
        """Begin to answer, as this publisher is the one that writes from now on."""
        self._unsure = True
        if self.resting:
            self.resting = False
            now = self.store.versions.now
            if now is not None and not self.store.versions.behind:
                self.announce(now)

    def rest(self) -> None:
        """Answer nothing any more: another publisher is the one that writes."""
        if not self.resting:
            self.resting = True
            self.hush()

    def read(self) -> Base:
        """Return what is served: or what secondaries have, if another publisher wrote last."""
        found = self.store.versions
        if self._unsure:
            self._unsure = False
            self._look_around()
        if found.behind and found.taken is not None and monotonic() - self._fetched >= _AGAIN:
            self._fetched = monotonic()
            whole = self.fetch(Version(found.taken, self.apex))
            if whole is not None:
                self.store.adopt(whole._replace(writer=found.writer))
                self.announce(whole.version)
        if self._base is None or self._base.mark != found.mark:
            # Those who have it keep it, whatever is changed.
            self._base = Base(found.mark, found.content.snapshot(), serial=found.serial)
        return self._base

    def _look_around(self) -> None:
        """Note what secondaries have, of which nobody may have said anything."""
        found = self.store.versions
        serial = self.newest()
        if serial is None:
            return
        if found.now is None and found.taken is None:
            # It is no zone of ours, then: only its serial matters.
            self._fetched = inf
        with self.store.lock:
            found.given(serial)

    def change(self, push: Push) -> Change:
        """Return what makes the next version. Raises ApplyError if the base is not there."""
        mark = self.store.versions.mark
        if mark != push.base.mark:
            what = f"it holds {mark or 'nothing'} now, not {push.base.mark or 'nothing'}"
            raise ApplyError(self.where, what, "plan anew")
        keys = [act.key for act in push.acts]
        if not content.within(keys, self.origin):
            raise ApplyError(self.where, "records of another zone, or of its apex, are to be in it")
        return Change(self, push)

    def close(self) -> None:
        """Let others write it."""
        self.store.close()


class Change:
    """One push to the primary (see `apply.change`)."""

    def __init__(self, primary: Primary, push: Push) -> None:
        self._primary = primary
        self._push = push
        self._before: Version | None = None
        self._put = False

    @property
    def where(self) -> str:
        return self._primary.where

    @property
    def target(self) -> Hashable:
        return self._primary.store.path

    def due(self) -> bool:
        """Return whether anything differs: records, the apex, or what secondaries may have."""
        found = self._primary.store.versions
        apex = None if found.now is None else found.now.apex
        return bool(self._push.acts) or apex != self._primary.apex or found.behind

    def __enter__(self) -> Change:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        pass

    def plan(self) -> bool:
        return self.due()

    def check(self, command: Command, run: Run) -> None:
        pass

    def put(self) -> None:
        """Write the next version and serve it, unless others may write now."""
        writer = self._primary.store.versions.writer
        if 0 < self._push.number < writer.number:
            whose = f"{writer.holder or 'another publisher'} (lock {writer.number})"
            what = f"{whose} has written it since, and this is lock {self._push.number}"
            raise ApplyError(self.where, what)
        if why := self._push.may():
            raise ApplyError(self.where, why)
        self._before = self._primary.store.versions.now
        self._write(list(self._push.acts), self._primary.apex)
        self._put = True

    def verify(self) -> str:
        """Return what is wrong with what is answered."""
        found = self._primary.store.versions
        served = Served(found, self._primary.store.lock, None, True, (answering.EVERYWHERE,))
        question = self._primary.origin + const.SOA.to_bytes(2, "big") + b"\0\1"
        query = b"\0\0\0\0\0\1\0\0\0\0\0\0" + question
        asked = Asked(query, _ASKED, True)
        (reply,) = answering.answer({found.origin: served}, asked, self._primary.clock).messages
        serial = int.from_bytes(reply[-20:-16], "big")
        wanted = difference(found.content.records, self._wanted(), self._keys())
        if found.now is None or serial != found.now.serial:
            return f"the serial that is answered is {serial}"
        return "records differ from what was to be written" if wanted else ""

    def put_back(self) -> None:
        """Let the content that was there be the next version: serials only go up."""
        if not self._put:
            return
        acts = versions.inverted(self._push.acts)
        apex = self._primary.apex if self._before is None else self._before.apex
        self._write(acts, apex)
        self._put = False

    def settle(self) -> str | None:
        return None

    def leave(self) -> None:
        pass

    def _write(self, acts: list[Act], apex: Apex) -> None:
        primary = self._primary
        writer = Writer(self._push.holder, self._push.number)
        primary.store.put(acts, apex, primary.clock(), writer)
        now = primary.store.versions.now
        assert now is not None
        primary.announce(now)

    def _keys(self) -> set[Key]:
        return {act.key for act in self._push.acts}

    def _wanted(self) -> dict[Key, RRset]:
        return {act.key: act.after for act in self._push.acts if act.after is not None}
