"""What must hold between the keys of names that move with health.

Each objection names the key at fault by its path from the root of the settings. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv6Address

from consulfwd.config import failover_checks
from consulfwd.config.failover import IP, CheckerSettings, FailoverSettings
from consulfwd.config.objections import KeyPath, Objection

# A checker tells of all of them in one key of Consul's, which holds 512 KiB.
MOST_ADDRESSES = 2_000


def conflicts(
    records: Mapping[str, FailoverSettings], checker: CheckerSettings
) -> Iterator[Objection]:
    """Yield what makes them unusable."""
    for name, record in records.items():
        yield from _of_record(("failover", name), record)
    number = sum(1 for record in records.values() for _ in record.targets())
    if number > MOST_ADDRESSES:
        what = f"has {number} addresses in all"
        yield Objection(("failover",), what, f"{MOST_ADDRESSES} at most, checked by one host")
    if records:
        yield from _of_checker(("failover_checker",), checker)


def _of_record(path: KeyPath, record: FailoverSettings) -> Iterator[Objection]:
    seen: dict[IP, KeyPath] = {}
    for at, pool in enumerate(record.pools):
        for number, one in enumerate(pool.addresses):
            here = (*path, "pools", at, "addresses", number)
            yield from _of_address(here, one.address)
            if one.address in seen:
                what = f"{one.address} is in a pool already"
                yield Objection(here, what, "take one of them out", (seen[one.address],))
            seen.setdefault(one.address, here)
    yield from failover_checks.conflicts((*path, "check"), record.check)
    names = record.pool_names()
    for at, name in enumerate(names):
        if name in names[:at]:
            what = f"{name} is the name of another pool"
            mend = "name them differently"
            first = (*path, "pools", names.index(name))
            yield Objection((*path, "pools", at), what, mend, (first,))
    if record.check_timeout > record.interval:
        yield Objection(
            (*path, "timeout"),
            f"{record.check_timeout:g} is more than interval, {record.interval:g}",
            "a check must be over when the next one begins",
            ((*path, "interval"),),
        )
    if record.ttl_min > record.ttl:
        what = f"{record.ttl_min} is more than ttl, {record.ttl}"
        mend = "lower ttl_min or raise ttl"
        yield Objection((*path, "ttl_min"), what, mend, ((*path, "ttl"),))
    if not isinstance(record.all_down, str):
        yield from _of_address((*path, "all_down"), record.all_down)


def _of_address(path: KeyPath, address: IP) -> Iterator[Objection]:
    if isinstance(address, IPv6Address) and address.scope_id:
        what = f"{address} is an address of one link, which a record cannot say"
        yield Objection(path, what, "name one that others can reach")


def _of_checker(path: KeyPath, checker: CheckerSettings) -> Iterator[Objection]:
    names = checker.checkers
    for at, name in enumerate(names):
        if name in names[:at]:
            first = (*path, "checkers", names.index(name))
            yield Objection(
                (*path, "checkers", at), f"{name} is in the list already", "take it out", (first,)
            )
    if not names:
        if not checker.checks:
            what = "nobody checks: checks is false, and checkers are not given"
            mend = "name the hosts that check in checkers"
            yield Objection((*path, "checks"), what, mend)
        if checker.quorum is not None and checker.quorum > 1:
            what = f"{checker.quorum} checkers must agree, and none are named"
            yield Objection((*path, "quorum"), what, "name them in checkers, or take it out")
        return
    if checker.checks and checker.name is not None and checker.name not in names:
        yield Objection(
            (*path, "name"),
            f"{checker.name} checks, and checkers do not name it",
            "add it there, or write checks: false",
            ((*path, "checkers"),),
        )
    # With half of them or fewer, both sides of a cut could have their way.
    least, most = len(names) // 2 + 1, len(names)
    if not least <= checker.wanted <= most:
        what = f"{checker.wanted} of {most} is not more than half of them, or more than all"
        mend = f"{least} to {most}"
        yield Objection((*path, "quorum"), what, mend, ((*path, "checkers"),))
    if checker.max_age < 2 * checker.every:
        yield Objection(
            (*path, "max_age"),
            f"{checker.max_age:g} is less than twice every, {checker.every:g}",
            "one lost write would be enough to hold all states",
            ((*path, "every"),),
        )
