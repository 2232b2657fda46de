"""The targets of the settings, made ready.

What belongs here: which kind of target is made of which section. Each kind is imported when it is
needed: what they take to talk to others is large.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from consulfwd.config.zones import TargetSettings, ZoneSettings
from consulfwd.dns import names
from consulfwd.errors import ApplyError
from consulfwd.zones.naming import apex_of
from consulfwd.zones.publish.place import LOOK, Place
from consulfwd.zones.publish.serials import Serials
from consulfwd.zones.target import Target

if TYPE_CHECKING:
    from consulfwd.zones.primary.running import Primaries

KINDS = ("file", "rfc2136", "infoblox", "primary")


class Making:
    """Makes targets; those that are served here are put together in `primaries`.

    With `looking` they are only to be read: what another process serves is left to it.
    """

    def __init__(self, state: Path, *, looking: bool = False) -> None:
        self.primaries: Primaries | None = None
        self._state = state
        self._looking = looking

    def places(
        self,
        zone: ZoneSettings,
        serials: Serials,
        kinds: Iterable[str] = KINDS,
        look: float = LOOK,
    ) -> list[Place]:
        """Return the places a zone goes to, of these kinds. Raises ApplyError."""
        found: list[Place] = []
        wanted = set(kinds)
        try:
            for settings in zone.targets:
                kind = next(one for one in KINDS if getattr(settings, one) is not None)
                if kind in wanted:
                    target = self._target(kind, zone, settings, serials)
                    counts = kind in ("file", "primary")
                    found.append(Place(target, zone.interval, counts, look))
                    if target.where in (one.where for one in found[:-1]):
                        what = f"two of its targets are the same: {target.where}"
                        raise ApplyError(zone.origin, what, "each would undo the other's work")
        except BaseException:
            for place in found:
                place.target.close()
            raise
        return found

    def _target(
        self, kind: str, zone: ZoneSettings, settings: TargetSettings, serials: Serials
    ) -> Target:
        origin = names.from_text(zone.origin)
        if settings.file is not None:
            from consulfwd.zones.sinks.file import ZoneFile

            file = ZoneFile(
                settings.file,
                origin,
                apex_of(zone),
                remembered=lambda: serials.last(file.where),
            )
            return file
        if settings.rfc2136 is not None:
            from consulfwd.zones.sinks.rfc2136 import UpdatedZone

            return UpdatedZone(settings.rfc2136, origin)
        if settings.infoblox is not None:
            from consulfwd.zones.sinks.infoblox import Infoblox

            return Infoblox(settings.infoblox, origin)
        assert settings.primary is not None
        if self._looking:
            return self._looked_at(zone, origin)
        if self.primaries is None:
            from consulfwd.zones.primary.running import Primaries

            self.primaries = Primaries(self._state)
        return self.primaries.add(zone, settings.primary)

    def _looked_at(self, zone: ZoneSettings, origin: bytes) -> Target:
        from consulfwd.zones.primary.running import path_of
        from consulfwd.zones.primary.store import Store
        from consulfwd.zones.primary.target import Primary

        store = Store(path_of(self._state, zone), origin)
        store.look()
        return Primary(store, origin, apex_of(zone))
