"""Names that move: answered here, anew for each query, and for themselves only."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from consulfwd.api import Resolver, Settings
from consulfwd.core.routes import Kind, Moved, Route
from consulfwd.dns import const, replies
from consulfwd.dns.names import from_text
from consulfwd.net.routing import build_routes
from tests.net.recursor import Recursor
from tests.net.world import World, world

NAME = "www.example.com"
WAITS = (const.EDE_NOT_READY, "no check has been made yet")


@dataclasses.dataclass
class Told:
    """A name that moves as a test says."""

    rdatas: list[bytes] | None = None
    ttl: int = 30

    def answer(self, question: bytes) -> Moved:
        if self.rdatas is None:
            return Moved(replies.empty(question, const.SERVFAIL), WAITS)
        found = self.rdatas if question[-3] == const.A else []
        zone = question[:-4]
        return Moved(replies.local_answer(question, zone, found, const.NOERROR, self.ttl))

    def reasons(self) -> list[str]:
        return ["as the test says"]


def moving(here: World, told: Told) -> None:
    """Let a name move as `told`."""
    server = here.server
    alone = [Route(from_text(NAME), Kind.MOVES, why="a failover record", moves=told)]
    recursors = list(server.settings.recursors or ())
    routes = build_routes(server.settings, recursors, here.engine.health, alone=alone)
    settings = server.settings
    limits = here.engine.cache.limits
    query = settings.query
    here.engine.replace(routes, limits, query.deadline, query.for_recursors, b"")


@pytest.mark.parametrize("tcp", [False, True])
async def test_the_answer_is_made_anew_each_time(tcp: bool) -> None:
    told = Told()
    async with Recursor() as recursor, world(recursor) as here:
        moving(here, told)
        waits = await here.ask(NAME, tcp=tcp)
        assert waits.rcode == "SERVFAIL"
        assert waits.ede == [WAITS]
        told.rdatas = [b"\x0a\0\0\1"]
        assert (await here.ask(NAME, tcp=tcp)).data == ["10.0.0.1"]
        told.rdatas = [b"\x0a\0\0\2"]
        # Neither a cache nor a hot table has what was said a moment ago.
        for _ in range(3):
            assert (await here.ask(NAME.upper(), tcp=tcp)).data == ["10.0.0.2"]
        assert (await here.ask(NAME, "MX", tcp=tcp)).rcode == "NOERROR"
        assert not recursor.asked


async def test_what_is_below_is_asked_elsewhere() -> None:
    async with Recursor() as recursor, world(recursor) as here:
        moving(here, Told([b"\x0a\0\0\1"]))
        await here.ask(f"static.{NAME}")
        await here.ask("example.com")
        assert len(recursor.asked) == 2


async def test_where_nothing_is_checked_nobody_else_is_asked() -> None:
    record: Any = {"pools": [{"addresses": ["192.0.2.1"]}], "check": {"tcp": {"port": 80}}}
    async with Recursor() as recursor:
        asked: Any = [f"{recursor.host}:{recursor.port}"]
        settings = Settings(recursors=asked, failover={NAME: record})
        async with Resolver(settings) as resolver:
            answer = await resolver.resolve(NAME)
        assert answer.rcode == "SERVFAIL"
        assert answer.ede is not None
        assert "the running resolver knows" in answer.ede[1]
        assert not recursor.asked
