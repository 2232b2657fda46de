"""What instances that come and go have to answer for (after RFC 2439): penalties that fade.

What belongs here: the penalty of one instance, and whether it is suppressed by it. Must not know:
health, records. Pure; `now` is passed in.

| state | penalised(by, now) | relieved(now) |
|---|---|---|
| free | suppressed from `suppress` on | - |
| suppressed | longer, `longest` from now at most | free, from `until` on |
"""

from __future__ import annotations

from math import inf, log2, pow

from consulfwd.config.zones import DampingSettings


class Penalty:
    """The penalty of one instance."""

    __slots__ = ("_at", "_settings", "_value", "suppressed", "until")

    def __init__(
        self, settings: DampingSettings, now: float, value: float = 0.0, suppressed: bool = False
    ) -> None:
        self._settings = settings
        self._value = min(value, _ceiling(settings))
        self._at = now
        self.suppressed = suppressed
        # When it has faded to `reuse`; only of one that is suppressed.
        self.until = now + self._fades_in(settings.reuse) if suppressed else -inf

    def value(self, now: float) -> float:
        """Return what is left of it."""
        return self._value * pow(2.0, -max(0.0, now - self._at) / self._settings.half_life)

    def penalised(self, by: float, now: float) -> None:
        """Add to it."""
        if not self._settings.enabled:
            return
        self._value = min(self.value(now) + by, _ceiling(self._settings))
        self._at = now
        if self.suppressed or self._value >= self._settings.suppress:
            self.until = now + self._fades_in(self._settings.reuse)
            self.suppressed = self.until > now

    def relieved(self, now: float) -> bool:
        """Note that time has passed; return whether it is not suppressed any more by that."""
        if not self.suppressed or now < self.until:
            return False
        self.suppressed = False
        return True

    def forgotten_at(self) -> float:
        """Return when it is so small that it may be forgotten."""
        return self._at + self._fades_in(self._settings.reuse / 2)

    def _fades_in(self, to: float) -> float:
        if self._value <= to:
            return 0.0
        return self._settings.half_life * log2(self._value / to)


def _ceiling(settings: DampingSettings) -> float:
    """Return the penalty that fades to `reuse` in the longest time there may be."""
    return settings.reuse * pow(2.0, min(settings.longest / settings.half_life, 64.0))
