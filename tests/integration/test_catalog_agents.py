"""Agents taken from the catalog of real Consul: found, followed, kept while in doubt."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealAgent, RealCluster
from tests.integration.asking import ask, data, rcode
from tests.integration.served import Served, consul, serve
from tests.integration.services import GALERA

NAME = "galeradb.service.consul"
EVERY_S = 0.5
# The first look comes within a turn; with some time for a busy machine.
FOUND_S = 5.0


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


def test_a_server_that_leaves_the_catalog_is_asked_no_more(
    cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    seed, *others = cluster.servers
    with seeded(tmp_path, guard, seed) as served:
        until(served, lambda: set(came(served)) == moves("came", *others))
        cluster.register("server-9", "consul", address="127.0.0.99", port=8300)
        last = f"127.0.0.99:{seed.dns_port}"
        until(served, lambda: came(served)[2:] == [f"{last} came"])
        cluster.deregister("server-9")
        until(served, lambda: came(served)[3:] == [f"{last} went"])


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
