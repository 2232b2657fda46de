"""`consulfwd resolve`: what it asks, what it prints, what it ends with."""

from __future__ import annotations

import json
import re

import pytest

from tests.cli.background import Background
from tests.cli.conftest import Run
from tests.loopback import OWN
from tests.net.world import GALERA

NAME = "galeradb.service.consul"


def test_an_answer_for_people(run: Run, options: list[str], agents: Background) -> None:
    ended = run("resolve", *options, "dev1.node.consul")
    assert (ended.code, ended.err) == (0, "")
    first = agents.names[0]
    assert ended.plain.splitlines() == [
        f"dev1.node.consul. A: 1 record, TTL 0 s, from {first} in # ms",
        f" dev1.node.consul. 0 A {OWN}",
    ]
    srv = run("resolve", *options, NAME, "SRV").out.splitlines()
    assert [line.strip() for line in srv[4:5]] == ["with"]
    assert len(srv) == 8


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([NAME, "AAAA"], 1, "the name has no AAAA"),
        (["nope.service.consul"], 1, "no such name"),
        (["www.example.com"], 3, "SERVFAIL, could not be resolved"),
    ],
)
def test_exit_codes(run: Run, options: list[str], words: list[str], code: int, said: str) -> None:
    ended = run("resolve", *options, *words)
    assert ended.code == code
    assert said in ended.out
    short = run("resolve", "--short", *options, *words)
    assert (short.code, short.out, bool(short.err)) == (code, "", code == 3)


def test_nobody_answers(run: Run, options: list[str], agents: Background) -> None:
    for agent in agents.agents:
        agents.do(agent.stop())
    ended = run("resolve", "--trace", *options, NAME)
    assert ended.code == 3
    assert "could not be resolved" in ended.out
    assert ended.out.count("connection refused") >= 3
    short = run("resolve", "--short", *options, NAME)
    assert (short.code, short.out) == (3, "")
    assert re.match(rf"consulfwd: {NAME}\. A: SERVFAIL: .*connection refused", short.err)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing argument 'NAME'"),
        ([NAME, "NOPE"], "there is no record type 'NOPE'"),
        (["a..b"], "empty label"),
        ([""], "empty"),
        (["x" * 64], "63"),
        (["bücher..example"], "cannot be written in ASCII"),
        (["--server", "nonsense", NAME], "--server nonsense: not an IP address"),
        (["--server", "127.0.0.1:0", NAME], "the port must be a number from 1 to 65535"),
        (["--server", "127.0.0.1:99999", NAME], "the port must be a number from 1 to 65535"),
        (["--agent", "nonsense", NAME], "--agent"),
        (["--short", "--json", NAME], "--short"),
        (["--trace", "--compare", NAME], "--trace"),
        (["--compare", "--server", "127.0.0.1", NAME], "leave out --server"),
        (["--nope", NAME], "No such option"),
    ],
)
def test_wrong_use(run: Run, words: list[str], said: str) -> None:
    ended = run("resolve", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_short(run: Run, options: list[str], agents: Background) -> None:
    ended = run("resolve", "--short", *options, NAME)
    assert (ended.code, sorted(ended.out.split()), ended.err) == (0, GALERA, "")


def test_json(run: Run, options: list[str], agents: Background) -> None:
    ended = run("resolve", "--json", *options, "dev1.node.consul")
    told = json.loads(ended.out)
    (attempt,) = told["attempts"]
    assert (ended.code, told["rcode"], told["source"]) == (0, "NOERROR", agents.names[0])
    assert told["records"] == [
        {"name": "dev1.node.consul.", "ttl": 0, "type": "A", "data": OWN}
    ]
    assert told["order"] == [{"upstream": name, "state": "up"} for name in agents.names]
    assert (attempt["upstream"], attempt["transport"], attempt["result"]) == (
        agents.names[0], "udp", "NOERROR",
    )  # fmt: skip
    failed = json.loads(run("resolve", "--json", *options, "www.example.com").out)
    assert failed["ede"] == {"code": 22, "text": "no upstream is configured for this name"}


def test_trace(run: Run, options: list[str], agents: Background) -> None:
    agents.agents[0].faults.any.servfail.on()
    ended = run("resolve", "--trace", *options, "dev1.node.consul")
    first, second, third = agents.names
    lines = ended.plain.splitlines()
    assert lines[2:6] == [
        "",
        "How",
        " rule consul. -> Consul agents (the Consul domain)",
        f" order {first} (up), {second} (up), {third} (up)",
    ]
    assert lines[6] == " at ms asked over took ms octets result then"
    assert re.fullmatch(
        rf" 1\. # {first} udp # \d+ SERVFAIL failed: the next one is asked", lines[7]
    )
    assert re.fullmatch(rf" 2\. # {second} udp # \d+ NOERROR taken", lines[8])
    assert lines[9:] == [
        " 1. asked because: first in order",
        f" 2. asked because: {first} failed: SERVFAIL",
        *lines[11:],
    ]
    assert [re.sub(r"[\d.]+(?= ms)", "#", line) for line in lines[11:]] == [
        f" failover: {first} said SERVFAIL after # ms, "
        f"{second} answered # ms later (# ms in all)"
    ]
    here = run("resolve", "--trace", *options, "localhost").out
    assert "asked  nobody: answered from here" in here


def test_compare(run: Run, options: list[str], agents: Background) -> None:
    agreed = run("resolve", "--compare", *options, NAME)
    assert agreed.code == 0
    assert "They agree." in agreed.out
    other = agents.cluster.catalog.copy()
    other.set_check("galera2", "critical")
    agents.agents[1].catalogs["dc1"] = other
    agents.agents[2].faults.any.servfail.on()
    differ = run("resolve", "--compare", *options, NAME)
    lacking = ("--agent", agents.names[0], "--agent", agents.names[2])
    assert run("resolve", "--compare", *lacking, NAME).code == 3
    first, second, third = agents.names
    assert differ.code == 1
    rows = [line.split() for line in differ.out.splitlines()]
    assert rows[3][0] == "ms"
    assert rows[:3] + rows[4:] == [
        [f"{NAME}.", "A", "at", "3", "agents"],
        [first, second, third],
        ["result", "NOERROR,", "3", "NOERROR,", "2", "SERVFAIL"],
        ["10.0.10.11", "yes", "yes", "-"],
        ["10.0.10.12", "yes", "NO", "-"],
        ["10.0.10.13", "yes", "yes", "-"],
        [],
        [f"{third}:", "SERVFAIL"],
        ["They", "differ."],
    ]
    told = json.loads(run("resolve", "--compare", "--json", *options, NAME).out)
    assert (told["agree"], list(told["agents"])) == (False, agents.names)
    assert [len(one["records"]) for one in told["agents"].values()] == [3, 2, 0]


def test_compare_tells_when_nobody_answers(
    run: Run, options: list[str], agents: Background
) -> None:
    for agent in agents.agents:
        agents.do(agent.stop())
    ended = run("resolve", "--compare", *options, NAME)
    assert ended.code == 3
    assert ended.out.endswith("None of them answers.\n")


def test_what_is_asked(run: Run, options: list[str], agents: Background) -> None:
    def asked(*words: str) -> list[tuple[str, str, int]]:
        queries = agents.agents[0].queries
        queries.clear()
        run("resolve", *options, *words)
        return [(one.transport, one.name, one.type) for one in queries]

    assert asked("web.service.consul") == [("udp", "web.service.consul", 1)]
    assert asked("web.service.consul.", "aaaa") == [("udp", "web.service.consul", 28)]
    assert asked("_web._tcp.service.consul") == [("udp", "_web._tcp.service.consul", 33)]
    assert asked("_web._tcp.service.consul", "A") == [("udp", "_web._tcp.service.consul", 1)]
    assert asked("--tcp", "web.service.consul") == [("tcp", "web.service.consul", 1)]
    assert asked("web.service.consul", "TYPE65") == [("udp", "web.service.consul", 65)]
    assert asked("bücher.service.consul") == [("udp", "xn--bcher-kva.service.consul", 1)]


def test_an_address_is_asked_for_its_name(run: Run, agents: Background) -> None:
    def asked(*words: str) -> tuple[str, int]:
        agents.agents[0].queries.clear()
        run("resolve", "--server", agents.names[0], *words)
        (query,) = agents.agents[0].queries
        # Its letters may be spelled by chance.
        return query.name.lower(), query.type

    assert asked("10.0.10.11") == ("11.10.0.10.in-addr.arpa", 12)
    assert asked("10.0.10.11", "ptr") == ("11.10.0.10.in-addr.arpa", 12)
    assert asked("2001:db8::1") == ("1" + ".0" * 23 + ".8.b.d.0.1.0.0.2.ip6.arpa", 12)
    local = "1" + ".0" * 28 + ".8.e.f.ip6.arpa"
    assert asked("fe80::1%eth0") == (local, 12)
    ended = run("resolve", "--server", agents.names[0], "--short", "10.0.10.11")
    assert (ended.code, ended.out) == (0, "galera1.node.dc1.consul.\n")


def test_a_server_that_is_named(run: Run, agents: Background) -> None:
    ended = run("resolve", "--server", agents.names[2], "--short", NAME)
    assert (ended.code, sorted(ended.out.split())) == (0, GALERA)
    assert [len(agent.queries) for agent in agents.agents] == [0, 0, 1]


@pytest.mark.parametrize(
    ("server", "what"),
    [
        ("fe80::1", "the link-local address 'fe80::1' lacks its interface"),
        ("fe80::1%", "'fe80::1%' does not name an interface behind the %"),
        ("[fe80::1%a/b]:53", "'fe80::1%a/b' does not name an interface behind the %"),
        ("10.0.0.1%eth0", "'10.0.0.1%eth0' names an interface, which only IPv6 link-local"),
        ("dns.example", "not an IP address"),
    ],
)
def test_servers_that_cannot_be_asked(run: Run, server: str, what: str) -> None:
    ended = run("resolve", "--server", server, NAME)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"consulfwd: --server {server}: {what}")


def test_a_server_whose_interface_is_not_there(run: Run) -> None:
    ended = run("resolve", "--server", "[fe80::1%none0]:5300", "--short", NAME)
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.endswith("SERVFAIL: [fe80::1%none0]:5300: its interface is not there\n")


def test_settings_that_cannot_be_used(run: Run, tmp_path: object) -> None:
    ended = run("resolve", "-c", "/nonexistent/x.yml", NAME)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("consulfwd: /nonexistent/x.yml")
