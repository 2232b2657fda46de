"""The audit log: one line of JSON for each push, done or failed, in the order they happened.

What belongs here: what such a line says, and the file. What a person needs to know later: who, by
which lock, when, what was there and what is, why. Must not know how a push is done.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from consulfwd.errors import ApplyError
from consulfwd.zones.disk import hand_over
from consulfwd.zones.plan import Plan, summary
from consulfwd.zones.plan_file import act_json

# Acts of one push that are written down each by itself; of more only how many there were.
MOST_ACTS = 10_000
# Octets, after which the file is set aside; one such is kept.
LARGEST = 64 * 1024 * 1024
_MODE = 0o640


class Who(NamedTuple):
    """Who pushes, and by which number of the lock (0 is without one)."""

    holder: str
    number: int


def line(
    plan: Plan,
    who: Who,
    why: frozenset[str],
    wall: float,
    *,
    serial: int | None = None,
    mark: str = "",
    seconds: float = 0.0,
    error: str = "",
) -> str:
    """Return the line of a push, without its end. `wall` is the time of day in seconds."""
    acts = plan.acts[:MOST_ACTS]
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(wall))
    said: dict[str, Any] = {
        "time": f"{at}.{int(wall * 1000) % 1000:03}Z",
        "zone": plan.zone,
        "view": plan.view,
        "target": plan.target,
        "result": "failed" if error else "done",
        "what": summary(plan),
        "why": sorted(why),
        "holder": who.holder,
        "lock": who.number,
        "acts": [act_json(one) for one in acts],
        "acts_left_out": len(plan.acts) - len(acts),
        "withheld": len(plan.withheld),
        "allowed": plan.spends,
        "before": plan.mark,
        "after": mark,
        "serial": serial,
        "catalog": plan.catalog,
        "seconds": round(seconds, 3),
    }
    if error:
        said["error"] = error
    return json.dumps(said)


class Audit:
    """The file. Lines are added, never changed; a full one is kept as NAME.1 beside."""

    def __init__(self, path: Path, wall: Callable[[], float] = time.time) -> None:
        self.path = path
        self.wall = wall

    def write(self, text: str) -> None:
        """Add a line, which stays after the power was cut. Raises ApplyError."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            file = os.open(self.path, flags, _MODE)
            try:
                hand_over(file, self.path.parent)
                data = text.encode() + b"\n"
                while data:
                    data = data[os.write(file, data) :]
                os.fsync(file)
                size = os.fstat(file).st_size
            finally:
                os.close(file)
            if size > LARGEST:
                self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        except OSError as error:
            what = f"cannot be written: {error.strerror or error}"
            mend = "see whether there is room, and whose the directory is"
            raise ApplyError(str(self.path), what, mend) from error
