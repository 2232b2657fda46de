"""`consulfwd render` on real Consul: what it takes for known, and by how many connections."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from consulfwd.consul.asking import LOOK_EVERY
from consulfwd.consul.belief import SECOND_LOOK
from consulfwd.consul.seats import CONNECTIONS, NEAR
from consulfwd.dev.child import Child, Guard
from consulfwd.dev.real import RealAgent, RealCluster, Registration
from tests.integration.conftest import NEWEST
from tests.integration.own_words import own_words
from tests.integration.test_render import RENDER, Words, rendering, said, settings, wait_until

LIST = "{% for one in service('known', passing=false) %}{{ one.node }}\n{% endfor %}end\n"


@pytest.fixture
def instances(cluster: RealCluster) -> Iterator[Callable[..., None]]:
    """Registers instances of `known` on the nodes known-1, ...; they are gone afterwards."""
    made: set[str] = set()

    def register(*numbers: int, **fields: Any) -> None:
        names = [f"known-{number}" for number in numbers]
        made.update(names)
        cluster.register_all(
            [
                Registration(name, "known", f"10.8.0.{number}", service_id="known", **fields)
                for name, number in zip(names, numbers, strict=True)
            ]
        )

    yield register
    for name in made:
        cluster.deregister(name)


@pytest.mark.parametrize("fields", [{"tags": ["a\nb"]}, {"meta": {"a": "b\x1b"}}])
def test_what_a_stranger_wrote_costs_his_instance_alone(
    cluster: RealCluster,
    guard: Guard,
    instances: Callable[..., None],
    tmp_path: Path,
    fields: dict[str, object],
) -> None:
    instances(1, 2)
    template, dest = tmp_path / "a.tpl", tmp_path / "a"
    template.write_text(LIST + "{{ services() | length > 0 }} {{ nodes() | length > 0 }}\n")
    with rendering(tmp_path, guard, cluster.servers, f"{template}:{dest}") as child:
        wait_until(lambda: dest.exists() and "known-1\nknown-2\nend" in dest.read_text(), "written")
        instances(2, **fields)
        wait_until(lambda: dest.read_text().startswith("known-1\nend\n"), "left out")
        wait_until(lambda: said(child, "that instance is left out"), "told")
        assert said(child, "that instance is left out") == 1
        # All else is followed as ever.
        instances(3)
        wait_until(lambda: dest.read_text().startswith("known-1\nknown-3\nend\n"), "followed")
        assert said(child, "that instance is left out") == 1
    # And so it is from the start.
    once: Words = [*RENDER, "-c", settings(tmp_path, *cluster.servers), f"{template}:{dest}"]
    done = subprocess.run(once, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "that instance is left out" in done.stderr


def test_what_a_stranger_called_his_things_costs_those_alone(
    cluster: RealCluster, guard: Guard, instances: Callable[..., None], tmp_path: Path
) -> None:
    instances(1)
    template, dest = tmp_path / "a.tpl", tmp_path / "a"
    named = "{% for one in services() + nodes() %}{{ one.name }} {% endfor %}\n"
    template.write_text(LIST + named + "{{ keys('known/') }}\n")
    # A transaction takes what a path may not hold.
    entry = {"KV": {"Verb": "set", "Key": "known/x\n", "Value": "eA=="}}
    node = "known\x1b[2J\n"
    try:
        with rendering(tmp_path, guard, cluster.servers, f"{template}:{dest}") as child:
            wait_until(lambda: dest.exists() and "known-1\nend" in dest.read_text(), "written")
            service = {"Service": "kno\nwn", "ID": "1", "Port": 1}
            address = {"Service": "known", "ID": "known-odd", "Address": "a; b"}
            for fields in ({"Service": service}, {"Service": address}):
                cluster.http(
                    "PUT", "/v1/catalog/register", {"Node": node, "Address": "10.8.0.9", **fields}
                )
            cluster.http("PUT", "/v1/txn", [entry])
            # All else is followed as ever.
            instances(1, 2)
            cluster.http("PUT", "/v1/kv/known/y", "y")
            wait_until(lambda: "known-1\nknown-2\nend" in dest.read_text(), "followed")
            wait_until(lambda: "known-2 " in dest.read_text(), "the nodes too")
            wait_until(lambda: "known/y" in dest.read_text(), "and the keys")
            assert "\x1b" not in dest.read_text() + (tmp_path / "render.log").read_text()
            for what in ("instance", "service", "node", "key"):
                wait_until(functools.partial(said, child, f"that {what} is left out"), what)
    finally:
        cluster.deregister(node)
        cluster.http("DELETE", "/v1/kv/known/?recurse")


@NEWEST
def test_a_full_file_becomes_empty_at_the_start_after_a_second_look(
    cluster: RealCluster, tmp_path: Path
) -> None:
    template, dest = tmp_path / "a.tpl", tmp_path / "a"
    template.write_text(LIST.replace("known", "known-nowhere"))
    once: Words = [*RENDER, "-c", settings(tmp_path, *cluster.servers), f"{template}:{dest}"]
    dest.write_text("known-1\nknown-2\nend\n")
    begin = time.monotonic()
    done = subprocess.run(once, capture_output=True, text=True, timeout=60, check=True)
    assert time.monotonic() - begin >= SECOND_LOOK
    assert dest.read_text() == "end\n"
    assert f"{dest} is replaced by what is without service known-nowhere" in done.stderr
    # From then on nothing is lost by it.
    done = subprocess.run(once, capture_output=True, text=True, timeout=60, check=True)
    assert own_words(done.stderr) == ""


@NEWEST
def test_a_file_that_would_shrink_too_far_stays(
    cluster: RealCluster, guard: Guard, instances: Callable[..., None], tmp_path: Path
) -> None:
    instances(1, 2, 3, 4)
    template, dest = tmp_path / "a.tpl", tmp_path / "a"
    template.write_text(LIST)
    whole = "".join(f"known-{number}\n" for number in (1, 2, 3, 4)) + "end\n"
    words = ["--max-shrink", "30", "--min-instances", "1", f"{template}:{dest}"]
    with rendering(tmp_path, guard, cluster.servers, *words) as child:
        wait_until(lambda: dest.exists() and dest.read_text() == whole, "written")
        cluster.deregister("known-4")
        wait_until(lambda: "known-4" not in dest.read_text(), "one may go")
        shorter = dest.read_text()
        for number in (2, 3):
            cluster.deregister(f"known-{number}")
        wait_until(lambda: said(child, "--max-shrink"), "told")
        assert dest.read_text() == shorter


def connections(pid: int, agent: RealAgent) -> int:
    """How many connections a process has to an agent."""
    sockets: set[str] = set()
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            if found := re.fullmatch(r"socket:\[(\d+)\]", str(one.readlink())):
                sockets.add(found[1])
    octets = bytes(map(int, agent.address.split(".")))[::-1].hex().upper()
    there = f"{octets}:{agent.http_port:04X}"
    lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    # A table that changes while it is read tells of the same one several times.
    return len({line[9] for line in lines if line[2] == there} & sockets)


@NEWEST
def test_many_keys_are_followed_by_few_connections(
    cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    many, agent = 150, cluster.servers[0]
    operations = [
        {"KV": {"Verb": "set", "Key": f"known/{number:03}", "Value": "MQ=="}}
        for number in range(many)
    ]
    for begin in range(0, many, 50):
        cluster.http("PUT", "/v1/txn", operations[begin : begin + 50])
    cluster.settle()
    template, dest = tmp_path / "a.tpl", tmp_path / "a"
    text = "{% for n in range(150) %}{{ key('known/%03d' % n) }} {% endfor %}\n"
    template.write_text(text)
    try:
        with rendering(tmp_path, guard, [agent], f"{template}:{dest}") as child:
            wait_until(lambda: dest.exists() and dest.read_text().count("1") == many, "written")
            wait_until(lambda: connections(child.pid, agent) >= NEAR.waiting, "waited for")
            most, end = 0, time.monotonic() + LOOK_EVERY
            while time.monotonic() < end:
                most = max(most, connections(child.pid, agent))
                time.sleep(0.05)
            assert most <= CONNECTIONS
            # Whether somebody waits for it or not, it is seen.
            for number in (0, many - 1):
                cluster.http("PUT", f"/v1/kv/known/{number:03}", 2)
            wait_until(lambda: dest.read_text().count("2") == 2, "followed")
            assert connections(child.pid, agent) <= CONNECTIONS
    finally:
        cluster.http("DELETE", "/v1/kv/known/?recurse")


def test_a_list_is_not_shorter_for_rights_that_were_lost(
    acl_cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    names = ["rights-1", "rights-2", "rights-3"]
    acl_cluster.register_all(
        [Registration(name, "rights", "10.8.1.1", service_id="rights") for name in names]
    )
    # A corner it never sees: no header tells what is hidden besides.
    everything = (
        'node_prefix "" { policy = "read" }\nservice_prefix "" { policy = "read" }\n'
        'node "rights-3" { policy = "deny" }\n'
    )
    token = tmp_path / "token"
    token.write_text(acl_cluster.create_token(everything))
    mine = acl_cluster.http("GET", "/v1/acl/token/self", token=token.read_text())
    policy = f"/v1/acl/policy/{mine['Policies'][0]['ID']}"

    def may(rules: str) -> None:
        body = {"Name": mine["Policies"][0]["Name"], "Rules": rules}
        acl_cluster.http("PUT", policy, body)

    def another(name: str) -> None:
        """A change that answers questions which wait."""
        acl_cluster.register(name, "rights", address="10.8.1.1", service_id="rights")
        names.append(name)

    template, dest = tmp_path / "a.tpl", tmp_path / "a"
    template.write_text("{% for one in service('rights') %}{{ one.node[7:] }} {% endfor %}")
    agent = acl_cluster.servers[0]
    where = {"address": agent.address, "http_port": agent.http_port, "token_file": str(token)}
    file = tmp_path / "consulfwd.yml"
    file.write_text(json.dumps({"consul": {"agents": [where]}}))
    command: Words = [*RENDER, "--watch", "-c", file, f"{template}:{dest}"]
    child = Child("consulfwd render", command, tmp_path / "render.log", guard)
    child.start()
    try:
        wait_until(lambda: dest.exists() and dest.read_text() == "1 2 ", "written")
        may(everything.replace('service_prefix ""', 'service_prefix "x"'))
        another("rights-4")
        # Where nothing of it may be seen, a change of it does not always wake who waits for one.
        os.kill(child.pid, signal.SIGHUP)
        wait_until(lambda: said(child, "the token may not read any of it"), "told")
        assert dest.read_text() == "1 2 "
        may(everything)
        wait_until(lambda: dest.read_text() == "1 2 4 ", "all again")
        may(everything + 'node "rights-2" { policy = "deny" }\n')
        another("rights-5")
        wait_until(lambda: said(child, "the token may not read all of it"), "told of one")
        assert dest.read_text() == "1 2 4 "
        may(everything)
        wait_until(lambda: dest.read_text() == "1 2 4 5 ", "all again")
        # What is gone goes.
        acl_cluster.deregister("rights-1")
        names.remove("rights-1")
        wait_until(lambda: dest.read_text() == "2 4 5 ", "gone")
    finally:
        child.kill()
        for name in names:
            acl_cluster.deregister(name)
