"""The standard streams: closed pipes, full disks, colour, and stderr that is the journal.

What belongs here is what a command's output must know of where it goes. Imported by every command,
so it imports next to nothing itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TextIO

# As shells count an end by SIGPIPE, which is how other tools end.
CLOSED_PIPE = 141
# EX_IOERR of sysexits(3), which means nothing else to any command.
FULL = 74

# syslog(3)'s priorities of the levels of `logging`, from the gravest.
_PRIORITIES = ((50, 2), (40, 3), (30, 4), (20, 6), (0, 7))
ERROR, WARNING = 40, 30
_UNWRITTEN = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class Unwritten(Exception):
    """What is printed gets no further: nobody reads it any more, or a disk is full.

    That is no error of the command's; `code` is what it ends with, `why` what is said of it.
    """

    def __init__(self, error: OSError) -> None:
        closed = isinstance(error, BrokenPipeError)
        self.code = CLOSED_PIPE if closed else FULL
        # As other tools, silent where nobody reads.
        self.why = "" if closed else os.strerror(error.errno or 0)
        super().__init__(self.why)


@contextlib.contextmanager
def unwritten() -> Iterator[None]:
    """Raise Unwritten where printing fails: click would end with 1, which may mean something.

    Of files by their names commands tell themselves.
    """
    try:
        yield
    except OSError as error:
        closed = isinstance(error, BrokenPipeError)
        if error.filename is not None or not (closed or error.errno in _UNWRITTEN):
            raise
        raise Unwritten(error) from error


def let_go(stream: TextIO | None) -> None:
    """Write what is left. Raises Unwritten if that fails; then nothing more is said there."""
    try:
        if stream is not None and not stream.closed:
            stream.flush()
    except OSError as error:
        assert stream is not None
        # Python itself flushes once more at its end, and would complain.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        raise Unwritten(error) from error


def is_plain(environ: Mapping[str, str]) -> bool:
    """Return whether no colour is wanted, even on a terminal (https://no-color.org)."""
    return bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"


def is_journal(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Return whether a stream is the journal's: JOURNAL_STREAM of systemd.exec(5) names its file.

    What is written elsewhere by a process that inherited the variable is not.
    """
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(stream.fileno()) if stream is not None else None
        return found is not None and (found.st_dev, found.st_ino) == (int(device), int(inode))
    except (OSError, ValueError):
        return False


def marked(text: str, level: int) -> str:
    """Return the text with its priority before each line, as sd-daemon(3) has it."""
    priority = next(priority for least, priority in _PRIORITIES if level >= least)
    # Nothing else ends a line there.
    return "\n".join(f"<{priority}>{line}" for line in text.split("\n"))


def complain(text: str, level: int = ERROR) -> None:
    """Write what is wrong to stderr, in the form the journal wants if it goes there."""
    said = marked(text, level) if is_journal(sys.stderr, os.environ) else text
    if sys.stderr is not None:
        print(said, file=sys.stderr, flush=True)
