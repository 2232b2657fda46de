"""One question to a DNS server, at a socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from consulfwd.generate import asking
from consulfwd.generate.asking import Reply, ask
from consulfwd.generate.model import NameServer
from tests.loopback import free_port

HOST, NAME = "127.0.0.1", "web.service.consul"
Answer = Callable[[dns.message.Message], dns.message.Message]


@contextmanager
def answering(answer: Answer, over_tcp: Answer | None = None) -> Iterator[NameServer]:
    """A server of one question over UDP, and one over TCP if it is to be asked so."""
    port = free_port(HOST)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.create_server((HOST, port)) as tcp,
    ):
        udp.bind((HOST, port))

        def serve() -> None:
            wire, peer = udp.recvfrom(4096)
            udp.sendto(answer(dns.message.from_wire(wire)).to_wire(), peer)
            if over_tcp:
                with tcp.accept()[0] as stream:
                    wire = stream.recv(4096)[2:]
                    reply = over_tcp(dns.message.from_wire(wire)).to_wire()
                    stream.sendall(len(reply).to_bytes(2, "big") + reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield NameServer(HOST, port)
        thread.join()


def replying(*lines: str, rcode: str = "NOERROR", cut: bool = False) -> Answer:
    def answer(query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        reply.set_rcode(dns.rcode.from_text(rcode))
        reply.flags |= dns.flags.TC if cut else 0
        for line in lines:
            name, rtype, data = line.split(maxsplit=2)
            reply.answer.append(dns.rrset.from_text(name, 7, "IN", rtype, data))
        return reply

    return answer


def test_records_of_the_type_asked_behind_an_alias() -> None:
    records = (f"{NAME}. CNAME db.example.", "db.example. A 10.0.0.7")
    with answering(replying(*records)) as server:
        assert ask(server, NAME, "A") == Reply("NOERROR", ("10.0.0.7",), ttl=7)


def test_whose_soa_came_with_a_denial_and_that_dnssec_was_asked_for() -> None:
    asked: list[dns.message.Message] = []

    def answer(query: dns.message.Message) -> dns.message.Message:
        asked.append(query)
        reply = dns.message.make_response(query)
        soa = "ns. hostmaster. 1 2 3 4 0"
        reply.authority.append(dns.rrset.from_text("Consul.", 0, "IN", "SOA", soa))
        return reply

    with answering(answer) as server:
        assert ask(server, NAME, "AAAA", dnssec=True) == Reply("NOERROR", soa="consul")
    assert asked[0].ednsflags & dns.flags.DO


def test_what_is_too_long_is_had_over_tcp() -> None:
    whole = replying(f"{NAME}. A 10.0.0.7")
    with answering(replying(cut=True), whole) as server:
        assert ask(server, NAME, "A") == Reply("NOERROR", ("10.0.0.7",), ttl=7)


@pytest.mark.parametrize("rcode", ["SERVFAIL", "NXDOMAIN"])
def test_how_a_reply_is_told(rcode: str) -> None:
    with answering(replying(rcode=rcode)) as server:
        assert str(ask(server, NAME, "AAAA")) == rcode
    with answering(replying()) as server:
        assert str(ask(server, NAME, "AAAA")) == "NOERROR with no records"


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "TIMEOUT_S", 0.05)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((HOST, 0))
        reply = ask(NameServer(HOST, silent.getsockname()[1]), NAME, "A")
    assert str(reply) == "no reply within 0.05 s"
    # There is no IPv6 address of that form to send to.
    assert ask(NameServer("fe80::1%nosuch0", 53), NAME, "A").fault
