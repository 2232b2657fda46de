"""One zone that this program keeps, whoever writes it now: how it goes, and writing that down.

What belongs here: what is to be seen of its publisher and its writer together. Must not know what
either does.
"""

from __future__ import annotations

from consulfwd.config.zones import ZoneSettings
from consulfwd.ops.snapshot import ZoneSeen
from consulfwd.ops.text import logged
from consulfwd.zones.alone import Alone
from consulfwd.zones.disk import Document
from consulfwd.zones.publish import status
from consulfwd.zones.publish.publisher import Publisher
from consulfwd.zones.publish.seeing import zone_seen
from consulfwd.zones.publish.tools import in_thread
from consulfwd.zones.writer import Writer

# A target that nothing can be begun at for so many looks is one that could not be.
DOUBTED = 5


class Kept:
    """One zone, whoever writes it now."""

    def __init__(
        self, zone: ZoneSettings, publisher: Publisher, writer: Writer | Alone, document: Document
    ) -> None:
        self.zone = zone
        self.publisher = publisher
        self.writer = writer
        self.fault = ""
        self.ending = False
        self._document = document
        self._written: status.Status | None = None

    @property
    def settled(self) -> bool:
        """Whether all is in force, or somebody else's to bring into force."""
        if self.publisher.complete:
            return True
        writer = self.writer
        return isinstance(writer, Writer) and not writer.active and bool(writer.holder)

    @property
    def tried(self) -> bool:
        """Whether there is nothing left that was not tried at least."""
        if self.settled or self.fault or self.writer.fault:
            return True
        places = self.publisher.places
        return all(one.complete or one.fault or one.waited > DOUBTED for one in places)

    def faults(self) -> list[str]:
        """Return what fails now."""
        own = filter(None, (self.fault, self.writer.fault))
        return [*self.publisher.faults(), *(f"{self.publisher.name}: {one}" for one in own)]

    def told(self) -> str:
        """Return in a few words how it goes with the zone."""
        return logged.zone(self.publisher.name, self.seen())

    def seen(self) -> ZoneSeen:
        """Return its part of the picture of the process."""
        return zone_seen(self.status())

    def status(self) -> status.Status:
        """Return what is to be seen of it."""
        state = "active" if self.writer.active else "stopped" if self.ending else "backup"
        return self.publisher.status(state, self.writer.holder, tuple(self.faults()))

    async def write_down(self, wall: float) -> None:
        """Write that down, if it is another thing than before. Raises ApplyError."""
        seen = self.status()
        if seen == self._written:
            return
        self._written = seen
        data = status.write(status.at(seen, wall))
        await in_thread(lambda: self._document.save(data))
