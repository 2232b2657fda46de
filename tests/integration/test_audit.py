"""`consulfwd audit` on real Consul: nothing on a sound cluster, and whatever is planted in it.

Two clusters: one as it should be, in which services with faults are registered and whose servers
are then stopped one after the other; and one as nobody should run it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consulfwd import audit
from consulfwd.audit import Need, Options, Report, layout, svg
from consulfwd.config import Settings
from consulfwd.dev.real import RealAgent, RealCluster, Registration
from consulfwd.errors import ConsulError
from tests.consul import certificates
from tests.integration.places import addresses
from tests.loopback import free_port

# Each server in a network of its own.
NETWORKS = (91, 92, 93)
WEAK = 94
DOCUMENT = Path(__file__).parents[2] / "docs" / "audit.md"
PICTURE = DOCUMENT.parent / "pictures" / "audit.svg"
KEY = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvI7mtF0y8="
SEEN_S = 60.0
RECURSORS = ["192.0.2.53", "198.51.100.53"]
GOOD_CHECK = {"interval": "1h", "failures_before_critical": 3, "success_before_passing": 2}

pytestmark = pytest.mark.timeout(180)


def rack(number: int) -> dict[str, str]:
    return {"rack": f"r{number}"}


@pytest.fixture(scope="module")
def sound(
    consul_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealCluster]:
    """Gossip, RPC and ACLs as they should be; servers and services in three racks and networks."""
    folder = certificates.make(tmp_path_factory.mktemp("certificates"))
    places = [addresses(network, 11)[0] for network in NETWORKS]
    web = [
        {
            "name": "web",
            "port": 80,
            "meta": {"depends-on": "db"},
            "check": {**GOOD_CHECK, "tcp": f"{place}:22", "status": "passing"},
        }
        for place in places
    ]
    cluster = RealCluster(
        consul_binary,
        places,
        acl=True,
        workdir=tmp_path_factory.mktemp("sound"),
        extra={
            "encrypt": KEY,
            "verify_incoming": True,
            "verify_outgoing": True,
            "verify_server_hostname": True,
            "ca_file": str(folder / "ca.pem"),
            "cert_file": str(folder / "agent.pem"),
            "key_file": str(folder / "agent.key"),
        },
        each={
            f"server-{n}": {"node_meta": rack(n), "services": [web[n - 1]]} for n in (1, 2, 3)
        },
    )
    for one in web:
        one["token"] = cluster.token
    with cluster:
        cluster.register_all(
            [
                Registration(
                    f"db{n}", "db", address=f"10.20.{n}.1", port=3306, node_meta=rack(n)
                )
                for n in (1, 2, 3)
            ]
        )
        yield cluster


@pytest.fixture(scope="module")
def weak(
    consul_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealCluster]:
    """Four servers that keep nobody out, answers that are kept, and checks that flap."""
    services = [
        {"name": "web", "port": 80, "check": {"tcp": "127.0.0.1:1", "interval": "10s"}},
        {"name": "job", "port": 81, "check": {"ttl": "30s", "status": "passing"}},
    ]
    with RealCluster(
        consul_binary,
        addresses(WEAK, 11, 12, 13, 14),
        client_address=addresses(WEAK, 15)[0],
        workdir=tmp_path_factory.mktemp("weak"),
        extra={
            "dns_config": {"service_ttl": {"*": "300s"}},
            "services": services,
            "acl": {"enabled": True, "default_policy": "allow"},
        },
        each={
            "server-1": {"addresses": {"http": "0.0.0.0"}, "ports": {"http": free_port("0.0.0.0")}},
            "client-1": {"acl": {"enabled": False}},
        },
    ) as cluster:
        yield cluster


def settings(cluster: RealCluster, folder: Path, token: str | None = None, **more: Any) -> Settings:
    """Those of a host that asks all servers."""
    shown = {}
    if cluster.token:
        file = folder / "token"
        file.write_text(cluster.token if token is None else token)
        shown = {"token_file": str(file)}
    agents = [place(one) | shown for one in cluster.agents]
    more.setdefault("recursors", RECURSORS)
    more["consul"] = {"agents": agents, **more.get("consul", {})}
    return Settings(**more)


def place(agent: RealAgent) -> dict[str, Any]:
    return {"address": agent.address, "dns_port": agent.dns_port, "http_port": agent.http_port}


def found(report: Report) -> set[str]:
    return {one.key for one in report.findings}


def until(look: Callable[[], Report], holds: Callable[[Report], object], what: str) -> Report:
    """Look again and again: leaders look at followers every few seconds."""
    ends = time.monotonic() + SEEN_S
    while not holds(report := look()):
        assert time.monotonic() < ends, (what, report.findings, report.unseen)
        time.sleep(0.3)
    return report


def test_nothing_is_found_on_a_sound_cluster(sound: RealCluster, tmp_path: Path) -> None:
    here = settings(sound, tmp_path)

    def settled(report: Report) -> bool:
        looked = not any("followers" in one.what for one in report.unseen)
        web = report.site.services.get("web")
        return looked and web is not None and len(web.instances) == len(sound.servers)

    report = until(lambda: audit.run(here), settled, "the leader looked, all are registered")
    assert found(report) == set()
    assert set(report.site.services) == {"web", "db"}
    assert [len(one.instances) for one in report.site.services.values()] == [3, 3]
    # Those of `db` are registered by nobody's agent, and an old Consul does not say what it hides.
    what = {one.what for one in report.unseen}
    thresholds = "the thresholds of the checks of 1 service"
    assert what <= {thresholds, "whether all services and nodes are seen"}
    file = tmp_path / "consulfwd.yml"
    agents = [place(one) | {"token_file": str(tmp_path / "token")} for one in sound.servers]
    file.write_text(json.dumps({"consul": {"agents": agents}, "recursors": RECURSORS}))
    command: list[str | Path] = [sys.executable, "-m", "consulfwd", "audit", "-c", file]
    command += ["--fail-on", "note"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "nothing found\nlooked at 2 services, 6 " in done.stdout) == (0, True)


def plant(sound: RealCluster) -> None:
    """Register what has a fault each."""
    two = {"a": ("10.30.1.1", 1), "b": ("10.30.2.1", 2)}

    def on(service: str, nodes: Any = two, **fields: Any) -> list[Registration]:
        return [
            Registration(name, service, address=at, node_meta=rack(n), port=80, **fields)
            for name, (at, n) in nodes.items()
        ]

    twins = [
        Registration("a", "twins", port=port, service_id=f"twin{port}") for port in (81, 82)
    ]
    sound.register_all(
        [
            # The dashboard is on two nodes, and needs the one Crowd there is.
            *on("dashboard", meta={"depends-on": "crowd"}),
            *on("crowd", {"auth": ("10.30.9.1", 3)}),
            *on("portal"),
            *on("reports"),
            *on("lost", meta={"depends-on": "nowhere"}),
            *on("egg", meta={"depends-on": "hen"}),
            *on("hen", meta={"depends-on": "egg"}),
            *on("balanced", service_address="10.30.5.5"),
            *on("racked", {"c": ("10.30.3.1", 7), "d": ("10.30.4.1", 7)}),
            *on("netted", {"e": ("10.30.6.1", 1), "f": ("10.30.6.2", 2)}),
            *on("down", status="critical"),
            *twins,
        ]
    )
    for node in two:
        body = {"Node": node, "SkipNodeUpdate": True, "Service": {"Service": "bare", "Port": 1}}
        sound.http("PUT", "/v1/catalog/register", body)
    rule = {"SourceName": "portal", "DestinationName": "dashboard", "Action": "allow"}
    sound.http("POST", "/v1/connect/intentions", rule | {"SourceType": "consul"})
    sound.settle()


PLANTED = {
    "one-instance:crowd",
    "hidden-dependency:dashboard -> crowd",
    "hidden-dependency:portal -> crowd",
    "hidden-dependency:reports -> crowd",
    "unknown-dependency:nowhere",
    "circle:egg <-> hen",
    "one-node:twins",
    "one-address:balanced",
    "one-rack:racked",
    "one-subnet:netted",
    "none-healthy:down",
    "no-check:bare",
}
PLANTED_WEAK = {
    "even-servers:site",
    "gossip-clear:site",
    "rpc-clear:site",
    "acl-allow:site",
    "acl-off:site",
    "http-clear:server-1",
    "service-ttl:service_ttl *",
    "no-threshold:web",
    "ttl-stays:job",
    "one-subnet:site",
}
FEW = "few-servers:site"
ALONE = {"one-agent:consul.agents", "recursors-one-network:recursors"}
# What a site is to be told of at the least, and the rules that do.
SIXTEEN = {
    "one instance": ["one-instance"],
    "all on one node": ["one-node"],
    "all in one rack": ["one-rack"],
    "all in one subnet": ["one-subnet"],
    "no check": ["no-check"],
    "a check without a threshold": ["no-threshold"],
    "an even number of servers": ["even-servers"],
    "fewer than three": ["few-servers"],
    "no leader": ["no-leader"],
    "a follower that lags": ["server-lags"],
    "a resolver with one agent": ["one-agent"],
    "recursors in one network": ["one-recursor", "recursors-one-network"],
    "gossip or HTTP in clear": ["gossip-clear", "http-clear"],
    "ACLs that allow": ["acl-allow", "acl-off"],
    "a TTL that outlives a failover": ["service-ttl", "min-ttl", "zone-ttl"],
    "a hidden dependency": ["hidden-dependency"],
}
IN_SETTINGS = {
    "agents-one-node:consul.agents",
    "agent-silent:127.0.0.1:8600",
    "one-recursor:recursors",
    "no-stale:cache.stale_for",
    "min-ttl:cache.min_ttl",
    "zone-ttl:svc.example.test",
    "one-publisher:svc.example.test",
    "one-target-server:svc.example.test rfc2136 192.0.2.1",
}


def test_what_is_planted_is_found_and_nothing_else(sound: RealCluster, tmp_path: Path) -> None:
    plant(sound)
    try:
        by_file = Options(needs=(Need("reports", "portal", "file"),))
        report = audit.run(settings(sound, tmp_path), by_file)
        assert found(report) == PLANTED
        (auth,) = [one for one in report.falls if one.label == "auth"]
        assert (auth.direct, auth.through) == (("crowd",), ("dashboard", "portal", "reports"))
        (way,) = [one for one in report.findings if one.subject == "reports -> crowd"]
        assert "(reports -> portal -> dashboard -> crowd)" in way.what
        # The picture in the document is this one.
        drawn = tmp_path / "audit.svg"
        drawn.write_text(svg.alone(layout.picture(report)))
        assert drawn.read_text() == PICTURE.read_text(), f"another picture: {drawn}"
        # Of one service, and what it needs.
        alone = audit.run(settings(sound, tmp_path), Options(services=("dash*",)))
        assert found(alone) == {"hidden-dependency:dashboard -> crowd"}
        # What this host's settings stand on.
        zone: dict[str, Any] = {"origin": "svc.example.test", "ttl": 600}
        zone["lock"] = {"enabled": False}
        zone["targets"] = [{"rfc2136": {"servers": ["192.0.2.1:53"]}}]
        first = place(sound.servers[0]) | {"token_file": str(tmp_path / "token")}
        agents = [first, {**first, "dns_port": 1}, {"address": "127.0.0.1", "http_port": 1}]
        changes: dict[str, Any] = {
            "recursors": ["192.0.2.53"],
            "cache": {"stale_for": 0, "min_ttl": 7200},
            "zones": [zone],
        }
        report = audit.run(settings(sound, tmp_path, consul={"agents": agents}, **changes), by_file)
        assert found(report) - PLANTED == IN_SETTINGS - {"agents-one-node:consul.agents"}
        agents = agents[:2]
        report = audit.run(settings(sound, tmp_path, consul={"agents": agents}, **changes), by_file)
        assert "agents-one-node:consul.agents" in found(report)
        near = ["192.0.2.53", "192.0.2.54"]
        one = audit.run(settings(sound, tmp_path, consul={"agents": agents[:1]}, recursors=near))
        assert found(one) - PLANTED >= ALONE
    finally:
        for node in ("a", "b", "auth", "c", "d", "e", "f"):
            sound.http("PUT", "/v1/catalog/deregister", {"Node": node})


def test_what_may_not_be_asked_for_is_not_sound(sound: RealCluster, tmp_path: Path) -> None:
    rules = ('service_prefix "" { policy = "read" }', 'node_prefix "" { policy = "read" }')
    part = sound.create_token("\n".join(rules))
    report = audit.run(settings(sound, tmp_path, part))
    assert found(report) == set()
    refused = "the token may not ask for it (403)"
    what = {one.what for one in report.unseen if one.why == refused}
    assert "which servers vote" in what
    assert sum(one.startswith("the configuration of") for one in what) == 3
    # Servers are known all the same, by whom Raft knows.
    assert len(report.site.servers or ()) == 3
    # What the document says is needed is.
    (needed,) = re.findall(r"(?m)^```\n(node_prefix.*\n(?:.*\n)+?)```$", DOCUMENT.read_text())
    whole = audit.run(settings(sound, tmp_path, sound.create_token(needed)))
    assert not [one for one in whole.unseen if "403" in one.why or "ACLs hide it" in one.why]
    nothing = sound.create_token('key_prefix "x" { policy = "read" }')
    with pytest.raises(ConsulError, match="may the token read services"):
        audit.run(settings(sound, tmp_path, nothing))


@contextlib.contextmanager
def halting(server: RealAgent) -> Iterator[None]:
    """Let it run for a moment now and then: too little to hear its leader in time."""
    over = threading.Event()

    def halt() -> None:
        while not over.wait(0.03):
            server.freeze()
            over.wait(0.7)
            server.thaw()

    thread = threading.Thread(target=halt)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_servers_that_go_are_found(sound: RealCluster, tmp_path: Path) -> None:
    leader = sound.leader()
    first, second = (one for one in sound.servers if one is not leader)
    agents = [place(leader) | {"token_file": str(tmp_path / "token")}]
    here = settings(sound, tmp_path, consul={"agents": agents})

    def look() -> Report:
        return audit.run(here, Options(services=("web",)))

    behind = f"server-lags:{first.name}"
    with halting(first):
        until(look, lambda report: behind in found(report), "behind")
    first.freeze()
    until(look, lambda report: f"server-away:{first.name}" in found(report), "away")
    second.kill()
    until(look, lambda report: "no-leader:site" in found(report), "no leader")


def test_a_cluster_as_nobody_should_run_it(weak: RealCluster, tmp_path: Path) -> None:
    report = until(
        lambda: audit.run(settings(weak, tmp_path)),
        lambda one: {"web", "job"} <= one.site.services.keys() and found(one) >= PLANTED_WEAK,
        f"registered, and {PLANTED_WEAK}",
    )
    (http,) = [one for one in report.findings if one.id == "http-clear"]
    assert http.what.endswith(f":{weak.servers[0].http_port}")
    # Two are gone for good, and taken out.
    leader = weak.leader()
    for one in [one for one in weak.servers if one is not leader][:2]:
        one.kill()
        at = f"{one.address}:{one.server_port}"
        leader.wait_until(functools.partial(taken_out, leader, at), "taken out")
    until(lambda: audit.run(settings(weak, tmp_path)), lambda one: FEW in found(one), FEW)


def taken_out(leader: RealAgent, server: str) -> bool:
    leader.http("DELETE", f"/v1/operator/raft/peer?address={server}")
    seen = leader.http("GET", "/v1/operator/raft/configuration")
    return server not in {one["Address"] for one in seen["Servers"]}


def test_sixteen_faults_of_sixteen() -> None:
    planted = PLANTED | IN_SETTINGS | ALONE | PLANTED_WEAK | {FEW, "server-lags", "no-leader"}
    planted = {one.partition(":")[0] for one in planted}
    assert len(SIXTEEN) == 16
    assert [what for what, rules in SIXTEEN.items() if not planted.issuperset(rules)] == []
