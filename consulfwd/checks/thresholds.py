"""A value held against two ranges: when it is worth a warning, and when it is critical. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from consulfwd.checks.outcome import Status
from consulfwd.checks.ranges import Range


@dataclass(frozen=True)
class Thresholds:
    """The ranges of one value; None never alerts."""

    warning: Range | None = None
    critical: Range | None = None

    def __bool__(self) -> bool:
        return self.warning is not None or self.critical is not None

    def status(self, value: float) -> Status:
        """Return what a value is worth."""
        if self.critical is not None and self.critical.alerts(value):
            return Status.CRITICAL
        if self.warning is not None and self.warning.alerts(value):
            return Status.WARNING
        return Status.OK

    def told(self, what: str, value: float, unit: str = "") -> tuple[Status, str]:
        """Return what a value is worth, and its description with the bound it is beyond."""
        status = self.status(value)
        broken = self.critical if status is Status.CRITICAL else self.warning
        if status is Status.OK or broken is None:
            return Status.OK, what
        bounds = f"{broken.words}{f' {unit}' if unit else ''}"
        return status, f"{what} ({status.name.lower()} at {bounds})"


# What never alerts.
NONE = Thresholds()
