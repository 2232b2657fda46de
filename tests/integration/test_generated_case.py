"""Servers with the generated files ask an agent that answers in small letters, as 1.19.0 does.

Some ask in mixed letters, and take for forged what does not come back so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.name
import dns.rdatatype
import dns.rrset
import pytest

from consulfwd.config import Settings
from consulfwd.dev.child import Child, Guard
from consulfwd.generate.building import build
from consulfwd.servers.target import parse_version
from consulfwd.servers.targets import TARGETS
from tests.integration.answering import ADDRESS, AnsweringAgent, bound
from tests.integration.asking import ask, data, rcode
from tests.integration.generating import MAINS, Case, run
from tests.integration.places import addresses
from tests.integration.recursors import HOST, Recursor
from tests.integration.test_generated import finds_outside, included, write_files
from tests.loopback import free_port


class SmallLetters(AnsweringAgent):
    """It repeats the question in small letters."""

    def __init__(self, address: str, port: int) -> None:
        self.where = f"{address}:{port}"
        self.asked: list[str] = []
        super().__init__(bound(address, port), self._in_small_letters)

    def _in_small_letters(self, query: dns.message.Message) -> dns.message.Message:
        asked = query.question[0]
        name = dns.name.from_text(str(asked.name).lower())
        self.asked.append(str(name))
        reply = dns.message.make_response(query)
        reply.question = [dns.rrset.RRset(name, asked.rdclass, asked.rdtype)]
        if asked.rdtype == dns.rdatatype.A:
            reply.answer.append(dns.rrset.from_text(name, 0, "IN", "A", ADDRESS))
        return reply


@pytest.fixture
def agent() -> Iterator[SmallLetters]:
    (where,) = addresses(65, 11)
    made = SmallLetters(where, free_port(where))
    yield made
    made.close()


@pytest.mark.parametrize("server", [one for one in MAINS if one != "named.conf"])
def test_an_answer_in_small_letters_is_one(
    server: str, agent: SmallLetters, bind: Recursor, guard: Guard, tmp_path: Path
) -> None:
    target = TARGETS[server]
    version = parse_version(target, run([*target.ask_version]))
    generated = tmp_path / "generated"
    generated.mkdir()
    given: dict[str, Any] = {"consul": {"agents": [agent.where]}}
    site = build(
        Settings(**given), version, include=included(target, generated), kinds=target.kinds
    )
    files = write_files(site, target, set(), generated)
    port = free_port(HOST)
    command = MAINS[server](Case(tmp_path, files, port, bind.port))
    child = Child(server, command, tmp_path / "server.log", guard)
    child.start()
    try:
        child.wait_until(lambda: finds_outside(port), "answering")
        # An agent that is well may not be known to be so yet.
        first = "first.service.consul"
        child.wait_until(lambda: data(ask((HOST, port), first), "A"), "asking the agent")
        for number in range(5):
            name = f"Name{number}.service.consul"
            reply = ask((HOST, port), name)
            assert (rcode(reply), data(reply, "A")) == ("NOERROR", {ADDRESS})
            # Nobody had to ask again.
            assert agent.asked.count(f"{name.lower()}.") == 1
    finally:
        child.kill()
