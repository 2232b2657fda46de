"""One zone: from what Consul says to what is to be done at a target.

What belongs here: the order of the decisions, and how much of them must be made again. Must not
know: clocks, targets, how anything is asked or written. Pure.

Nothing is done anew but what changed: a service is laid out when a standing of its instances is
another one, and a target is compared where it and the zone may differ, as long as it is as we left
it (by its mark).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from consulfwd.config.zones import ZoneSettings
from consulfwd.dns import const, names
from consulfwd.zones.assembly import Assembly
from consulfwd.zones.budget import Allowance, Budget
from consulfwd.zones.certain import Certain
from consulfwd.zones.claims import Contribution, Group, Objection, told
from consulfwd.zones.deciding import Deciding, balance, wishes
from consulfwd.zones.explaining import Explaining
from consulfwd.zones.guards import Judged, Kind, Reason, clear_of, consistent, withhold
from consulfwd.zones.known import Known
from consulfwd.zones.lasting import Lasting, Offered
from consulfwd.zones.layout import Layout
from consulfwd.zones.listed import Listed
from consulfwd.zones.memory import Memory
from consulfwd.zones.model import Act, Key, Records
from consulfwd.zones.moving import Moving, Placed
from consulfwd.zones.naming import Naming
from consulfwd.zones.plan import Plan, Totals
from consulfwd.zones.seen import Catalog, Service, Whose
from consulfwd.zones.steady import Grade, Standing, Steady
from consulfwd.zones.target import Base

# Names that nobody has any more, of which it is remembered who had them.
MOST_CERTAIN = 100_000


class Zone:
    """One zone. Times are those of one clock of the caller's, which only goes forward."""

    def __init__(self, settings: ZoneSettings, now: float, memory: Memory | None = None) -> None:
        known = memory or Memory()
        self.settings = settings
        self.origin = settings.origin
        self.naming = Naming(settings)
        self._layout = Layout(settings, self.naming)
        self._steady = Steady(settings, now, known.penalised)
        self._lasting = Lasting(
            settings.last, lambda one: self.naming.groups(one.whose, one.offer), known.kept
        )
        self._assembly = Assembly(settings.most_records)
        names_in = names.from_text(settings.names_in) if settings.names_in else b""
        self._explaining = Explaining(self.naming, names_in)
        self._listed = Listed()
        self._held: dict[str, tuple[Objection, ...]] = {}
        self._doubt = "Consul was not heard yet"
        self._targets: dict[str, Known] = {}
        self._certain = Certain()
        self.moving = Moving(() if self.naming.reverse else settings.failover)
        for target, spent in known.spent.items():
            budget = Budget(settings.budget, now, spent)
            self._targets[target] = Known(budget, self.moving.goes_on)
        self._put_own()

    @property
    def wanted(self) -> Records:
        """What the zone shall hold, without the records of its apex; it changes with `see`."""
        return self._assembly.wanted

    @property
    def doubt(self) -> str:
        """Why a service that is not in the catalog may not be taken for gone, "" if it may."""
        return self._doubt

    @property
    def catalog(self) -> str:
        """A digest of what Consul said."""
        return self._listed.digest

    def given(self, name: str) -> list[Service]:
        """Return what Consul says of a service, by datacenter."""
        found = (self._listed.given((one, name)) for one in self._listed.datacenters(name))
        return [one for one in found if one is not None]

    def names(self) -> list[str]:
        """Return the services of the catalog that are taken, sorted."""
        return self._listed.names()

    def standings(self, name: str) -> dict[Whose, Standing]:
        """Return what each instance of a service counts as."""
        return {one.member.whose: one for one in self._standings(name)}

    def offered(self, name: str) -> Offered:
        """Return who is offered under each name of a service."""
        return self._lasting.now(name)

    def held(self, name: str) -> tuple[Objection, ...]:
        """Return the instances of a service that count otherwise than Consul says just now."""
        return self._held.get(name, ())

    def objections(self) -> list[Objection]:
        """Return what cannot be in the zone, and why."""
        return list(self._assembly.objections())

    def groups_of(self, name: bytes) -> list[Group]:
        """Return whose name that is or may be, of the services there are."""
        named = self._explaining.origin(Act(Key(name, const.A), None, None))
        found = set(named.groups)
        known = {one.service for one in found}
        claiming = {one for one in self._assembly.services_at(name) if one} - known
        return sorted(found | {Group(one) for one in claiming})

    def see(self, catalog: Catalog, now: float) -> bool:
        """Take the whole catalog; return whether there may be something to push.

        What is not in it is gone, unless it is in doubt.
        """
        gone = [which for which in self._listed.services if which not in catalog.services]
        found = [Service(*which, (), catalog.doubt) for which in gone]
        # What is the very same is known: that makes it cheap to be told of all again and again.
        found += [
            service for which, service in catalog.services.items()
            if self._listed.given(which) is not service
        ]  # fmt: skip
        lifted = self.doubted(catalog.doubt)
        return self.changed(found, now) or lifted

    def doubted(self, why: str) -> bool:
        """Note why a service that is not in the catalog may not be taken for gone, "" if it may.

        Return whether there may be something to push by that.
        """
        before, self._doubt = self._doubt, why
        return bool(before) and not why

    def changed(self, services: Iterable[Service], now: float) -> bool:
        """Take what changed; return whether there may be something to push.

        A service without instances and without doubt is gone.
        """
        again = set()
        for service in services:
            if not self.naming.takes(service.name, service.datacenter):
                continue
            which = service.datacenter, service.name
            doubted = self._steady.doubt(*which)
            moved = self._steady.see(service, now)
            self._note(service)
            if moved or doubted != self._steady.doubt(*which):
                again.add(service.name)
        return self._lay_out(again)

    def moved(self, placed: Mapping[str, Placed | None]) -> bool:
        """Take where names are that move with health; return whether there is something to push."""
        if not self.moving.take(placed):
            return False
        keys = self._put_own()
        for target in self._targets.values():
            target.touch(keys)
        # What waited may wait no more.
        return True

    def wake(self, now: float) -> bool:
        """Note that time has passed; return whether there may be something to push."""
        found = [one.budget.due() for one in self._targets.values()]
        late = any(due is not None and due <= now for due in found)
        return self._lay_out({name for _, name in self._steady.wake(now)}) or late

    def due(self) -> float | None:
        """Return when to call `wake` and to plan anew, None for never by time alone."""
        found = [one.budget.due() for one in self._targets.values()]
        times = [one for one in (self._steady.due(), *found) if one is not None]
        return min(times, default=None)

    def plan(
        self,
        base: Base,
        now: float,
        target: str = "",
        allowance: Allowance | None = None,
        hold: str = "",
    ) -> Plan:
        """Return what is to be done to a target that holds `base`. Nothing is done by that.

        `hold` is why nothing may be withdrawn at all, "" if it may.
        Work is in proportion to what changed since the target had this mark, and was planned for
        or pushed to; else to all there is.
        """
        known = self._target(target, now)
        acts = known.compare(base, self._assembly.wanted)
        deciding = self._deciding()

        def reason(act: Act) -> Reason | None:
            if hold and not self.moving.goes_on(act.key.name):
                return Kind.MEMORY, hold
            return deciding.reason(act)

        judged = clear_of(base.foreign, self.naming.origin, acts)
        judged = _further(judged, withhold(judged.acts, reason), base)
        unit = deciding.units(judged.acts)
        wanted = wishes(self._counted(judged.acts, base), base.ours, unit)
        verdict = known.budget.judge(wanted, known.totals, now, allowance)
        if verdict.of:
            spent = Kind.BUDGET, verdict.why
            kept: dict[bytes, set[bytes]] = {}
            for name, address in verdict.kept:
                kept.setdefault(name, set()).add(address)

            def over(act: Act) -> bool:
                name = act.key.name
                return unit(act) in verdict.over or name in verdict.parts or name in kept

            held = withhold(
                judged.acts,
                lambda act: spent if over(act) else None,
                lambda act: frozenset(kept[act.key.name]) if act.key.name in kept else None,
            )
            judged = _further(judged, held, base)
        lost, came = balance(judged.acts, base.ours)
        return Plan(
            zone=self.settings.origin,
            view=self.settings.view or "",
            target=target,
            mark=base.mark,
            catalog=self.catalog,
            # Judging leaves them in their order.
            acts=tuple(judged.acts),
            withheld=tuple(sorted(judged.withheld, key=lambda one: one.act.key.order())),
            objections=tuple(self._assembly.objections()),
            held=tuple(one for name in sorted(self._held) for one in self._held[name]),
            before=known.totals,
            after=Totals(
                known.totals.names - len(lost.names) + len(came.names),
                known.totals.addresses - len(lost.addresses) + len(came.addresses),
            ),
            vanish=lost.names,
            appear=came.names,
            over=verdict.number,
            over_of=tuple(sorted(verdict.of)),
            spends=verdict.spends,
        )

    def begun(self, plan: Plan, now: float) -> bool:
        """Note that a plan is about to be carried out; return whether anything goes by it.

        What goes counts from now on, whatever becomes of the plan: until it is seen to be there.
        """
        return self._target(plan.target, now).begun(plan, now)

    def pushed(self, plan: Plan, now: float, mark: str) -> None:
        """Note that a plan was carried out, and what mark the target has by that.

        "" is for one that was done in part: what is there is looked at anew.
        """
        if self._target(plan.target, now).pushed(plan, now, mark, self._assembly.wanted):
            self._forget()

    def memory(self, now: float) -> Memory:
        """Return what must be remembered where this goes on in another process."""
        spent = {target: one.budget.spent(now) for target, one in self._targets.items()}
        return Memory(
            penalised=tuple(self._steady.penalised(now)),
            kept=dict(self._lasting.all_kept()),
            # Of targets that are no more only as long as it matters.
            spent={
                target: one for target, one in spent.items()
                if self._targets[target].mark is not None or one.names or one.addresses
            },
        )  # fmt: skip

    def _target(self, target: str, now: float) -> Known:
        if target not in self._targets:
            budget = Budget(self.settings.budget, now)
            self._targets[target] = Known(budget, self.moving.goes_on)
        return self._targets[target]

    def _put_own(self) -> set[Key]:
        """Put in what no service has: aliases, and names that move; return what differs."""
        found = self._layout.aliases()
        own = Contribution(
            "",
            {**found.claims, **self.moving.claims()},
            (*found.objections, *self.moving.objections()),
        )
        return self._assembly.put(own)

    def _counted(self, acts: list[Act], base: Base) -> list[Act]:
        """Return the acts that the budget is for: not those by which a name moves, and stays."""
        if not any(self.moving.goes_on(act.key.name) for act in acts):
            return acts
        lost, _ = balance(acts, base.ours)
        return [
            act for act in acts
            if act.key.name in lost.names or not self.moving.goes_on(act.key.name)
        ]  # fmt: skip

    def _forget(self) -> None:
        """Forget whose names were that nobody has: once they are gone, or if it is too many."""
        waiting = any(one.touched for one in self._targets.values())
        if not waiting or len(self._certain) > MOST_CERTAIN:
            self._certain.clear()

    def _deciding(self) -> Deciding:
        return Deciding(
            doubt=self._doubt,
            doubtful=min((name for _, name in self._steady.doubts()), default=""),
            doubt_of=self._doubt_of,
            there=lambda group: self._lasting.has(group, self._standings(group.service)),
            offered=lambda group: group in self._lasting.now(group.service),
            certain=self._certain,
            keeps_last=self.settings.last == "keep",
            srv=self.settings.srv,
            explaining=self._explaining,
            assembly=self._assembly,
            moving=self.moving,
        )

    def _doubt_of(self, name: str) -> str:
        found = (self._steady.doubt(one, name) for one in self._listed.datacenters(name))
        return next(filter(None, found), "")

    def _standings(self, name: str) -> Iterator[Standing]:
        for one in self._listed.datacenters(name):
            yield from self._steady.standings(one, name)

    def _note(self, service: Service) -> None:
        """Note whether a service is in the catalog, and what is said of it."""
        which = service.datacenter, service.name
        there = bool(self._steady.standings(*which)) or bool(service.doubt)
        if not self._listed.put(service, there=there):
            return
        if not there:
            self._explaining.remove(service.name)
            return
        self._explaining.add(service.name)
        self._certain.back(service.name)

    def _lay_out(self, services: Iterable[str]) -> bool:
        changed = False
        for name in sorted(services):
            standings = list(self._standings(name))
            offered = self._lasting.offered(name, standings)
            keys = self._assembly.put(self._layout.of(name, offered))
            self._hold(name, standings)
            without_doubt = not self._doubt_of(name)
            for key in keys:
                gone = not any(True for _ in self._assembly.services_at(key.name))
                if gone and without_doubt:
                    self._certain.put(key.name, name)
                else:
                    self._certain.discard(key.name)
            for target in self._targets.values():
                target.touch(keys)
            changed = changed or bool(keys)
            # What waited may be in doubt no more.
            changed = changed or any(one.touched for one in self._targets.values())
        return changed

    def _hold(self, name: str, standings: Iterable[Standing]) -> None:
        kept = {whose for group in self._lasting.kept(name).values() for whose in group}
        found = []
        for member, grade, why in standings:
            if member.whose in kept:
                why = f"{grade.value}, and kept as the last there is"
            elif grade is Grade.SUPPRESSED:
                why = grade.value
            if why:
                found.append(Objection(told(member.whose), why))
        if found:
            self._held[name] = tuple(found)
        else:
            self._held.pop(name, None)


def _further(so_far: Judged, judged: Judged, base: Base) -> Judged:
    return consistent(Judged(judged.acts, so_far.withheld + judged.withheld), base.ours)
