"""A zone's file changed by a plan: made, checked, put in place, seen at the server, or put back.

What belongs here: the steps of the change. What a zone's file is, is in `file`; how any file is
replaced in `apply.files`.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from types import TracebackType
from typing import Protocol

from consulfwd.apply import commands
from consulfwd.apply.change import Command, Run
from consulfwd.apply.files import Replacement
from consulfwd.apply.places import target_of, unfinished
from consulfwd.dns import names
from consulfwd.errors import ApplyError
from consulfwd.zones.model import Apex, applied, difference
from consulfwd.zones.sinks import written
from consulfwd.zones.sinks.faults import changed_meanwhile
from consulfwd.zones.sinks.written import Standing
from consulfwd.zones.target import Push


class Zone(Protocol):
    """What a change needs of the file that is changed."""

    path: Path
    origin: bytes
    apex: Apex

    def standing(self) -> Standing | None: ...

    def check(self) -> Command: ...

    def next_serial(self, standing: int | None) -> int: ...

    def published(self, made: Standing) -> None: ...

    def unserved(self, serial: int) -> str: ...


class ZoneFileChange:
    """A file that is to hold a zone by a plan (see `apply.change.Change`)."""

    def __init__(self, zone: Zone, push: Push) -> None:
        self._zone = zone
        self._push = push
        self._replacement: Replacement | None = None
        self._made: Standing | None = None

    @property
    def where(self) -> str:
        return str(self._zone.path)

    @property
    def target(self) -> Hashable:
        return target_of(self._zone.path)

    def due(self) -> bool:
        return self._differs(self._zone.standing()) or unfinished(target_of(self._zone.path))

    def _differs(self, found: Standing | None) -> bool:
        return bool(self._push.acts) or found is None or found.text.apex != self._zone.apex

    def __enter__(self) -> ZoneFileChange:
        self._replacement = Replacement(self._zone.path).__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def plan(self) -> bool:
        """Make the text, from what stands there now: nobody else of us can write meanwhile."""
        found = self._zone.standing()
        if not (self._differs(found) or self._file.unfinished):
            return False
        self._refuse_others(found)
        before = None if found is None else found.text
        records = applied({} if before is None else before.records, self._push.acts)
        same = before is not None and (before.apex, before.records) == (self._zone.apex, records)
        if found is not None and same:
            # It was put in place by one that was killed: its server may not have read it.
            self._made = found
        else:
            serial = self._zone.next_serial(None if before is None else before.serial)
            number = self._push.number or (0 if before is None else before.number)
            text = written.Text(self._zone.origin, serial, self._zone.apex, records, number)
            self._made = Standing(written.write(text), text)
        self._file.stage(self._made.data)
        return True

    def check(self, command: Command, run: Run) -> None:
        """Have the checker read the candidate: the settings' own, or one that is installed."""
        command = command or self._zone.check()
        if not command:
            return
        words = {
            "{file}": str(self._file.candidate),
            "{origin}": names.to_text(self._zone.origin).removesuffix("."),
        }
        ran = run(tuple(_filled(word, words) for word in command), self._file.target.parent)
        if ran.wrong:
            words["{file}"] = self._file.target.name
            name = commands.shown([_filled(word, words) for word in command])
            raise ApplyError(
                self.where,
                f"not replaced, as its check `{name}` {ran.wrong}",
                "see what it says; if NS has no address records, name the zone's servers in `ns`",
                output=ran.output.replace(str(self._file.candidate), str(self._file.target)),
            )

    def put(self) -> None:
        """Rename it into its place, if that may still be done."""
        if why := self._push.may():
            raise ApplyError(self.where, f"not written: {why}")
        self._zone.published(self._planned)
        self._file.replace()

    def verify(self) -> str:
        """Ask the server for the serial, if it is known where one is."""
        return self._zone.unserved(self._planned.text.serial)

    def put_back(self) -> None:
        self._file.put_back()

    def settle(self) -> str | None:
        backup = self._file.settle()
        return None if backup is None else str(backup)

    def leave(self) -> None:
        self._file.leave()

    def _refuse_others(self, found: Standing | None) -> None:
        """Refuse to write what was planned for something else, or by one who lost the lock."""
        if found is not None and 0 < self._push.number < found.text.number:
            what = f"written since by one whose lock has a later number ({found.text.number})"
            raise ApplyError(self.where, what, "this one is not to write any more")
        mark = "" if found is None else found.mark
        if mark == self._push.base.mark:
            return
        now = {} if found is None else found.text.records
        acts = difference(self._push.base.ours, now)
        raise changed_meanwhile(self.where, self._push.base.mark, mark, acts)

    @property
    def _file(self) -> Replacement:
        assert self._replacement is not None, "outside of its context"
        return self._replacement

    @property
    def _planned(self) -> Standing:
        assert self._made is not None, "before it was planned"
        return self._made


def _filled(word: str, words: dict[str, str]) -> str:
    for mark, value in words.items():
        word = word.replace(mark, value)
    return word
