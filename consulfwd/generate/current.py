"""The files of one server kept current: with the settings, and with Consul's catalog.

What belongs here: where changes come from, and the jobs they lead to. When to act on them and what
is told is in `follow`, what is in the files in `generate`.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from consulfwd.apply.jobs import Job
from consulfwd.apply.steps import apply_all
from consulfwd.config import Agent, Settings
from consulfwd.consul.following import Following
from consulfwd.generate import discovery
from consulfwd.generate.requests import Found, Request, jobs
from consulfwd.keep.changes import changes_of
from consulfwd.keep.follow import follow
from consulfwd.keep.quiescence import Quiescence

log = logging.getLogger("consulfwd.keep")


async def look_up(settings: Settings, service: str) -> Found:
    """Ask Consul once who answers. Raises ConsulError where no agent can be asked."""
    source = _Catalog(service)
    try:
        return await source.found(settings)
    finally:
        await source.close()


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
    async with changes_of(files) as changes:
        tell = functools.partial(log.warning, "%s")
        source = _Catalog(service, changes.set, tell) if service else None

        async def made() -> Sequence[Job]:
            # Reading settings may take a moment; nothing else runs here that could not wait.
            asked = request()
            return jobs(asked, await source.found(asked.settings) if source else None)

        try:
            await follow(
                changes, made, quiescence, apply=functools.partial(apply_all, checks=checks)
            )
        finally:
            if source:
                await source.close()


class _Catalog:
    """Follows the nodes of a service, at the agents of whatever settings there are."""

    def __init__(
        self,
        service: str,
        changed: Callable[[], None] = lambda: None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._service = service
        self._changed = changed
        self._tell = tell
        self._agents: tuple[Agent, ...] = ()
        self._following: Following | None = None

    async def found(self, settings: Settings) -> Found:
        """Return who answers. Raises ConsulError where that was never known."""
        agents = settings.consul.agents
        if self._following is None or agents != self._agents:
            await self.close()
            self._agents = agents
            self._following = Following(agents, self._changed, self._tell)
        wanted = discovery.facts(settings, self._service)
        self._following.want(wanted.values())
        await self._following.ready()
        return discovery.found(
            settings, wanted, self._following.known, self._following.faults
        )

    async def close(self) -> None:
        if self._following is not None:
            await self._following.close()
