"""The files of one server kept current: with the settings, and with Consul's catalog.

What belongs here: where changes come from, and the jobs they lead to. When to act on them and what
is told is in `follow`, what is in the files in `generate`.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from consulfwd.apply.change import Applied
from consulfwd.apply.jobs import Job
from consulfwd.apply.steps import apply_all
from consulfwd.config import Agent, Settings
from consulfwd.consul.following import Following
from consulfwd.consul.learning import PEERS, TOLD, strangers_told
from consulfwd.errors import ApplyError
from consulfwd.generate import discovery
from consulfwd.generate.cautions import cautions
from consulfwd.generate.requests import Found, Request, jobs
from consulfwd.keep.changes import changes_of
from consulfwd.keep.follow import follow
from consulfwd.keep.quiescence import Quiescence
from consulfwd.upkeep import Upkeep

log = logging.getLogger("consulfwd.keep")


async def look_up(settings: Settings, service: str, tell: Callable[[str], None]) -> Found:
    """Ask Consul once who answers. Raises ConsulError where no agent can be asked.

    `tell` is told what else there is to know, such as that it is a part of them only.
    """
    source = _Catalog(service, tell=tell)
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
    upkeep: Upkeep,
) -> None:
    """Write the files now and whenever the settings or the catalog change, until cancelled.

    `request` reads the settings, again on SIGHUP and when one of `files` (and folders) changes that
    matter to it; what cannot be used then leaves the old in force. With a `service` its healthy
    nodes are the agents; tokens are read again on SIGHUP. No failure ends it.
    """
    asked = request()
    source: _Catalog | None = None

    def changed() -> None:
        nonlocal asked
        with upkeep.reload():
            # Reading settings may take a moment; nothing else runs here that could not wait.
            asked = request()

    def hung_up() -> None:
        changed()
        if source is not None:
            source.renew()

    async with changes_of(files, hung_up, changed) as changes:
        tell = functools.partial(log.warning, "%s")
        if service:
            source = _Catalog(service, changes.set, tell)
            upkeep.wrong = source.wrong
        told: set[str] = set()

        async def made() -> Sequence[Job]:
            found = jobs(asked, await source.found(asked.followed) if source else None)
            now = dict.fromkeys(cautions(asked, found))
            for caution in now.keys() - told:
                tell(caution)
            told.clear()
            told.update(now)
            return found

        def apply(made: Sequence[Job]) -> list[tuple[Job, Applied | ApplyError]]:
            return apply_all(made, checks=checks)

        try:
            await follow(changes, made, quiescence, apply=apply, upkeep=upkeep)
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
        # Who was told of as no server, each with its datacenter.
        self._strangers: set[tuple[str, str]] = set()

    async def found(self, settings: Settings) -> Found:
        """Return who answers. Raises ConsulError where that was never known."""
        agents = settings.consul.agents
        if self._following is None or agents != self._agents:
            before = self._following.beliefs if self._following is not None else ()
            await self.close()
            self._agents = agents
            self._following = Following(agents, self._changed, self._tell, before=before)
        following, wanted = self._following, discovery.wanted(settings, self._service)
        following.want(fact for one in wanted.values() for fact in one.facts)
        await following.ready()
        strangers = discovery.strangers(settings, wanted, following.known)
        if strangers:
            # Servers may have joined since it was last asked who is one.
            asked = (wanted[name].peers for name in strangers)
            await following.again(peers for peers in asked if peers is not None)
            strangers = discovery.strangers(settings, wanted, following.known)
        self._tell_strangers(strangers)
        return discovery.found(settings, wanted, following.known, following.faults)

    def _tell_strangers(self, strangers: Mapping[str, Sequence[str]]) -> None:
        """Tell who is left out, once for each, whether it comes and goes or not."""
        for name, found in strangers.items():
            new = [one for one in found if (name, one) not in self._strangers]
            if new and len(self._strangers) < TOLD:
                self._strangers.update((name, one) for one in new)
                follows = "left out (name agents that are meant in the settings)"
                self._tell(strangers_told(name, new, f"{PEERS} does not: {follows}"))

    def wrong(self) -> list[str]:
        """Return what is wrong with it now, for people."""
        return [] if self._following is None else self._following.wrong()

    def renew(self) -> None:
        """Ask anew, with the tokens there are by then."""
        self._agents = ()

    async def close(self) -> None:
        if self._following is not None:
            await self._following.close()
