"""The client against a server that says whatever a test wants, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consulfwd.config import Agent
from consulfwd.consul.client import SENT_LIMIT, Client
from consulfwd.errors import ConsulError, UnknownOutcome
from tests.consul.server import Raw, http, shown
from tests.loopback import OWN, free_port
from tests.net.world import nothing_left_behind, until

PATH = "/v1/health/service/consul"


@pytest.fixture
async def client(raw: Raw) -> AsyncIterator[Client]:
    client = Client(raw.agent)
    yield client
    await client.close()


async def failed(client: Client, timeout: float = 5.0, limit: int = 1000) -> tuple[int, str]:
    """The status and reason of the error that a request ends with."""
    with pytest.raises(ConsulError) as caught:
        await client.get(PATH, timeout=timeout, limit=limit)
    assert caught.value.agent == client.agent.name
    return caught.value.status, caught.value.reason


async def test_a_reply_and_what_was_asked(raw: Raw, client: Client) -> None:
    raw.replies = [http(b"[1]", "X-Consul-Index: 7", "x-consul-knownleader: true")]
    reply = await client.get(PATH, {"index": "5", "wait": "60000ms", "stale": ""}, timeout=5)
    assert (reply.status, reply.index, reply.known_leader, reply.body) == (200, 7, True, b"[1]")
    assert reply.agent == f"{OWN}:1"
    assert 0 < reply.took < 5
    request, *headers = raw.requests[0]
    assert request == f"GET {PATH}?index=5&wait=60000ms&stale= HTTP/1.1"
    names = {line.partition(":")[0].lower() for line in headers if line}
    assert names == {"host", "accept", "accept-encoding", "user-agent"}
    assert "Accept-Encoding: identity" in headers


async def test_that_there_is_none_may_be_an_answer(raw: Raw, client: Client) -> None:
    raw.replies = [http(b"", "X-Consul-Index: 7", status="404 Not Found")]
    assert await failed(client) == (404, "no more is said")
    reply = await client.get(PATH, timeout=5, absent=True)
    assert (reply.status, reply.index, reply.json()) == (404, 7, None)


async def test_what_is_said_with_another_status_may_be_an_answer(
    raw: Raw, client: Client
) -> None:
    raw.replies = [http(b'{"Healthy": false}', status="429 Too Many Requests")]
    assert (await failed(client))[0] == 429
    reply = await client.get(PATH, timeout=5, also=(429,))
    assert (reply.status, reply.json()) == (429, {"Healthy": False})
    raw.replies = [http(b"no", status="500 Internal Server Error")]
    with pytest.raises(ConsulError, match="no"):
        await client.get(PATH, timeout=5, also=(429,))


async def test_connections_are_kept(raw: Raw, client: Client) -> None:
    for _ in range(3):
        await client.get(PATH, timeout=5)
    assert raw.connections == 1


async def test_no_more_connections_than_allowed(raw: Raw) -> None:
    raw.silent = True
    client = Client(raw.agent, connections=2)
    asked = [asyncio.ensure_future(client.get(PATH, timeout=60)) for _ in range(5)]
    await until(lambda: len(raw.requests) == 2)
    await asyncio.sleep(0.02)
    assert (len(raw.requests), raw.connections) == (2, 2)
    await client.close()
    for one in asked:
        one.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


async def test_the_token_is_sent_and_never_told(raw: Raw, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(" 5ecre7-70ken\n")
    client = Client(raw.agent.replace(token_file=file))
    await client.get(PATH, timeout=5)
    assert "X-Consul-Token: 5ecre7-70ken" in raw.requests[0]
    raw.replies = [http(b"ACL not found", status="403 Forbidden")]
    assert await failed(client) == (403, "ACL not found")
    await client.close()


async def test_who_repeats_what_it_was_asked_with_is_not_quoted(raw: Raw, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("b1gs3cret")
    raw.replies = [http(b"X-Consul-Token: b1gs3cret?", status="400 Bad Request")]
    client = Client(raw.agent.replace(token_file=file))
    assert await failed(client) == (400, "X-Consul-Token: (the token)?")
    await client.close()


@pytest.mark.parametrize(
    "content", [b"a\nb", b"a\r\nX-Other: 1", b"\xff", b"a\0b", b"t" * 5000, "t\u00e9".encode()]
)
async def test_what_is_no_token_goes_nowhere(raw: Raw, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    client = Client(raw.agent.replace(token_file=file))
    assert await failed(client) == (0, f"{file} holds no token")
    assert raw.requests == []
    await client.close()


@pytest.mark.parametrize("content", [b"one", b" one\r\n", b"\xef\xbb\xbfone\n", b"\n\none\n"])
async def test_what_editors_put_around_a_token_is_no_part_of_it(
    raw: Raw, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    client = Client(raw.agent.replace(token_file=file))
    await client.get(PATH, timeout=5)
    assert shown(raw.requests[-1]) == "one"
    await client.close()


async def test_a_token_file_that_comes_later_is_read_then(raw: Raw, tmp_path: Path) -> None:
    file = tmp_path / "token"
    client = Client(raw.agent.replace(token_file=file))
    assert await failed(client) == (0, f"{file} cannot be read: no such file or directory")
    file.write_text("late")
    await client.get(PATH, timeout=5)
    assert "X-Consul-Token: late" in raw.requests[0]
    await client.close()


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (http(b"Permission denied", status="403 Forbidden"), (403, "Permission denied")),
        (http(b"No cluster leader\n", status="500 Internal Server Error"),
         (500, "No cluster leader")),
        (http(b"", status="429 Too Many Requests"), (429, "no more is said")),
        (http(b"a\x1b[31m\r\nb\xff", status="500 X"), (500, "a [31m  b?")),
        (http(b"x" * 900, status="500 X"), (500, "x" * 200)),
        (http(b"", "Location: http://192.0.2.1/", status="301 Moved"), (301, "no more is said")),
        (http(b"", status="204 No Content"), (204, "no more is said")),
        (http(b"y" * 1001), (0, "a reply of more than 1000 octets")),
        (http(b"y" * 1001, status="500 X"), (0, "a reply of more than 1000 octets")),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", (0, "the reply is not HTTP")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\n", (0, "the reply is not HTTP")),
        (b"HTTP/1.1 200 OK\r\nX-A: %b\r\n\r\n" % (b"a" * 9000), (0, "the reply is not HTTP")),
        (b"HTTP/1.1 200 OK\r\n%bContent-Length: 0\r\n\r\n" % (b"A: 1\r\n" * 9000),
         (0, "the reply is not HTTP")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
         (0, "the reply is not HTTP")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
         (0, "connection closed in the middle of the reply")),
        (b"", (0, "connection closed without a reply")),
    ],
)  # fmt: skip
async def test_every_other_reply_is_an_error(
    raw: Raw, client: Client, reply: bytes, error: tuple[int, str]
) -> None:
    raw.replies = [reply]
    found = await failed(client)
    assert (found[0], found[1].replace("\ufffd", "?")) == error
    # The next request is not disturbed.
    raw.replies = [http(b"[]")]
    assert (await client.get(PATH, timeout=5)).body == b"[]"


async def test_a_body_without_end_is_cut_off(raw: Raw, client: Client) -> None:
    raw.replies = [b"HTTP/1.1 200 OK\r\n\r\n" + b"z" * 3_000_000]
    assert await failed(client, limit=100_000) == (0, "a reply of more than 100000 octets")


async def test_what_is_compressed_is_not_unpacked(raw: Raw, client: Client) -> None:
    raw.replies = [http(gzip.compress(b"0" * 10_000_000), "Content-Encoding: gzip")]
    reply = await client.get(PATH, timeout=5, limit=20_000)
    with pytest.raises(ConsulError, match="not JSON"):
        reply.json()


async def test_silence_ends(raw: Raw, client: Client) -> None:
    raw.silent = True
    assert await failed(client, timeout=0.05) == (0, "no reply within 0.05 s")


async def test_nobody_there() -> None:
    agent = Agent(address=OWN, http_port=free_port())
    client = Client(agent)
    assert await failed(client) == (0, "connection refused")
    await client.close()


async def test_a_closed_client_asks_nothing_more(raw: Raw, client: Client) -> None:
    await client.get(PATH, timeout=5)
    await client.close()
    await client.close()
    assert await failed(client) == (0, "the client is closed")
    assert len(raw.requests) == 1


async def test_a_request_under_way_fails_when_the_client_closes(raw: Raw, client: Client) -> None:
    raw.silent = True
    asked = asyncio.ensure_future(failed(client))
    await until(lambda: raw.requests)
    await client.close()
    assert (await asked)[0] == 0


async def test_proxies_and_cookies_are_not_for_us(
    raw: Raw, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://{OWN}:{free_port()}")
    raw.replies = [http(b"[]", "Set-Cookie: a=b; Path=/")]
    for _ in range(2):
        await client.get(PATH, timeout=5)
    assert not any("cookie" in line.lower() for one in raw.requests for line in one)


async def test_https_with_a_certificate_of_ones_own(
    certificate: Path, over_tls: ssl.SSLContext
) -> None:
    raw = Raw()
    raw.tls = over_tls
    async with nothing_left_behind(), raw.serving():
        client = Client(raw.agent.replace(ca_file=certificate / "cert.pem"))
        assert (await client.get(PATH, timeout=5)).body == b"[]"
        await client.close()


async def test_nothing_is_left_behind(raw: Raw) -> None:
    async with nothing_left_behind():
        client = Client(raw.agent)
        await client.get(PATH, timeout=5)
        raw.silent = True
        under_way = [asyncio.ensure_future(failed(client)) for _ in range(3)]
        await until(lambda: len(raw.requests) == 4)
        await client.close()
        assert {status for status, _ in await asyncio.gather(*under_way)} == {0}


async def test_a_certificate_nobody_vouches_for(over_tls: ssl.SSLContext) -> None:
    raw = Raw()
    raw.tls = over_tls
    async with raw.serving():
        client = Client(raw.agent)
        status, reason = await failed(client)
        await client.close()
    assert status == 0
    assert reason.startswith("certificate refused: self")
    assert raw.requests == []


async def test_https_where_http_is_spoken(raw: Raw) -> None:
    client = Client(raw.agent.replace(http_scheme="https"))
    # What the server makes of it is up to chance: nonsense, or the end.
    status, reason = await failed(client, timeout=0.3)
    assert status == 0
    assert reason in {"no TLS there", "no reply within 0.3 s", "connection reset by peer"}
    await client.close()


async def test_a_ca_file_that_is_none(raw: Raw, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    agent = raw.agent.replace(http_scheme="https", ca_file=file)
    client = Client(agent)
    assert await failed(client) == (0, f"{file} cannot be read: no such file or directory")
    file.write_text("nothing")
    assert await failed(client) == (0, f"{file} holds no certificates")
    await client.close()


def test_no_library_is_loaded_for_it() -> None:
    """One had 15 MB of a server's 48, and took queries 0.3 s of a processor at each start."""
    code = """
import asyncio, sys
from consulfwd.config import Agent
from consulfwd.consul.client import Client
from consulfwd.errors import ConsulError
async def main():
    client = Client(Agent(address="127.0.0.1", http_port=1))
    try:
        await client.get("/", timeout=5)
    except ConsulError as error:
        print(error)
    await client.close()
asyncio.run(main())
print({"aiohttp", "http", "email", "urllib3", "httpx", "requests"} & {*sys.modules})
"""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["127.0.0.1:8600: connection refused", "set()"]
    # A slow machine makes asyncio tell of slow steps there; anything else would be a fault.
    assert [line for line in done.stderr.splitlines() if not line.startswith("Executing")] == []


async def test_what_is_written(raw: Raw, client: Client) -> None:
    raw.replies = [http(b"true")]
    params = {"cas": "7", "flags": "42"}
    assert (await client.put("/v1/kv/a", params, body=b"x=1", timeout=5)).json() is True
    assert (await client.put("/v1/session/renew/b", timeout=5)).json() is True
    assert (await client.delete("/v1/kv/a", {"cas": "8"}, timeout=5)).json() is True
    assert [one[0] for one in raw.requests] == [
        "PUT /v1/kv/a?cas=7&flags=42 HTTP/1.1",
        "PUT /v1/session/renew/b HTTP/1.1",
        "DELETE /v1/kv/a?cas=8 HTTP/1.1",
    ]
    assert raw.bodies == [b"x=1", b"", b""]
    assert raw.connections == 1


async def test_no_more_is_written_than_consul_takes(raw: Raw, client: Client) -> None:
    await client.put("/v1/kv/a", body=b"x" * SENT_LIMIT, timeout=5)
    with pytest.raises(ConsulError, match="nothing of more than 524288 octets is written"):
        await client.put("/v1/kv/a", body=b"x" * (SENT_LIMIT + 1), timeout=5)
    assert len(raw.requests) == 1


@pytest.mark.parametrize("method", ["put", "delete"])
@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"", (0, "connection closed without a reply")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
         (0, "connection closed in the middle of the reply")),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", (0, "the reply is not HTTP")),
        (http(b"y" * 1001), (0, "a reply of more than 1000 octets")),
        (http(b"rpc error: leadership lost while committing log", status="500 X"),
         (500, "rpc error: leadership lost while committing log")),
        (None, (0, "no reply within 0.1 s")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kept", [False, True], ids=["new connection", "kept connection"])
async def test_a_lost_reply_leaves_open_what_became_of_it(
    raw: Raw, client: Client, method: str, reply: bytes | None, error: tuple[int, str], kept: bool
) -> None:
    """And it is sent once, whatever becomes of the connection: the second time may be another."""
    if kept:
        await client.get(PATH, timeout=5)
    raw.silent = reply is None
    raw.replies = [reply or b""]
    with pytest.raises(UnknownOutcome) as caught:
        await getattr(client, method)("/v1/kv/a", {"cas": "7"}, timeout=0.1, limit=1000)
    assert (caught.value.status, caught.value.reason) == error
    assert str(caught.value).endswith("(whether it took effect is not known)")
    assert sum(one[0].startswith(method.upper()) for one in raw.requests) == 1


@pytest.mark.parametrize("method", ["put", "delete"])
@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (http(b"", "Location: http://192.0.2.1/", status="301 Moved"), 301),
        (http(b"no", status="400 Bad Request"), 400),
        (http(b"no", status="403 Forbidden"), 403),
        (http(b"no", status="404 Not Found"), 404),
        (http(b"", status="429 Too Many Requests"), 429),
    ],
)
async def test_what_is_refused_took_no_effect(
    raw: Raw, client: Client, method: str, reply: bytes, status: int
) -> None:
    raw.replies = [reply]
    with pytest.raises(ConsulError) as caught:
        await getattr(client, method)("/v1/kv/a", timeout=5)
    assert (caught.value.status, type(caught.value)) == (status, ConsulError)
    assert len(raw.requests) == 1


async def test_what_was_never_sent_took_no_effect(over_tls: ssl.SSLContext) -> None:
    client = Client(Agent(address=OWN, http_port=free_port()))
    for method in ("put", "delete"):
        with pytest.raises(ConsulError, match="connection refused") as caught:
            await getattr(client, method)("/v1/kv/a", timeout=5)
        assert type(caught.value) is ConsulError
    await client.close()
    raw = Raw()
    raw.tls = over_tls
    async with raw.serving():
        client = Client(raw.agent)
        with pytest.raises(ConsulError, match="certificate refused") as caught:
            await client.put("/v1/kv/a", timeout=5)
        assert type(caught.value) is ConsulError
        await client.close()


async def test_that_there_are_no_files_is_an_error_like_others(
    raw: Raw, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def without_files(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", without_files)
    for ask in (client.get, client.put):
        with pytest.raises(ConsulError, match=r"too many open files$") as caught:
            await ask("/v1/x", timeout=1.0)
        assert type(caught.value) is ConsulError
    monkeypatch.undo()
    assert (await client.get("/v1/x", timeout=5)).body == b"[]"
