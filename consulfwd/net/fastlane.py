"""Whether the compiled fast lane is used: where it was built, and nobody says otherwise.

What belongs here is that choice alone. What it does is done in Python, too, by its twins.
"""

from __future__ import annotations

import os
from types import ModuleType

# Set to "no": Python alone, to compare the two, or where the compiled one is not trusted.
VARIABLE = "CONSULFWD_FAST_LANE"
# What is used of it. One built of other sources may not have all.
PARTS = ("Batch", "HotLane", "Passer", "Poller", "PoolWay", "Ready", "Relays", "Way")


def _found() -> ModuleType | None:
    if os.environ.get(VARIABLE, "").lower() in ("no", "off", "0"):
        return None
    try:
        from consulfwd.net import _fast
    except ImportError:
        return None
    return _fast if all(hasattr(_fast, part) for part in PARTS) else None


fast = _found()
