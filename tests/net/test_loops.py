"""Upstreams that lead back to the server are found while it runs, and asked no more.

Real sockets: a forwarder stands between the server and itself, or nothing does.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from consulfwd.config import Endpoint
from consulfwd.config import Recursor as Address
from consulfwd.core.states import State
from consulfwd.core.upstreams import Upstream
from consulfwd.dev import DevCluster
from consulfwd.net import host
from consulfwd.server import Server
from tests.coreless import our_time
from tests.loopback import OWN, free_port
from tests.net.recursor import Recursor
from tests.net.world import (
    EXAMPLES,
    GALERA,
    World,
    ask,
    nothing_left_behind,
    settings,
    until,
    world,
)

RECORDS = {("www.example.test", "A"): ["A 192.0.2.1"]}
NAME = "galeradb.service.consul"


class Forwarder(Recursor):
    """Passes what it is asked over UDP to `to` with another ID, and the reply back.

    While `to` is None it is a recursor. `passed` are the names it passed on.
    """

    def __init__(self) -> None:
        super().__init__(RECORDS)
        self.to: Endpoint | None = None
        self.passed: list[bytes] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Forwarder:
        await self.start()
        return self

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self.to is None:
            super().datagram_received(data, addr)
            return
        self.passed.append(data[12:])
        task = asyncio.get_running_loop().create_task(self._pass(data, addr, self.to))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def nobody_asks(self) -> None:
        for task in self._under_way:
            task.cancel()

    async def stop(self) -> None:
        self.nobody_asks()
        await super().stop()

    async def _pass(self, data: bytes, addr: tuple[str, int], to: Endpoint) -> None:
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Once(arrived), remote_addr=(to.host, to.port)
        )
        try:
            transport.sendto(random.randbytes(2) + data[2:])
            reply = await asyncio.wait_for(arrived, 3.0)
            if self._udp is not None:
                self._udp.sendto(data[:2] + reply[2:], addr)
        except asyncio.TimeoutError:
            pass
        finally:
            transport.close()

    def names_passed(self) -> int:
        """How many questions it passed on that were no loop tests."""
        return sum(b"consulfwd-loop-" not in one for one in self.passed)


class _Once(asyncio.DatagramProtocol):
    def __init__(self, arrived: asyncio.Future[bytes]) -> None:
        self._arrived = arrived

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not self._arrived.done():
            self._arrived.set_result(data)


@pytest.fixture(autouse=True)
def sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits half a second for the first test, nor five for another."""
    monkeypatch.setattr("consulfwd.net.loop_tests.SOON", 0.05)
    monkeypatch.setattr("consulfwd.net.loop_tests.AGAIN", 0.1)


def upstream(server: Server, one: Recursor | Endpoint) -> Upstream:
    (found,) = (up for up in server.engine.upstreams() if up.port == one.port)
    return found


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said of loops."""
    lines = [(one.levelname, one.getMessage()) for one in caplog.records]
    return [f"{level} {text}" for level, text in lines if "leads" in text]


@contextlib.asynccontextmanager
async def looped(*recursors: Recursor, **sections: Any) -> AsyncIterator[World]:
    """A world whose first recursor is a forwarder that asks the server, and is known to."""
    first = recursors[0]
    assert isinstance(first, Forwarder)
    async with world(*recursors, loops=True, **sections) as here:
        first.to = here.at
        await until(lambda: upstream(here.server, first).looped)
        yield here


async def test_a_forwarder_that_asks_us_is_found_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    async with Forwarder() as forwarder, looped(forwarder) as here:
        passed = len(forwarder.passed)
        await until(lambda: len(forwarder.passed) >= passed + 3)  # tested again and again
        assert upstream(here.server, forwarder).state is State.DOWN
        assert (await here.ask(NAME)).data == GALERA
    assert told(caplog) == [
        f"ERROR recursor {OWN}:{forwarder.port} leads back to this server and is asked no "
        "more: take it out of recursors (or resolv.conf), or have it ask another server; no other "
        "is up"
    ]


async def test_with_a_single_recursor_that_loops_names_fail_at_once_and_none_goes_round() -> None:
    async with Forwarder() as forwarder, looped(forwarder) as here:
        began = our_time()
        for number in range(20):
            reply = await here.ask(f"n{number}.example.test")
            why = f"{OWN}:{forwarder.port} leads back to this server, and there is no other"
            assert (reply.rcode, reply.ede) == ("SERVFAIL", [(22, why)])
        assert our_time() - began < 1.0
        assert forwarder.names_passed() == 0


async def test_what_goes_round_before_it_is_known_is_bounded_and_ends_when_it_is() -> None:
    async with Forwarder() as forwarder, world(forwarder, loops=True) as here:
        forwarder.to = here.at
        began = our_time()
        names = [f"n{number}.example.test" for number in range(20)]
        replies = await asyncio.gather(*(here.ask(name) for name in names))
        assert {reply.rcode for reply in replies} == {"SERVFAIL"}
        # Nobody waits until the deadline, and each question goes round once.
        assert our_time() - began < 1.0
        assert forwarder.names_passed() == 20


async def test_the_other_recursor_answers_meanwhile() -> None:
    async with (
        Forwarder() as forwarder,
        Recursor(RECORDS) as good,
        world(forwarder, good, loops=True, cache={"max_ttl": 0}) as here,
    ):
        forwarder.to = here.at
        round_and_round = []
        for _ in range(30):
            reply = await here.ask("www.example.test")
            assert (reply.rcode, reply.data) == ("NOERROR", ["192.0.2.1"])
            round_and_round.append(forwarder.names_passed())
        assert upstream(here.server, forwarder).looped
        # The first ones go both ways, the last ones do not.
        assert round_and_round[-1] == round_and_round[-20] < 10
        assert here.counters.failed == 0


async def test_it_is_asked_again_once_it_asks_others(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with Forwarder() as forwarder, looped(forwarder) as here:
        # Good replies alone change nothing: only a test that goes through does.
        one = upstream(here.server, forwarder)
        here.engine.health.good(one, here.engine.clock.now(), 0.001)
        assert one.state is State.DOWN
        forwarder.to = None
        await until(lambda: one.up)
        assert (await here.ask("www.example.test")).data == ["192.0.2.1"]
    found, back = told(caplog)
    assert "leads back" in found
    assert "is probing, was down for" in back
    assert back.endswith(": leads elsewhere now")


async def test_an_agent_that_leads_back_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    async with Forwarder() as forwarder, DevCluster(EXAMPLES, 1, http=False) as cluster:
        real = cluster.agents[0]
        ports = forwarder.port, real.dns_port
        agents = [{"address": OWN, "dns_port": port} for port in ports]
        async with world(agents=1, loops=True, consul={"agents": agents}) as here:
            forwarder.to = here.at
            await until(lambda: upstream(here.server, forwarder).looped)
            passed = forwarder.names_passed()
            for _ in range(5):
                assert (await here.ask(NAME)).data == GALERA
            assert forwarder.names_passed() == passed
    (line,) = told(caplog)
    assert line == (
        f"ERROR agent {OWN}:{forwarder.port} leads back to this server and is asked no more: "
        "take it out of consul.agents, or have it ask another server; "
        f"{OWN}:{real.dns_port} takes over"
    )


class Conf(host.ResolvConf):
    """A resolv.conf that changes when it is told to; a real one knows port 53 only."""

    def __init__(self, *recursors: Address) -> None:
        self.recursors = list(recursors)
        self._next: list[Address] | None = None

    def write(self, *recursors: Address) -> None:
        self._next = list(recursors)

    def changed(self) -> bool:
        if self._next is None:
            return False
        self.recursors, self._next = self._next, None
        return True


def address(port: int) -> Address:
    return Address(address=OWN, port=port, transport="udp", tls_name=None)


async def test_a_resolv_conf_that_names_us_at_run_time(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consulfwd.net.ticks.EPOCH", 0.02)
    async with Recursor(RECORDS) as good, world(loops=True) as here:
        ours = here.at.port
        conf = Conf()
        conf.write(address(good.port))
        here.server._resolv_conf = conf
        await until(lambda: here.engine.upstreams()[-1].port == good.port)
        assert (await here.ask("www.example.test")).data == ["192.0.2.1"]
        # By no forwarder: our own address comes first in the file now.
        conf.write(address(here.at.port), address(good.port))
        await until(lambda: len(here.engine.upstreams()) == 5)
        for number in range(10):
            assert (await here.ask(f"n{number}.example.test")).rcode == "NXDOMAIN"
        await until(lambda: upstream(here.server, here.at).looped)
        assert (await here.ask("m.example.test")).rcode == "NXDOMAIN"
        conf.write(address(good.port))
        await until(lambda: len(here.engine.upstreams()) == 4)
    assert [line.partition(": ")[0] for line in told(caplog)] == [
        f"ERROR recursor {OWN}:{ours} leads back to this server and is asked no more"
    ]


async def test_one_that_loops_only_later_is_found_when_it_falls_silent() -> None:
    async with Forwarder() as forwarder, world(forwarder, loops=True) as here:
        await until(lambda: any("consulfwd-loop" in name for name in forwarder.names))
        one = upstream(here.server, forwarder)
        await asyncio.sleep(0.1)
        assert (one.up, one.looped) == (True, False)
        forwarder.to = here.at
        asked = asyncio.gather(*(here.ask(f"n{number}.example.test") for number in range(10)))
        await until(lambda: one.looped)
        assert {reply.rcode for reply in await asked} == {"SERVFAIL"}


async def test_two_servers_that_forward_to_each_other() -> None:
    ports = free_port(), free_port()
    async with nothing_left_behind(loops=True):
        servers = []
        for own, other in (ports, ports[::-1]):
            recursors = [f"{OWN}:{other}"]
            given = settings(None, listen=[f"{OWN}:{own}"], recursors=recursors)
            servers.append(Server(given, rng=random.Random(own)))
            await servers[-1].start()
        try:
            one, two = servers
            held = [upstream(one, two.endpoints[0]), upstream(two, one.endpoints[0])]
            await until(lambda: any(one.looped for one in held))
            said = []
            for server in servers:
                began = our_time()
                reply = await ask(server.endpoints[0], "www.example.test")
                assert our_time() - began < 0.5
                assert reply.rcode == "SERVFAIL"
                said.append(reply.ede[0][1])
            # Once one of them has found out, what the other asks does not come back.
            assert any("leads back to this server" in text for text in said)
            counted = [server.engine.counters.queries for server in servers]
            await asyncio.sleep(0.5)
            # Nothing circles: what still comes is a handful of tests.
            after = [server.engine.counters.queries for server in servers]
            assert sum(after) - sum(counted) < 20
            assert any(one.looped for one in held)
        finally:
            for server in servers:
                await server.stop()


async def test_somebody_elses_test_is_passed_on_like_any_name() -> None:
    async with Recursor() as recursor, world(recursor, loops=True) as here:
        name = "consulfwd-loop-0123456789abcdef.example"
        assert (await here.ask(name)).rcode == "NXDOMAIN"
        assert f"{name}." in recursor.names
        assert not upstream(here.server, recursor).looped


async def test_what_is_asked_and_what_comes_back_is_not_kept() -> None:
    async with Forwarder() as forwarder, looped(forwarder) as here:
        assert all(b"consulfwd-loop-" not in raw for raw in here.engine.asks)
        assert all(b"consulfwd-loop-" not in key for key in here.engine.cache.entries)
