"""The mark beside a file whose replacement is not done: it keeps others off, and lasts.

What belongs here: one mark's life. When it is made and removed is in `files`; must not know what
a replacement is.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from consulfwd.errors import ApplyError


class Mark:
    """A file that is locked while `take` is at work, and found by the next one if it stays.

    `found` says that it was there before: who made it was killed, or left it. Raises OSError.
    """

    def __init__(self, path: Path) -> None:
        self.found = False
        self._path = path
        self._descriptor = -1

    def take(self, place: Path) -> None:
        """Make and lock it. Raises ApplyError, of `place`, if another one has it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        while True:
            self.found = os.path.lexists(self._path)
            self._descriptor = os.open(self._path, flags, 0o600)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever had it may have removed it meanwhile: then it locks nothing.
                if os.path.samestat(os.fstat(self._descriptor), self._path.stat()):
                    return
            except FileNotFoundError:
                pass
            except BlockingIOError:
                self.close()
                raise ApplyError(
                    str(place),
                    "another consulfwd is writing this file",
                    "wait until it is done; if it runs with --watch, leave the file to it",
                ) from None
            except BaseException:
                self.close()
                raise
            self.close()

    def sync(self) -> None:
        """Have it on disk; file systems keep the name of a new file with what is in it."""
        os.fsync(self._descriptor)

    def note(self, text: bytes) -> None:
        """Have it say this to the next one."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text, 0)
        self.sync()

    def says(self, text: bytes) -> bool:
        """Return whether the one before, who was us, noted this."""
        ours = os.fstat(self._descriptor).st_uid == os.geteuid()
        return self.found and ours and os.pread(self._descriptor, len(text) + 1, 0) == text

    def remove(self) -> None:
        """Nothing is left to be done; it is locked until it is closed."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Unlock it."""
        os.close(self._descriptor)
        self._descriptor = -1
