"""Time in which somebody on this machine waited for a disk.

Consul takes a write once its log is on a disk, and so do databases and journals: what goes through
them takes as long as the disk makes them wait. Tests that hold such a way to a time allow that.
"""

from __future__ import annotations

from pathlib import Path

PRESSURE = Path("/proc/pressure/io")


def stalled_s() -> float:
    """Seconds since boot; next to nothing of each on a machine whose disk keeps up.

    0 where the kernel does not tell. https://docs.kernel.org/accounting/psi.html
    """
    try:
        some = PRESSURE.read_text().split("\n", 1)[0]
    except OSError:
        return 0.0
    return int(some.rpartition("total=")[2]) / 1e6
