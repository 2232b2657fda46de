"""Plug-ins by their words: wrong use, what cannot be asked, and what agents that run say."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import pytest
from click.shell_completion import ShellComplete

from consulfwd import __version__, dev
from consulfwd.checks import agents, deadline
from consulfwd.checks.running import Late, run
from consulfwd.cli.main import cli
from consulfwd.ops.snapshot import to_json
from tests.checks.conftest import Plugin
from tests.checks.said import Said, well_formed
from tests.checks.situations import SITUATIONS
from tests.cli.admin import resolver, running
from tests.cli.admin import upstream as seen_of
from tests.cli.background import Background
from tests.cli.zoned import ORIGIN, Site

WRONG = "wrong use: "
# Words, what the first line says behind the state, all of them UNKNOWN.
USAGE = [
    ("", WRONG + "Missing command."),
    ("nope", WRONG + "No such command 'nope'."),
    ("--nope", WRONG + "No such option"),
    ("resolve", WRONG + "Missing argument 'NAME'."),
    ("resolve a b c", WRONG + "Got unexpected extra argument (c)"),
    ("resolve a --nope", WRONG + "No such option"),
    ("resolve a BLA", "there is no record type 'BLA'"),
    ("resolve a..b", "a name has an empty label"),
    ("resolve a -w 2:1", WRONG + "Invalid value for '-w' / '--warning': '2:1': 2 is more than 1"),
    ("resolve a -c x", WRONG + "Invalid value for '-c' / '--critical': 'x': 'x' is not a number"),
    ("resolve a -w 5%", WRONG + "Invalid value for '-w' / '--warning': '5%': '%' is no unit"),
    ("resolve a --records-warning 1s", WRONG + "Invalid value for '--records-warning': '1s':"),
    ("resolve a -w", WRONG + "Option '-w' requires an argument."),
    ("resolve a -p 0", WRONG + "Invalid value for '-p' / '--port': 0 is not in the range"),
    ("resolve a -p x", WRONG + "Invalid value for '-p' / '--port': 'x' is not a valid integer"),
    ("resolve a -H x:0", "x:0: '0' is not a port"),
    ("resolve a -H :53", "':53' is not HOST or HOST:PORT"),
    ("resolve a --rcode NOPE", "'NOPE' is no response code"),
    ("resolve a --exact", "--exact: nothing is expected"),
    ("resolve a --stale maybe", WRONG + "Invalid value for '--stale': 'maybe' is none of ok"),
    ("resolve a --stale 4", WRONG + "Invalid value for '--stale': '4' is none of ok"),
    ("resolve a -t 0", WRONG + "Invalid value for '-t' / '--timeout': '0' is not more than 0"),
    ("resolve a -t -1", WRONG + "Invalid value for '-t' / '--timeout': '-1': 0 is more than -1"),
    ("resolve a -t 1e9", WRONG + "Invalid value for '-t' / '--timeout': '1e9': '1e9' is not a"),
    ("resolve a -t 2h", WRONG + "Invalid value for '-t' / '--timeout': '2h' is not more than 0"),
    ("resolve a -t nan", WRONG + "Invalid value for '-t' / '--timeout': 'nan': 'nan' is not a"),
    ("resolve a -t 1:nope", WRONG + "Invalid value for '-t' / '--timeout': 'nope' is none of ok"),
    ("resolve a --config /nonexistent", "/nonexistent: "),
    ("service", WRONG + "Missing argument 'SERVICE'."),
    ("service web -m 1:2", WRONG + "Invalid value for '-m' / '--minimum': '1:2' is a range"),
    ("service web -m -1", WRONG + "Invalid value for '-m' / '--minimum': -1 is no minimum"),
    ("service web -m 101%", WRONG + "Invalid value for '-m' / '--minimum': 101% is no minimum"),
    ("service web -m x", WRONG + "Invalid value for '-m' / '--minimum': 'x:': 'x' is not a"),
    ("service web -w 50%:60", WRONG + "Invalid value for '-w' / '--warning': '50%:60': % belongs"),
    ("service web -p 8500", "--port, --ssl: of which agent?"),
    ("service web --ssl", "--port, --ssl: of which agent?"),
    ("service web -H x:99999", "x:99999: '99999' is not a port"),
    ("service web --dc a/b -H 127.0.0.1", "'a/b' is not the name of a datacenter"),
    ("service a\nb -H 127.0.0.1", "service: 'a\\nb' cannot be asked for"),
    ("service web --token abc", WRONG + "No such option"),
    ("agents x", WRONG + "Got unexpected extra argument (x)"),
    ("agents --direct --socket /x", "--direct and --socket: one of them"),
    ("agents --socket /nonexistent", "nobody answers at /nonexistent"),
    ("agents", "nobody answers in "),
    ("zone", "there are no `zones` in the settings"),
    ("zone -s x:y", "x:y: 'y' is not a port"),
    ("audit --baseline /nonexistent", "/nonexistent: no such file or directory"),
    ("audit -w x", WRONG + "Invalid value for '-w' / '--warning': 'x': 'x' is not a number"),
]


@pytest.mark.parametrize(("words", "said"), USAGE, ids=[one[0] or "-" for one in USAGE])
def test_wrong_use_is_unknown_and_says_why(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch, words: str, said: str
) -> None:
    # Whatever runs on this host.
    monkeypatch.setattr("consulfwd.ops.places.sockets", lambda environ: iter(()))
    found = plugin(*words.split(" ")) if words else plugin()
    well_formed(found)
    assert found.code == 3
    assert found.first.partition(": ")[2].startswith(said), found.first


def test_these_are_two_hundred_cases() -> None:
    assert len(SITUATIONS) + len(USAGE) >= 200


@pytest.mark.parametrize("verb", ["resolve", "service", "agents", "zone", "audit"])
def test_help_is_no_state(plugin: Plugin, verb: str) -> None:
    said = plugin(verb, "--help")
    assert said.code == 3
    assert said.text.startswith(f"Usage: consulfwd check {verb} ")
    for option in ("--timeout", "--verbose", "--config", "--help"):
        assert option in said.text


def test_a_version_is_no_state_either(plugin: Plugin) -> None:
    assert plugin("service", "-V") == (3, f"consulfwd check, version {__version__}\n")


def test_the_shell_completes_verbs_states_and_zones(plugin: Plugin, tmp_path: Path) -> None:
    def completed(*words: str, begun: str) -> list[str]:
        shell = ShellComplete(cli, {}, "consulfwd", "_CONSULFWD_COMPLETE")
        return [one.value for one in shell.get_completions(["check", *words], begun)]

    assert completed(begun="re") == ["resolve"]
    assert completed("resolve", "a", begun="--rec") == ["--records-warning", "--records-critical"]
    assert completed("resolve", "a", "--stale", begun="c") == ["critical"]
    settings = tmp_path / "zones.yml"
    target = {"file": {"path": "/x/y"}}
    zone = {"origin": "svc.test", "ns": ["ns.test"], "targets": [target]}
    settings.write_text(json.dumps({"zones": [zone]}))
    assert completed("zone", "--config", str(settings), begun="s") == ["svc.test"]


def test_an_error_of_ours_has_no_traceback(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a|b")

    monkeypatch.setattr("consulfwd.checks.asked_dns.ask", broken)
    said = plugin("resolve", "a", "-H", "127.0.0.1")
    well_formed(said)
    assert said.code == 3
    assert said.first.startswith(
        "RESOLVE UNKNOWN: an error of consulfwd's: ZeroDivisionError: a\\x7cb (test_plugin.py:"
    )


def test_ctrl_c_is_unknown(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("consulfwd.checks.asked_dns.ask", interrupted)
    said = plugin("resolve", "a", "-H", "127.0.0.1")
    assert (said.code, said.text) == (3, "RESOLVE UNKNOWN: interrupted\n")


# -- the deadline -----------------------------------------------------------------------------


def test_a_deadline_counts_from_the_start_of_the_process() -> None:
    now = [100.0]
    one = deadline.Deadline(10.0, age=3.0, clock=lambda: now[0])
    assert one.left == 7.0
    now[0] = 106.96
    assert one.left == pytest.approx(0.04)
    assert one.patience == 0.0
    now[0] = 120.0
    assert one.left == 0.0


def test_a_part_of_it_ends_before_it() -> None:
    now = [0.0]
    one = deadline.Deadline(10.0, clock=lambda: now[0])
    part = one.within(3.0)
    assert (part.left, part.timeout) == (3.0, 3.0)
    now[0] = 9.0
    assert one.within(3.0).left == pytest.approx(0.9)


def test_the_age_of_a_process_is_told_by_the_kernel() -> None:
    started = float(Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()[19])
    assert deadline.age() == pytest.approx(
        float(Path("/proc/uptime").read_text().split()[0]) - started / os.sysconf("SC_CLK_TCK"),
        abs=0.5,
    )


def test_nobody_waits_for_a_check_that_does_not_end() -> None:
    over = threading.Event()
    with pytest.raises(Late):
        run(over.wait, deadline.Deadline(0.02))
    over.set()


# -- with agents ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def consul() -> Iterator[Background]:
    """Development agents with HTTP, and the example services."""
    with Background(http=True) as running:
        yield running


@pytest.fixture
def whole(consul: Background) -> Iterator[Background]:
    """The same, without what a test before did to them."""
    yield consul
    for agent in consul.agents:
        agent.faults.clear()
        agent.tokens = None


def http_of(consul: Background) -> list[str]:
    return [w for one in consul.agents for w in ("-H", f"{one.address}:{one.http_port}")]


def test_a_service_of_several_agents(plugin: Plugin, whole: Background) -> None:
    said = plugin("service", "galeradb", *http_of(whole), "-m", "3")
    well_formed(said)
    assert (said.code, said.first) == (0, "SERVICE OK: galeradb: 3 of 3 instances healthy")
    assert said.figures.startswith("'healthy'=3;;3:;0;3 'instances'=3;;;0 ")


def test_the_next_agent_is_asked_where_one_fails(plugin: Plugin, whole: Background) -> None:
    whole.agents[0].faults.http.refuse.on()
    whole.agents[1].faults.http.status.on(500)
    said = plugin("service", "galeradb", *http_of(whole), "-v")
    assert said.code == 0
    assert f"asked: {whole.agents[2].address}:{whole.agents[2].http_port}" in said.below


def test_no_agent_answers(plugin: Plugin, whole: Background) -> None:
    for agent in whole.agents:
        agent.faults.http.refuse.on()
    said = plugin("service", "galeradb", *http_of(whole))
    assert said.code == 3
    assert said.first.startswith("SERVICE UNKNOWN: galeradb: none of 3 agents could be asked: ")


def test_a_service_that_is_not_there(plugin: Plugin, whole: Background) -> None:
    said = plugin("service", "nope", *http_of(whole))
    assert (said.code, said.first) == (2, "SERVICE CRITICAL: nope: no such service in Consul")


def test_permission_denied(
    plugin: Plugin, whole: Background, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("a1b2c3d4-0000-1111-2222-333344445555\n")
    for agent in whole.agents:
        agent.tokens = {token.read_text().strip()}
    words = ["service", "galeradb", *http_of(whole)]
    said = plugin(*words)
    assert said.code == 3
    assert said.first.startswith("SERVICE UNKNOWN: galeradb: permission denied: ")
    assert "--token-file" in said.below[0]
    assert plugin(*words, "--token-file", str(token)).code == 0
    monkeypatch.setenv("CONSUL_HTTP_TOKEN_FILE", str(token))
    assert plugin(*words).code == 0
    monkeypatch.delenv("CONSUL_HTTP_TOKEN_FILE")
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", token.read_text().strip())
    assert plugin(*words).code == 0
    said = plugin(*words, "--token-file", str(tmp_path / "none"))
    assert said.code == 3
    assert "cannot be read" in said.first


def test_agents_of_the_settings(plugin: Plugin, whole: Background, tmp_path: Path) -> None:
    settings = tmp_path / "consulfwd.yml"
    agents = [
        {"address": one.address, "dns_port": one.dns_port, "http_port": one.http_port}
        for one in whole.agents
    ]
    settings.write_text(json.dumps({"consul": {"agents": agents}}))
    said = plugin("service", "web", "--tag", "primary", "--config", str(settings))
    assert (said.code, said.first) == (0, "SERVICE OK: web with primary: 1 of 1 instances healthy")
    said = plugin("agents", "--direct", "--config", str(settings))
    well_formed(said)
    assert (said.code, said.first) == (0, "AGENTS OK: 3 of 3 agents up")
    whole.agents[1].faults.udp.servfail.on()
    said = plugin("agents", "--direct", "--config", str(settings))
    assert said.code == 1
    assert said.below[0].startswith(f"agent {whole.names[1]}: answers SERVFAIL (")


def test_an_audit(plugin: Plugin, whole: Background, tmp_path: Path) -> None:
    settings = tmp_path / "consulfwd.yml"
    one = whole.agents[0]
    agent = {"address": one.address, "dns_port": one.dns_port, "http_port": one.http_port}
    settings.write_text(json.dumps({"consul": {"agents": [agent]}}))
    said = plugin("audit", "--config", str(settings), "--service", "galeradb")
    well_formed(said)
    # Three instances on the node of one agent.
    assert said.code in (1, 2)
    assert said.figures.startswith("'critical'=")
    allowed = ["-w", "~:", "-c", "~:", "--unseen", "0"]
    assert plugin("audit", "--config", str(settings), *allowed).code == 0


def test_as_processes(whole: Background, project: Path, tmp_path: Path) -> None:
    one = whole.agents[0]
    settings = tmp_path / "consulfwd.yml"
    agent = {"address": one.address, "dns_port": one.dns_port, "http_port": one.http_port}
    settings.write_text(json.dumps({"consul": {"agents": [agent]}}))
    environ = {"PYTHONPATH": str(project), "CONSULFWD_CONFIG": str(settings)}
    commands = {
        f"resolve galeradb.service.consul -H {one.address} -p {one.dns_port}": 0,
        "service galeradb --minimum-warning 4": 1,
        "service nope": 2,
        "agents --direct": 0,
        "agents --nope": 3,
    }
    running = {
        words: subprocess.Popen(
            [sys.executable, "-m", "consulfwd", "check", *words.split()],
            env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        )
        for words in commands
    }  # fmt: skip
    for words, process in running.items():
        out, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (commands[words], ""), out
        well_formed(Said(process.returncode, out))


def ask(plugin: Plugin, agent: dev.DevAgent, *words: str) -> Any:
    return plugin("resolve", *words, "-H", f"{agent.address}:{agent.dns_port}")


def test_resolving(plugin: Plugin, whole: Background) -> None:
    agent = whole.agents[0]
    name = "galeradb.service.consul"
    said = ask(plugin, agent, name, "--expect", "10.0.10.11,10.0.10.12", "--records-warning", "3:3")
    well_formed(said)
    assert said.code == 0
    assert said.first.startswith(f"RESOLVE OK: {name} A: 10.0.10.1")
    assert "'records'=3;3:3;1:;0" in said.figures
    assert ask(plugin, agent, name, "--tcp").code == 0
    assert ask(plugin, agent, name, "--expect", "10.0.10.9").code == 2
    assert ask(plugin, agent, "nope.service.consul").code == 2
    assert ask(plugin, agent, "nope.service.consul", "--rcode", "nxdomain").code == 0
    assert ask(plugin, agent, name, "SRV").code == 0
    assert ask(plugin, agent, name, "-w", "@0:10").code == 1


def test_a_cut_answer_is_asked_for_over_tcp(plugin: Plugin, whole: Background) -> None:
    whole.agents[0].faults.udp.truncate.on()
    said = ask(plugin, whole.agents[0], "galeradb.service.consul")
    assert said.code == 0
    assert " over TCP, " in said.first


def test_a_lost_datagram_is_sent_again(plugin: Plugin, whole: Background) -> None:
    whole.agents[0].faults.udp.drop.on(count=1)
    said = ask(plugin, whole.agents[0], "galeradb.service.consul", "-t", "1")
    assert said.code == 0


def test_forged_replies_are_waited_past(plugin: Plugin, whole: Background) -> None:
    whole.agents[0].faults.udp.spoofed.on(3)
    assert ask(plugin, whole.agents[0], "galeradb.service.consul").code == 0


def test_garbage_is_no_answer(plugin: Plugin, whole: Background) -> None:
    whole.agents[0].faults.udp.garbage.on()
    said = ask(plugin, whole.agents[0], "galeradb.service.consul", "-t", "0.3")
    assert said.code == 2
    assert ": no answer from " in said.first
    assert ": what came is " in said.first
    assert ask(plugin, whole.agents[0], "galeradb.service.consul", "-t", "0.3:unknown").code == 3


def test_the_address_of_a_server_that_has_none(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", none)
    why = "dns.example: its address cannot be found out: Name or service not known"
    for verb in ("resolve", "service"):
        said = plugin(verb, "a", "-H", "dns.example")
        assert (said.code, said.first) == (3, f"{verb.upper()} UNKNOWN: {why}")


def test_what_was_waited_for_is_told(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait())
    said = plugin("resolve", "a", "-H", "dns.example", "-t", "0.3:warning")
    assert plugin("resolve", "a", "-H", "dns.example", "-t", "0.1").code == 3
    over.set()
    why = "a A: no result within 0.3 s, looking up the address of dns.example"
    assert (said.code, said.first) == (1, f"RESOLVE WARNING: {why}")


def test_an_answer_that_is_waited_for_in_vain_is_what_is_checked(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a machine so busy that nobody tells in time why it failed.
    monkeypatch.setattr(deadline, "MARGIN", -10.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{sock.getsockname()[1]}"
        said = plugin("resolve", "a", "-H", where, "-t", "0.2")
    why = f"a A: no result within 0.2 s, waiting for {where}"
    assert (said.code, said.first) == (2, f"RESOLVE CRITICAL: {why}")


def test_zones(plugin: Plugin, whole: Background, tmp_path: Path) -> None:
    site = Site(tmp_path, whole)
    words = ["zone", ORIGIN, "--config", str(site.settings)]
    said = plugin(*words)
    well_formed(said)
    assert said.code == 2
    assert said.first.endswith("no publisher on this host ever wrote that it runs")
    site.write(lock=True)
    said = plugin(*words)
    assert (said.code, said.first) == (2, f"ZONE CRITICAL: {ORIGIN}: nobody publishes it")
    # Whoever asks for its SOA there is told that there is none.
    said = plugin(*words, "--secondary", whole.names[0])
    assert f"{whole.names[0]} gives no serial" in said.first
    for agent in whole.agents:
        agent.faults.http.refuse.on()
    said = plugin(*words)
    assert said.code == 3
    assert "who publishes it is not known" in said.first
    assert plugin("zone", "no.such.zone", "--config", str(site.settings)).code == 3


# -- with a resolver that runs ----------------------------------------------------------------


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[Any]:
    """What answers at an admin socket; `status` and `body` are what it says."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        status, body = 200, b"{}"

        def do_GET(self) -> None:
            self.send_response(type(self).status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(type(self).body)))
            self.end_headers()
            self.wfile.write(type(self).body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def address_string(self) -> str:
            return ""

    (tmp_path / "consulfwd").mkdir()
    server = ThreadingUnixStreamServer(str(tmp_path / "consulfwd" / "serve.sock"), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Handler
    server.shutdown()
    thread.join()
    server.server_close()


def snapshot(**values: Any) -> dict[str, Any]:
    upstream = {"name": "10.0.0.1:8600", "kind": "agent", "state": "up", "rtt": 0.001}
    resolver = {"upstreams": [upstream, {**upstream, "name": "10.0.0.2:8600", "state": "down"}]}
    usual = {"format": 1, "verb": "serve", "ready": True, "faults": [], "resolver": resolver}
    return {**usual, **values}


def test_a_picture_of_a_resolver_is_understood() -> None:
    states = [seen_of("10.0.0.1:8600"), seen_of("10.0.0.2:8600", state="down", behind="stale")]
    said = json.loads(json.dumps(to_json(running(resolver(upstreams=tuple(states))))))
    seen = agents.read(said, "the socket")
    assert seen.ready
    assert seen.upstreams == [
        agents.Upstream("10.0.0.1:8600", "agent", "up", rtt=0.0004),
        agents.Upstream("10.0.0.2:8600", "agent", "down", "stale", rtt=0.0004),
    ]


@pytest.mark.parametrize(
    ("status", "said", "code", "first"),
    [
        (200, snapshot(), 1, "AGENTS WARNING: 1 of 2 agents up; not up: 10.0.0.2:8600"),
        (200, snapshot(ready=False), 2, "AGENTS CRITICAL: 1 of 2 agents up; "),
        (200, snapshot(resolver=None, verb="zone"), 3, "AGENTS UNKNOWN: {} is no resolver's"),
        (200, snapshot(resolver={"upstreams": 5}), 3, "AGENTS UNKNOWN: {}: what it says of its"),
        (200, snapshot(resolver={"upstreams": ["x"]}), 3, "AGENTS UNKNOWN: {}: what it says of"),
        (200, {}, 3, "AGENTS UNKNOWN: {} is no resolver's"),
        (503, {"error": "starting"}, 3, "AGENTS UNKNOWN: {}: HTTP 503: starting"),
    ],
)
def test_a_running_resolver(
    plugin: Plugin,
    admin: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    said: dict[str, Any],
    code: int,
    first: str,
) -> None:
    admin.status, admin.body = status, json.dumps(said).encode()
    path = tmp_path / "consulfwd" / "serve.sock"
    found = plugin("agents", "--socket", str(path))
    well_formed(found)
    assert found.code == code
    assert found.first.startswith(first.format(path))
    # The same where nobody says where it is.
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert plugin("agents").text == found.text


def test_of_several_resolvers_one_has_to_be_named(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paths = [tmp_path / name / "serve.sock" for name in ("one", "two")]
    monkeypatch.setattr("consulfwd.ops.client.find", lambda socket: paths)
    said = plugin("agents")
    assert said.code == 3
    assert "several resolvers run here: say which with --socket" in said.text
    assert str(paths[1]) in said.text


def test_a_socket_that_hangs(plugin: Plugin, tmp_path: Path) -> None:
    path = tmp_path / "serve.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        said = plugin("agents", "--socket", str(path), "-t", "0.2")
    assert said.code == 3
    assert "no reply within" in said.first
