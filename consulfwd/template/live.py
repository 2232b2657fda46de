"""Templates of any kind, rendered with what Consul says now, or kept current as it changes.

What belongs here: where what is known comes from, and when to look again. How templates become
jobs is in `templates`, when to apply those in `follow`.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence

from consulfwd.apply.jobs import Job
from consulfwd.config import Agent
from consulfwd.consul.following import Following
from consulfwd.keep.changes import changes_of
from consulfwd.keep.follow import follow
from consulfwd.keep.quiescence import Quiescence
from consulfwd.template.templates import Destination, RenderFault, Templates, apply

log = logging.getLogger("consulfwd.keep")


async def texts(
    destinations: Sequence[Destination], agents: Sequence[Agent]
) -> tuple[dict[Destination, str | RenderFault], list[str]]:
    """Return the text of each template, or why there is none; and what else there is to tell."""
    told: list[str] = []
    following = Following(agents, tell=told.append)
    try:
        return await Templates(destinations).texts(following), told
    finally:
        await following.close()


async def keep_current(
    destinations: Sequence[Destination], agents: Sequence[Agent], quiescence: Quiescence
) -> None:
    """Render and apply now, and whenever Consul or a template changes, until cancelled.

    SIGHUP has it look again at once. No failure ends it; a template that fails holds up no other.
    """
    templates = Templates(destinations)
    async with changes_of([one.template for one in destinations]) as changes:
        following = Following(agents, changes.set, functools.partial(log.warning, "%s"))

        async def made() -> list[Job]:
            return templates.jobs(await templates.texts(following))

        try:
            await follow(changes, made, quiescence, apply=apply)
        finally:
            await following.close()
