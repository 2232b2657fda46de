"""Agents are asked for real, all at once; what they say becomes findings."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from consulfwd.apply import commands
from consulfwd.lint import SERVERS, Wanted, ask_all, check, installed_version
from consulfwd.lint.agents import MAX_ASKED, TIMEOUT_S
from consulfwd.servers.findings import AgentReply
from consulfwd.servers.names import consul_question
from tests.loopback import OWN

Answer = Callable[[dns.message.Message], dns.message.Message | bytes | None]


@contextmanager
def agent(answer: Answer) -> Iterator[int]:
    """A server on `OWN` that replies so; its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind((OWN, 0))
        listening.settimeout(0.05)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    wire, client = listening.recvfrom(4096)
                except TimeoutError:
                    continue
                reply = answer(dns.message.from_wire(wire))
                if reply is not None:
                    sent = reply if isinstance(reply, bytes) else reply.to_wire()
                    listening.sendto(sent, client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            thread.join()


def well(ttl: int = 0, recursion: bool = True) -> Answer:
    def answer(query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query, recursion_available=recursion)
        name = query.question[0].name
        reply.answer.append(dns.rrset.from_text(name, ttl, "IN", "A", "10.0.0.1"))
        return reply

    return answer


def failing(rcode: dns.rcode.Rcode) -> Answer:
    def answer(query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        reply.set_rcode(rcode)
        return reply

    return answer


def silent(_: dns.message.Message) -> None:
    return None


NAME = "consul.service.consul"


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (well(30), AgentReply("", recursion=True, ttl=30)),
        (well(0, recursion=False), AgentReply("", recursion=False, ttl=0)),
        (failing(dns.rcode.SERVFAIL), AgentReply(f"says SERVFAIL of {NAME}")),
        (failing(dns.rcode.NXDOMAIN), AgentReply(f"says NXDOMAIN of {NAME}")),
        (failing(dns.rcode.NOERROR), AgentReply(f"knows no address of {NAME}")),
        (lambda _: b"not DNS", AgentReply("replies, but not as DNS does")),
        (silent, AgentReply("nothing within 1 s", silent=True)),
    ],
)
def test_what_agents_say(answer: Answer, reply: AgentReply) -> None:
    with agent(answer) as port:
        question = (OWN, port, NAME)
        assert ask_all([question]) == {question: reply}


def test_nobody_listens() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind((OWN, 0))
        port = bound.getsockname()[1]
    (reply,) = ask_all([(OWN, port, NAME)]).values()
    assert reply.silent
    assert reply.problem


def test_all_are_asked_at_once_but_not_endlessly_many() -> None:
    with agent(silent) as port:
        asked = [(OWN, port, f"{number}.{NAME}") for number in range(MAX_ASKED + 10)]
        begun = time.monotonic()
        replies = ask_all(asked)
        took = time.monotonic() - begun
    assert list(replies) == asked[:MAX_ASKED]
    assert took < MAX_ASKED * TIMEOUT_S / 4
    assert ask_all([]) == {}


def test_findings_of_agents(tmp_path: Path) -> None:
    path = tmp_path / "dnsmasq.conf"
    with (
        agent(well(30, recursion=False)) as one,
        agent(silent) as two,
        agent(failing(dns.rcode.REFUSED)) as three,
    ):
        lines = [f"server=/consul/{OWN}#{port}" for port in (one, two, three)]
        lines += ["all-servers", "interface=lo"]
        path.write_text("\n".join(lines))
        report = check(path, Wanted(), ask_all, lambda _: None)
        path.write_text("\n".join([*lines, "cache-size=0"]))
        ignored = frozenset({"agent-silent"})
        uncached = check(path, Wanted(ignored=ignored), ask_all, lambda _: None)
    assert [(one.line, one.code) for one in report.findings] == [
        (1, "dnsmasq-no-ra"),
        (2, "agent-silent"),
        (3, "agent-error"),
    ]
    assert "TTL 30" in report.findings[0].what
    assert "nothing within 1 s" in report.findings[1].what
    assert "says REFUSED of consul.service.consul" in report.findings[2].what
    assert [one.code for one in uncached.findings] == ["agent-error"]


def test_without_ra_and_with_ttl_0_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "dnsmasq.conf"
    with agent(well(0, recursion=False)) as one, agent(well(0)) as two:
        lines = [f"server=/consul/{OWN}#{port}" for port in (one, two)]
        path.write_text("\n".join([*lines, "all-servers"]))
        assert check(path, Wanted(), ask_all, lambda _: None).findings == ()


@pytest.mark.parametrize(("problem", "codes"), [("", []), ("nothing", ["agent-port"])])
def test_a_port_is_missed_where_port_53_does_not_answer(
    tmp_path: Path, problem: str, codes: list[str]
) -> None:
    path = tmp_path / "dnsmasq.conf"
    path.write_text("server=/consul/10.0.0.1\nserver=/consul/10.0.0.2#8600\nall-servers")
    replies = {
        ("10.0.0.1", 53, NAME): AgentReply(problem, silent=bool(problem)),
        ("10.0.0.2", 8600, NAME): AgentReply(),
    }
    report = check(
        path, Wanted(), lambda asked: {one: replies[one] for one in asked}, lambda _: None
    )
    assert [one.code for one in report.findings] == codes


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        ("consul", "consul.service.consul"),
        ("service.consul", "consul.service.consul"),
        ("dc2.consul", "consul.service.dc2.consul"),
        ("service.dc2.consul", "consul.service.dc2.consul"),
        ("galeradb.service.consul", "consul.service.consul"),
        ("dc2.dc.consul", "consul.service.dc2.consul"),
        ("service.dc2.dc.consul", "consul.service.dc2.consul"),
        ("dc.consul", "consul.service.consul"),
        ("team.ns.consul", "consul.service.consul"),
    ],
)
def test_what_is_asked_for(zone: str, name: str) -> None:
    assert consul_question(zone, "consul") == name


def test_the_version_of_installed_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "bind": ("BIND 9.18.49-1~deb12u3-Debian (Extended Support Version) <id:>", (9, 18, 49)),
        "unbound": ("Version 1.17.1\n\nConfigure line: --with", (1, 17, 1)),
        "dnsmasq": ("Dnsmasq version 2.90  Copyright (c) 2000-2024", (2, 90)),
        "resolved": ("systemd 252 (252.38-1~deb12u1)\n+PAM", (252,)),
        "coredns": ("maxprocs: 2\nCoreDNS-1.15.0\nlinux/amd64", (1, 15, 0)),
    }
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for name, (text, version) in said.items():
        program = tmp_path / SERVERS[name].target.ask_version[0]
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
        program.chmod(0o755)
        assert installed_version(SERVERS[name]) == version
    program.write_text("#!/bin/sh\nexit 1\n")
    assert installed_version(SERVERS["coredns"]) is None
    program.write_text("no program")
    assert installed_version(SERVERS["coredns"]) is None
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(commands, "MORE_PATHS", (str(tmp_path),))
    assert installed_version(SERVERS["coredns"]) is None
