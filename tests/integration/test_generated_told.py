"""What other settings of a server make of the generated files is told once they are in force."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consulfwd.config import Settings
from consulfwd.dev.child import Child, Guard
from consulfwd.dev.real import RealCluster
from consulfwd.generate.building import build
from consulfwd.generate.model import NameServer
from consulfwd.generate.verifying import works
from consulfwd.servers.target import parse_version
from consulfwd.servers.targets import TARGETS
from tests.integration.conftest import NEWEST, OLDEST
from tests.integration.generating import MAINS, Case, run
from tests.integration.places import addresses
from tests.integration.recursors import HOST, Recursor
from tests.integration.test_generated import (
    finds_outside,
    included,
    settings_for,
    write_files,
)
from tests.loopback import free_port


def validating(folder: Path) -> None:
    """As by default, for clients that ask for it, and without the lines for its Lua file."""
    (folder / "main.lua").write_text("")
    main = folder / "recursor.conf"
    main.write_text(main.read_text().replace("dnssec=validate", "dnssec=process"))


def keeping(folder: Path) -> None:
    """For a least time, each in its own words."""
    main = folder / "main.conf"
    text = main.read_text()
    for before, said in (
        ("server:\n", "    cache-min-ttl: 30\n"),
        ("options {\n", "    min-cache-ttl 30;\n"),
    ):
        text = text.replace(before, before + said, 1)
    main.write_text(text)


def keeping_later(folder: Path) -> None:
    """Set after the generated file has set it."""
    main = folder / "main.conf"
    main.write_text(f"{main.read_text()}event.after(100, function () cache.min_ttl(30) end)\n")


@NEWEST
@pytest.mark.parametrize(
    ("server", "change", "told"),
    [
        ("pdns-recursor", validating, "SERVFAIL for clients that ask for DNSSEC"),
        ("unbound", keeping, "may be kept for 30 s"),
        ("bind", keeping, "may be kept for 30 s"),
        ("kresd", keeping_later, "may be kept for 30 s"),
    ],
)
def test_it_is_told(
    server: str,
    change: Callable[[Path], None],
    told: str,
    cluster: RealCluster,
    bind: Recursor,
    guard: Guard,
    tmp_path: Path,
) -> None:
    target = TARGETS[server]
    version = parse_version(target, run([*target.ask_version]))
    port = free_port(HOST)
    generated = tmp_path / "generated"
    generated.mkdir()
    settings = settings_for(cluster, bind.port, port)
    site = build(settings, version, include=included(target, generated), kinds=target.kinds)
    command = MAINS[server](
        Case(tmp_path, write_files(site, target, set(), generated), port, bind.port)
    )
    change(tmp_path)
    child = Child(server, command, tmp_path / "server.log", guard)
    child.start()
    lines: list[str] = []
    try:
        child.wait_until(lambda: finds_outside(port), "answering")
        assert works(NameServer(HOST, port), site, tell=lines.append) == ""
    finally:
        child.kill()
    (line,) = lines
    assert line.startswith(f"consul.service.consul A at {HOST}:{port}")
    assert told in line


@OLDEST
def test_denials_of_an_alternative_domain_are_from_another_zone(
    consul_binary: Path, bind: Recursor, guard: Guard, tmp_path: Path
) -> None:
    """Before Consul 1.11 they have the SOA of its domain, for which BIND takes them for false."""
    target = TARGETS["bind"]
    version = parse_version(target, run([*target.ask_version]))
    port = free_port(HOST)
    (tmp_path / "generated").mkdir()
    with RealCluster(
        consul_binary,
        addresses(67, 11),
        workdir=tmp_path / "consul",
        extra={"alt_domain": "sd.example"},
    ) as old:
        (agent,) = old.servers
        where = f"{agent.address}:{agent.dns_port}"
        given: dict[str, Any] = {"consul": {"agents": [where], "alt_domains": ["sd.example"]}}
        site = build(Settings(**given), version, kinds=target.kinds)
        files = write_files(site, target, set(), tmp_path / "generated")
        child = Child(
            "bind",
            MAINS["bind"](Case(tmp_path, files, port, bind.port)),
            tmp_path / "server.log",
            guard,
        )
        child.start()
        try:
            child.wait_until(lambda: finds_outside(port), "answering")
            wrong = works(NameServer(HOST, port), site)
        finally:
            child.kill()
    assert wrong == (
        f"consul.service.sd.example AAAA at {HOST}:{port}: SERVFAIL, while {where} itself says"
        " NOERROR with no records, with the SOA of consul, which some take from within sd.example"
        " alone"
    )
