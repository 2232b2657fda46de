"""Agents taken from the catalog of real Consul: found, followed, kept while in doubt."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from consulfwd.dev.child import Child, Guard
from consulfwd.dev.real import RealAgent, RealCluster
from consulfwd.dev.real_agent import ApiError
from tests.integration.asking import ask, data, rcode
from tests.integration.places import addresses
from tests.integration.served import Served, consul, serve
from tests.integration.services import GALERA

NAME = "galeradb.service.consul"
EVERY_S = 0.5
SEES = 'node_prefix "" { policy = "read" }\nservice_prefix "" { policy = "read" }'
# The first look comes within a turn; with some time for a busy machine, and a slow disk.
FOUND_S = 60.0


@contextmanager
def seeded(
    folder: Path, guard: Guard, seed: RealAgent, **agent: Any
) -> Iterator[Served]:
    """A server that knows one agent, and takes the others from the catalog."""
    section = consul(seed, quality={"every": EVERY_S}, watch={"enabled": False})
    section["agents"][0] |= agent
    section["agents"] = {"from_catalog": True, "seeds": section["agents"]}
    with serve({"consul": section}, folder, guard) as served:
        yield served


def came(served: Served) -> list[str]:
    """Who came and went so far."""
    return [
        move
        for line in re.findall(r"agents changed: (.*) \(from the catalog\)", served.said())
        for move in line.split(", ")
    ]


def moves(what: str, *agents: RealAgent) -> set[str]:
    return {f"{one.address}:{one.dns_port} {what}" for one in agents}


def until(served: Served, condition: Callable[[], object], patience_s: float = FOUND_S) -> None:
    """Ask until a condition holds; every answer must be right."""
    ends = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < ends, served.said()
        reply = ask(served.at, NAME)
        assert (rcode(reply), data(reply)) == ("NOERROR", GALERA)
        time.sleep(0.02)


def test_one_seed_finds_the_others(cluster: RealCluster, guard: Guard, tmp_path: Path) -> None:
    seed, *others = cluster.servers
    with seeded(tmp_path, guard, seed) as served:
        until(served, lambda: set(came(served)) == moves("came", *others))
        # One that is dead stays: it is in the catalog, and nobody can tell it from a slow one.
        others[0].kill()
        ends = time.monotonic() + 8 * EVERY_S
        until(served, lambda: time.monotonic() > ends, 20.0)
        assert len(came(served)) == 2
        others[0].start()
        cluster.wait_ready()
        # The seed dies, and the others go on, list and all.
        seed.kill()
        ends = time.monotonic() + 8 * EVERY_S
        until(served, lambda: time.monotonic() > ends, 20.0)
        assert len(came(served)) == 2


def test_a_server_that_leaves_is_asked_no_more(
    cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    seed, *others = cluster.servers
    last = next(one for one in others if one is not cluster.leader())
    with seeded(tmp_path, guard, seed) as served:
        until(served, lambda: set(came(served)) == moves("came", *others))
        try:
            # It answers once it has left.
            with suppress(ApiError):
                last.http("PUT", "/v1/agent/leave", timeout_s=0.5)
            until(served, lambda: set(came(served)[2:]) == moves("went", last))
        finally:
            last.restart(wait=False)
            cluster.wait_ready()
        # Back among Raft's peers, it is back here.
        until(served, lambda: set(came(served)[3:]) == moves("came", last))


def test_a_stranger_that_registered_as_a_server_gets_nothing(
    acl_cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    seed, *others = acl_cluster.servers
    token = tmp_path / "token"
    token.write_text(acl_cluster.create_token(SEES))
    (there,) = addresses(31, 99)
    with (
        socket.create_server((there, seed.http_port)) as stream,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        seeded(tmp_path, guard, seed, token_file=str(token)) as served,
    ):
        datagrams.bind((there, seed.dns_port))
        stream.settimeout(0.0)
        datagrams.settimeout(0.0)
        acl_cluster.register("stranger", "consul", address=there, port=8300)
        try:
            told = "among Consul's servers, and /v1/status/peers does not: not asked"
            served.wait_until(lambda: f"lists {there} {told}" in served.said(), "told")
            all_others = moves("came", *others)
            served.wait_until(lambda: all_others <= set(came(served)), "the others")
            ends = time.monotonic() + 6 * EVERY_S
            served.wait_until(lambda: time.monotonic() > ends, "a few turns later", 20)
            assert set(came(served)) == all_others
            assert served.said().count(told) == 1
            with pytest.raises(BlockingIOError):
                datagrams.recv(4096)
            with pytest.raises(BlockingIOError):
                stream.accept()
        finally:
            acl_cluster.deregister("stranger")


def test_a_stranger_is_in_no_generated_file(
    acl_cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    (stranger,) = addresses(31, 98)
    token, file = tmp_path / "token", tmp_path / "consul.conf"
    token.write_text(acl_cluster.create_token(SEES))
    seed = acl_cluster.servers[0]
    section = consul(seed, watch={"enabled": False})
    section["agents"][0] |= {"token_file": str(token)}
    settings = tmp_path / "consulfwd.yml"
    settings.write_text(json.dumps({"consul": section}))
    command: list[str | Path] = [sys.executable, "-m", "consulfwd.cli.main", "generate", "dnsmasq"]
    command += ["--server-version", "2.90", "--from-catalog", "-c", settings]
    told = f"lists {stranger} among Consul's servers, and /v1/status/peers does not: left out"
    named = {f"{one.address}#{one.dns_port}" for one in acl_cluster.servers}

    def names(text: str) -> set[str]:
        return set(re.findall(r"=/consul/(\S+#\d+)", text))

    watching = [*command, "--watch", "--dest", file, "--no-check", "--no-reload"]
    watching += ["--verify", "none", "--quiescence", "0.1:0.5"]
    acl_cluster.register("stranger", "consul", address=stranger, port=8300)
    watch = Child("generate", watching, tmp_path / "log", guard)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert names(done.stdout) == named
        assert done.stderr.count(told) == 1
        watch.start()
        watch.wait_until(lambda: file.exists() and names(file.read_text()) == named, "written")
        said = watch.log.read_text
        watch.wait_until(lambda: told in said(), "told")
        # It changes; one that comes later is told as well.
        (another,) = addresses(31, 97)
        acl_cluster.register("another", "consul", address=another, port=8300)
        watch.wait_until(lambda: f"lists {another} among" in said(), "told of another")
        assert (said().count(told), names(file.read_text())) == (1, named)
        watch.terminate()
    finally:
        watch.kill()
        for node in ("stranger", "another"):
            acl_cluster.deregister(node)


def test_a_client_agent_as_the_seed(
    client_cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    client = client_cluster.client
    assert client is not None
    with seeded(tmp_path, guard, client) as served:
        until(served, lambda: set(came(served)) == moves("came", *client_cluster.servers))
        client.kill()
        ends = time.monotonic() + 2.0
        until(served, lambda: time.monotonic() > ends, 10.0)


def test_a_token_that_may_read_nothing_takes_nobody_away(
    acl_cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    seed = acl_cluster.servers[0]
    file = tmp_path / "token"
    file.write_text(acl_cluster.create_token('key_prefix "" { policy = "read" }'))
    with seeded(tmp_path, guard, seed, token_file=str(file)) as served:
        until(served, lambda: "the catalog lists no servers" in served.said())
        ends = time.monotonic() + 4 * EVERY_S
        until(served, lambda: time.monotonic() > ends, 10.0)
        assert served.said().count("the catalog lists no servers") == 1
        assert came(served) == []
