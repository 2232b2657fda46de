"""What watches hang on breaks: no change is hidden for longer than 2 s, and no query suffers.

A name is asked for every two milliseconds while the agent that carries its watch, or its HTTP
port, or the server behind it, or the right to see the name is lost; then something changes.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from consulfwd.core.watches import REUSE
from consulfwd.dev.child import Guard
from consulfwd.dev.real import DNS_RULES, ApiError, RealAgent, RealCluster
from consulfwd.dev.real_catalog import unless_changed
from tests.integration.freshly import CALM_S, NOISE_S, Course, Tell, course
from tests.integration.proxy import Proxy
from tests.integration.served import consul

HIDDEN_S, LAG_S = 2.0 + NOISE_S, 0.1 + NOISE_S
# Until answers come from a watch again that another agent carries, or the same one anew.
MOVED_S, BACK_S = 6.0, 12.0
NAME = "moving"
# A client agent chooses a server for each question: one may prove what another, that hangs, was to
# tell of. Then an old answer is given until it is asked for again all the same.
BEHIND_S = REUSE + NOISE_S
# Until all agents know what a token may do.
RIGHTS_S = 0.3


def put(cluster: RealCluster, *addresses: str) -> frozenset[str]:
    """Let the service have one instance for each address, and no other."""
    for n, address in enumerate(addresses):
        cluster.register(f"{NAME}{n}", NAME, address=address, port=80)
    return frozenset(addresses)


def write(agents: list[RealAgent], address: str) -> Callable[[], None]:
    """Give the first instance another address, by whoever of `agents` can write (once more)."""
    node = {"Node": f"{NAME}0", "Address": address, "Meta": {"external-node": "true"}}
    change = {"Node": {"Verb": "set", "Node": node}}

    def do() -> None:
        for _ in range(200):
            for agent in agents:
                try:
                    path = f"/v1/catalog/node/{NAME}0"
                    now = agent.http("GET", path, timeout_s=1.0)["Node"]
                    if now["Address"] != address:
                        # One that nobody answered may be taken yet, after those that come next.
                        again = unless_changed(change, now["ModifyIndex"])
                        agent.http("PUT", "/v1/txn", [again], timeout_s=1.0)
                    return
                except ApiError:
                    time.sleep(0.05)
        raise AssertionError("nobody could write")

    return do


def judge(run: Course, label: str, tell: Tell, hidden_s: float = HIDDEN_S) -> None:
    """No query was lost or strangely answered, and nothing was hidden for too long."""
    for change in run.changes[1:]:
        hidden = run.old_until(change) - change.taken
        tell("freshness", f"{label} {change.label:24} hidden for {hidden * 1000:6.1f} ms")
    assert run.wrong() == []
    assert [
        change.label
        for change in run.changes[1:]
        if run.old_until(change) - change.taken > hidden_s + run.stolen_meanwhile(change)
    ] == []


@pytest.mark.parametrize("fault", ["frozen", "killed", "HTTP cut", "HTTP closed"])
def test_the_carrier_is_lost(
    client_cluster: RealCluster, guard: Guard, tmp_path: Path, fault: str, record_property: Tell
) -> None:
    cluster = client_cluster
    carrier, servers = cluster.agents[-1], list(cluster.servers)
    put(cluster, "10.8.0.1", "10.8.0.2")
    with Proxy((carrier.address, carrier.http_port)) as proxy:
        settings = {"consul": consul(carrier, *servers)}
        settings["consul"]["agents"][0]["http_port"] = proxy.port
        harm = {
            "frozen": carrier.freeze,
            "killed": carrier.kill,
            "HTTP cut": proxy.cut,
            "HTTP closed": proxy.close,
        }
        name = f"{NAME}.service.consul"
        with course(settings, tmp_path, guard, name, carrier) as run:
            harm[fault]()
            said = frozenset({"10.8.0.3", "10.8.0.2"})
            run.change(fault, write(servers, "10.8.0.3"), said, *servers, watched_within=0)
            time.sleep(HIDDEN_S + 0.5)
            # What an agent says whose HTTP is silent is passed on and not reused: as long as it
            # is quick, nobody else is asked.
            moves = fault in ("frozen", "killed")
            moved = run.wait_watched(MOVED_S) if moves else 0.0
            said = frozenset({"10.8.0.4", "10.8.0.2"})
            within = CALM_S if moves else 0.0
            change = write(servers, "10.8.0.4")
            run.change("by another agent", change, said, *servers, watched_within=within)
            cluster.heal()
            proxy.mend()
            time.sleep(1.0)
            run.wait_watched(BACK_S)
            said = frozenset({"10.8.0.5", "10.8.0.2"})
            run.change("back", write(servers, "10.8.0.5"), said, *servers)
    label = f"Consul {cluster.version:6} carrier {fault:11}"
    if moves:
        text = f"watched again {moved + HIDDEN_S + 0.5:.1f} s at most"
        record_property("freshness", f"{label} {text}")
    judge(run, label, record_property)
    assert [
        change.label
        for change in run.changes[2:]
        if run.lag(change) > LAG_S + run.stolen_meanwhile(change)
    ] == []


def test_the_leader_is_late(
    client_cluster: RealCluster, guard: Guard, tmp_path: Path, record_property: Tell
) -> None:
    """It tells of nothing any more, while all servers hear of what it does."""
    cluster = client_cluster
    carrier, servers = cluster.agents[-1], list(cluster.servers)
    put(cluster, "10.8.0.1", "10.8.0.2")
    with Proxy((carrier.address, carrier.http_port)) as proxy:
        settings = {"consul": consul(carrier, *servers, watch={"source": "leader"})}
        settings["consul"]["agents"][0]["http_port"] = proxy.port
        with course(settings, tmp_path, guard, f"{NAME}.service.consul", carrier) as run:
            proxy.leader_late()
            said = frozenset({"10.8.0.3", "10.8.0.2"})
            change = write(servers, "10.8.0.3")
            run.change("the leader is late", change, said, *servers, watched_within=0)
            time.sleep(HIDDEN_S + 0.5)
            why = "no watches there: the leader through it: "
            run.served.wait_until(lambda: why in run.served.said(), "telling of it")
            proxy.mend()
            time.sleep(1.0)
            run.wait_watched(BACK_S)
            said = frozenset({"10.8.0.4", "10.8.0.2"})
            run.change("in time again", write(servers, "10.8.0.4"), said, *servers)
    judge(run, f"Consul {cluster.version:6}", record_property)
    (again,) = run.changes[2:]
    assert run.lag(again) <= LAG_S + run.stolen_meanwhile(again)


def behind(cluster: RealCluster) -> RealAgent:
    """The server the client agent is connected to (Linux only)."""
    assert cluster.client is not None
    port = f"{cluster.client.server_port:04X}"
    mine = socket.inet_aton(cluster.client.address)[::-1].hex().upper()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if local.startswith(mine) and remote.endswith(f":{port}") and state == "01":
            address = socket.inet_ntoa(bytes.fromhex(remote[:8])[::-1])
            return next(one for one in cluster.servers if one.address == address)
    raise AssertionError("the client agent is connected to no server")


def test_the_server_behind_the_carrier_is_frozen(
    client_cluster: RealCluster, guard: Guard, tmp_path: Path, record_property: Tell
) -> None:
    cluster = client_cluster
    carrier, victim = cluster.agents[-1], behind(cluster)
    others = [one for one in cluster.servers if one is not victim]
    put(cluster, "10.8.0.1", "10.8.0.2")
    leads = " (leader)" if cluster.leader() is victim else ""
    settings = {"consul": consul(carrier, *others, victim)}
    with course(settings, tmp_path, guard, f"{NAME}.service.consul", carrier) as run:
        victim.freeze()
        said = frozenset({"10.8.0.3", "10.8.0.2"})
        write_one = write(others, "10.8.0.3")
        run.change(f"frozen{leads}", write_one, said, *others, watched_within=0)
        time.sleep(BEHIND_S + 0.5)
        cluster.heal()
        run.wait_watched(BACK_S)
        said = frozenset({"10.8.0.4", "10.8.0.2"})
        run.change("back", write(others, "10.8.0.4"), said, carrier)
    judge(run, f"Consul {cluster.version:6} server behind", record_property, BEHIND_S)


def test_rights_are_lost(
    acl_cluster: RealCluster, guard: Guard, tmp_path: Path, record_property: Tell
) -> None:
    """First the token may see no services any more, then there is no such token."""
    cluster = acl_cluster
    first, servers = cluster.servers[0], list(cluster.servers)
    put(cluster, "10.8.0.1", "10.8.0.2")
    secret = cluster.create_token(DNS_RULES)
    token = first.http("GET", "/v1/acl/token/self", token=secret)
    policy = first.http("GET", f"/v1/acl/policy/{token['Policies'][0]['ID']}")
    token_file = tmp_path / "token"
    token_file.write_text(secret)
    settings = {"consul": consul(*servers)}
    for agent in settings["consul"]["agents"]:
        agent["token_file"] = str(token_file)

    def allow(rules: str) -> None:
        path = f"/v1/acl/policy/{policy['ID']}"
        first.http("PUT", path, {"ID": policy["ID"], "Name": policy["Name"], "Rules": rules})

    def revoke() -> None:
        first.http("DELETE", f"/v1/acl/token/{token['AccessorID']}")

    def renew() -> None:
        """As an operator would: another token in the file, and a reload."""
        token_file.write_text(cluster.create_token(DNS_RULES))
        os.kill(run.served.pid, signal.SIGHUP)

    changes: list[tuple[str, Callable[[], None]]] = [
        ("no services", lambda: allow('node_prefix "" { policy = "read" }')),
        ("services again", lambda: allow(DNS_RULES)),
        ("no such token", revoke),
        ("another token", renew),
    ]
    with course(settings, tmp_path / "served", guard, f"{NAME}.service.consul", first) as run:
        for n, (label, do) in enumerate(changes, 3):
            do()
            cluster.settle()
            # Streaming agents hide the change from who lost the right before it.
            time.sleep(RIGHTS_S)
            said = frozenset({f"10.8.0.{n}", "10.8.0.2"})
            run.change(label, write(servers, f"10.8.0.{n}"), said, *servers, watched_within=0)
            if n % 2:
                time.sleep(HIDDEN_S + 2.0)
            else:
                run.wait_watched(BACK_S)
    judge(run, f"Consul {cluster.version:6} token", record_property)
