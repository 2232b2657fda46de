"""Where a publisher keeps what must survive on this host: one folder, some files for each zone.

What belongs here: names and sizes of those files. What is in them is known elsewhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from consulfwd.config.zones import ZoneSettings
from consulfwd.errors import ApplyError
from consulfwd.zones.disk import Document, name_of
from consulfwd.zones.publish import status
from consulfwd.zones.writing import Files, files_of


@dataclass(frozen=True)
class Folder:
    """The folder of all zones of this host."""

    root: Path

    @property
    def audit(self) -> Path:
        """Where pushes are written down."""
        return self.root / "audit.jsonl"

    def prepare(self) -> None:
        """Have it be there. Raises ApplyError."""
        try:
            self.root.mkdir(mode=0o750, parents=True, exist_ok=True)
        except OSError as error:
            raise ApplyError(
                str(self.root),
                f"cannot be made: {error.strerror or error}",
                "zones_state names another folder; under systemd StateDirectory= makes one",
            ) from error

    def hold(self, zone: ZoneSettings) -> int | None:
        """Show that a publisher of a zone runs, until what is returned is closed (`os.close`).

        Several may. None where that cannot be shown: it is no reason not to publish.
        """
        with contextlib.suppress(OSError):
            # Only read: root, by hand, may have made it.
            flags = os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            held = os.open(self._running(zone), flags, 0o644)
            try:
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                os.close(held)
                raise
            return held
        return None

    def runs(self, zone: ZoneSettings) -> bool:
        """Return whether a publisher of a zone runs on this host; also if that cannot be told."""
        try:
            found = os.open(self._running(zone), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        try:
            fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(found)
        return False

    def _running(self, zone: ZoneSettings) -> Path:
        return self.root / f"{name_of(zone.origin, zone.view)}.running"

    def files(self, zone: ZoneSettings) -> Files:
        """Return what is remembered of a zone, and what people order where there is no lock."""
        return files_of(self.root, zone)

    def status(self, zone: ZoneSettings) -> Document:
        """Return where it is written what is to be seen of a zone."""
        path = self.root / f"{name_of(zone.origin, zone.view)}.status.json"
        return Document(path, status.LARGEST)
