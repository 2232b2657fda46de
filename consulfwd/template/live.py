"""Templates of any kind, rendered with what Consul says now, or kept current as it changes.

What belongs here: where what is known comes from, and when to look again. How templates become
jobs is in `templates`, what is made sure of before in `making`, when to apply those in `follow`.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence

from consulfwd.apply.jobs import Job
from consulfwd.apply.places import Links
from consulfwd.config import Agent
from consulfwd.consul.following import Following
from consulfwd.keep.changes import changes_of
from consulfwd.keep.follow import follow
from consulfwd.keep.quiescence import Quiescence
from consulfwd.template.guards import Guards
from consulfwd.template.making import Making
from consulfwd.template.templates import Destination, RenderFault, Templates, apply
from consulfwd.upkeep import Upkeep

log = logging.getLogger("consulfwd.keep")


async def texts(
    destinations: Sequence[Destination], agents: Sequence[Agent], guards: Guards | None = None
) -> tuple[dict[Destination, str | RenderFault], list[str]]:
    """Return the text of each template, or why there is none; and what else there is to tell.

    Where they are to be written `guards` say what they must not lose.
    """
    told: list[str] = []
    following = Following(agents, tell=told.append)
    templates = Templates(destinations)
    try:
        if guards is None:
            return await templates.texts(following), told
        return await Making(templates, guards, told.append).texts(following), told
    finally:
        await following.close()


async def keep_current(
    destinations: Sequence[Destination],
    read: Callable[[], Sequence[Agent]],
    quiescence: Quiescence,
    upkeep: Upkeep,
    guards: Guards,
    links: Links = "refuse",
) -> None:
    """Render and apply now, and whenever Consul or a template changes, until cancelled.

    `read` reads the settings, which it does on SIGHUP too; tokens are read again then, and it looks
    at once. No failure ends it; a template that fails holds up no other.
    """
    templates = Templates(destinations, links)
    tell = functools.partial(log.warning, "%s")
    making = Making(templates, guards, tell)
    source = _Source(tell)
    source.use(read())
    upkeep.wrong = source.wrong

    def hung_up() -> None:
        with upkeep.reload():
            source.use(read())

    async with changes_of([one.template for one in destinations], hung_up) as changes:

        async def made() -> list[Job]:
            return templates.jobs(await making.texts(await source.following(changes.set)))

        try:
            await follow(changes, made, quiescence, apply=apply, upkeep=upkeep)
        finally:
            await source.close()


class _Source:
    """Follows Consul at the agents given last, with the tokens there are when they are given."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._agents: Sequence[Agent] = ()
        self._given = False
        self._following: Following | None = None

    def use(self, agents: Sequence[Agent]) -> None:
        """Ask these from the next round on."""
        self._agents, self._given = agents, True

    async def following(self, changed: Callable[[], None]) -> Following:
        """Return what follows; what was followed before ends if others are to be asked."""
        if self._following is None or self._given:
            self._given = False
            before = self._following.beliefs if self._following is not None else ()
            await self.close()
            self._following = Following(self._agents, changed, self._tell, before=before)
        return self._following

    def wrong(self) -> list[str]:
        """Return what is wrong with it now, for people."""
        return [] if self._following is None else self._following.wrong()

    async def close(self) -> None:
        if self._following is not None:
            await self._following.close()
