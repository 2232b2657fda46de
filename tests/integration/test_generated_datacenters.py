"""Names of another datacenter by the generated files: two real ones, and each server.

Consul's denials have the SOA of its domain, whatever was asked for: below `dc2.consul` and in
reverse zones too. What servers make of that is their own: an error, or a denial kept for long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from consulfwd.config import Settings
from consulfwd.dev.child import PATIENCE_S, Child, Guard
from consulfwd.dev.real import RealCluster
from consulfwd.dev.real_agent import RealAgent
from consulfwd.generate.building import build
from consulfwd.generate.current import look_up
from consulfwd.generate.model import NameServer, Site
from consulfwd.generate.verifying import works
from consulfwd.servers.target import EVERY_KIND, parse_version
from consulfwd.servers.targets import TARGETS
from tests.integration.asking import At, ask, data, rcode
from tests.integration.generating import MAINS, Case, run
from tests.integration.places import addresses
from tests.integration.recursors import HOST, Recursor
from tests.integration.test_generated import finds_outside, included, write_files
from tests.loopback import free_port

# BIND takes a denial of TTL 0 for a whole second, PowerDNS Recursor an answer.
KEPT_S = 2.5
AWAY, AWAY_ADDRESS = "away.service.dc2.consul", "10.2.0.1"


class Datacenters(NamedTuple):
    """Two, each of one server, that know each other."""

    near: RealCluster
    far: RealCluster


@pytest.fixture(scope="module")
def datacenters(
    consul_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Datacenters]:
    folder = tmp_path_factory.mktemp("datacenters")
    near = RealCluster(
        consul_binary, addresses(61, 11), datacenter="dc1", workdir=folder / "dc1"
    )
    with near:
        far = RealCluster(
            consul_binary,
            addresses(61, 12),
            datacenter="dc2",
            workdir=folder / "dc2",
            join_wan=near.wan_addresses,
        )
        with far:
            far.register("there", "away", address=AWAY_ADDRESS)
            (agent,) = near.servers
            agent.wait_until(lambda: data(ask(at(agent), AWAY)) == {AWAY_ADDRESS}, "joined")
            yield Datacenters(near, far)


def at(agent: RealAgent) -> At:
    return agent.address, agent.dns_port


def settings_for(both: Datacenters) -> Settings:
    (near,), (far,) = both.near.servers, both.far.servers
    given: dict[str, Any] = {
        "consul": {
            "agents": [f"{near.address}:{near.dns_port}"],
            "datacenters": {"dc2": {"agents": [f"{far.address}:{far.dns_port}"]}},
            "reverse": ["10.0.0.0/15", f"{near.address}/32"],
        }
    }
    return Settings(**given)


@contextmanager
def started(server: str, site: Site, bind: Recursor, guard: Guard, folder: Path) -> Iterator[int]:
    """The server with the files for a site; where it listens."""
    target = TARGETS[server]
    generated = folder / "generated"
    generated.mkdir()
    files = write_files(site, target, set(), generated)
    port = free_port(HOST)
    child = Child(
        server, MAINS[server](Case(folder, files, port, bind.port)), folder / "server.log", guard
    )
    child.start()
    try:
        child.wait_until(lambda: finds_outside(port), "answering")
        yield port
    finally:
        child.kill()


def site_for(server: str, settings: Settings, folder: Path, **options: Any) -> Site:
    target = TARGETS[server]
    version = parse_version(target, run([*target.ask_version]))
    options.setdefault("kinds", target.kinds)
    return build(settings, version, include=included(target, folder / "generated"), **options)


def is_there(server: At, name: str, rtype: str, after_s: float) -> bool:
    """Whether a name comes to be answered within that time."""
    until = time.monotonic() + after_s
    while not data(ask(server, name, rtype)):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("server", [one for one in MAINS if one != "named.conf"])
def test_another_datacenter(
    server: str, datacenters: Datacenters, bind: Recursor, guard: Guard, tmp_path: Path
) -> None:
    (agent,) = datacenters.far.servers
    site = site_for(server, settings_for(datacenters), tmp_path)
    with started(server, site, bind, guard, tmp_path) as port:
        here = HOST, port
        # An agent that is well may not be known to be so yet.
        assert is_there(here, AWAY, "A", PATIENCE_S)
        for name in (AWAY, "there.node.dc2.consul", "nobody.service.dc2.consul"):
            for rtype in ("A", "AAAA", "SRV"):
                own, theirs = ask(here, name, rtype), ask(at(agent), name, rtype)
                assert (rcode(own), data(own)) == (rcode(theirs), data(theirs)), (name, rtype)
        assert works(NameServer(HOST, port), site) == ""


@pytest.mark.parametrize("server", [one for one in MAINS if one != "named.conf"])
def test_what_was_denied_is_there_soon_after_it_is(
    server: str, datacenters: Datacenters, bind: Recursor, guard: Guard, tmp_path: Path
) -> None:
    site = site_for(server, settings_for(datacenters), tmp_path)
    name, pointer = f"{server}.service.dc2.consul", "7.1.1.10.in-addr.arpa"
    with started(server, site, bind, guard, tmp_path) as port:
        here = HOST, port
        assert is_there(here, AWAY, "A", PATIENCE_S)
        for _ in range(2):
            assert not data(ask(here, name, "A"))
            assert not data(ask(here, pointer, "PTR"))
        datacenters.far.register("late", server, address="10.2.0.9")
        datacenters.near.register("late", "late", address="10.1.1.7")
        try:
            assert is_there(here, name, "A", KEPT_S)
            assert is_there(here, pointer, "PTR", KEPT_S)
        finally:
            datacenters.far.deregister("late")
            datacenters.near.deregister("late")


def test_a_zone_cut_too_deep_is_found_out_afterwards(
    datacenters: Datacenters, bind: Recursor, guard: Guard, tmp_path: Path
) -> None:
    site = site_for("bind", settings_for(datacenters), tmp_path, kinds=EVERY_KIND)
    with started("bind", site, bind, guard, tmp_path) as port:
        wrong = works(NameServer(HOST, port), site)
    (agent,) = datacenters.far.servers
    assert wrong.startswith(
        f"consul.service.dc2.consul AAAA at {HOST}:{port}: SERVFAIL,"
        f" while {agent.address}:{agent.dns_port} itself says NOERROR with no records"
    )


def test_a_datacenter_that_the_agents_do_not_know_is_told(
    cluster: RealCluster, datacenters: Datacenters, bind: Recursor, guard: Guard, tmp_path: Path
) -> None:
    (far,) = datacenters.far.servers
    agents = [f"{agent.address}:{agent.dns_port}" for agent in cluster.servers]
    there = {"dc2": {"agents": [f"{far.address}:{far.dns_port}"]}}
    given: dict[str, Any] = {"consul": {"agents": agents, "datacenters": there}}
    site = site_for("bind", Settings(**given), tmp_path)
    with started("bind", site, bind, guard, tmp_path) as port:
        wrong = works(NameServer(HOST, port), site)
    assert wrong.startswith(f"consul.service.dc2.consul A at {HOST}:{port}: NXDOMAIN, while ")
    assert "they must know it, or have consulfwd answer, with --to consulfwd" in wrong


def test_servers_of_another_datacenter_are_found_without_strangers(
    datacenters: Datacenters,
) -> None:
    (near,), (far,) = datacenters.near.servers, datacenters.far.servers
    asked = {"address": near.address, "dns_port": near.dns_port, "http_port": near.http_port}
    given: dict[str, Any] = {
        "consul": {"agents": [asked], "datacenters": {"dc2": {"agents": ["127.9.9.9:8653"]}}}
    }
    told: list[str] = []
    datacenters.far.register("stranger", "consul", address="10.2.0.66", port=8300)
    try:
        found = asyncio.run(look_up(Settings(**given), "consul", told.append))
    finally:
        datacenters.far.deregister("stranger")
    assert {name: [one.written() for one in servers] for name, servers in found.items()} == {
        "": [f"{near.address}:{near.dns_port}"],
        "dc2": [f"{far.address}:8653"],
    }
    (line,) = told
    assert line.startswith("the catalog of dc2 lists 10.2.0.66 among Consul's servers, and ")
