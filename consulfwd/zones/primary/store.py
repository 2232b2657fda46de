"""A zone's versions, kept on disk: the next one is there before anybody is told of it.

What belongs here: one file, who may write it, and what becomes of one that is torn or damaged.
What is in it is `journal`'s, what it means `versions`'.

The file begins with a whole version and grows by differences. Where it has grown too large it is
written anew beside, and renamed: after a power cut there is the old one or the new one. A part of a
difference at its end was never served, and is cut off. One that is damaged elsewhere is set aside.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from consulfwd.errors import ApplyError
from consulfwd.zones.disk import hand_over, have_folder, only_one
from consulfwd.zones.model import Act, Apex
from consulfwd.zones.primary import journal
from consulfwd.zones.primary.content import Content
from consulfwd.zones.primary.versions import Versions, Whole, Writer

log = logging.getLogger("consulfwd.zones.primary")

LARGEST = 1 << 30
# Octets a journal may grow to, or else three times what the zone has, until it is written anew.
ROOM = 1 << 20


class Store:
    """The versions of one zone. `lock` is held while they change: whoever reads them takes it."""

    def __init__(self, path: Path, origin: bytes) -> None:
        self.path = path
        self.versions = Versions(origin)
        self.lock = threading.RLock()
        self._origin = origin
        self._held = -1
        self._file = -1
        self._chain = b""
        self._size = 0
        # What a whole version took up the last time (octets).
        self._whole = 0

    def open(self) -> None:
        """Read what there is, and keep others from writing it. Raises ApplyError."""
        with self._faults("opened"):
            have_folder(self.path.parent)
            self._take()
            try:
                octets = self._read()
                found = journal.read(octets, self._origin)
                self._believe(found)
                if found.damage:
                    self._set_aside(found.damage)
                elif found.whole is not None:
                    self._continue(found)
            except BaseException:
                self.close()
                raise

    def look(self) -> None:
        """Read what there is, and write nothing: not while it is open. Raises ApplyError."""
        with self._faults("read"):
            self._believe(journal.read(self._read(), self._origin))

    def close(self) -> None:
        """Let others write it."""
        for descriptor in (self._file, self._held):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._held = -1

    def put(self, acts: Sequence[Act], apex: Apex, wall: float, writer: Writer) -> None:
        """Make the next version, on disk and then here. Raises ApplyError; nothing is done then."""
        if self._held < 0:
            raise ApplyError(str(self.path), "is not open for writing")
        with self._faults("written"):
            delta = self.versions.delta(acts, apex, wall, writer)
            if delta is None or self._file < 0:
                whole = self.versions.whole(acts, apex, wall, writer)
                self._begin(whole)
                return
            octets, chain = journal.entry(delta, self._chain)
            self._append(octets, chain)
            with self.lock:
                self.versions.take(delta)
        if self._size > max(ROOM, 3 * self._whole):
            self._shorten()

    def adopt(self, whole: Whole) -> None:
        """Let a version be the last one that others gave out. Raises ApplyError."""
        with self._faults("written"):
            with self.lock:
                self.versions.given(whole.version.serial)
            self._begin(whole)

    def _begin(self, whole: Whole) -> None:
        self._replace(*journal.start(self._origin, whole))
        # It takes its time, for which nobody is to wait.
        content = Content(self._origin, whole.records)
        with self.lock:
            self.versions.begin(whole, content)

    def _take(self) -> None:
        lock = self.path.with_name(f"{self.path.name}.lock")
        try:
            self._held = only_one(lock)
        except BlockingIOError:
            raise ApplyError(
                str(self.path),
                "another consulfwd serves this zone from here",
                "leave it to that one, or stop it",
            ) from None

    def _read(self) -> bytes:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        with os.fdopen(descriptor, "rb") as file:
            octets = file.read(LARGEST + 1)
        if len(octets) > LARGEST:
            raise ApplyError(str(self.path), f"is larger than {LARGEST} octets", "move it away")
        return octets

    def _believe(self, found: journal.Found) -> None:
        versions = Versions(self._origin)
        if found.whole is not None:
            versions.begin(found.whole)
            for delta in found.deltas:
                versions.take(delta)
        serial = versions.serial
        if found.damage and serial is not None:
            # What was given out later is not known: others are not told that this is the last.
            versions.forget(len(versions.deltas))
            versions.given(serial + 1)
        with self.lock:
            self.versions = versions

    def _continue(self, found: journal.Found) -> None:
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(self.path, flags)
        if found.torn:
            os.ftruncate(self._file, found.end)
            os.fsync(self._file)
            log.info("%s: a version that was never served is cut off its end", self.path)
        os.lseek(self._file, found.end, os.SEEK_SET)
        self._chain, self._size, self._whole = found.chain, found.end, found.first

    def _set_aside(self, damage: str) -> None:
        # It stays in its place until the next version replaces it: there is no better one.
        aside = self.path.with_name(f"{self.path.name}.damaged")
        aside.unlink(missing_ok=True)
        aside.hardlink_to(self.path)
        log.warning(
            "%s: %s; it is kept as %s, and secondaries get the whole zone with the next change",
            self.path, damage, aside.name,
        )  # fmt: skip

    def _append(self, octets: bytes, chain: bytes) -> None:
        try:
            _write(self._file, octets)
            os.fdatasync(self._file)
        except OSError:
            # Whether a part is there is not known: the next version is written with all of it.
            try:
                os.ftruncate(self._file, self._size)
                os.lseek(self._file, self._size, os.SEEK_SET)
                os.fdatasync(self._file)
            except OSError:
                os.close(self._file)
                self._file = -1
            raise
        self._chain = chain
        self._size += len(octets)

    def _replace(self, octets: bytes, chain: bytes) -> None:
        """Let the file be this, and nothing else at any time but what it was."""
        beside = self.path.with_name(f"{self.path.name}.new")
        beside.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(beside, flags, 0o640)
        try:
            hand_over(file, self.path.parent)
            _write(file, octets)
            os.fsync(file)
            beside.replace(self.path)
        except BaseException:
            os.close(file)
            beside.unlink(missing_ok=True)
            raise
        if self._file >= 0:
            os.close(self._file)
        self._file, self._chain, self._size = file, chain, len(octets)
        self._whole = len(octets)
        try:
            _sync_folder(self.path.parent)
        except OSError:
            # After a power cut it may be the old one again: nothing is added to either.
            os.close(self._file)
            self._file = -1
            raise

    def _shorten(self) -> None:
        """Write the file anew with fewer differences; it costs nothing but room if that fails."""
        with self.lock:
            self.versions.forget(len(self.versions.deltas) // 2)
        oldest = self.versions.oldest()
        assert oldest is not None
        octets, chain = journal.whole_text(self._origin, oldest, self.versions.deltas)
        whole = len(journal.start(self._origin, oldest)[0])
        try:
            self._replace(octets, chain)
        except OSError as error:
            log.warning("%s: cannot be written anew: %s", self.path, error.strerror)
        else:
            self._whole = whole

    @contextlib.contextmanager
    def _faults(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ApplyError(
                str(self.path),
                f"cannot be {what}: {error.strerror or error}",
                "see whether there is room, and whose the directory is",
            ) from error


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(descriptor: int, octets: bytes) -> None:
    left = memoryview(octets)
    while left:
        left = left[os.write(descriptor, left) :]
