"""One measured load at a time on this machine, whichever test process makes it.

Tests run beside each other in several processes. What a server under load is held to would say
nothing while another one is under load, too.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_entered = 0
_waited_s = 0.0


def lock_file(environ: Mapping[str, str] = os.environ) -> Path:
    """The same for all processes of one user; its folder is made when it is missing."""
    cache = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".cache"
    folder = Path(cache) / "consulfwd"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "tests-load.lock"


@contextmanager
def only_load(*, light: bool = False) -> Iterator[None]:
    """While one process measures times under load, no other does; `light` ones may do so together.

    Waits for its turn. Entered again by the same process it is free: one test may have several
    servers under load. The kernel lets go of it when the process ends, however that happens.
    """
    global _entered, _waited_s
    if _entered:
        _entered += 1
        try:
            yield
        finally:
            _entered -= 1
        return
    with lock_file().open("a") as file:
        began = time.monotonic()
        fcntl.flock(file, fcntl.LOCK_SH if light else fcntl.LOCK_EX)
        _waited_s += time.monotonic() - began
        _entered = 1
        try:
            yield
        finally:
            _entered = 0


def is_held() -> bool:
    """Whether this process may put a server under load now."""
    return _entered > 0


def waited_s() -> float:
    """For how many seconds this process waited for its turns so far."""
    return _waited_s
