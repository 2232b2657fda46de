"""Journals that BIND keeps beside a zone's file: who else changes the zone.

What belongs here: what one says. Must not know how zones are written. Nothing is changed.

Where updates are allowed, BIND notes them in NAME.jnl and writes them to the file later: what
stands in the file is not the zone then, and a file replaced meanwhile is written over, or does not
load at all. A zone that is loaded from its file alone may have a journal, too
(ixfr-from-differences): that ends where the file does.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from consulfwd.apply.places import faults_of, led_to
from consulfwd.zones.serials import newer

MEND = (
    "let BIND load the zone from the file alone, without allow-update and update-policy, and remove"
    " the journal; or have rfc2136 as its target"
)
_FORMAT = b";BIND LOG V9"
# The header: format, then serial and offset of where it begins, and of where it ends.
_BEGIN, _END, _ENOUGH = 16, 24, 32


def beyond(path: Path, known: Iterable[int | None]) -> str:
    """Return that a journal beside `path` goes on after all serials that are known, "" if none."""
    serials = [one for one in known if one is not None]
    for place in dict.fromkeys((path, led_to(path))):
        journal = place.with_name(f"{place.name}.jnl")
        end = _end_of(journal)
        if end is not None and all(newer(end, serial) for serial in serials):
            return f"BIND has written changes of its own to {journal}, up to serial {end}"
    return ""


def _end_of(journal: Path) -> int | None:
    """Return the serial that a journal leads to; None without one, or without anything in it."""
    with faults_of(journal):
        try:
            # Whoever may write to the folder may have made what never says anything (a FIFO).
            at = os.open(journal, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENXIO):
                raise
            return None
        try:
            head = os.read(at, _ENOUGH) if stat.S_ISREG(os.fstat(at).st_mode) else b""
        finally:
            os.close(at)
    begin, end = head[_BEGIN:_END], head[_END:_ENOUGH]
    if not head.startswith(_FORMAT) or len(end) < _ENOUGH - _END or begin == end:
        return None
    return int.from_bytes(end[:4], "big")
