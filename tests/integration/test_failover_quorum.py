"""Several checkers on real Consul: a quorum moves a name, one that is cut off moves nobody."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from consulfwd.config import Agent
from consulfwd.config.failover import CheckerSettings, FailoverSettings
from consulfwd.consul.session import boot_time
from consulfwd.dev.accepting import accept_no_more
from consulfwd.dev.real import RealAgent, RealCluster
from consulfwd.dns import const
from consulfwd.failover.book import Book
from consulfwd.failover.model import Address, Change, Check, Outcome, Result
from consulfwd.failover.running import Running
from tests.coreless import HeldUp
from tests.integration.conftest import NEWEST
from tests.integration.elections import TRIES, term
from tests.integration.places import addresses
from tests.net.world import until
from tests.stalled import Stalls

NAME = "www.example.com"
INTERVAL, FALL = 0.3, 2
# After how long votes are too old to count: for who is cut off, and for others, who are not to find
# that of each other on any machine.
EVERY, MAX_AGE, LASTING = 0.5, 3.0, 30.0
# For so long a disk may keep Consul from taking votes before those it has are too old for the one.
SPARE_S = MAX_AGE - 2 * EVERY
# What is waited for, if it is not the time that is looked at: it costs nothing until it fails.
PATIENCE_S = 60.0
PRIMARY, SECONDARY = addresses(77, 11, 12)


class Web:
    """A server at the primary's address, and one at the secondary's."""

    def __init__(self) -> None:
        self.port = 0
        self.servers: dict[str, asyncio.Server] = {}

    async def start(self, address: str) -> None:
        async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        made = await asyncio.start_server(hang_up, address, self.port)
        self.port = self.port or made.sockets[0].getsockname()[1]
        self.servers[address] = made

    async def stop(self, address: str) -> None:
        made = self.servers.pop(address)
        await accept_no_more(made.sockets)
        made.close()
        await made.wait_closed()

    async def check(self, address: Address) -> Outcome:
        begin = time.monotonic()
        try:
            _, writer = await asyncio.open_connection(str(address.ip), self.port)
            writer.close()
        except OSError as error:
            took = time.monotonic() - begin
            return Outcome(Result.FAIL, error.strerror or "refused", took)
        return Outcome(Result.OK, "connected", time.monotonic() - begin)


class Host:
    """A checker, or one who follows; `deaf` has its own checks fail, as those of a cut line do."""

    def __init__(
        self, name: str, agent: RealAgent, web: Web, folder: Path, prefix: str, max_age: float
    ) -> None:
        self.told: list[Change] = []
        self.deaf = False
        self._web = web
        checker = CheckerSettings(
            checkers=("a", "b", "c"),
            prefix=prefix,
            every=EVERY,
            max_age=max_age,
            state=folder / name,
        )
        pools: Any = [{"addresses": [PRIMARY]}, {"addresses": [SECONDARY]}]
        check: Any = {"tcp": {"port": 1}}
        record = FailoverSettings(
            pools=pools, check=check, interval=INTERVAL, fall=FALL, rise=2
        )
        self.book = Book(
            {NAME: record},
            checker,
            clock=boot_time,
            wall=time.time,
            changed=self.told.append,
        )
        where = Agent(address=agent.address, dns_port=agent.dns_port, http_port=agent.http_port)
        self.running = Running(
            self.book, self._make, [where], environ={}, host=name, rng=random.Random(name)
        )

    def _make(self, name: str, record: FailoverSettings) -> Check:
        async def check(address: Address) -> Outcome:
            if self.deaf:
                return Outcome(Result.FAIL, "timed out", 0.1)
            return await self._web.check(address)

        return check

    def given(self) -> str:
        found = self.book.answer(NAME, const.A, random.Random(1))
        return "" if found is None else str(found.addresses[0].ip)

    def held(self) -> list[str]:
        return [one.kind for one in self.told if one.kind in ("held", "released")]


@asynccontextmanager
async def site(
    cluster: RealCluster, folder: Path, prefix: str, cut: str = ""
) -> AsyncIterator[tuple[Web, Mapping[str, Host]]]:
    """Three checkers, each at a server of its own, and `x`, which follows at the leader.

    One of them may be about to be cut off.
    """
    web = Web()
    leader = cluster.leader()
    others = [one for one in cluster.servers if one is not leader]
    agents = {"a": leader, "b": others[0], "c": others[1], "x": leader}
    for address in (PRIMARY, SECONDARY):
        await web.start(address)
    ages = {name: MAX_AGE if name == cut else LASTING for name in agents}
    hosts = {
        name: Host(name, at, web, folder, prefix, ages[name]) for name, at in agents.items()
    }
    try:
        for host in hosts.values():
            await host.running.start()
        await until(lambda: all(host.given() == PRIMARY for host in hosts.values()), PATIENCE_S)
        yield web, hosts
    finally:
        for host in hosts.values():
            await host.running.stop()
        for address in list(web.servers):
            await web.stop(address)


async def moved(hosts: Mapping[str, Host], to: str) -> dict[str, float]:
    """How long each one took until it gives that address."""
    begin, found = time.monotonic(), dict[str, float]()

    def all_did() -> bool:
        for name, host in hosts.items():
            if host.given() == to:
                found.setdefault(name, time.monotonic() - begin)
        return found.keys() == hosts.keys()

    await until(all_did, PATIENCE_S)
    return found


async def test_all_move_together_and_back(cluster: RealCluster, tmp_path: Path) -> None:
    for number in range(TRIES):
        begun = await asyncio.to_thread(term, cluster.servers[0])
        took, promised = await _moves(cluster, tmp_path, f"consulfwd/failover-moves-{number}")
        # Those who only follow look once a second at most.
        kept = [took[name] < promised + (name == "x") for name in took]
        # Nobody can vote while there is no leader.
        if all(kept) or await asyncio.to_thread(term, cluster.servers[0]) == begun:
            break
    assert all(kept), (took, promised)


async def _moves(
    cluster: RealCluster, folder: Path, prefix: str
) -> tuple[dict[str, float], float]:
    """How long each took to move away, and how long is promised."""
    async with site(cluster, folder, prefix) as (web, hosts):
        held = HeldUp(*(one.pid for one in cluster.servers), disk=True)
        await web.stop(PRIMARY)
        took = await moved(hosts, SECONDARY)
        promised = INTERVAL * FALL + 1.0 + held.seconds()
        assert all(host.held() == [] for host in hosts.values())
        await web.start(PRIMARY)
        await moved(hosts, PRIMARY)
    return took, promised


@NEWEST
async def test_an_order_moves_all_and_one_that_is_cut_off_nobody(
    cluster: RealCluster, tmp_path: Path
) -> None:
    stalls = Stalls()
    async with site(cluster, tmp_path, "consulfwd/failover-cut", cut="c") as (_, hosts):
        hosts["x"].book.force("*/primary", "down", time.time() + 60, "a drill", "eve")
        await moved(hosts, SECONDARY)
        hosts["b"].book.unforce("*")
        await moved(hosts, PRIMARY)
        followers = [one for one in cluster.servers if one is not cluster.leader()]
        cut = hosts["c"]
        await until(lambda: cut.held()[-1:] != ["held"], PATIENCE_S)
        before = len(cut.held())
        cut.deaf = True
        await asyncio.to_thread(followers[1].freeze)
        try:
            await until(lambda: cut.held()[before:][-1:] == ["held"], PATIENCE_S)
            assert {host.given() for host in hosts.values()} == {PRIMARY}
            assert [host.held() for name, host in hosts.items() if name != "c"] == [[]] * 3
        finally:
            await asyncio.to_thread(followers[1].thaw)
        # Back in touch, it is one against two.
        await until(lambda: cut.held()[-1:] == ["released"], PATIENCE_S)
        assert cut.held()[before:] == ["held", "released"] or stalls.seconds() > SPARE_S
        await asyncio.sleep(3 * INTERVAL)
        assert {host.given() for host in hosts.values()} == {PRIMARY}
        # Whose agent was the frozen one may be heard again a little later.
        book, both = hosts["x"].book, {"a: up", "b: up"}
        await until(lambda: both <= set(book.view(NAME).addresses[0].votes), PATIENCE_S)
