"""PowerDNS Recursor with the generated files, while agents hang one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest

from consulfwd.config import Settings
from consulfwd.dev.child import Child, Guard
from consulfwd.generate.building import build
from consulfwd.servers.target import parse_version
from consulfwd.servers.targets import TARGETS
from tests.integration.answering import AnsweringAgent, bound, with_the_address
from tests.integration.generating import MAINS, Case, run
from tests.integration.places import addresses
from tests.integration.recursors import HOST, Recursor
from tests.integration.test_generated import finds_outside, included, write_files
from tests.loopback import free_port

SERVER = "pdns-recursor"
RATE, HANGS_S, WELL_S = 100.0, 4.0, 6.0
# It waits 1.5 s for a server, and repeats a failure for 1 s.
WAITS_S, REPEATS_S = 1.5, 1.0
NAMES = 400


class Agent(AnsweringAgent):
    """It answers unless it hangs."""

    def __init__(self, address: str, port: int) -> None:
        self.hangs = False
        self.where = f"{address}:{port}"
        super().__init__(bound(address, port), self._unless_it_hangs)

    def _unless_it_hangs(self, query: dns.message.Message) -> dns.message.Message | None:
        return None if self.hangs else with_the_address(query)


class Asked(NamedTuple):
    """One question: when it was put, and what came of it."""

    at: float
    said: str


@pytest.fixture(params=[1, 2], ids="agents-{}".format)
def agents(request: pytest.FixtureRequest) -> Iterator[list[Agent]]:
    """So many of them, at one port."""
    where = addresses(63, 11, 12)[: request.param]
    port = free_port(*where)
    made = [Agent(address, port) for address in where]
    yield made
    for one in made:
        one.close()


def test_agents_are_asked_again_as_soon_as_they_answer(
    agents: list[Agent], bind: Recursor, guard: Guard, tmp_path: Path
) -> None:
    target = TARGETS[SERVER]
    version = parse_version(target, run([*target.ask_version]))
    generated = tmp_path / "generated"
    generated.mkdir()
    given: dict[str, Any] = {"consul": {"agents": [one.where for one in agents]}}
    site = build(Settings(**given), version, include=included(target, generated))
    files = write_files(site, target, set(), generated)
    port = free_port(HOST)
    command = MAINS[SERVER](Case(tmp_path, files, port, bind.port))
    child = Child(SERVER, command, tmp_path / "server.log", guard)
    child.start()
    try:
        child.wait_until(lambda: finds_outside(port), "answering")
        asked, hung = under_load(agents, port)
    finally:
        child.kill()
    alone = len(agents) == 1
    lost = [
        one
        for one in asked
        if one.said != "NOERROR"
        and not (alone and any(begin - WAITS_S <= one.at <= end + REPEATS_S for begin, end in hung))
    ]
    assert len(asked) > 0.5 * RATE * (HANGS_S + WELL_S)
    assert lost == []


def under_load(
    agents: list[Agent], port: int
) -> tuple[list[Asked], list[tuple[float, float]]]:
    """Put questions while each agent hangs in turn, and a while longer; and when they hung."""
    begun = time.monotonic()
    # Who waits for one must not come to the next just as that one begins to hang.
    times = [(1.0 + n * (HANGS_S + 2 * WAITS_S), agent) for n, agent in enumerate(agents)]
    hung = [(at, at + HANGS_S) for at, _ in times]
    asked: list[Asked] = []

    def one(number: int, at: float) -> None:
        query = dns.message.make_query(f"n{number % NAMES}.service.consul", "A")
        try:
            reply = dns.query.udp(query, HOST, 6.0, port)
            said = dns.rcode.to_text(reply.rcode())
        except (OSError, dns.exception.DNSException) as error:
            said = type(error).__name__
        asked.append(Asked(at, said))

    end = hung[-1][1] + WELL_S
    with ThreadPoolExecutor(300) as pool:
        number = 0
        while (at := time.monotonic() - begun) < end:
            for begin, agent in times:
                agent.hangs = begin <= at < begin + HANGS_S
            pool.submit(one, number, at)
            number += 1
            time.sleep(max(number / RATE - (time.monotonic() - begun), 0.0))
    return asked, hung
