"""Connections to an agent: who gets which, when they are kept, and what ends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from consulfwd.config import Agent
from consulfwd.consul import way
from consulfwd.consul.client import Client
from consulfwd.errors import ConsulError, UnknownOutcome
from tests.consul.server import Raw, http
from tests.loopback import OWN
from tests.net.world import nothing_left_behind, until

TWO = http(b"[1]") + http(b"[2]")


async def get(client: Client, path: str = "/", timeout: float = 5.0) -> bytes | str:
    """The body of a reply, or why there is none."""
    try:
        return (await client.get(path, timeout=timeout)).body
    except ConsulError as error:
        return error.reason


@pytest.fixture
async def client(raw: Raw) -> AsyncIterator[Client]:
    client = Client(raw.agent, connections=1)
    async with nothing_left_behind():
        yield client
        await client.close()


@asynccontextmanager
async def closing() -> AsyncIterator[tuple[Agent, list[str]]]:
    """An agent that closes a connection when it is asked on it for the second time."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            for number in range(2):
                head = await reader.readuntil(b"\r\n\r\n")
                asked.append(head.split()[0].decode())
                if number == 0:
                    writer.write(http(b"[]"))
        writer.close()

    server = await asyncio.start_server(serve, OWN, 0)
    try:
        yield Agent(address=OWN, http_port=server.sockets[0].getsockname()[1]), asked
    finally:
        server.close()


async def test_a_question_that_crossed_the_end_of_its_connection_is_asked_again() -> None:
    async with closing() as (agent, asked), nothing_left_behind():
        client = Client(agent)
        assert [await get(client) for _ in range(3)] == [b"[]"] * 3
        assert asked == ["GET"] * 5
        await client.close()


async def test_what_is_written_is_not() -> None:
    async with closing() as (agent, asked), nothing_left_behind():
        client = Client(agent)
        assert await get(client) == b"[]"
        with pytest.raises(UnknownOutcome, match="closed without a reply"):
            await client.put("/v1/kv/a", timeout=5)
        assert asked == ["GET", "PUT"]
        await client.close()


async def test_it_is_asked_again_once(raw: Raw, client: Client) -> None:
    raw.replies = [http(b"[]"), b""]
    assert await get(client) == b"[]"
    assert await get(client) == "connection closed without a reply"
    assert (len(raw.requests), raw.connections) == (3, 2)


async def test_a_reply_that_nobody_asked_for_is_nobody_s(raw: Raw, client: Client) -> None:
    """It would be the reply to the next question, about something else."""
    raw.replies = [TWO, http(b"[3]")]
    assert [await get(client) for _ in range(2)] == [b"[1]", b"[3]"]
    assert raw.connections == 2


async def test_nor_one_that_comes_later() -> None:
    more = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(http(b"[1]"))
            await more.wait()
            writer.write(http(b"[2]"))
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, OWN, 0)
    client = Client(Agent(address=OWN, http_port=server.sockets[0].getsockname()[1]))
    async with nothing_left_behind():
        assert await get(client) == b"[1]"
        more.set()
        await asyncio.sleep(0.02)
        assert await get(client) == b"[1]"
        await client.close()
    server.close()


async def test_what_is_said_before_anything_is_asked_is_the_first_reply() -> None:
    """So Consul says that a host has too many connections."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http(b"too many", "Connection: close", status="429 Too Many Requests"))
        writer.close()

    server = await asyncio.start_server(serve, OWN, 0)
    client = Client(Agent(address=OWN, http_port=server.sockets[0].getsockname()[1]))
    async with nothing_left_behind():
        for _ in range(20):
            assert await get(client) == "too many"
        await client.close()
    server.close()


async def test_who_came_first_has_a_connection_first(raw: Raw, client: Client) -> None:
    raw.held.clear()
    asked = [asyncio.ensure_future(get(client, f"/{number}")) for number in range(4)]
    await until(lambda: raw.requests)
    asked[2].cancel()
    raw.held.set()
    await asyncio.wait(asked)
    assert [one[0].split()[1] for one in raw.requests] == ["/0", "/1", "/3"]
    assert raw.connections == 1


async def test_time_passes_for_who_waits_for_a_connection(raw: Raw, client: Client) -> None:
    raw.silent = True
    first = asyncio.ensure_future(get(client))
    await until(lambda: raw.requests)
    assert await get(client, timeout=0.02) == "no reply within 0.02 s"
    # It was not sent, which is known.
    with pytest.raises(ConsulError, match="no reply within") as caught:
        await client.put("/v1/kv/a", timeout=0.02)
    assert type(caught.value) is ConsulError
    assert len(raw.requests) == 1
    first.cancel()
    # What is given up leaves room.
    await asyncio.wait({first})
    raw.silent = False
    assert await get(client) == b"[]"


async def test_a_connection_that_does_not_come_about(
    raw: Raw, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(way, "CONNECT_S", 0.02)
    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", never)
    for ask in (client.get, client.put):
        with pytest.raises(ConsulError, match="no reply within 5 s") as caught:
            await ask("/", timeout=5)
        assert type(caught.value) is ConsulError
    # One that is given up meanwhile is nobody's any more.
    giving_up = asyncio.ensure_future(get(client))
    await asyncio.sleep(0)
    giving_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await giving_up
    monkeypatch.undo()
    assert await get(client) == b"[]"


async def test_what_nobody_uses_is_closed(
    raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(way, "KEEP_ALIVE_S", 0.05)
    client = Client(raw.agent, connections=3)
    async with nothing_left_behind():
        raw.held.clear()
        asked = [asyncio.ensure_future(get(client)) for _ in range(3)]
        await until(lambda: len(raw.requests) == 3)
        raw.held.set()
        assert await asyncio.gather(*asked) == [b"[]"] * 3
        (connections,) = client._ways
        for _ in range(8):
            # The one that was used last is used again; the others go.
            await asyncio.sleep(0.01)
            await get(client)
        await until(lambda: len(connections._there) == 1)
        assert raw.connections == 3
        await until(lambda: not connections._there)
        await get(client)
        assert raw.connections == 4
        await client.close()


@pytest.mark.parametrize(
    "path", ["/v1/kv/a b", "/v1/kv/a\r\nX-Consul-Token: x\r\n", "/v1/kv/\u00e9"]
)
async def test_a_path_is_no_more_than_that(raw: Raw, client: Client, path: str) -> None:
    assert await get(client, path) == b"[]"
    (lines,) = raw.requests
    assert len(lines[0].split(" ")) == 3
    assert sum(line.startswith("X-") for line in lines) == 0


async def test_nor_is_a_parameter(raw: Raw, client: Client) -> None:
    params = {"filter": 'ID == "a b"\r\nX: y&c=d#e'}
    await client.get("/v1/x", params, timeout=5)
    assert raw.requests[0][0] == (
        "GET /v1/x?filter=ID+%3D%3D+%22a+b%22%0D%0AX%3A+y%26c%3Dd%23e HTTP/1.1"
    )


async def test_how_agents_are_called() -> None:
    hosts = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        hosts.append(next(one for one in head.split(b"\r\n") if one.startswith(b"Host: ")))
        writer.write(http(b"[]"))
        writer.close()

    async with nothing_left_behind():
        for address in ("127.0.0.1", "::1"):
            server = await asyncio.start_server(serve, address, 0)
            port = server.sockets[0].getsockname()[1]
            client = Client(Agent(address=address, http_port=port))
            assert await get(client) == b"[]"
            await client.close()
            server.close()
            named = f"[{address}]" if ":" in address else address
            assert hosts.pop().decode() == f"Host: {named}:{port}"
