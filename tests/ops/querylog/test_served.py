"""A running server whose queries are noted: on every way an answer takes, and for everybody."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.message
import pytest

from consulfwd.core.access import Access
from consulfwd.net.noting import Noted
from consulfwd.ops.querylog.control import QueryLog
from consulfwd.ops.querylog.intake import Intake
from consulfwd.ops.watched import OrderError
from tests.net.messages import question
from tests.net.recursor import Recursor
from tests.net.world import World, ask, settings, until, world
from tests.ops.querylog.collectors import Collecting

GALERA = "galeradb.service.consul"


class Noting:
    """An observer that keeps what it is told; it takes every `nth` query."""

    def __init__(self, nth: int = 1) -> None:
        self.notes: list[Noted] = []
        self._nth = nth
        self._seen = 0

    def take(self, count: int) -> Sequence[int]:
        taken = [one for one in range(count) if (self._seen + one + 1) % self._nth == 0]
        self._seen += count
        return taken

    def note(self, noted: Noted) -> None:
        self.notes.append(noted)

    def kinds(self) -> list[str]:
        return [one.kind for one in self.notes]


@asynccontextmanager
async def noting(*recursors: Recursor, nth: int = 1, **sections: Any) -> AsyncIterator[
    tuple[World, Noting]
]:
    """A world whose queries are noted."""
    async with world(*recursors, **sections) as here:
        observer = Noting(nth)
        here.server._observe(observer)
        yield here, observer


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "0.0.0.0:0"])
async def test_ways_of_an_answer_over_udp(listen: str) -> None:
    async with noting(listen=[listen]) as (here, seen), here.udp() as client:
        here.cluster.dns.service_ttl = 30
        asked = question(GALERA)
        replies = []
        for _ in range(5):
            client.send(asked)
            replies.append(await client.receive())
        at = (here.at.host, here.at.port)
        name = here.server.settings.consul.agents[0].name
        assert seen.kinds() == ["agent", "cache", "hot", "hot", "hot"]
        assert [one.server for one in seen.notes] == [name, name, "", "", ""]
        assert [one.reply for one in seen.notes] == replies
        for one in seen.notes:
            assert (one.data, one.client, one.at) == (asked, client.address, at)
            assert (one.transport, one.ede) == ("udp", None)
            assert 0 <= one.took < 5
            assert one.asked_at == pytest.approx(time.time(), abs=60)


async def test_a_batch_of_which_some_are_noted() -> None:
    async with noting(nth=3) as (here, seen), here.udp() as client:
        here.cluster.dns.service_ttl = 30
        names = [GALERA, "web.service.consul", "nothing.service.consul", "localhost"]
        for name in names * 3:
            client.send(question(name))
            await client.receive()
        seen.notes.clear()
        before = here.counters.queries
        sent = [question(names[number % 4], ident=number) for number in range(300)]
        for packet in sent:
            client.send(packet)
        replies = {reply[:2]: reply for reply in [await client.receive() for _ in sent]}
        # Each has its own answer, noted or not.
        assert set(replies) == {packet[:2] for packet in sent}
        for packet in sent:
            asked = dns.message.from_wire(packet).question
            assert dns.message.from_wire(replies[packet[:2]]).question == asked
        assert len(seen.notes) == 100
        assert {"hot", "here"} <= set(seen.kinds())
        for one in seen.notes:
            assert one.reply == replies[one.data[:2]]
        assert here.counters.queries - before == 300


async def test_ways_of_an_answer_over_tcp() -> None:
    async with noting() as (here, seen), here.tcp() as client:
        here.cluster.dns.service_ttl = 30
        asked, broken = question(GALERA), question(GALERA)[:-1]
        replies = []
        for packet in (asked, asked, broken):
            client.send(packet)
            replies.append(await client.receive())
        assert seen.kinds() == ["agent", "cache", "here"]
        assert [one.reply for one in seen.notes] == replies
        assert [one.data for one in seen.notes] == [asked, asked, broken]
        assert {(one.transport, one.client[0], one.at) for one in seen.notes} == {
            ("tcp", "127.0.0.1", (here.at.host, here.at.port))
        }


async def test_stale_answers_failures_and_what_is_refused() -> None:
    deadline = {"deadline": 0.2}
    async with noting(query=deadline) as (here, seen):
        await here.ask(GALERA)
        for agent in here.agents:
            agent.faults.frozen = True
        here.skip(1)
        await here.ask(GALERA)
        await here.ask("unheard.service.consul")
        here.server._access.networks = Access(()).networks
        here.server._access.seen.clear()
        await here.ask(GALERA)
        assert seen.kinds() == ["agent", "stale", "nobody", "here"]
        _, stale, nobody, refused = seen.notes
        assert stale.server == here.server.settings.consul.agents[0].name
        assert stale.ede is not None
        assert stale.ede[0] == 3
        assert nobody.ede is not None
        assert refused.reply[3] & 15 == 5


async def test_a_recursor_is_told_from_an_agent() -> None:
    async with Recursor() as recursor, noting(recursor) as (here, seen):
        await here.ask("www.example.com")
        await here.ask("www.example.com")
        assert seen.kinds()[0] == "recursor"
        assert seen.notes[0].server == f"{recursor.host}:{recursor.port}"


async def test_those_who_join_are_noted_each() -> None:
    async with noting() as (here, seen):
        await asyncio.gather(*(here.ask(GALERA) for _ in range(5)))
        assert sorted({one.client[1] for one in seen.notes}) == sorted(
            one.client[1] for one in seen.notes
        )
        assert set(seen.kinds()) == {"agent"}
        assert len(seen.notes) == 5


async def test_nothing_is_noted_once_nobody_is_told() -> None:
    async with noting() as (here, seen), here.tcp() as client:
        here.server._observe(None)
        udp, tcp = next(iter(here.server._listening.listeners.values()))
        # As if it had never been: no method stands in for another.
        assert "send" not in vars(udp)
        assert not {"read", "reply"} & set(vars(tcp.service))
        await here.ask(GALERA)
        client.send(question(GALERA))
        await client.receive()
        assert seen.notes == []


async def test_a_query_under_way_while_it_is_turned_off_is_answered() -> None:
    async with noting() as (here, seen), here.udp() as udp, here.tcp() as tcp:
        for agent in here.agents:
            agent.faults.any.delay.on(0.05)
        udp.send(question(GALERA))
        tcp.send(question("web.service.consul"))
        await until(lambda: len(here.engine.table.flights) == 2)
        here.server._observe(None)
        await udp.receive()
        await tcp.receive()
        assert seen.notes == []


def lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file that are whole by now."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.rpartition("\n")[0].splitlines()]


async def test_orders_and_settings(tmp_path: Path) -> None:
    path = tmp_path / "queries.log"
    querylog = {"file": str(path), "format": "json"}
    async with world(querylog=querylog) as here:
        log = here.server.querylog
        assert (log.told(), log.observer) == ("", None)
        await here.ask("one.service.consul")
        assert log.order({"state": "on"}) == {"querylog": f"all queries, to {path}"}
        await here.ask("two.service.consul")
        # A reload for other settings leaves it on; the file is opened anew.
        await until(lambda: len(lines(path)) == 1)
        path.rename(tmp_path / "old")
        await here.server.reload(settings(here.cluster, querylog=querylog, cache={"size": 5}))
        await here.ask("three.service.consul")
        await until(lambda: len(lines(path)) == 1)
        told = log.order({"state": "on", "sample": 0.01})
        assert told == {"querylog": f"1% of the queries, to {path}"}
        assert log.order({"state": "off", "sample": None}) == {"querylog": ""}
        assert log.observer is None
        await here.ask("four.service.consul")
        on = {"log": {"queries": True}, "querylog": {**querylog, "sample": 0.5}}
        await here.server.reload(settings(here.cluster, **on))
        assert log.told() == f"50% of the queries, to {path}"
        await until(lambda: log.counters()["querylog_written"] == 2)
        assert log.counters()["querylog_dropped"] == 0
    assert [one["name"] for one in lines(path)] == ["three.service.consul."]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"state": True},
        {"state": "on", "sample": 0},
        {"state": "on", "sample": 2},
        {"state": "on", "sample": "1"},
        {"state": "on", "sample": True},
        {"state": "on", "sample": float("nan")},
    ],
)
async def test_orders_that_are_none(values: dict[str, Any]) -> None:
    async with world() as here:
        with pytest.raises(OrderError) as error:
            here.server.querylog.order(values)
        assert error.value.status == 400
        assert here.server.querylog.told() == ""


async def test_some_look_on_while_nothing_is_logged() -> None:
    async with world() as here:
        log: QueryLog = here.server.querylog
        found: list[bytes] = []
        ends = [log.tail(found.append) for _ in range(8)]
        with pytest.raises(OrderError):
            log.tail(found.append)
        assert log.counters()["querylog_tails"] == 8
        await here.ask(GALERA)
        await until(lambda: len(found) == 8)
        assert {json.loads(one)["name"] for one in found} == {f"{GALERA}."}
        for end in ends:
            end()
            end()
        assert log.observer is None
        await here.ask(GALERA)
    assert len(found) == 8


@pytest.mark.parametrize("sample", [0.0, 5e-324, 1e-320, 1e-5, 2.0, float("nan")])
async def test_who_wants_no_part_takes_no_place(sample: float) -> None:
    async with world() as here:
        log: QueryLog = here.server.querylog
        for _ in range(9):
            with pytest.raises(OrderError) as error:
                log.tail(void, sample)
            assert error.value.status == 400
        assert (log.observer, log.counters()) == (None, {})
        log.tail(void)()


def void(line: bytes) -> None:
    """Take no notice."""


async def test_each_has_its_own_part_of_the_queries(tmp_path: Path) -> None:
    path = tmp_path / "queries.log"
    querylog = {"file": str(path), "format": "json"}
    async with world(log={"queries": True}, querylog=querylog) as here, here.udp() as client:
        found: list[bytes] = []
        here.server.querylog.tail(found.append, 0.1)
        for number in range(500):
            client.send(question("localhost", ident=number))
            await client.receive()
        await until(lambda: len(lines(path)) == 500)
    assert 20 < len(found) < 90


async def test_a_collector_is_told_and_the_end_is_said(tmp_path: Path) -> None:
    path = tmp_path / "dnstap.sock"
    tap = {"socket": str(path), "identity": "ns1", "version": "v"}
    with Collecting(path) as there:
        async with world(dnstap=tap) as here:
            await here.ask(GALERA)
            await ask(here.at, "localhost", tcp=True)
            await until(lambda: len(there.frames) == 4)
            assert here.server.querylog.counters()["dnstap_connected"]
            await until(lambda: here.server.querylog.counters()["dnstap_written"] == 4)
            # A reload that says the same keeps the connection.
            await here.server.reload(settings(here.cluster, dnstap=tap))
            await here.ask(GALERA)
    assert there.kinds == [4, 2, 3]
    assert len(there.frames) == 6


async def test_a_missing_collector_is_a_fault_in_the_status_line(tmp_path: Path) -> None:
    async with world(dnstap={"socket": str(tmp_path / "nobody.sock")}) as here:
        await until(lambda: "; dnstap: the collector at" in here.watched.line())
        await here.ask(GALERA)
        await here.server.reload(settings(here.cluster))
        assert "dnstap" not in here.watched.line()


@pytest.mark.parametrize("channel", ["dnstap", "full device"])
async def test_what_stands_still_costs_queries_nothing(
    channel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Intake.__init__, "__defaults__", (5, 1 << 20))
    monkeypatch.setattr("consulfwd.ops.querylog.to_file.AGAIN", 60.0)
    if channel == "dnstap":
        sections: dict[str, Any] = {"dnstap": {"socket": str(tmp_path / "nobody.sock")}}
        dropped = "dnstap_dropped"
    else:
        sections = {"log": {"queries": True}, "querylog": {"file": "/dev/full"}}
        dropped = "querylog_dropped"
    async with world(**sections) as here, here.udp() as client:
        querylog = here.server.querylog
        for ident in range(40):
            client.send(question("localhost", ident=ident))
            await client.receive()
            if ident == 5:
                # Its thread has seen by now that there is nobody, or no room.
                await until(lambda: bool(querylog.faults()))
        count = querylog.counters()[dropped] / (2 if channel == "dnstap" else 1)
        assert count == 40 - 5
        made: list[Noted] = []
        monkeypatch.setattr(QueryLog, "note", lambda self, noted: made.append(noted))
        for ident in range(10):
            client.send(question("localhost", ident=ident))
            await client.receive()
        assert made == []


async def test_settings_that_need_what_is_not_here_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from consulfwd.errors import StartError
    from consulfwd.ops.querylog import dnstap

    def lacking() -> dnstap.Form:
        raise StartError("no library")

    monkeypatch.setattr(dnstap, "form", lacking)
    async with world() as here:
        tap = {"socket": str(tmp_path / "dnstap.sock")}
        with pytest.raises(StartError):
            await here.server.reload(settings(here.cluster, listen=["127.0.0.1:0"], dnstap=tap))
        assert here.server.settings.dnstap.socket is None
        await here.ask(GALERA)
