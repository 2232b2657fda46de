"""Whether the compiled fast lane is used: where it was built, and nobody says otherwise.

What belongs here is that choice alone. What it does is done in Python, too, by its twins.
"""

from __future__ import annotations

import os
from types import ModuleType

# Set to "no": Python alone, to compare the two, or where the compiled one is not trusted.
VARIABLE, NO = "CONSULFWD_FAST_LANE", ("no", "off", "false", "0")
# What is used of it. One built of other sources may not have all.
PARTS = ("Batch", "HotLane", "Passer", "Poller", "PoolWay", "Ready", "Relays", "Way")


def _unwanted() -> bool:
    return os.environ.get(VARIABLE, "").strip().lower() in NO


def _found() -> ModuleType | None:
    if _unwanted():
        return None
    try:
        from consulfwd.net import _fast
    except ImportError:
        return None
    return _fast if all(hasattr(_fast, part) for part in PARTS) else None


fast = _found()


def without() -> str | None:
    """Return why the fast lane is not used, and how to get it; None where it is."""
    if fast is not None:
        return None
    if _unwanted():
        return f"in Python alone: {VARIABLE} turns the compiled fast lane off"
    return (
        "in Python alone: no compiled fast lane was built for this Python; with gcc, libc6-dev and "
        "python3-dev there, install consulfwd again"
    )
