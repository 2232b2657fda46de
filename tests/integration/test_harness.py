"""The harness itself: the clusters and recursors are what the other tests take them for."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from consulfwd.dev.child import PATIENCE_S
from consulfwd.dev.real import (
    HELD_S,
    NO_LEADER,
    ApiError,
    RealAgent,
    RealCluster,
    dev_cluster,
    find_binaries,
)
from consulfwd.errors import StartError
from tests.integration.conftest import NEWEST
from tests.integration.places import addresses
from tests.integration.recursors import BROKEN_ZONE, Recursor
from tests.integration.services import BIG, EXTERNAL_TARGET, GALERA, QUERY, TEXT_NODE


def ask(agent: RealAgent, name: str, rtype: str = "A", *, tcp: bool = False) -> dns.message.Message:
    send = dns.query.tcp if tcp else dns.query.udp
    return send(dns.message.make_query(name, rtype), agent.address, 5.0, agent.dns_port)


def data(reply: dns.message.Message) -> set[str]:
    return {str(record) for rrset in reply.answer for record in rrset}


def silent(agent: RealAgent) -> bool:
    return agent.dns_answers() is None


def test_three_servers_with_everything(cluster: RealCluster) -> None:
    assert [agent.address for agent in cluster.agents] == addresses(11, 11, 12, 13)
    assert cluster.leader() in cluster.servers
    for agent in cluster.agents:
        assert data(ask(agent, "icinga-galera.galeradb.service.consul")) == GALERA
        assert data(ask(agent, "big.service.consul", tcp=True)) == BIG
        assert len(ask(agent, "big.service.consul", "SRV", tcp=True).answer[0]) == 60
        assert data(ask(agent, "external.service.consul")) == {f"{EXTERNAL_TARGET}."}
        texts = data(ask(agent, f"{TEXT_NODE}.node.consul", "TXT"))
        assert {'"rack=r1"', '"kept in the cellar"'} <= texts
        assert data(ask(agent, f"{QUERY}.query.consul")) == GALERA
        assert data(ask(agent, "mixed.service.consul")) == {"10.0.50.1"}
        assert data(ask(agent, "v6only.service.consul", "AAAA")) == {"fd00:60::1"}
        assert ask(agent, "failed.service.consul").rcode() == dns.rcode.NXDOMAIN
    srv = data(ask(cluster.servers[0], "galeradb.service.consul", "SRV"))
    assert {record.split()[2] for record in srv} == {"3306"}


def test_freeze_and_thaw(cluster: RealCluster) -> None:
    agent = cluster.servers[1]
    agent.freeze()
    assert agent.running
    assert agent.frozen
    assert silent(agent)
    agent.thaw()
    cluster.wait_ready()
    assert data(ask(agent, "galeradb.service.consul")) == GALERA


def test_kill_and_restart(cluster: RealCluster) -> None:
    agent = cluster.leader()
    pid = agent.pid
    agent.kill()
    assert not agent.running
    assert silent(agent)
    with pytest.raises(RuntimeError, match="not running"):
        _ = agent.pid
    agent.restart()
    assert agent.pid != pid
    assert data(ask(agent, "galeradb.service.consul")) == GALERA


def test_terminate(cluster: RealCluster) -> None:
    agent = cluster.servers[2]
    agent.terminate()
    assert not agent.running


def test_what_a_test_leaves_behind_is_brought_back(cluster: RealCluster) -> None:
    first, second, _ = cluster.servers
    first.freeze()
    cluster.heal()
    second.kill()
    cluster.heal()
    for agent in cluster.servers:
        assert agent.answering
        assert data(ask(agent, "galeradb.service.consul")) == GALERA


@NEWEST
def test_an_election_is_waited_for(cluster: RealCluster) -> None:
    alone, *others = cluster.servers
    for agent in others:
        agent.freeze()
    alone.wait_until(lambda: alone.http("GET", "/v1/status/leader") == "", "without a leader")
    with pytest.raises(ApiError, match=NO_LEADER):
        alone.http("PUT", "/v1/kv/consulfwd/elected", 1, timeout_s=HELD_S)

    def thaw() -> None:
        for agent in others:
            agent.thaw()

    back = threading.Timer(0.5, thaw)
    back.start()
    cluster.http("PUT", "/v1/kv/consulfwd/elected", 1)
    back.join()
    assert cluster.leader() in cluster.servers


def test_health_and_maintenance(cluster: RealCluster) -> None:
    follower = next(agent for agent in cluster.servers if agent is not cluster.leader())

    def becomes(expected: set[str]) -> None:
        cluster.settle()
        assert data(ask(follower, "galeradb.service.consul")) == expected

    cluster.set_health("galera1", "galera1", "critical")
    becomes(GALERA - {"10.0.10.11"})
    cluster.maintenance("galera2", "galera2", "disk is being replaced")
    becomes({"10.0.10.13"})
    cluster.set_health("galera1", "galera1", "passing")
    cluster.maintenance("galera2", "galera2", None)
    becomes(GALERA)


def test_register_and_deregister(cluster: RealCluster) -> None:
    cluster.register("guest", "passing-by", address="10.0.90.1", port=99)
    for agent in cluster.agents:
        assert data(ask(agent, "passing-by.service.consul")) == {"10.0.90.1"}
    cluster.deregister("guest")
    for agent in cluster.agents:
        assert ask(agent, "passing-by.service.consul").rcode() == dns.rcode.NXDOMAIN


def test_client_agent(client_cluster: RealCluster) -> None:
    client = client_cluster.client
    assert client is not None
    assert not client.server
    assert client.http("GET", "/v1/agent/self")["Config"]["Server"] is False
    assert data(ask(client, "galeradb.service.consul")) == GALERA
    assert data(ask(client, "big.service.consul", tcp=True)) == BIG
    client.kill()
    assert silent(client)


def test_acl(acl_cluster: RealCluster) -> None:
    for agent in acl_cluster.agents:
        assert data(ask(agent, "galeradb.service.consul")) == GALERA
        assert ask(agent, "hidden.service.consul").rcode() == dns.rcode.NXDOMAIN
    assert len(acl_cluster.http("GET", "/v1/health/service/hidden")) == 1
    assert acl_cluster.http("GET", "/v1/health/service/hidden", token="") == []
    with pytest.raises(ApiError) as caught:
        acl_cluster.http("GET", "/v1/health/service/web", token="11111111-2222-3333-4444-5")
    assert caught.value.status == 403
    nobody = acl_cluster.create_token('key_prefix "" { policy = "deny" }')
    assert acl_cluster.http("GET", "/v1/health/service/web", token=nobody) == []


def test_two_datacenters_side_by_side(consul_binary: Path, tmp_path: Path) -> None:
    with (
        RealCluster(
            consul_binary, addresses(41, 11), datacenter="dc1", workdir=tmp_path / "dc1"
        ) as first,
        RealCluster(
            consul_binary,
            addresses(41, 12),
            datacenter="dc2",
            workdir=tmp_path / "dc2",
            join_wan=first.wan_addresses,
        ) as second,
    ):
        second.register("far", "away", address="10.2.0.1")
        near = first.servers[0]
        near.wait_until(lambda: data(ask(near, "away.service.dc2.consul")), "joined by dc2")
        assert data(ask(near, "away.service.dc2.consul")) == {"10.2.0.1"}


def test_clusters_on_the_same_addresses_get_other_ports(
    cluster: RealCluster, consul_binary: Path, tmp_path: Path
) -> None:
    first = cluster.servers[0]
    with RealCluster(consul_binary, [first.address], workdir=tmp_path) as other:
        (agent,) = other.agents
        assert agent.dns_port != first.dns_port
        assert len(data(ask(agent, "consul.service.consul"))) == 1


def test_an_agent_that_cannot_start_shows_its_log(consul_binary: Path, tmp_path: Path) -> None:
    broken = RealCluster(
        consul_binary, addresses(41, 21), workdir=tmp_path, extra={"no_such_key": True}
    )
    with pytest.raises(StartError, match=r"(?s)server-1 ended \(code 1\).*no_such_key"):
        broken.start()


def test_an_address_of_another_host_is_refused(consul_binary: Path, tmp_path: Path) -> None:
    elsewhere = RealCluster(consul_binary, ["192.0.2.1"], workdir=tmp_path)
    with pytest.raises(StartError, match=r"192\.0\.2\.1"):
        elsewhere.start()


def test_agents_end_with_the_process_that_started_them(consul_binary: Path, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path;"
        "from consulfwd.dev.real import RealCluster;"
        "cluster = RealCluster(Path(sys.argv[1]), sys.argv[3:], workdir=Path(sys.argv[2]));"
        "cluster.start(); print(cluster.agents[0].pid, flush=True);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", script, str(consul_binary), str(tmp_path), *addresses(41, 31)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    pid = int(done.stdout)
    end = time.monotonic() + PATIENCE_S
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not alive(pid)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    # Where nobody reaps orphans, a killed process stays as a zombie.
    return state != "Z"


def test_find_binaries(consul_binary: Path, tmp_path: Path) -> None:
    (tmp_path / "1.8.7").mkdir()
    (tmp_path / "1.10.0").mkdir()
    for version in ("1.8.7", "1.10.0"):
        (tmp_path / version / "consul").symlink_to(consul_binary)
    found = find_binaries({"CONSULFWD_CONSUL_DIR": str(tmp_path), "PATH": ""})
    assert list(found) == ["1.8.7", "1.10.0"]
    assert find_binaries({"CONSULFWD_CONSUL_DIR": str(tmp_path / "none"), "PATH": ""}) == {}


def test_dev_cluster_without_consul(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONSULFWD_CONSUL_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StartError, match="no consul executable"):
        dev_cluster(tmp_path)


@pytest.mark.parametrize("name", ["bind", "unbound"])
def test_recursors(name: str, request: pytest.FixtureRequest) -> None:
    recursor: Recursor = request.getfixturevalue(name)

    def lookup(name: str, rtype: str = "A", tcp: bool = False) -> dns.message.Message:
        send = dns.query.tcp if tcp else dns.query.udp
        return send(dns.message.make_query(name, rtype), recursor.address, 5.0, recursor.port)

    assert data(lookup("www.example.test")) == {"192.0.2.10"}
    assert data(lookup("www.example.test", "AAAA")) == {"2001:db8::10"}
    assert data(lookup("chain.example.test")) >= {"192.0.2.10"}
    assert data(lookup("1.99.0.10.in-addr.arpa", "PTR")) == {"outside.example.test."}
    assert lookup("big.example.test", "TXT").flags & dns.flags.TC
    assert len(lookup("big.example.test", "TXT", tcp=True).answer[0]) == 20
    assert lookup("nothing.example.test").rcode() == dns.rcode.NXDOMAIN
    assert lookup(f"x.{BROKEN_ZONE}").rcode() == dns.rcode.SERVFAIL
    # Whatever reaches it is in its log. (Not a name under .consul: others look for those.)
    reply = lookup("Leak.Service.Elsewhere", "SRV")
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert reply.flags & dns.flags.RA
    assert recursor.asked("elsewhere") == [("leak.service.elsewhere", "SRV")]
    assert recursor.asked("lsewhere") == []
    assert ("1.99.0.10.in-addr.arpa", "PTR") in recursor.queries()


def test_unbound_over_tls(unbound: Recursor) -> None:
    query = dns.message.make_query("www.example.test", "A")
    context = ssl.create_default_context(cafile=str(unbound.ca_file))
    reply = dns.query.tls(
        query,
        unbound.address,
        5.0,
        unbound.tls_port,
        server_hostname=unbound.tls_name,
        ssl_context=context,
    )
    assert data(reply) == {"192.0.2.10"}


def test_a_frozen_recursor_is_silent(unbound: Recursor) -> None:
    unbound.freeze()
    assert not unbound.answers("www.example.test")
    unbound.heal()
    assert unbound.answers("www.example.test")


def test_children_do_not_inherit_our_terminal(cluster: RealCluster) -> None:
    assert all(os.getsid(agent.pid) == agent.pid for agent in cluster.agents)
