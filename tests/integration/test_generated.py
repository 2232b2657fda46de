"""Generated files pass their server's checker, and the server started with them finds names.

Names of Consul's, one behind an address, and one outside; each server once per Consul version.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.query
import pytest

from consulfwd.config import Settings
from consulfwd.dev.child import Child, Guard
from consulfwd.dev.real import RealCluster
from consulfwd.generate.building import build
from consulfwd.generate.model import NameServer, Site
from consulfwd.generate.verifying import works
from consulfwd.servers.target import Target, To, parse_version
from consulfwd.servers.targets import TARGETS
from consulfwd.template.renderer import Renderer
from tests.integration.asking import ask, data, rcode
from tests.integration.generating import MAINS, Case, run
from tests.integration.recursors import HOST, Recursor
from tests.integration.services import GALERA, TEXT_NODE
from tests.loopback import free_port

# 10.0.40.1, of which BIND and others would say by themselves that it has no name.
POINTER = "1.40.0.10.in-addr.arpa"
OUTSIDE, OUTSIDE_ADDRESS = "www.example.test", "192.0.2.10"


def settings_for(cluster: RealCluster, upstream: int, port: int) -> Settings:
    agents = [f"{agent.address}:{agent.dns_port}" for agent in cluster.servers]
    given: dict[str, Any] = {
        "listen": [f"{HOST}:{port}"],
        "consul": {"agents": agents, "reverse": ["10.0.0.0/15"]},
        "recursors": [f"{HOST}:{upstream}"],
    }
    return Settings(**given)


def included(target: Target, folder: Path) -> str:
    """Where the (first) file will be."""
    return str(folder / Path(target.outputs[0].places[0]).name)


def write_files(site: Site, target: Target, options: set[str], folder: Path) -> dict[str, Path]:
    """Render and check the files of the target; where they are, by template."""
    renderer = Renderer()
    paths = {}
    for output in target.files(site.version, options):
        path = folder / Path(output.places[0]).name
        path.write_text(renderer.render(output.template, {"site": site}))
        paths[output.template] = path
    for output in target.files(site.version, options):
        # The main file of BIND can be read where the file is that it includes.
        if target.check and (output.checked or output.optional):
            file = str(paths[output.template])
            run([word.replace("{file}", file) for word in target.check])
    return paths


@pytest.mark.parametrize("server", MAINS)
def test_a_server_finds_names_by_the_generated_file(
    server: str, cluster: RealCluster, bind: Recursor, guard: Guard, tmp_path: Path
) -> None:
    target = TARGETS["bind" if server == "named.conf" else server]
    version = parse_version(target, run([*target.ask_version]))
    port = free_port(HOST)
    generated = tmp_path / "generated"
    generated.mkdir()
    site = build(
        settings_for(cluster, bind.port, port),
        version,
        whole=server == "named.conf",
        include=included(target, generated),
        kinds=target.kinds,
    )
    options = {"named_conf"} if server == "named.conf" else set()
    files = write_files(site, target, options, generated)
    command = MAINS[server](Case(tmp_path, files, port, bind.port))
    child = Child(server, command, tmp_path / "server.log", guard)
    child.start()
    try:
        child.wait_until(lambda: finds_outside(port), "answering")
        # An agent that is well may not be known to be so yet.
        child.wait_until(lambda: addresses(port, "galeradb.service.consul"), "asking Consul")
        assert addresses(port, "galeradb.service.consul") == GALERA
        assert addresses(port, "galeradb.service.dc1.consul") == GALERA
        # What Consul does not want kept, nobody behind the server keeps for long.
        assert max(one.ttl for one in ask((HOST, port), "galeradb.service.consul").answer) <= 1
        reply = ask((HOST, port), POINTER, "PTR")
        assert data(reply) == {f"{TEXT_NODE}.node.dc1.consul."}
        assert rcode(ask((HOST, port), "nobody.service.consul")) == "NXDOMAIN"
        assert rcode(ask((HOST, port), "galeradb.service.consul", tcp=True)) == "NOERROR"
        told: list[str] = []
        assert works(NameServer(HOST, port), site, tell=told.append) == ""
        assert told == []
    finally:
        child.kill()


def addresses(port: int, name: str) -> set[str]:
    """What the server answers, asked for DNSSEC's records too: then it validates, if ever."""
    query = dns.message.make_query(name, "A", want_dnssec=True)
    reply = dns.query.udp(query, HOST, 5.0, port)
    return data(reply, "A")


def finds_outside(port: int) -> bool:
    """Whether it finds the outside name; nothing there is signed, so unvalidated."""
    query = dns.message.make_query(OUTSIDE, "A")
    query.flags |= dns.flags.CD
    try:
        return data(dns.query.udp(query, HOST, 1.0, port)) == {OUTSIDE_ADDRESS}
    except (OSError, dns.exception.Timeout):
        return False


@pytest.mark.parametrize(
    ("to", "given"),
    [
        ("agents", {"consul": {"agents": ["127.0.0.1", "[::1]:8600", "10.0.0.11"]}}),
        ("consulfwd", {"listen": ["127.0.0.2:5300"]}),
    ],
)
def test_nft_takes_the_redirection(to: To, given: dict[str, Any], tmp_path: Path) -> None:
    target = TARGETS["nftables"]
    version = parse_version(target, run([*target.ask_version]))
    files = write_files(build(Settings(**given), version, to=to), target, set(), tmp_path)
    # Checked, and taken twice in one go: it takes the place of what it made before.
    (file,) = files.values()
    file.write_text(file.read_text() * 2)
    run(["nft", "--check", "--file", file])
