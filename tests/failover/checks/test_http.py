"""Pages asked for at servers in the test's own loop, with and without TLS."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from consulfwd.config.failover_checks import CheckSettings
from consulfwd.failover.checks.making import check
from consulfwd.failover.model import Result
from tests.consul import certificates
from tests.failover.checks.targets import HERE, Nobody, checked, replying, serving, told

OK, FAIL, ERROR = Result.OK, Result.FAIL, Result.ERROR
FOUND = "HTTP 200, and what is sought is there"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nstatus: green\n"
MOVED = b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\nLocation: "


@pytest.mark.parametrize(
    ("reply", "given", "result", "reason"),
    [
        (GOOD, {}, OK, "HTTP 200"),
        (GOOD, {"contains": "green"}, OK, FOUND),
        (GOOD, {"matches": "^status: *(ok|green)\\s$"}, OK, FOUND),
        (GOOD, {"contains": "red"}, FAIL, "HTTP 200, but without the text in the page"),
        (
            GOOD,
            {"contains": "red", "matches": "yellow"},
            FAIL,
            "HTTP 200, but without the text and the pattern in the page",
        ),
        (GOOD, {"status": [204]}, FAIL, "HTTP 200"),
        (GOOD.replace(b"200", b"503"), {}, FAIL, "HTTP 503"),
        (GOOD.replace(b"200", b"503"), {"status": ["500-599"]}, OK, "HTTP 503"),
        (GOOD.replace(b"14", b"15"), {}, OK, "HTTP 200"),
        (
            GOOD.replace(b"14", b"15"),
            {"contains": "red"},
            FAIL,
            "the connection was closed in the middle of the page",
        ),
        (b"", {}, FAIL, "the connection was closed without a reply"),
        (b"220 mail.example.com\r\n", {}, FAIL, "what came is not HTTP"),
        (MOVED + b"/other\r\n\r\n", {}, FAIL, "HTTP 301"),
        (MOVED + b"/other\r\n\r\n", {"redirects": 2}, FAIL, "more than 2 redirects"),
        (
            MOVED + b"http://evil.example/\r\n\r\n",
            {"redirects": 2},
            FAIL,
            "HTTP 301, which leads to another host: evil.example",
        ),
        (
            MOVED + b"gopher://www.example.com/\r\n\r\n",
            {"redirects": 2},
            FAIL,
            "HTTP 301, which leads to no URL",
        ),
    ],
)
async def test_a_page(reply: bytes, given: dict[str, Any], result: Result, reason: str) -> None:
    async with serving(replying(reply)) as port:
        outcome = await checked("http", url=f"http://www.example.com:{port}/x", **given)
    assert told(outcome) == (result, reason)


async def test_the_request_says_what_the_settings_say() -> None:
    heard: list[bytes] = []
    async with serving(replying(GOOD, heard=heard)) as port:
        url = f"http://WWW.example.com:{port}/x?y=z"
        await checked("http", url=url)
        more: dict[str, Any] = {"host": "a.example", "headers": {"accept": "x/y"}}
        await checked("http", url=url, method="HEAD", **more)
    first, second = (one.decode().split("\r\n") for one in heard)
    assert first[:2] == ["GET /x?y=z HTTP/1.1", f"Host: www.example.com:{port}"]
    assert first[3:6] == ["Accept: */*", "Accept-Encoding: identity", "Connection: close"]
    assert second[:2] == ["HEAD /x?y=z HTTP/1.1", "Host: a.example"]
    assert "Accept: x/y" in second


async def test_a_redirect_to_the_same_host_is_followed_to_the_same_address() -> None:
    heard: list[bytes] = []
    async with serving(replying(MOVED + b"../other\r\n\r\n", GOOD, heard=heard)) as port:
        url = f"http://www.example.com:{port}/x/y"
        outcome = await checked("http", url=url, redirects=1, contains="green")
    assert told(outcome) == (OK, FOUND)
    assert heard[1].startswith(b"GET /other HTTP/1.1\r\n")


async def test_no_more_than_64_kb_of_a_page_are_looked_at() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 65_536 + b"green")
        while True:
            # It would go on for ever.
            writer.write(b"x" * 10_000)
            await writer.drain()

    async with serving(talk) as port:
        for key, sought in (("contains", "green"), ("matches", "green"), ("matches", "x$")):
            given: dict[str, Any] = {key: sought}
            outcome = await checked("http", url=f"http://www.example.com:{port}/", **given)
            what = "pattern" if key == "matches" else "text"
            reason = f"HTTP 200, but without the {what} in the first 64 KB of the page"
            assert told(outcome) == (FAIL, reason)


async def test_a_text_is_found_wherever_its_pieces_end() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for octet in b"HTTP/1.1 200 OK\r\n\r\nstatus: green":
            writer.write(bytes([octet]))
            await writer.drain()
            await asyncio.sleep(0)

    async with serving(talk) as port:
        url = f"http://www.example.com:{port}/"
        outcome = await checked("http", url=url, contains="s: gree", matches="us: g[r]een$")
    assert outcome.result is OK


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\nx"])
async def test_however_slow_a_server_is_the_time_is_kept(begun: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        while True:
            # Never silent for long, and never through.
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(talk if begun else silent) as port:
        url = f"http://www.example.com:{port}/"
        outcome = await checked("http", timeout=0.1, url=url, contains="green")
    assert outcome.result is FAIL
    assert outcome.reason.startswith("no answer within 100 ms (waiting for ")
    assert outcome.took < 0.4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates.make(tmp_path_factory.mktemp("tls"), "DNS:www.example.com")


@pytest.fixture(scope="module")
def tls(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "agent.pem", folder / "agent.key")
    return context


async def test_certificates_are_verified(folder: Path, tls: ssl.SSLContext) -> None:
    ca: dict[str, Any] = {"ca_file": str(folder / "ca.pem")}
    async with serving(replying(GOOD), tls) as port:
        url = f"https://www.example.com:{port}/"
        assert (await checked("http", url=url, **ca)).result is OK
        assert (await checked("http", url=url, verify=False)).result is OK
        other = f"https://other.example.com:{port}/"
        named: dict[str, Any] = {"server_name": "www.example.com"}
        assert (await checked("http", url=other, **ca, **named)).result is OK
        unknown = await checked("http", url=url)
        misnamed = await checked("http", url=other, **ca)
    assert unknown.result is misnamed.result is FAIL
    assert unknown.reason.startswith("certificate refused: unable to get local issuer certificate")
    assert misnamed.reason.startswith("certificate refused: Hostname mismatch")


async def test_the_name_is_said_in_sni(folder: Path) -> None:
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "agent.pem", folder / "agent.key")
    context.sni_callback = lambda _, name, __: names.append(name)
    async with serving(replying(GOOD), context) as port:
        url = f"https://www.example.com:{port}/"
        await checked("http", url=url, verify=False)
        await checked("http", url=url, verify=False, server_name="a.example")
    assert names == ["www.example.com", "a.example"]


async def test_what_is_no_tls_is_told() -> None:
    async with serving(replying(GOOD)) as port:
        url = f"https://www.example.com:{port}/"
        outcome = await checked("http", url=url, timeout=0.2, verify=False)
    assert outcome.result is FAIL


async def test_a_handshake_that_never_ends_leaves_nothing_open() -> None:
    closed = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        closed.set()

    async with serving(talk) as port:
        url = f"https://www.example.com:{port}/"
        outcome = await checked("http", url=url, timeout=0.1, verify=False)
        assert told(outcome) == (FAIL, "no answer within 100 ms (connecting, over TLS)")
        await asyncio.wait_for(closed.wait(), 1)


async def test_certificates_that_are_not_there_are_our_own_fault(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    for name, why in (("none.pem", "ca_file cannot be read"), ("empty.pem", "ca_file holds no")):
        url, file = "https://www.example.com:1/", str(tmp_path / name)
        outcome = await checked("http", url=url, ca_file=file)
        assert outcome.result is ERROR
        assert outcome.reason.startswith(why)


async def test_other_certificates_are_read_once_they_are_there(
    folder: Path, tls: ssl.SSLContext, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes((folder / "stranger.pem").read_bytes())
    async with serving(replying(GOOD), tls) as port:
        given = {"url": f"https://www.example.com:{port}/", "ca_file": str(file)}
        made = check(CheckSettings(http=given), "www", 2.0, Nobody())  # type: ignore[arg-type]
        assert (await made(HERE)).result is FAIL
        file.write_bytes((folder / "ca.pem").read_bytes())
        assert (await made(HERE)).result is OK
