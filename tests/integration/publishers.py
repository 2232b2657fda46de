"""Publishers of the same zones, the BIND they write to, and what it says of who wrote when.

Each publisher is `consulfwd zone watch` in a process of its own (`pushing`), and has a key of its
own at BIND: whose update a zone took is in BIND's own log. Zones of which the publishers are hidden
primaries are asked for where they are served.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import dns.exception
import dns.message
import dns.query
import dns.rdatatype
import pytest

from consulfwd.dev.child import Child, Guard
from consulfwd.dev.real import RealAgent, Registration
from tests.integration.elections import after_s
from tests.integration.namespaces import Host
from tests.integration.primaries import APEX, KEY_NAME, SECRET, Primary, start_bind
from tests.integration.pushing import RELEASE, notes
from tests.loopback import free_port

# Whoever is to lose its session has it for so long: no machine ends it before that stands still for
# some seconds. Who is not has it for longer. Short is where it matters to nobody who loses it when.
TTL, DELAY = 10.0, 1.0
CAUGHT = {"ttl": TTL, "lock_delay": DELAY, "retry": 2.0}
LASTING, SHORT = {**CAUGHT, "ttl": 30.0}, {**CAUGHT, "ttl": 5.0}
USUAL = {"ttl": 15.0, "lock_delay": 15.0, "retry": 20.0}
# A slow machine's time, for what has no bound of its own: sessions end later after each election.
PATIENCE_S = 150.0
# Who has which key at BIND.
KEYS = {"one": KEY_NAME, "other": "second"}
INSTANCES = [
    Registration("node1", "app", address="10.1.0.1", port=3000, service_id="app-1"),
    Registration("node2", "app", address="10.1.0.2", port=3000, service_id="app-2"),
]
PRIMARY_ZONE = 'zone "{zone}" {{ type primary; file "{zone}"; {rights} }};\n'
RIGHTS = "allow-update {{ key {0}; key second; }}; allow-transfer {{ key {0}; key second; }};"
_WRITTEN = re.compile(
    r"^(\S+ \S+) client .*/key (\S+): updating zone '([^/']+)/IN': (?:adding|deleting) ", re.M
)


def killed_s(lock: Mapping[str, float] = CAUGHT) -> float:
    """From a kill to the next publisher at most: Consul takes up to twice the TTL, then there is
    the delay; the lock is tried for each second, and it takes a moment to be had."""
    return 2 * lock["ttl"] + lock["lock_delay"] + 5.0


def bounded(
    row: int,
    what: str,
    took: float,
    most: float,
    stalled: float,
    *,
    ends: Mapping[str, float] | None = None,
) -> None:
    """Hold what was measured to its bound, and print both: of a row of the table.

    Consul and BIND have a disk take each write: for so long it was `stalled` meanwhile. Whether the
    end of a session is waited for is said by what its lock is made of (`ends`).
    """
    print(f"row {row}: {what}: {took:.2f} s, {most:g} s at most, disk stalled {stalled:.2f} s")
    assert took <= most + after_s(stalled, ends["ttl"] if ends else 0.0), f"row {row}: {what}"


class Write(NamedTuple):
    """BIND took something: when (time of day), for which zone, of whom."""

    at: float
    zone: str
    who: str


class Bind:
    """A BIND with zones for publishers."""

    def __init__(self, folder: Path, guard: Guard, host: str, zones: Sequence[str]) -> None:
        folder.mkdir()
        for zone in zones:
            (folder / zone).write_text(APEX)
        rights = RIGHTS.format(KEY_NAME)
        text = [PRIMARY_ZONE.format(zone=zone, rights=rights) for zone in zones]
        self.folder = folder
        self.server: Primary = start_bind(folder, guard, host, "".join(text))

    def writes(self) -> list[Write]:
        """Every record of an update that it took, in order."""
        who_has = {key: who for who, key in KEYS.items()}
        try:
            text = (self.folder / "updates.log").read_text()
        except FileNotFoundError:
            return []
        return [
            Write(
                datetime.strptime(at, "%d-%b-%Y %H:%M:%S.%f").timestamp(), zone, who_has[key]
            )
            for at, key, zone in _WRITTEN.findall(text)
        ]


def asked(zone: str, address: str, port: int) -> set[str]:
    """The addresses of `app` in a zone that a server answers with."""
    query = dns.message.make_query(f"app.{zone}", "A")
    try:
        reply = dns.query.tcp(query, address, 2.0, port)
    except (OSError, dns.exception.DNSException):
        return set()
    return {str(one) for found in reply.answer if found.rdtype == dns.rdatatype.A for one in found}


class Publishers:
    """Publishers of the same zones; `zones` says of each name of which kind it is.

    They may be on hosts of their own (`hosts`, at these addresses of `primaries`), and so may BIND.
    Of what their locks are made is said for each (`locks`): usually one is who is caught.
    """

    def __init__(
        self,
        folder: Path,
        guard: Guard,
        zones: Mapping[str, str],
        *,
        locks: tuple[Mapping[str, float], Mapping[str, float]] = (CAUGHT, LASTING),
        hosts: Mapping[str, Host] | None = None,
        bind_host: Host | None = None,
        primaries: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir()
        self.folder = folder
        self.zones = dict(zones)
        self._locks = {who: dict(lock) for who, lock in zip(KEYS, locks, strict=True)}
        self.children: dict[str, Child] = {}
        self._guard = guard
        self._hosts = dict(hosts or {})
        self._runs = itertools.count(1)
        at = primaries or dict.fromkeys(KEYS, "127.0.0.1")
        self._served_at = {}
        for who in KEYS:
            with self._inside(who):
                self._served_at[who] = (at[who], free_port(at[who]))
        address = "127.0.0.1" if bind_host is None else bind_host.addresses["site"]
        self._bind_host = bind_host
        with self._outside():
            updated = [zone for zone, kind in zones.items() if kind == "updated"]
            self.bind = Bind(folder / "bind", guard, address, updated)
        (folder / "key").write_text(SECRET)

    def _inside(self, who: str) -> contextlib.AbstractContextManager[None]:
        return self._hosts[who].inside() if who in self._hosts else contextlib.nullcontext()

    def _outside(self) -> contextlib.AbstractContextManager[None]:
        host = self._bind_host
        return contextlib.nullcontext() if host is None else host.inside()

    def start(
        self,
        who: str,
        agents: Sequence[RealAgent],
        *,
        hold: bool = False,
        token: Path | None = None,
    ) -> Child:
        """Start one of them."""
        path = self.folder / f"{who}.yml"
        path.write_text(json.dumps(self._settings(who, agents, token)))
        asked = {"who": who, "folder": str(self.folder), "hold": hold}
        asked["lock"] = self._locks[who]
        words = [sys.executable, "-m", "tests.integration.pushing"]
        words += [json.dumps(asked), "zone", "watch", "-c", str(path)]
        child = Child(who, words, self.folder / f"{who}.{next(self._runs)}.log", self._guard)
        with self._inside(who):
            child.start()
        self.children[who] = child
        return child

    def _settings(
        self, who: str, agents: Sequence[RealAgent], token: Path | None
    ) -> dict[str, Any]:
        shown = {} if token is None else {"token_file": str(token)}
        (self.folder / who).mkdir(exist_ok=True)
        return {
            "consul": {
                "agents": [
                    {"address": one.address, "dns_port": one.dns_port,
                     "http_port": one.http_port, **shown}
                    for one in agents
                ]
            },
            "zones_state": str(self.folder / who),
            "zones": [
                {"origin": zone, "services": ["app"], "ns": ["ns.example.net"], "interval": 0.2,
                 "removal_delay": 0, "quiescence": 0.2, "targets": [self._target(who, zone)]}
                for zone in self.zones
            ],
        }  # fmt: skip

    def _target(self, who: str, zone: str) -> dict[str, Any]:
        key = {"key_file": str(self.folder / "key")}
        at = f"{self.bind.server.address}:{self.bind.server.port}"
        if self.zones[zone] == "primary":
            listen = "{}:{}".format(*self._served_at[who])
            allow = ["127.0.0.0/8", "10.0.0.0/8"]
            return {"primary": {"listen": [listen], "allow": allow, "key_name": KEY_NAME, **key}}
        return {"rfc2136": {"servers": [at], "key_name": KEYS[who], **key}}

    def log(self, who: str) -> str:
        """What the last one of this name has said."""
        return self.children[who].log.read_text()

    def wait(self, condition: Callable[[], object], what: str) -> float:
        """Wait until something is so; return how long that took."""
        begin = time.monotonic()
        while not condition():
            if time.monotonic() > begin + PATIENCE_S:
                tails = "\n".join(one.tail() for one in self.children.values())
                noted = "\n".join(map(str, notes(self.folder)[-60:]))
                pytest.fail(f"not in {PATIENCE_S:g} s: {what}\n{tails}\n{noted}", pytrace=False)
            time.sleep(0.02)
        return time.monotonic() - begin

    def wait_held(self, who: str) -> None:
        """Wait until it stands still in each zone, at the step of the zone's name."""
        self.wait(
            lambda: set(self.zones) <= {
                one.zone for one in notes(self.folder)
                if one.who == who and one.what == one.zone.partition(".")[0]
            },
            f"{who} stands still everywhere",
        )  # fmt: skip

    def wait_backup(self, who: str, *, of: str = r"\S+") -> None:
        """Wait until it knows of every zone that another one holds it."""
        self.wait(
            lambda: all(
                re.search(rf"consulfwd/zones/{re.escape(zone)}: backup: {of} since", self.log(who))
                for zone in self.zones
            ),
            f"{who} is a backup",
        )  # fmt: skip

    def release(self) -> None:
        """Let those go on that stand still."""
        (self.folder / RELEASE).touch()

    def active(self, who: str, zone: str) -> list[tuple[float, int]]:
        """When it became active, and with which number."""
        return [
            (one.at, one.number) for one in notes(self.folder)
            if (one.who, one.zone, one.what) == (who, zone, "active")
        ]  # fmt: skip

    def wait_active(self, who: str, since: float | None = None) -> float:
        """Wait until it is active everywhere; return how long that took (from `since`, of day)."""
        since = time.time() if since is None else since
        self.wait(
            lambda: all(any(at > since for at, _ in self.active(who, zone)) for zone in self.zones),
            f"{who} is active",
        )  # fmt: skip
        return max(
            min(at for at, _ in self.active(who, zone) if at > since) for zone in self.zones
        ) - since  # fmt: skip

    def addresses(self, zone: str) -> set[str]:
        """What is answered for `app` in a zone, by BIND or by who is active."""
        if self.zones[zone] == "updated":
            with self._outside():
                return asked(zone, self.bind.server.address, self.bind.server.port)
        active = [one.who for one in notes(self.folder) if one[2:4] == (zone, "active")]
        if not active:
            return set()
        with self._inside(active[-1]):
            return asked(zone, *self._served_at[active[-1]])

    def wait_hold(self, addresses: set[str]) -> float:
        """Wait until there are just these for `app` in every zone; return how long that took."""
        left = list(self.zones)

        def held() -> bool:
            left[:] = [zone for zone in left if self.addresses(zone) != addresses]
            return not left

        began = time.monotonic()
        while not held():
            if time.monotonic() > began + PATIENCE_S:
                tails = "\n".join(one.tail() for one in self.children.values())
                found = {zone: self.addresses(zone) for zone in left}
                pytest.fail(f"not {addresses}: {found}\n{tails}", pytrace=False)
            time.sleep(0.05)
        return time.monotonic() - began

    def turns(self, zone: str) -> list[str]:
        """Who wrote to a zone: one after the other, each once for as long as nobody else did."""
        if self.zones[zone] == "primary":
            wrote = [one.who for one in notes(self.folder) if one[2:4] == (zone, "served")]
        else:
            wrote = [one.who for one in self.bind.writes() if one.zone == zone]
        return [who for who, _ in itertools.groupby(wrote)]

    def writes_as_active(self, zone: str) -> None:
        """Whoever wrote to a zone was active by then: in the order in which they were.

        The first may have come no further. Who takes over once more, as Consul had to elect a
        leader, is active anew, and may not have written yet.
        """
        held = [one.who for one in notes(self.folder) if one[2:4] == (zone, "active")]
        wrote = self.turns(zone)
        told = "\n".join(str(one) for one in notes(self.folder) if one.zone == zone)
        logs = "\n".join(one.tail() for one in self.children.values())
        may = [held, held[1:]] + ([held[:-1], held[1:-1]] if len(held) > 2 else [])
        assert wrote in may, f"{zone}: {wrote}, not {held}\n{told}\n{logs}"

    def numbers(self, zone: str) -> list[int]:
        """The numbers of those who were active, in order."""
        return [one.number for one in notes(self.folder) if one[2:4] == (zone, "active")]

    def never_two(self) -> None:
        """Nobody's number was anybody else's, or lower than an earlier one."""
        for zone in self.zones:
            numbers = self.numbers(zone)
            assert numbers == sorted(set(numbers)), (zone, numbers)

    def close(self) -> None:
        for child in self.children.values():
            if child.running and child.frozen:
                child.thaw()
            child.kill()
        self.bind.server.kill()
        for path in self.folder.glob("*.log"):
            text = path.read_text()
            assert "Traceback" not in text, text[-3000:]


@contextlib.contextmanager
def publishers(
    folder: Path, guard: Guard, zones: Mapping[str, str], **more: Any
) -> Iterator[Publishers]:
    """Publishers, ended with the block."""
    made = Publishers(folder, guard, zones, **more)
    try:
        yield made
    finally:
        made.close()
