"""What Consul says of services, kept current for the zones made of them.

What belongs here: which services are followed, what each zone sees of them. Must not know: records,
targets. How Consul is asked is in `consul.following`, what a reply says of instances in `reading`,
which service is to be looked at in `places`, what a zone was told in `views`, why something is in
doubt in `doubts`.

Every service is followed by its own reading, and nothing else is believed. Where there are more
than can be waited for, a few questions that wait tell which one to look at now: the list of
services, the checks that are bad, the numbers of instances. Besides, all are looked at in turn.
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from consulfwd.config import Agent
from consulfwd.config.zones import ZoneSettings
from consulfwd.consul.client import Client
from consulfwd.consul.facts import Fact
from consulfwd.consul.following import Following, connect_to
from consulfwd.consul.reply import Reply
from consulfwd.zones import doubts, whole
from consulfwd.zones.counting import Counting
from consulfwd.zones.learning import Learning
from consulfwd.zones.places import Place
from consulfwd.zones.reading import Instances
from consulfwd.zones.seen import Catalog, Service
from consulfwd.zones.views import View, key_of, shortest

# So many services are followed at most.
MOST_SERVICES = 20_000
# Each is looked at within this part of the least `max_age`, or a quarter more, where possible.
TURN = 0.5
# How old things are is looked at after this part of `max_age`, so many seconds at least, at most.
LOOK_OVER, LOOK_OVER_LEAST, LOOK_OVER_MOST = 0.1, 0.5, 30.0


class Taken(NamedTuple):
    """What is to be told a zone: the services that changed (`Zone.changed`), and `Zone.doubted`.

    One that is gone for certain is without instances and without doubt.
    """

    services: list[Service]
    doubt: str


class Feed:
    """Follows the services that these zones are made of, at the first of `agents` that answers.

    `changed` is called, in the event loop, whenever there may be something to `take` for any zone;
    `tell` with a sentence for people when something is wrong, now and then while it lasts, and when
    it is well again. A zone is named by its settings (by origin and view). An unchanged service is
    the same object each time. Nothing is asked before `ready` or `use`; all of it runs in one loop.
    """

    def __init__(
        self,
        agents: Sequence[Agent],
        settings: Sequence[ZoneSettings],
        changed: Callable[[], None] = lambda: None,
        tell: Callable[[str], None] = lambda text: None,
        *,
        connect: Callable[[Agent], Client] = connect_to,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self._agents = tuple(agents)
        self._changed = changed
        self._tell = tell
        self._connect = connect
        self._clock = clock
        self._sleep = sleep
        self._rng = rng or random.Random()
        self._views = {key_of(one): View(one) for one in settings}
        self._places: dict[str, Place] = {}
        self._now_following: Following | None = None
        self._over = asyncio.Event()
        self._counting: dict[str, Counting] = {}
        self._learning = Learning(self._known)
        self._looking_over: asyncio.Task[None] | None = None
        # How often (seconds) it is looked over how old things are.
        self._every = LOOK_OVER_MOST

    async def ready(self, timeout: float) -> bool:
        """Return True once every service is known, or cannot be: the first round is over.

        False where it is not after `timeout` seconds; it goes on. The catalog says in its doubt
        what is missing.
        """
        if self._now_following is None:
            await self._begin()
        loop = asyncio.get_running_loop()

        async def too_long() -> None:
            await self._sleep(timeout)

        waits = loop.create_task(self._over.wait()), loop.create_task(too_long())
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        return self._over.is_set()

    def catalog(self, zone: ZoneSettings) -> Catalog:
        """Return all there is for a zone; `take` returns what changed after that."""
        return self._views[key_of(zone)].all()

    def take(self, zone: ZoneSettings) -> Taken:
        """Return what changed for a zone since the last `take` or `catalog`."""
        view = self._views[key_of(zone)]
        return Taken(view.take(), view.doubt)

    def faults(self) -> list[str]:
        """Return what is wrong now, for people: refused tokens, what cannot be asked for."""
        found = [] if self._now_following is None else self._following.wrong()
        found += [_too_many(one) for one in self._places.values() if one.over]
        return found + [one.refused for one in self._counting.values() if one.refused]

    async def use(
        self, agents: Sequence[Agent], settings: Sequence[ZoneSettings] | None = None
    ) -> None:
        """Ask these agents from now on, with the tokens there are by now; or for these zones, too.

        What is known stays: no list becomes shorter by that. `ready` tells when all is known that
        these zones want beside. A zone with other settings than before begins anew (`catalog`).
        """
        self._agents = tuple(agents)
        if settings is not None:
            before, self._views = self._views, {}
            for one in settings:
                known = before.get(key_of(one))
                same = known is not None and known.settings == one
                self._views[key_of(one)] = known if known is not None and same else View(one)
        await self._begin()

    async def close(self) -> None:
        """End every task and close every connection."""
        if self._looking_over is not None:
            self._looking_over.cancel()
            await asyncio.gather(self._looking_over, return_exceptions=True)
        for one in self._counting.values():
            await one.close()
        await self._learning.close()
        if self._now_following is not None:
            await self._now_following.close()

    @property
    def _following(self) -> Following:
        assert self._now_following is not None
        return self._now_following

    async def _begin(self) -> None:
        """Follow what there is to be followed, by the agents there are now."""
        await self._learning.close()
        old, before = self._now_following, self._places
        named = dict.fromkeys(one for view in self._views.values() for one in view.datacenters)
        self._places = {one: before.get(one) or Place(one) for one in named}
        counted, self._counting = self._counting, {one: self._counter(one) for one in named}
        self._now_following = Following(
            self._agents,
            tell=self._tell,
            heard=self._heard,
            turn=shortest(self._views.values()) * TURN,
            before=() if old is None else old.beliefs,
            connect=self._connect,
            clock=self._clock,
            sleep=self._sleep,
            rng=self._rng,
        )
        self._over.clear()
        every = shortest(self._views.values()) * LOOK_OVER
        self._every = min(max(every, LOOK_OVER_LEAST), LOOK_OVER_MOST)
        places = list(self._places.values())
        for place in places:
            place.ask_again(functools.partial(self._wanted, place.datacenter))
        facts = [fact for place in places for fact in place.facts.values()]
        self._following.want(facts, first=[hub for place in places for hub in place.hubs])
        for place in places:
            if place.list in self._following.known:
                self._listed(place)
            for fact in place.facts.values():
                self._show(place, fact)
        self._look_at_doubts()
        if self._looking_over is None:
            self._looking_over = asyncio.get_running_loop().create_task(self._look_over())
        for one in counted.values():
            await one.close()
        if old is not None:
            await old.close()

    def _counter(self, datacenter: str) -> Counting:
        async def ask(
            path: str, params: Mapping[str, str], *, timeout: float, limit: int
        ) -> Reply:
            return await self._following.beside(path, params, timeout=timeout, limit=limit)

        def look(which: Callable[[Place], Sequence[Fact] | None]) -> bool:
            place = self._places.get(datacenter)
            found = None if place is None else which(place)
            self._following.look(found or ())
            return bool(found)

        return Counting(
            datacenter,
            ask,
            lambda found: look(lambda place: place.counts_are(found)),
            lambda found: look(lambda place: place.written_are(found)),
            self._tell,
            clock=self._clock,
            sleep=self._sleep,
        )

    def _wanted(self, datacenter: str, name: str) -> bool:
        return any(view.takes(datacenter, name) for view in self._views.values())

    def _heard(self, fact: Fact) -> None:
        """Take it that a question about a fact came to something."""
        place, following = self._places.get(fact.datacenter), self._following
        if place is None:
            return
        if fact == place.list:
            if fact in following.known:
                self._listed(place)
            self._look_at_doubts()
        elif fact in place.checks:
            value = following.known.get(fact)
            if value is not None:
                following.look(place.checks_are(fact, value, following.known))
        elif isinstance(fact, Instances) and fact.name in place.facts:
            self._known(place, fact)

    def _listed(self, place: Place) -> None:
        """Take the list of services of a datacenter."""
        following = self._following
        about = following.about(place.list)
        assert about is not None
        explained = False
        if about.value is not place.seen:
            room = MOST_SERVICES - sum(len(one.facts) for one in self._places.values())
            over = place.over
            wanted = functools.partial(self._wanted, place.datacenter)
            found = place.list_is(about.value, wanted, room)
            if len(found.new) > whole.FEW:
                self._learning.begin(self._following, place, found.new)
            else:
                following.also(found.new)
            following.look(found.look)
            new = len(found.new)
            # Who reads all at once at first need not be told so that there is much.
            explained = bool(found.look or new) if place.index else new > whole.FEW
            for fact in found.look:
                self._known(place, fact)
            if place.over and not over:
                self._tell(_too_many(place))
        if about.index != place.index:
            place.index = about.index
            if not (place.facts and all(map(following.waits, place.facts.values()))):
                self._counting[place.datacenter].due(explained=explained)
        self._complete(place)

    def _known(self, place: Place, fact: Instances) -> None:
        """Take what is known of a service by now."""
        following = self._following
        value = following.known.get(fact)
        if value is None and fact not in following.faults:
            return
        if value and not place.label:
            place.label = value[0].whose.datacenter
            for other in place.facts.values():
                self._show(place, other)
        self._show(place, fact)
        if fact in place.pending:
            place.pending.discard(fact)
            self._complete(place)
        if value == () and fact.name not in place.listed:
            self._gone(place, fact)

    def _gone(self, place: Place, fact: Instances) -> None:
        """Note that a service is gone: it is not listed, and its own reading says so."""
        for view in self._views.values():
            if view.remove((place.label, fact.name)):
                self._changed()
        del place.facts[fact.name]
        self._following.without([fact])

    def _show(self, place: Place, fact: Instances) -> None:
        """Have each zone see what is known of a service, and how well."""
        following = self._following
        value = following.known.get(fact)
        unknown = value is None and fact not in following.faults
        if not place.label or (unknown and not place.complete):
            return
        elsewhere = value is not None and any(
            one.whose.datacenter != place.label for one in value
        )
        which = place.label, fact.name
        hidden = doubts.HIDDEN if value == () and fact.name in place.listed else ""
        for view in self._views.values():
            if not view.takes(place.datacenter, fact.name):
                continue
            doubt = doubts.elsewhere(place.label) if elsewhere else self._doubt(fact, view, hidden)
            instances = view.instances(which) if elsewhere or value is None else value
            if view.put(which, instances, doubt):
                self._changed()

    def _doubt(self, fact: Fact, view: View, hidden: str) -> str:
        following = self._following
        about = following.about(fact)
        proved = self._clock() if about is None else about.proved_until
        return doubts.doubt_of(
            fact,
            following.faults,
            about,
            hidden=hidden,
            age=self._clock() - proved + self._every,
            max_age=view.max_age,
        )

    def _complete(self, place: Place) -> None:
        """Note whether all services of a datacenter are known, or cannot be."""
        if not place.complete and not place.pending:
            place.complete = True
            self._look_at_doubts()

    def _look_at_doubts(self) -> None:
        """Note whether the first round is over, and why each zone's catalog may lack something."""
        faults, places = self._following.faults, self._places.values()
        if all(one.complete or one.list in faults for one in places):
            self._over.set()
        for view in self._views.values():
            found = (self._doubt_at(self._places[one], view) for one in view.datacenters)
            if view.doubted(next(filter(None, found), "")):
                self._changed()

    def _doubt_at(self, place: Place, view: View) -> str:
        nothing = doubts.NOTHING if place.seen == () else ""
        if place.complete and place.facts and not place.label:
            nothing = doubts.ALL_HIDDEN
        if why := self._doubt(place.list, view, nothing):
            return doubts.of_the_list(place.where, why)
        if place.over:
            return _too_many(place)
        return "" if place.complete else doubts.not_all(place.where)

    async def _look_over(self) -> None:
        """See again and again what has grown too old, or is proved again."""
        while True:
            await self._sleep(self._every)
            try:
                for place in self._places.values():
                    for fact in place.facts.values():
                        self._show(place, fact)
                self._look_at_doubts()
            except Exception as error:
                # Without this nothing would grow old.
                context = {"message": "looking over services failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)


def _too_many(place: Place) -> str:
    return doubts.too_many(place.over, MOST_SERVICES, place.where)
