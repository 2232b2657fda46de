"""Replies without an end: pictures that change, queries as they are answered."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest

from consulfwd.ops import client
from consulfwd.ops.admin import pictures, streams
from consulfwd.ops.admin.pictures import Picture
from consulfwd.ops.admin.streams import Lines
from tests.loopback import OWN
from tests.ops.admin.world import World, error
from tests.ops.metered import snapshot


async def until(fact: object) -> None:
    assert callable(fact)
    for _ in range(500):
        if fact():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to that")


async def test_events_come_when_something_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams.Events.__init__, "__kwdefaults__", {"every": 0.02, "alive": 0.2})
    monkeypatch.setattr(pictures, "FRESH", 0.02)
    async with World(tmp_path) as world:
        told: list[str] = []
        read = asyncio.create_task(
            asyncio.to_thread(lambda: told.extend(client.lines(world.path, "/events")))
        )
        lines: list[str] = []
        with world.connected() as sock:
            sock.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            file = sock.makefile("r")

            async def next_line() -> str:
                return (await asyncio.to_thread(file.readline)).strip()

            while (line := await next_line()) or not lines[-1].startswith("data:"):
                lines.append(line)
            assert "Content-Type: text/event-stream" in lines
            assert lines[-2] == "event: status"
            assert json.loads(lines[-1][5:])["line"] == "all is well"
            before = world.process.pictures
            # Nothing has changed but the time.
            assert await next_line() == ": still here"
            assert world.process.pictures > before + 2
            assert await next_line() == ""
            world.process.line = "another"
            assert await next_line() == "event: status"
            assert json.loads((await next_line())[5:])["line"] == "another"
            file.close()
        world.admin.end()
        await read
        assert [one for one in told if one.startswith("event")] == ["event: status"] * 2


async def test_who_comes_between_two_pictures_sees_the_next_in_time() -> None:
    loop = asyncio.get_running_loop()

    class Others:
        """Pictures that are taken as others look, the first so long ago."""

        taken = loop.time() - 0.9
        many = 0

        async def now(self) -> Picture:
            if loop.time() >= self.taken + 1:
                self.taken = loop.time()
            self.many += 1
            return Picture(snapshot(faults=(str(self.taken),)), self.taken)

    others = Others()
    events = streams.Events(cast(Any, others), every=1.0)
    await events.next()
    began = loop.time()
    await events.next()
    assert loop.time() - began < 0.6
    assert others.many <= 4


async def test_queries_as_they_are_answered(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        stream = client.lines(world.path, "/querylog?sample=0.5")
        first = asyncio.create_task(asyncio.to_thread(next, stream))
        await until(lambda: world.process.put)
        assert world.process.sample == 0.5
        assert world.process.put is not None
        world.process.put(b'{"name": "a"}')
        world.process.put(b'{"name": "b"}')
        assert await first == '{"name": "a"}'
        assert await asyncio.to_thread(next, stream) == '{"name": "b"}'
        for wrong in ("0", "2", "x", "nan", "-1"):
            assert (await world.ask("GET", f"/querylog?sample={wrong}"))[0] == 400
        assert (await world.ask("GET", "/querylog"))[::2] == (
            409, b'{"error": "somebody looks on already"}\n',
        )  # fmt: skip
        # Who goes is told nothing any more.
        stream.close()  # type: ignore[attr-defined]
        await until(lambda: world.process.put is None)


async def test_who_is_asked_nothing_has_no_queries(tmp_path: Path) -> None:
    class Rounds:
        def __init__(self, other: object) -> None:
            self.snapshot = other.snapshot  # type: ignore[attr-defined]
            self.order = other.order  # type: ignore[attr-defined]

    world = World(tmp_path)
    world.watched = Rounds(world.process)
    async with world:
        status, _, body = await world.ask("GET", "/querylog")
        assert (status, error(body)) == (404, "nothing is asked of this process by queries")


async def test_a_slow_reader_of_queries_is_told_what_it_missed() -> None:
    lines = Lines(most=3)
    for number in range(5):
        lines.put(b"%d" % number)
    assert await lines.next() == b'0\n1\n2\n{"dropped": 2}\n'
    lines.put(b"5")
    assert await lines.next() == b"5\n"
    kept = Lines(alive=0.01)
    assert await kept.next() == b"\n"


async def test_so_many_streams_and_no_more(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        socks = [world.connected() for _ in range(16)]
        for sock in socks:
            sock.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await asyncio.to_thread(sock.recv, 12)) == b"HTTP/1.1 200"
        status, fields, body = await world.ask("GET", "/events")
        assert (status, fields["retry-after"]) == (503, "10")
        assert "too many" in error(body)
        # Whoever may look over TCP is not kept out by those, nor are they by anybody there.
        host = f"{OWN}:{world.port}"
        assert (await world.ask("HEAD", "/events", tcp=True, host=host))[0] == 200
        # A page that was closed makes room at once.
        socks.pop().close()
        status, _, told = await world.ask("HEAD", "/events")
        assert (status, told) == (200, b"")
        for sock in socks:
            sock.close()
