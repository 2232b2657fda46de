"""A zone as a file of a DNS server on this host.

What belongs here: what stands there, and what the server is asked. What the file looks like is in
`written`, how it is changed in `file_change`.

A file that is not ours, or was changed by somebody else, is never written over. The serial goes up
by a change and by nothing else: a file that would be the same but for its serial stays as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from consulfwd.apply import commands
from consulfwd.apply.change import Command
from consulfwd.apply.places import installed
from consulfwd.config import zones as settings
from consulfwd.dns import names
from consulfwd.errors import ApplyError
from consulfwd.zones import serials
from consulfwd.zones.model import Apex
from consulfwd.zones.sinks import journals, written
from consulfwd.zones.sinks.exchange import Exchange, served_serial
from consulfwd.zones.sinks.faults import Fault
from consulfwd.zones.sinks.file_change import ZoneFileChange
from consulfwd.zones.target import Base, Push

# The first that is installed reads a file before it is put in place. BIND's would ask other servers
# about names that are not in the zone.
CHECKERS: tuple[Command, ...] = (
    ("named-checkzone", "-i", "local", "{origin}", "{file}"),
    ("nsd-checkzone", "{origin}", "{file}"),
    ("kzonecheck", "-o", "{origin}", "{file}"),
)
# Seconds the server may take to say which serial it has.
_TIMEOUT = 2.0


class ZoneFile:
    """A file that holds one zone (see `target.Target`).

    `remembered` returns the last serial that was published, from wherever that is kept, and
    `time_of_day` is a clock for new ones.
    """

    def __init__(
        self,
        given: settings.FileTarget,
        origin: bytes,
        apex: Apex,
        *,
        remembered: Callable[[], int | None] = lambda: None,
        time_of_day: Callable[[], float] = time.time,
        exchange: Exchange | None = None,
    ) -> None:
        self.path = given.path
        self.origin = origin
        self.apex = apex
        self._given = given
        self._remembered = remembered
        self._time_of_day = time_of_day
        self._exchange = exchange or Exchange(_TIMEOUT)
        self._last: int | None = None  # the serial that was written last
        self._seen: written.Standing | None = None

    @property
    def where(self) -> str:
        return f"file {self.path}"

    @property
    def reload(self) -> tuple[Command, ...]:
        """The commands that have the server read it, once it is in place."""
        return (self._given.reload,) if self._given.reload else ()

    def read(self) -> Base:
        """Return what the file holds. Raises ApplyError where there is one that is not ours."""
        found = self.standing()
        if found is None:
            return Base("", {})
        return Base(found.mark, found.text.records, {}, found.text.serial)

    def change(self, push: Push) -> ZoneFileChange:
        """Return what brings a plan into force.

        It is due without any acts, too, where there is no file yet, where what the zone says of
        itself is to be another thing, and where an earlier one was killed half-way.
        """
        return ZoneFileChange(self, push)

    def close(self) -> None:
        """There is nothing to give up."""

    def standing(self) -> written.Standing | None:
        """Return what stands there, None if nothing does. Raises ApplyError if it is not ours."""
        found = self._standing()
        known = (None if found is None else found.text.serial, self._last, self._remembered())
        if wrong := journals.beyond(self.path, known):
            raise ApplyError(str(self.path), f"not written over: {wrong}", journals.MEND)
        return found

    def _standing(self) -> written.Standing | None:
        try:
            data = installed(self.path, written.LARGEST)
            if data is None or (self._seen is not None and data == self._seen.data):
                return self._seen if data is not None else None
            if len(data) > written.LARGEST:
                raise written.NotOurs(f"it is larger than {written.LARGEST} octets")
            found = written.read(data)
            if found.origin != self.origin:
                raise written.NotOurs(f"it is of the zone {names.to_text(found.origin)}")
        except written.NotOurs as error:
            raise ApplyError(
                str(self.path),
                f"not written over, as it is not ours: {error}",
                "move it away, or name another file; what you add to the zone belongs elsewhere",
            ) from None
        self._seen = written.Standing(data, found)
        return self._seen

    def check(self) -> Command:
        """Return the command that reads a candidate, empty if there is none."""
        if self._given.check is not None:
            return self._given.check
        return next((one for one in CHECKERS if commands.find(one[0]) is not None), ())

    def next_serial(self, standing: int | None) -> int:
        """Return the serial of the next text: newer than any that is known of."""
        known = [standing, self._last, self._remembered(), self._served()]
        return serials.following(known, self._time_of_day())

    def published(self, made: written.Standing) -> None:
        """Note what is put in place: no later serial is older, even if that is taken back."""
        self._last = made.text.serial
        self._seen = made

    def unserved(self, serial: int) -> str:
        """Return what is wrong with what the server serves, "" if nothing, or if none is known."""
        if self._given.server is None:
            return ""
        try:
            served = served_serial(self._exchange, self._given.server, self.origin)
        except Fault as fault:
            return f"{self._given.server} {fault.what}"
        if served == serial:
            return ""
        return f"{self._given.server} serves serial {served}, not {serial}"

    def _served(self) -> int | None:
        if self._given.server is None:
            return None
        try:
            return served_serial(self._exchange, self._given.server, self.origin)
        except Fault:
            return None  # it may have to be started yet
