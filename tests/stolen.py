"""CPU time that a virtual machine was to have and that its host gave to others.

Times measured meanwhile are the host's doing: tests and benchmarks take that into account.
"""

from __future__ import annotations

import os
from pathlib import Path

# The eighth figure of a `cpu` line (proc_stat(5)).
_STOLEN = 8


def stolen_s() -> float:
    """Seconds since boot, all cores together; 0 on a machine of its own."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return int(fields[_STOLEN]) / os.sysconf("SC_CLK_TCK")
