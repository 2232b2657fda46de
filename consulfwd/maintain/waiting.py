"""What is waited for: that nobody names one any more, that it is well, that all name it again.

What belongs here: looking again and again, until when. Must not know: what is done in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from consulfwd.errors import ConsulError
from consulfwd.maintain import plan
from consulfwd.maintain.asked import Asking, Named
from consulfwd.maintain.instances import Instance, Unit, twins
from consulfwd.maintain.requests import Requests
from consulfwd.maintain.wanted import LATE, Event, Stopped, Tell, Times
from consulfwd.words import duration

# Seconds between two looks; how long all may take to name again who is put back.
PAUSE, AGAIN = 0.2, 30.0
# Seconds after which a check surely has run where Consul does not say how often it does.
RECHECK = 10.0


class Waiting:
    """One unit, while it is out."""

    def __init__(
        self, unit: Unit, requests: Requests, asking: Asking, tell: Tell, times: Times
    ) -> None:
        self.unit = unit
        # Checks that have failed since the command began: what they say now is of after that.
        self.failed: set[str] = set()
        self.ttl = 0
        self._requests = requests
        self._asking = asking
        self._tell = tell
        self._times = times
        self._untold: frozenset[tuple[str, str]] = frozenset()

    async def look(self) -> Named:
        """Return who names it now; TTLs that are seen are remembered."""
        found = await self._asking.look(self.unit, self._untold)
        self.ttl = max(self.ttl, found.ttl)
        return found

    async def before(self, instances: Sequence[Instance]) -> None:
        """See, before anything is done, for how long answers hold, and what DNS cannot tell."""
        self._untold = frozenset(
            one.key
            for one in self.unit.instances
            if twins(one, [other for other in instances if other.service == one.service])
        )
        await self.look()
        services = {one.service for one in self.unit.instances}
        self.ttl = max(self.ttl, await self._requests.query_ttl(services))

    async def unnamed(self, until: float, settle: float) -> None:
        """Wait until nobody names it, and all that was said before has expired. Raises Stopped."""
        silent: set[str] = set()
        while True:
            found = await self.look()
            for one in set(found.silent) - silent:
                self._tell(Event("silent", f"{self.unit}: does not say whom it names: {one}",
                                 {"who": one}, bad=True))  # fmt: skip
            silent.update(found.silent)
            if found.asked and not found.by:
                rest = self.ttl + settle
                if self._times.boot() + rest > until:
                    raise Stopped(
                        f"{self.unit}: answers hold for {duration(self.ttl)} yet, and --for is too"
                        " short for that",
                        LATE,
                    )
                text = f"{self.unit}: named by nobody; {duration(rest)} more for what is cached"
                self._tell(Event("unnamed", text, {"ttl": self.ttl, "settle": settle}))
                await self._times.sleep(rest)
                if not (await self.look()).by:
                    return
            if self._times.boot() > until:
                by = ", ".join(found.by) or "nobody could be asked"
                raise Stopped(f"{self.unit}: is named yet after all of --for: {by}", LATE)
            # All that is on a node is not asked after as often as one.
            await self._times.sleep(PAUSE * max(len(self.unit.instances), 1))

    async def now(self) -> dict[str, tuple[Instance, ...]]:
        """Return all instances of the services it has to do with; what fails is remembered."""
        found = {}
        for service in dict.fromkeys(one.service for one in self.unit.instances):
            found[service] = await self._requests.instances(service)
        for one in self.mine(found):
            self.failed.update(check.id for check in one.own if check.status != "passing")
        return found

    def mine(self, found: dict[str, tuple[Instance, ...]]) -> list[Instance]:
        """Return its own instances."""
        keys = {one.key for one in self.unit.instances}
        return [one for each in found.values() for one in each if one.key in keys]

    async def well(self, until: float, recheck: float | None) -> None:
        """Wait until it is well again, as of now. Raises Stopped."""
        since = self._times.boot()
        told = ""
        while True:
            try:
                wrong = await self._wrong(self._times.boot() - since, recheck)
            except ConsulError as error:
                wrong = [str(error)]
            if not wrong:
                return
            if self._times.boot() > until:
                raise Stopped(f"{self.unit}: is not well after all of --for: {wrong[0]}", LATE)
            if told != (told := wrong[0].partition(":")[0]):
                self._tell(Event("ill", f"{self.unit}: waits: {wrong[0]}", {"why": wrong}))
            await self._times.sleep(PAUSE)

    async def _wrong(self, since: float, recheck: float | None) -> list[str]:
        there = {one.key: one for one in self.mine(await self.now())}
        wrong = []
        for before in self.unit.instances:
            now = there.get(before.key)
            if now is None:
                wrong.append(f"{before} is not registered")
                continue
            wrong += plan.ill(now.own, before.own, self.failed, since, recheck, RECHECK)
        return wrong

    async def named(self) -> tuple[str, ...]:
        """Wait until all that answer name it again; return who does not after a while.

        Of a node, those count that Consul holds to be healthy.
        """
        until = self._times.boot() + AGAIN
        healthy: Sequence[Instance] = ()
        while True:
            try:
                healthy = [one for one in self.mine(await self.now()) if one.healthy]
            except ConsulError as error:
                missing: tuple[str, ...] = (str(error),)
            else:
                unit = replace(self.unit, instances=tuple(healthy))
                found = await self._asking.look(unit, self._untold)
                missing = found.missing if healthy else ("it is not healthy",)
            if not missing or self._times.boot() > until:
                return missing
            await self._times.sleep(PAUSE)
