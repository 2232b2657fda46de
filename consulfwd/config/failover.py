"""The sections of the settings about names that move with health.

Each key stands here and only here, but for those of checks, in `failover_checks`. What holds
between them is in `failover_rules`.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Literal, get_args

from consulfwd.config import forms, zone_forms
from consulfwd.config.addresses import FILE
from consulfwd.config.failover_checks import CheckSettings
from consulfwd.config.keys import TEXT, Objections, Reader, Section, key, read_section
from consulfwd.config.objections import KeyPath
from consulfwd.config.readers import choice, listing, number, optional, section, switch, text
from consulfwd.config.wording import quoted

IP = IPv4Address | IPv6Address
Answers = Literal["all", "one"]
AllDown = Literal["primary", "all", "none"]

_TTL = number(int, 0, 86_400)
_WEIGHT = number(int, 1, 1_000)
_ADDRESS = text(lambda one: ip_address(forms.upstream_address(one)), "192.0.2.11", IP)
_NAME = text(forms.shown_name, "first")
_CHECKER = text(zone_forms.kv_prefix, "site-a")


class FailoverAddress(Section):
    """An address of a pool, with its weight."""

    address: IP = key(_ADDRESS, "the address, which is checked and given")
    weight: int = key(_WEIGHT, "how much of the pool's answers begin with it", default=1)


_ADDRESS_KEYS = section(FailoverAddress)


def _read_address(value: object, path: KeyPath, objections: Objections) -> object:
    if isinstance(value, dict | FailoverAddress):
        return _ADDRESS_KEYS.read(value, path, objections)
    found = _ADDRESS.read(value, path, objections)
    return None if found is None else FailoverAddress(address=found)


_ADDRESSES = listing(
    Reader(_read_address, shape={"anyOf": [TEXT, {"$ref": FailoverAddress}]}), 64, least=1
)


class PoolSettings(Section):
    """Addresses that are given together."""

    name: str | None = key(
        optional(_NAME), "what it is called; unset: primary, secondary, third, ...", default=None
    )
    addresses: tuple[FailoverAddress, ...] = key(
        _ADDRESSES, "its addresses, each alone or as {address: ..., weight: ...}"
    )


class After(Section):
    """The pool that is better takes over once it was well for so long."""

    after: float = key(number(float, 1, 604_800), "seconds")


Failback = After | Literal["automatic", "manual"]
_FAILBACK_WORD = choice("automatic", "manual")


def _read_failback(value: object, path: KeyPath, objections: Objections) -> object:
    if isinstance(value, After):
        return value
    if isinstance(value, dict):
        return read_section(After, value, path, objections)
    if isinstance(value, str) and value not in ("automatic", "manual"):
        mend = "automatic, manual, or {after: 300}"
        objections.add(path, f"{quoted(value)} is no way of going back", mend)
        return None
    return _FAILBACK_WORD.read(value, path, objections)


FAILBACK = Reader(
    _read_failback,
    "text",
    "automatic, manual, {after: seconds}",
    shape={"anyOf": [{"enum": ["automatic", "manual"]}, {"$ref": After}]},
)


def _all_down(written: str) -> object:
    if written in get_args(AllDown):
        return written
    try:
        return ip_address(forms.upstream_address(written))
    except forms.BadValue:
        what = f"{quoted(written)} is neither primary, all, none nor an address"
        raise forms.BadValue(what, "such as primary") from None


class FlappingSettings(Section):
    """What becomes of an address that comes and goes: it has to be well for longer."""

    window: float = key(
        number(float, 1, 86_400),
        "seconds in which falls count; after each but the first `rise` is doubled",
        default=600.0,
    )
    rise_max: int = key(
        number(int, 1, 1_000), "what `rise` grows to; no more than `rise`: it does not", default=20
    )


class FailoverSettings(Section):
    """A name that is answered from health."""

    pools: tuple[PoolSettings, ...] = key(
        listing(section(PoolSettings), 16, least=1, needed=True),
        "its addresses, by priority: the first pool that is well is given",
    )
    check: CheckSettings = key(section(CheckSettings), "how each address is checked")
    interval: float = key(
        number(float, 0.1, 3_600),
        "seconds from the start of a check to the next, up to a tenth less",
        default=10.0,
    )
    timeout: float | None = key(
        optional(number(float, 0.05, 60)),
        "seconds a check may take; unset: half of `interval`, 5 at most",
        default=None,
    )
    fall: int = key(number(int, 1, 100), "checks that fail in a row until it is down", default=3)
    rise: int = key(number(int, 1, 100), "checks in a row that are well until it is up", default=2)
    flapping: FlappingSettings = key(section(FlappingSettings), default=None)
    failback: Failback = key(
        FAILBACK,
        "when a better pool that is well again takes over: at once, by order, or {after: seconds}",
        default="automatic",
    )
    all_down: AllDown | IP = key(
        text(_all_down, "primary", IP),
        "what is given while no pool is well: the first pool, all addresses, none, or an address",
        default="primary",
    )
    answer: Answers = key(
        choice(*get_args(Answers)),
        "whether all that are up are given, in an order by weight, or one, chosen by weight",
        default="all",
    )
    ttl: int = key(_TTL, "TTL of answers in seconds, less while they may change soon", default=30)
    ttl_min: int = key(_TTL, "the least TTL", default=1)

    @property
    def check_timeout(self) -> float:
        """Seconds a check may take."""
        return min(self.interval / 2, 5.0) if self.timeout is None else self.timeout

    def pool_names(self) -> tuple[str, ...]:
        """Return what the pools are called."""
        usual = "primary", "secondary", "third"
        return tuple(
            one.name or (usual[at] if at < len(usual) else f"pool {at + 1}")
            for at, one in enumerate(self.pools)
        )

    def targets(self) -> Iterator[tuple[int, FailoverAddress]]:
        """Yield each address with its pool, as they stand."""
        for at, pool in enumerate(self.pools):
            for one in pool.addresses:
                yield at, one


class CheckerSettings(Section):
    """Who checks names that move with health, and whose word counts."""

    name: str | None = key(
        optional(_CHECKER), "who this checker is; unset: the host's name", default=None
    )
    checks: bool = key(
        switch(),
        "whether this host checks; if not, it follows those in `checkers`",
        default=True,
    )
    checkers: tuple[str, ...] = key(
        listing(_CHECKER, 31),
        "names of all that check, who tell each other through Consul's KV store; none: only this"
        " host's word counts here",
        default=(),
    )
    quorum: int | None = key(
        optional(number(int, 1, 31)),
        "how many of them must agree; unset: more than half",
        default=None,
    )
    prefix: str = key(
        text(zone_forms.kv_prefix, "consulfwd/failover"),
        "the prefix of the keys they write",
        default="consulfwd/failover",
    )
    every: float = key(
        number(float, 0.2, 600), "seconds between writes while nothing changes", default=10.0
    )
    max_age: float = key(
        number(float, 1, 3_600), "seconds a word counts that is not renewed", default=40.0
    )
    parallel: int = key(number(int, 1, 1_000), "checks under way at a time", default=64)
    state: Path | None = key(
        optional(FILE),
        "folder for what is remembered of states; unset: STATE_DIRECTORY, which systemd sets, or"
        " /var/lib/consulfwd",
        default=None,
    )

    @property
    def wanted(self) -> int:
        """How many must agree."""
        return len(self.checkers) // 2 + 1 if self.quorum is None else self.quorum
