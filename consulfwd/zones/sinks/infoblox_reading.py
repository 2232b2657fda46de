"""A zone read from a grid, whole or one name of it.

What belongs here: which questions a zone takes, and all pages of their answers. Must not know: how
the grid is reached, what is done with what is read. A list is whole or an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import chain
from typing import Any, TypeVar

from consulfwd.dns import const, names
from consulfwd.errors import ApplyError
from consulfwd.zones.model import Key
from consulfwd.zones.sinks.infoblox_grid import Grid, Params
from consulfwd.zones.sinks.infoblox_http import CONNECTIONS
from consulfwd.zones.sinks.infoblox_names import plain, spellings
from consulfwd.zones.sinks.infoblox_objects import (
    KINDS,
    Fields,
    Held,
    Kind,
    Marking,
    asked,
    held,
    others,
)
from consulfwd.zones.sinks.infoblox_sets import base
from consulfwd.zones.sinks.infoblox_words import Refusal
from consulfwd.zones.sinks.infoblox_zones import zone_text, zone_wires
from consulfwd.zones.target import Base

T = TypeVar("T")

# Objects of a page, which is what a grid gives at most, and of a list.
PAGE, MOST = 1_000, 1_000_000
# How often a list is begun anew, where its pages are not of one grid master any more.
_BEGINNINGS = 3
# Zones below the origin, whose names are not ours, whoever serves them.
_BELOW = ("zone_auth", "zone_delegated", "zone_forward", "zone_stub")


class Reader:
    """Reads one zone of one view."""

    def __init__(self, grid: Grid, origin: bytes, marking: Marking) -> None:
        self._grid = grid
        self._origin = origin
        self._marking = marking
        self._attribute_known = False
        self._room = asyncio.Semaphore(CONNECTIONS)

    async def whole(self) -> Base:
        """Return what the zone holds. Raises ApplyError."""
        await self._look_for_zone()
        await self._look_for_attribute()
        zone = plain(self._origin)
        lists: list[list[Any]] = await all_of(
            *(self._objects(kind, {"zone": zone}) for kind in KINDS.values()),
            self._pages("allrecords", {"zone": zone}, lambda one: others(one, self._origin)),
            *(self._pages(one, {"parent": zone}, self._below) for one in _BELOW),
        )
        found, other = lists[: len(KINDS)], lists[len(KINDS) :]
        return base(chain(*found), chain(*chain(*other)))

    async def at(self, key: Key) -> list[Held]:
        """Return the objects at a name of a type. Raises ApplyError."""
        kind = KINDS[key.type]
        # Others may have spelled it otherwise.
        found: dict[str, Held] = {}
        for text in spellings(key.name):
            objects = await self._objects(kind, {"name:": text})
            found.update((one.ref, one) for one in objects if one.key == key)
        return list(found.values())

    async def _look_for_zone(self) -> None:
        """Raise ApplyError where there is no such zone: what is not there is not empty."""
        zone = zone_text(self._origin)
        found = await self._pages("zone_auth", {"fqdn": zone}, bool)
        if not found:
            raise ApplyError(
                self._grid.where,
                f"the grid has no authoritative zone {zone} in the view {self._marking.view}",
                "make the zone there, or give its `view`; and let the group of the user read it",
            )

    async def _look_for_attribute(self) -> None:
        """Raise ApplyError where the grid does not know what marks records as ours."""
        if not self._attribute_known:
            search = {f"*{self._marking.attribute}": self._marking.owner}
            await self._grid.read("record:a", self._paged({**search, "_max_results": "1"}))
            self._attribute_known = True

    def _paged(self, params: Params) -> dict[str, str]:
        page = {"_paging": "1", "_return_as_object": "1", "_max_results": str(PAGE)}
        return {"view": self._marking.view, **page, **params}

    async def _objects(self, kind: Kind, params: Params) -> list[Held]:
        params = {**params, "_return_fields+": asked(kind)}
        return await self._pages(kind.name, params, lambda one: self._held(kind, one))

    async def _pages(
        self, path: str, params: Params, make: Callable[[Fields], T | None]
    ) -> list[T]:
        """Return what is made of each object of a list, but for those that nothing is made of."""
        async with self._room:
            for beginning in range(_BEGINNINGS):
                last = beginning + 1 == _BEGINNINGS
                found = await self._list(path, params, make, last=last)
                if found is not None:
                    return found
        raise ApplyError(
            self._grid.where,
            f"the list of {path} cannot be read in one go: its pages come from several masters",
            "see whether the grid master is stable; nothing was changed",
        )

    async def _list(
        self, path: str, params: Params, make: Callable[[Fields], T | None], *, last: bool
    ) -> list[T] | None:
        """Return all of a list, None where it must be begun anew."""
        asked_for = self._paged(params)
        # Made of each page as it comes: as they come objects take several times as much room.
        found: dict[str, T] = {}
        seen = 0
        pages: set[str] = set()
        url = ""
        while True:
            try:
                value, at = await self._grid.read(path, asked_for)
            except Refusal:
                # A page is not there for ever, and only where it was made.
                if not pages or last:
                    raise
                return None
            if url and at != url:
                return None
            url = at
            objects, following = self._page(path, value)
            for number, one in enumerate(objects, seen):
                # What is written meanwhile may be on two pages.
                if made := make(one):
                    found[str(one.get("_ref", number))] = made
            seen += len(objects)
            if not following:
                return list(found.values())
            if following in pages or seen > MOST:
                raise self._strange(path, "its pages do not end")
            pages.add(following)
            asked_for["_page_id"] = following

    def _page(self, path: str, value: Any) -> tuple[list[Fields], str]:
        if not isinstance(value, dict) or not isinstance(value.get("result"), list):
            raise self._strange(path, "it has no list `result`")
        following = value.get("next_page_id", "")
        if not isinstance(following, str) or len(following) > 65_535:
            raise self._strange(path, "its `next_page_id` is no text")
        objects = value["result"]
        if len(objects) > PAGE or not all(isinstance(one, dict) for one in objects):
            raise self._strange(path, f"its list is not of {PAGE} objects at most")
        return objects, following

    def _held(self, kind: Kind, found: Fields) -> Held | None:
        try:
            return held(kind, found, self._marking)
        except ValueError as error:
            name = str(found.get("name"))[:80]
            raise ApplyError(
                self._grid.where,
                f"a {kind.name} that is marked as ours cannot be read: {name!r}: {error}",
                f"delete it in the grid, or take the attribute {self._marking.attribute} off",
            ) from None

    def _below(self, found: Fields) -> list[Key]:
        """Return where a zone below the origin begins."""
        name = found.get("fqdn")
        zones = zone_wires(name) if isinstance(name, str) else []
        below = [one for one in zones if names.is_under(one, self._origin)]
        return [Key(one, const.NS) for one in below if one != self._origin]

    def _strange(self, path: str, why: str) -> ApplyError:
        return ApplyError(
            self._grid.where,
            f"what is said of {path} is not of the WAPI's form: {why}",
            "see whether `urls` lead to a grid's WAPI; nothing was changed",
        )


async def all_of(*questions: Coroutine[Any, Any, T]) -> list[T]:
    """Return all answers; the first error ends the others, too."""
    tasks = [asyncio.ensure_future(one) for one in questions]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
