"""One name whose addresses move with health: its states, the pool that is given, its answers.

What belongs here: how `tally`, `verdict`, `forces` and `preference` come to one answer. Must not
know: other records, how checks are made, who is told. Pure: moments are passed in as `Moment`, and
whose votes there are as `Votes`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from consulfwd.config.failover import After, FailoverSettings
from consulfwd.dns import const
from consulfwd.failover import forces, preference
from consulfwd.failover.model import IP, Address, Force, Given, Outcome
from consulfwd.failover.preference import LAST, Failback, Preferred
from consulfwd.failover.remembered import AddressMemory, RecordMemory
from consulfwd.failover.tally import Rules, Tally, after, needed, settled_until
from consulfwd.failover.verdict import Heard, Vote, fresh, verdict

if TYPE_CHECKING:
    from random import Random

_FOREVER = float("inf")
_NONE: tuple[Address, ...] = ()


class Moment(NamedTuple):
    """Now, by the book's clock and as a time of day."""

    now: float
    wall: float


class Votes(NamedTuple):
    """What checkers say, and how many of them must agree, of how many."""

    heard: Mapping[str, Heard]
    quorum: int
    members: int
    max_age: float


class Standing(NamedTuple):
    """What an address counts as: `up` (None: not known), since when (time of day), why; it stays so
    until then (of the book's clock) at least. `forced` and `votes` are as in `AddressState`.
    """

    up: bool | None = None
    since: float = 0.0
    why: str = ""
    until: float = 0.0
    forced: str = ""
    votes: tuple[str, ...] = ()


class Record:
    """A name, and all that is known of it."""

    def __init__(self, name: str, settings: FailoverSettings, began: float) -> None:
        self.name = name
        self.settings = settings
        self.pools = settings.pool_names()
        self.addresses = tuple(
            Address(one.address, pool, one.weight) for pool, one in settings.targets()
        )
        flapping = settings.flapping
        self.rules = Rules(
            settings.interval, settings.fall, settings.rise, flapping.window, flapping.rise_max
        )
        back = settings.failback
        waits = back.after if isinstance(back, After) else None
        self.failback = Failback(0.0 if back == "automatic" else waits)
        self.began = began
        self.tallies = {one.ip: Tally() for one in self.addresses}
        self.standings = {one.ip: Standing() for one in self.addresses}
        # What a quorum said last, whatever is forced.
        self._agreed: dict[IP, Standing] = {}
        self.preferred: Preferred | None = None
        self.given: Given | None = None
        self.since = 0.0
        # Whether a first round is over, or what is remembered is young enough to do without.
        self.begun = False
        # What is given surely stays so until then (of the book's clock).
        self.until = 0.0
        self._of_type: dict[int, tuple[Address, ...]] = {}

    def noted(self, ip: IP, outcome: Outcome, moment: Moment) -> None:
        """Count a check; what it comes to `settle` says."""
        before = self.tallies.get(ip)
        if before is not None:
            self.tallies[ip] = after(before, outcome, moment.now, moment.wall, self.rules)

    def ballot(self) -> dict[IP, Vote]:
        """Return what this checker says of each address."""
        return {ip: _vote(one) for ip, one in self.tallies.items()}

    def remembered(self, now: float) -> RecordMemory | None:
        """Return what another process should know of it; None while nothing is known."""
        if self.preferred is None:
            return None
        at = self.preferred.pool
        found = {}
        for ip, one in self.tallies.items():
            known = self._known(ip)
            if known.up is not None:
                ages = tuple(now - at for at in one.falls)
                found[ip] = AddressMemory(known.up, known.since, known.why, ages)
        return RecordMemory("" if at == LAST else self.pools[at], self.since, found)

    def restore(self, memory: RecordMemory, *, young: bool, saved: float, now: float) -> None:
        """Take over what was remembered at `saved`, by the clock of `now`.

        What is `young` counts as if it had been checked.
        """
        for ip, one in memory.addresses.items():
            if ip in self.tallies:
                falls = tuple(saved - age for age in one.falls)
                self.tallies[ip] = Tally(
                    one.up, young, since=one.since, started=now, why=one.why, falls=falls
                )
                self._agreed[ip] = Standing(one.up, one.since, one.why)
        if memory.pool in self.pools:
            none_yet = (None,) * len(self.pools)
            self.preferred = Preferred(self.pools.index(memory.pool), none_yet)
        self.since = memory.since
        self.begun = young and self.tallies.keys() <= memory.addresses.keys()

    def _known(self, ip: IP) -> Standing:
        """Return what an address is, whatever is forced."""
        one = self.tallies[ip]
        return self._agreed.get(ip) or Standing(one.up, one.since, one.why)

    def take_over(self, before: Record) -> None:
        """Go on where the record of that name was, by other settings."""
        for ip in self.tallies.keys() & before.tallies.keys():
            tally, known = before.tallies[ip], before._known(ip)
            # One who did not check until now begins with what others said.
            self.tallies[ip] = tally if tally.up is not None else tally._replace(up=known.up)
            self._agreed[ip] = known
            self.standings[ip] = before.standings[ip]
        self.begun, self.began = before.begun, before.began
        kept = before.preferred
        if kept is not None and before.pools == self.pools:
            self.preferred = kept
        self.since, self.given = before.since, before.given

    def settle(
        self,
        moment: Moment,
        forced: Sequence[Force] = (),
        votes: Votes | None = None,
        *,
        back: bool = False,
    ) -> None:
        """Decide anew what is given; `back` is that people want the best pool at once."""
        if votes is None:
            self._agreed.clear()
        standings = {one.ip: self._standing(one, moment, forced, votes) for one in self.addresses}
        self.standings = standings
        if not self.begun:
            self.begun = self._round_is_over(moment, votes)
        before = self.given
        self.given, given = None, _NONE
        if self.begun and self._can_tell():
            self.preferred = preference.prefer(
                self.preferred, self._well(), moment.now, self.failback, ordered=back
            )
            given = self._addresses(self.preferred.pool)
            self.given = self._given(self.preferred.pool, given)
        if _parts(before) != _parts(self.given):
            self.since = moment.wall
        self._of_type = {
            const.A: tuple(one for one in given if one.ip.version == 4),
            const.AAAA: tuple(one for one in given if one.ip.version == 6),
        }
        self.until = self._stays_until(given)

    def answer(self, rtype: int, rng: Random, now: float) -> Given | None:
        """Return what a query of a type is answered with: addresses in an order by weight."""
        given = self.given
        if given is None:
            return None
        found = spread(self._of_type.get(rtype, ()), rng, one=self.settings.answer == "one")
        return Given(found, self.ttl(now), given.pool, given.why)

    def ttl(self, now: float) -> int:
        """Return the TTL of an answer given now: as long as it surely stays, within its limits."""
        return lasting(self.until - now, self.settings.ttl, self.settings.ttl_min)

    def due(self) -> float | None:
        """Return when a better pool takes over by itself, of the book's clock."""
        found = self.waiting()
        return None if found is None else found[1]

    def waiting(self) -> tuple[int, float | None] | None:
        """Return the better pool that waits, and until when (None: until people say so)."""
        if self.preferred is None:
            return None
        return preference.waiting(self.preferred, self.failback)

    def _standing(
        self, address: Address, moment: Moment, forced: Sequence[Force], votes: Votes | None
    ) -> Standing:
        if votes is None:
            tally = self.tallies[address.ip]
            until = settled_until(tally, moment.now, self.rules)
            found = Standing(tally.up, tally.since, tally.why, until)
        else:
            found = self._voted(address.ip, moment, votes)
        force = forces.of(forced, self.name, self.pools[address.pool], address.ip)
        if force is None:
            return found
        left = _FOREVER if force.until is None else moment.now + force.until - moment.wall
        why = f"forced {force.to} by {force.by}" + (f": {force.reason}" if force.reason else "")
        return Standing(
            force.to == forces.UP, force.at, why, left, force.to, found.votes
        )

    def _voted(self, ip: IP, moment: Moment, votes: Votes) -> Standing:
        """Return what several checkers say of an address: without a quorum, what it was."""
        before = self._agreed.get(ip, Standing())
        counted = self._counted(ip, moment, votes)
        told = tuple(f"{who}: {'up' if one.up else 'down'}" for who, one in sorted(counted.items()))
        found = verdict(counted, votes.quorum, votes.members, self.rules)
        until = moment.now + found.holds
        if found.up is None or found.up is before.up:
            known = before._replace(until=until, votes=told)
        else:
            known = Standing(found.up, moment.wall, found.why, until, votes=told)
        self._agreed[ip] = known
        return known

    def _round_is_over(self, moment: Moment, votes: Votes | None) -> bool:
        if votes is None:
            return all(one.last is not None for one in self.tallies.values())
        if any(one.up is None for one in self.standings.values()):
            return False
        # Those who are silent for so long do not end a memory's right to be used.
        return moment.now - self.began >= votes.max_age or all(
            len(self._counted(one.ip, moment, votes)) >= votes.quorum for one in self.addresses
        )

    def _counted(self, ip: IP, moment: Moment, votes: Votes) -> dict[str, Vote]:
        return fresh(votes.heard, self.name, ip, moment.now, votes.max_age)

    def _can_tell(self) -> bool:
        """Whether something is up, or all is known not to be: anything else would be a guess.

        Where there was an answer before, one that was never known may be looked for in vain.
        """
        if any(one.up for one in self.standings.values()):
            return True
        unknown = [ip for ip, one in self.standings.items() if one.up is None]
        looked = all(self.tallies[ip].last or self.standings[ip].votes for ip in unknown)
        return not unknown or (self.preferred is not None and looked)

    def _well(self) -> list[bool]:
        well = [False] * len(self.pools)
        for one in self.addresses:
            well[one.pool] = well[one.pool] or self.standings[one.ip].up is True
        return well

    def _addresses(self, at: int) -> tuple[Address, ...]:
        if at != LAST:
            return tuple(
                one for one in self.addresses if one.pool == at and self.standings[one.ip].up
            )
        last = self.settings.all_down
        if last == "none":
            return ()
        if last == "primary":
            return tuple(one for one in self.addresses if one.pool == 0)
        return self.addresses if last == "all" else (Address(last, LAST),)

    def _given(self, at: int, addresses: tuple[Address, ...]) -> Given:
        if at == LAST:
            why = f"no pool is well: {self.settings.all_down} is given until one is"
            return Given(addresses, self.settings.ttl, None, why)
        among = sum(1 for one in self.addresses if one.pool == at)
        why = f"{self.pools[at]} is well, {len(addresses)} of {among} up"
        bad = [one for one in self.addresses if one.pool == 0 and not self.standings[one.ip].up]
        if at and bad:
            why += f"; {self.pools[0]}: {self.standings[bad[0].ip].why}"
        elif at:
            why += f"; {self.pools[0]} is well again, and waits"
        return Given(addresses, self.settings.ttl, at, why)

    def _stays_until(self, given: tuple[Address, ...]) -> float:
        """Return until when the answer surely stays: of the last resort, until any may rise."""
        at = LAST if self.preferred is None else self.preferred.pool
        among = self.addresses if at == LAST else given
        return min((self.standings[one.ip].until for one in among), default=_FOREVER)

    def needed(self, ip: IP, now: float) -> int:
        """Return how many checks in a row it takes until an address is the other thing."""
        return needed(self.tallies[ip], now, self.rules)


def spread(found: tuple[Address, ...], rng: Random, *, one: bool) -> tuple[Address, ...]:
    """Return addresses as an answer has them: in an order by weight, or `one` of them."""
    if len(found) < 2:
        return found
    # The order of Efraimidis and Spirakis: each comes first in proportion to its weight.
    found = tuple(sorted(found, key=lambda each: -(rng.random() ** (1.0 / each.weight))))
    return found[:1] if one else found


def lasting(left: float, ttl: int, ttl_min: int) -> int:
    """Return the TTL of what surely stays for so many seconds more, within its limits."""
    whole = ttl if math.isinf(left) else int(max(left, 0.0))
    return max(ttl_min, min(ttl, whole))


def _vote(tally: Tally) -> Vote:
    if tally.abstains:
        return Vote(None)
    # Why something is well nobody asks, and words must be short.
    return Vote(tally.up, tally.in_a_row, "" if tally.up else tally.why)


def _parts(given: Given | None) -> tuple[int | None, tuple[Address, ...]] | None:
    return None if given is None else (given.pool, given.addresses)
