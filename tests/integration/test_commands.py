"""The commands as processes, on real agents: what they print, what they end with, signals."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import dns.message
import pytest

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealAgent, RealCluster
from tests.integration.asking import At, ask, data, question, rcode
from tests.integration.own_words import own_words
from tests.integration.recursors import Recursor
from tests.integration.served import HOST, Served, consul, serve
from tests.integration.services import GALERA
from tests.loopback import free_port


def resolve(
    *words: str, agents: tuple[RealAgent, ...] = (), server: At | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `consulfwd resolve` with these words, asking these agents or this server."""
    options = [word for one in agents for word in ("--agent", f"{one.address}:{one.dns_port}")]
    if server is not None:
        options += ["--server", f"{server[0]}:{server[1]}"]
    python = [sys.executable, "-X", "dev", "-W", "error", "-m", "consulfwd.cli.main"]
    environ = {name: value for name, value in os.environ.items() if "CONSULFWD" not in name}
    done = subprocess.run(
        [*python, "resolve", *words, *options],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=environ,
    )
    done.stderr = own_words(done.stderr)
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    return done


# What a trace says: the first in order was asked first, and its reply is what is told. Where that
# took longer than usual, as on a busy machine, others were asked, too, and theirs may be taken.
TRIED = r"\n +1\. [^\n]* FIRST +udp [^\n]*(\n +\d\. [^\n]* (OTHER) +udp [^\n]*)*(?<= )"
TAKEN = r"(slower than its usual: the next one is asked too; )?taken( after all)? *\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("galeradb.service.consul", 0, r"A: 3 records, TTL 0 s, from (FIRST|OTHER) in "),
        ("galeradb.service.consul AAAA", 1, "the name has no AAAA"),
        ("nothing.service.consul", 1, "no such name"),
        ("_galeradb._tcp.service.consul --short", 0, r"(1 1 3306 \w+\.addr\.dc1\.consul\.\n){3}"),
        ("big.service.consul SRV --tcp", 0, "SRV: 60 records"),
        ("galeradb.service.consul A --trace", 0, rf"(?s)10\.0\.10\.11.*{TRIED}NOERROR +{TAKEN}"),
        ("nothing.service.consul --trace", 1, rf"(?s)no such name.*{TRIED}NXDOMAIN +{TAKEN}"),
        ("galeradb.service.consul --compare", 0, "They agree"),
        ("nothing.service.consul --compare", 1, "They agree"),
    ],
)
def test_resolve(cluster: RealCluster, words: str, code: int, said: str) -> None:
    done = resolve(*words.split(), agents=cluster.servers)
    first, *others = (re.escape(f"{one.address}:{one.dns_port}") for one in cluster.servers)
    said = said.replace("FIRST", first).replace("OTHER", "|".join(others))
    assert re.search(said, done.stdout), done.stdout
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.parametrize("words", ["", "a..b", "web.service.consul NONSENSE", "--no-such-option a"])
def test_resolve_used_wrongly(cluster: RealCluster, words: str) -> None:
    done = resolve(*words.split(), agents=cluster.servers)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr


def test_resolve_explains_a_failover(cluster: RealCluster) -> None:
    frozen, dead, well = cluster.servers
    frozen.freeze()
    dead.kill()
    done = resolve("galeradb.service.consul", "--trace", agents=cluster.servers)
    assert done.returncode == 0
    asked = [line for line in done.stdout.splitlines() if re.match(r" +\d\. +\d", line)]
    # On a busy machine somebody may be asked once more behind these.
    for line, agent, result in zip(
        asked[:3], cluster.servers, ["no reply", "connection refused", "NOERROR"], strict=True
    ):
        assert agent.address in line
        assert result in line
    compared = resolve("galeradb.service.consul", "--compare", "--json", agents=cluster.servers)
    said = json.loads(compared.stdout)
    assert said["agree"] is False
    found = {name: one["rcode"] for name, one in said["agents"].items()}
    assert [found[f"{one.address}:{one.dns_port}"] for one in cluster.servers] == [
        "SERVFAIL",
        "SERVFAIL",
        "NOERROR",
    ]
    well.freeze()
    done = resolve("galeradb.service.consul", "--trace", agents=cluster.servers)
    assert done.returncode == 3
    assert "could not be resolved" in done.stdout


def test_resolve_shows_where_agents_differ(cluster: RealCluster, acl_cluster: RealCluster) -> None:
    agents = (cluster.servers[0], acl_cluster.servers[0])
    done = resolve("hidden.service.consul", "--compare", agents=agents)
    assert (done.returncode, "They differ" in done.stdout) == (1, True)
    assert "NXDOMAIN, 0" in done.stdout


def test_resolve_asks_a_server(
    cluster: RealCluster, bind: Recursor, guard: Guard, tmp_path: Path
) -> None:
    settings = {"consul": consul(*cluster.servers), "recursors": [f"{HOST}:{bind.port}"]}
    with serve(settings, tmp_path, guard) as served:
        for name in ("galeradb.service.consul", "chain.example.test"):
            assert resolve(name, server=served.at).returncode == 0
        done = resolve("galeradb.service.consul", "--json", server=served.at)
        records = json.loads(done.stdout)["records"]
        assert {record["data"] for record in records} == GALERA
        assert resolve("nothing.service.consul", server=served.at).returncode == 1
    done = resolve("galeradb.service.consul", server=(HOST, free_port(HOST)))
    assert done.returncode == 3


def test_serve_with_a_yaml_file(cluster: RealCluster, guard: Guard, tmp_path: Path) -> None:
    port = free_port(HOST)
    first, second, third = (f"{one.address}:{one.dns_port}" for one in cluster.servers)
    text = f"""\
listen: ["{HOST}:{port}"]
consul:
  agents:
    - {first}
    - {{address: {cluster.servers[1].address}, dns_port: {cluster.servers[1].dns_port}}}
resolv_conf: {tmp_path}/resolv.conf
admin: {{socket: false}}
"""
    (tmp_path / "resolv.conf").write_text("search example.test\n")
    served = Served({}, tmp_path, guard)
    served.file.write_text(text)
    try:
        served.start()
        at = (HOST, port)
        assert data(ask(at, "galeradb.service.consul")) == GALERA

        served.file.write_text(text + "log: {queries: true}\n")
        os.kill(served.pid, signal.SIGHUP)
        served.wait_until(lambda: "settings reloaded" in served.said(), "reloaded")
        assert data(ask(at, "galeradb.service.consul", tcp=True)) == GALERA

        served.file.write_text(text + "no_such_key: 1\ncache: {size: many}\n")
        os.kill(served.pid, signal.SIGHUP)
        served.wait_until(lambda: "not reloaded" in served.said(), "refusing to reload")
        assert data(ask(at, "galeradb.service.consul")) == GALERA

        (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.53\n")
        served.wait_until(lambda: "recursors changed" in served.said(), "following resolv.conf")

        other = free_port(HOST)
        served.file.write_text(text.replace(f":{port}", f":{other}").replace(first, third))
        os.kill(served.pid, signal.SIGHUP)
        served.wait_until(lambda: served.said().count("settings reloaded") == 2, "reloaded")
        assert data(ask((HOST, other), "galeradb.service.consul")) == GALERA
        with pytest.raises(OSError, match="refused"):
            ask(at, "galeradb.service.consul")
        assert served.end() == 0
    finally:
        served.kill()
    lines = [line.split(" ", 1)[1] for line in served.said().splitlines() if re.match("20", line)]
    # On a busy machine an agent may be slow for a moment; that is told, and no matter here.
    lines = [line for line in lines if not re.search(r" agent .* is (ranked|up|asked)", line)]
    # Which agent it was, after how long, is told beside.
    lines = [re.sub(r"(over (udp|tcp)): NOERROR, .*", r"\1", line) for line in lines]
    none = f"WARNING no recursors ({tmp_path}/resolv.conf): names outside Consul get SERVFAIL"
    root = ["WARNING running as root: the setting user names whom to become instead"]
    assert lines == [
        *(root if os.getuid() == 0 else []),
        f"INFO listening on {HOST}:{port} (UDP and TCP)",
        f"INFO consul is answered from {first}, {second} (ordered)",
        none,
        f"INFO settings reloaded; listening on {HOST}:{port}",
        f"INFO consul is answered from {first}, {second} (ordered)",
        none,
        f"INFO galeradb.service.consul. A from {HOST} over tcp",
        "ERROR not reloaded, the old settings stay in force:",
        f"INFO galeradb.service.consul. A from {HOST} over udp",
        f"INFO recursors changed: 192.0.2.53:53 (from {tmp_path}/resolv.conf)",
        f"INFO settings reloaded; listening on {HOST}:{other}",
        f"INFO consul is answered from {third}, {second} (ordered)",
        f"INFO everything else by 192.0.2.53:53 (from {tmp_path}/resolv.conf)",
        "INFO stopping: answering what is in flight",
        "INFO stopped",
    ]
    refusal = [line for line in served.said().splitlines() if not line.startswith("20")]
    assert len(refusal) == 2
    assert "no_such_key" in refusal[0]
    assert "size" in refusal[1]


def test_serve_does_not_start_on_a_bad_file(guard: Guard, tmp_path: Path) -> None:
    served = Served({"listen": ["somewhere"], "recursors": 5}, tmp_path, guard)
    done = subprocess.run(
        [sys.executable, "-m", "consulfwd.cli.main", "serve", "-c", served.file],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert len(re.findall(r"consulfwd\.yml:\d+", done.stderr)) == 2


def test_what_is_in_flight_is_answered_on_sigterm(
    cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    for agent in cluster.servers:
        agent.freeze()
    settings = {"consul": consul(*cluster.servers), "query": {"deadline": 3.0}}
    served = Served(settings, tmp_path, guard)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            served.start()
            sock.settimeout(10.0)
            sock.connect(served.at)
            for rtype in ("A", "SRV"):
                sock.send(question("galeradb.service.consul", rtype).to_wire())
            served.wait_until(lambda: "does not answer" in served.said(), "asking")
            os.kill(served.pid, signal.SIGTERM)
            served.wait_until(lambda: "stopping" in served.said(), "stopping")
            cluster.servers[2].thaw()
            replies = [dns.message.from_wire(sock.recv(4096)) for _ in range(2)]
            assert served.ended() == 0
        finally:
            served.kill()
    assert [(rcode(reply), len(data(reply))) for reply in replies] == [("NOERROR", 3)] * 2
    assert served.complaints() == []
