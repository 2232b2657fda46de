"""The files of one server kept current: with the settings, and with Consul's catalog.

What belongs here: where changes come from, and the jobs they lead to. When to act on them and what
is told is in `follow`, what is in the files in `generate`.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from consulfwd.config import Agent, Settings
from consulfwd.consul.following import Following
from consulfwd.render import catalog
from consulfwd.render.apply import apply_all
from consulfwd.render.follow import follow
from consulfwd.render.generate import Found, Request, jobs
from consulfwd.render.jobs import Job
from consulfwd.render.looking import look_at
from consulfwd.render.quiescence import Quiescence

log = logging.getLogger("consulfwd.render")


async def look_up(settings: Settings, service: str) -> Found:
    """Ask Consul once who answers. Raises ConsulError where no agent can be asked."""
    wanted = catalog.facts(settings, service)
    following = Following(settings.consul.agents)
    try:
        following.want(wanted.values())
        await following.ready()
        return catalog.found(settings, wanted, following.known, following.faults)
    finally:
        await following.close()


async def keep_current(
    request: Callable[[], Request],
    files: Sequence[Path],
    quiescence: Quiescence,
    *,
    service: str | None,
    checks: bool,
) -> None:
    """Write the files now and whenever the settings or the catalog change, until cancelled.

    `request` reads the settings; `files` (and folders) that matter to it are looked at for changes,
    and SIGHUP has it look again at once.
    With a `service` its healthy nodes are the agents. No failure ends it.
    """
    changes = asyncio.Event()
    source = _Catalog(changes.set, service) if service else None

    async def made() -> Sequence[Job]:
        # Reading settings may take a moment; nothing else runs here that could not wait.
        asked = request()
        return jobs(asked, await source.found(asked.settings) if source else None)

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, changes.set)
    looking = asyncio.create_task(look_at(files, changes))
    try:
        await follow(
            changes, made, quiescence, apply=functools.partial(apply_all, checks=checks)
        )
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        looking.cancel()
        if source:
            await source.close()


class _Catalog:
    """Follows the nodes of a service, at the agents of whatever settings there are."""

    def __init__(self, changed: Callable[[], None], service: str) -> None:
        self._changed = changed
        self._service = service
        self._agents: tuple[Agent, ...] = ()
        self._following: Following | None = None

    async def found(self, settings: Settings) -> Found:
        """Return who answers. Raises ConsulError where that was never known."""
        agents = settings.consul.agents
        if self._following is None or agents != self._agents:
            await self.close()
            self._agents = agents
            self._following = Following(agents, self._changed, functools.partial(log.warning, "%s"))
        wanted = catalog.facts(settings, self._service)
        self._following.want(wanted.values())
        await self._following.ready()
        return catalog.found(
            settings, wanted, self._following.known, self._following.faults
        )

    async def close(self) -> None:
        if self._following is not None:
            await self._following.close()
