"""Templates of any kind, rendered with what Consul says now, or kept current as it changes.

What belongs here: where what is known comes from, and when to look again. How templates become
jobs is in `templates`, when to apply those in `follow`.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
from collections.abc import Sequence

from consulfwd.config import Agent
from consulfwd.consul.following import Following
from consulfwd.render.follow import follow
from consulfwd.render.jobs import Job
from consulfwd.render.looking import look_at
from consulfwd.render.quiescence import Quiescence
from consulfwd.render.templates import Destination, Fault, Templates, apply

log = logging.getLogger("consulfwd.render")


async def texts(
    destinations: Sequence[Destination], agents: Sequence[Agent]
) -> tuple[dict[Destination, str | Fault], list[str]]:
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
    changes = asyncio.Event()
    templates = Templates(destinations)
    following = Following(agents, changes.set, functools.partial(log.warning, "%s"))

    async def made() -> list[Job]:
        return templates.jobs(await templates.texts(following))

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, changes.set)
    looking = asyncio.create_task(look_at([one.template for one in destinations], changes))
    try:
        await follow(changes, made, quiescence, apply=apply)
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        looking.cancel()
        await following.close()
