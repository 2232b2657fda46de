"""Tokens and certificates that change while a client uses them, and tokens that are refused."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from consulfwd.config import Agent
from consulfwd.consul import identity, renewal
from consulfwd.consul.client import Client
from consulfwd.consul.proving import Prover
from consulfwd.consul.renewal import Identity
from consulfwd.core.alarms import AGAIN, LONGEST, Alarms
from consulfwd.errors import ConsulError
from tests.consul.certificates import AGENT
from tests.consul.server import Raw, http, shown
from tests.consul.strict import Strict
from tests.net.world import nothing_left_behind, until

PATH = "/v1/health/service/consul"
SECRET = "5ecre7-70ken"


def replace(file: Path, content: str) -> None:
    """Put another file in its place, as whoever writes tokens should."""
    beside = file.with_suffix(".new")
    beside.write_text(content)
    beside.replace(file)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("one\n")
    return file


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked at a thousand times as often."""
    monkeypatch.setattr(renewal, "EVERY", renewal.EVERY / 1000)


async def until_so(ask: Callable[[], Awaitable[str]], wanted: str) -> None:
    while await ask() != wanted:
        await asyncio.sleep(0.01)


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "consulfwd.consul"]


def test_how_soon() -> None:
    """In use 15 s after it is written, with time to spare for a slow machine."""
    assert (renewal.EVERY, renewal.AT_ONCE) == (10.0, 1.0)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("whole", [True, False], ids=["replaced", "written to"])
async def test_a_new_token_is_shown_without_a_signal(raw: Raw, file: Path, whole: bool) -> None:
    async with nothing_left_behind():
        client = Client(raw.agent.replace(token_file=file))
        await client.get(PATH, timeout=5)
        if whole:
            replace(file, "two")
        else:
            file.write_text("two")

        async def asked() -> str:
            await client.get(PATH, timeout=5)
            return shown(raw.requests[-1])

        assert shown(raw.requests[0]) == "one"
        await asyncio.wait_for(until_so(asked, "two"), 5)
        await client.close()


@pytest.mark.usefixtures("often")
async def test_a_question_that_waits_is_asked_again(raw: Raw, file: Path) -> None:
    client = Client(raw.agent.replace(token_file=file))
    raw.held.clear()
    waits = asyncio.ensure_future(client.get(PATH, {"index": "5"}, timeout=60))
    await until(lambda: raw.requests)
    replace(file, "two")
    await until(lambda: len(raw.requests) == 2)
    raw.held.set()
    assert (await waits).body == b"[]"
    assert [shown(one) for one in raw.requests] == ["one", "two"]
    assert raw.requests[0][0] == raw.requests[1][0] == f"GET {PATH}?index=5 HTTP/1.1"
    await client.close()


@pytest.mark.usefixtures("often")
async def test_what_is_written_is_written_once(raw: Raw, file: Path) -> None:
    async with nothing_left_behind():
        client = Client(raw.agent.replace(token_file=file))
        raw.held.clear()
        writes = asyncio.ensure_future(client.put("/v1/kv/a", body=b"x", timeout=60))
        await until(lambda: raw.requests)
        replace(file, "two")
        # A question beside it is not held up by that.
        waits = asyncio.ensure_future(client.get(PATH, timeout=60))
        await until(lambda: shown(raw.requests[-1]) == "two")
        raw.held.set()
        assert (await writes).body == (await waits).body == b"[]"
        written = [one for one in raw.requests if one[0].startswith("PUT")]
        assert [shown(one) for one in written] == ["one"]
        await client.close()


async def test_a_refusal_has_the_file_looked_at_at_once(
    raw: Raw, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(renewal, "AT_ONCE", 0.0)
    client = Client(raw.agent.replace(token_file=file))
    raw.tokens = {"one"}
    await client.get(PATH, timeout=5)
    replace(file, "two")
    raw.tokens = {"two"}
    # Whoever asks hears nothing of it.
    assert (await client.get(PATH, timeout=5)).body == b"[]"
    assert (await client.put("/v1/kv/a", timeout=5)).body == b"[]"
    assert [shown(one) for one in raw.requests] == ["one", "one", "two", "two"]
    assert logged(caplog) == [f"the token of {file} was read anew"]
    await client.close()


async def test_files_are_not_looked_at_for_each_request_nor_each_refusal(
    raw: Raw, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Path] = []
    state = identity._state

    def counted(file: Path) -> tuple[int, ...]:
        looks.append(file)
        return state(file)

    monkeypatch.setattr(identity, "_state", counted)
    agent = raw.agent.replace(token_file=file)
    one, other = Client(agent), Client(agent.replace(dns_port=2))
    for _ in range(20):
        await one.get(PATH, timeout=5)
    assert looks == [file]
    raw.tokens = set()
    for _ in range(20):
        with pytest.raises(ConsulError, match="ACL not found"):
            await one.get(PATH, timeout=5)
    assert len(looks) <= 2
    # Who comes later looks once, for all that show the same.
    raw.tokens = None
    await other.get(PATH, timeout=5)
    assert len(looks) <= 3
    await one.close()
    await other.close()


async def test_a_file_system_that_hangs_holds_up_nobody(
    raw: Raw, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, state = threading.Event(), identity._state
    hangs.set()

    def slow(file: Path) -> tuple[int, ...]:
        hangs.wait(10)
        return state(file)

    monkeypatch.setattr(identity, "_state", slow)
    monkeypatch.setattr(renewal, "PATIENCE", 0.05)
    monkeypatch.setattr(renewal, "AT_ONCE", 0.0)
    client = Client(raw.agent.replace(token_file=file))
    await client.get(PATH, timeout=5)
    hangs.clear()
    raw.tokens = {"two"}
    replace(file, "two")
    try:
        with pytest.raises(ConsulError, match="ACL not found"):
            await asyncio.wait_for(client.get(PATH, timeout=5), 3)
    finally:
        hangs.set()
    assert client._identity is not None
    await client._identity.look()
    assert (await client.get(PATH, timeout=5)).body == b"[]"
    await client.close()


async def test_a_certificate_that_is_renewed_is_shown(
    authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "EVERY", 0.01)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def write(who: str) -> None:
        replace(cert, (authority / f"{who}.pem").read_text())
        replace(key, (authority / f"{who}.key").read_text())

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "agent.pem", authority / "agent.key")
    context.load_verify_locations(authority / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    write("stranger")
    with Strict(context) as server:
        agent = server.agent.replace(
            ca_file=authority / "ca.pem", cert_file=cert, key_file=key, tls_server_name=AGENT
        )
        async with nothing_left_behind():
            client = Client(agent)
            with pytest.raises(ConsulError, match="unknown ca"):
                await client.get(PATH, timeout=5)
            write("client")

            async def asked() -> str:
                try:
                    return (await client.get(PATH, timeout=5)).body.decode()
                except ConsulError as error:
                    return error.reason

            await asyncio.wait_for(until_so(asked, "[]"), 5)
            await client.close()


class Known(Identity):
    """What is shown of a token file, by a clock of the test's own."""

    def __init__(self, file: Path) -> None:
        self.now = 0.0
        self.renewals = 0
        agent = Agent(address="127.0.0.1", token_file=file)
        super().__init__(agent, Alarms(), lambda: self.now, lambda: None)
        self.join(self._count)

    def _count(self, token: bool) -> None:
        self.renewals += token

    @property
    def token(self) -> str:
        assert self.shown is not None
        return self.shown.token


@pytest.mark.timeout(30)
@pytest.mark.parametrize("fault", ["missing", "unreadable", "no token", "empty", "pipe"])
async def test_what_cannot_be_read_leaves_what_is_known_in_use(
    file: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    known = Known(file)
    await known.look()
    assert known.token == "one"
    file.unlink()
    why = f"{file} cannot be read: no such file or directory"
    if fault == "unreadable":
        # root may read everything but a folder.
        file.mkdir()
        why = f"{file} cannot be read: is a directory"
    elif fault == "no token":
        file.write_bytes(b"a\nb")
        why = f"{file} holds no token"
    elif fault == "empty":
        # As one is for a moment that is written to: without a token lists would be shorter.
        file.write_text("\n")
        why = f"{file} is empty"
    elif fault == "pipe":
        os.mkfifo(file)
        why = f"{file} is not a file"
    told = f"{why}: what was read before stays in use"
    times = []
    for now in range(0, 1300, 10):
        known.now = float(now)
        caplog.clear()
        await known.look()
        if logged(caplog):
            assert logged(caplog) == [told]
            times.append(now)
    assert times == [0, AGAIN, 3 * AGAIN, 7 * AGAIN, 7 * AGAIN + LONGEST, 7 * AGAIN + 2 * LONGEST]
    assert (known.token, known.renewals, known.faults()) == ("one", 0, [told])
    caplog.clear()
    if fault == "unreadable":
        file.rmdir()
    else:
        file.unlink(missing_ok=True)
    file.write_text("two")
    await known.look()
    assert logged(caplog) == [f"{file} can be read again", f"the token of {file} was read anew"]
    assert (known.token, known.renewals, known.faults()) == ("two", 1, [])
    known.leave(known._count, "")


async def test_the_same_token_written_anew_is_no_news(file: Path) -> None:
    known = Known(file)
    await known.look()
    replace(file, "one")
    await known.look()
    assert (known.token, known.renewals) == ("one", 0)
    known.leave(known._count, "")


async def test_a_refused_token_is_told_again_and_again(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(renewal, "EVERY", 3600.0)
    known = Known(file)
    await known.look()
    text = f"the token of {file}: HTTP 403: ACL not found"
    hint = ": was it revoked? A new one in the file is used within 10 s"
    known.refused("10.0.0.1:8600", "HTTP 403: ACL not found")
    assert logged(caplog) == [f"agent 10.0.0.1:8600 refuses {text}{hint}"]
    known.refused("10.0.0.2:8600", "HTTP 403: ACL not found")
    # While nobody asks, too.
    times = []
    for now in range(10, 800, 10):
        known.now = float(now)
        caplog.clear()
        assert known._timer is not None
        known._timer.cancel()
        known._due()
        await known.look()
        if logged(caplog):
            assert logged(caplog) == [f"agent 10.0.0.2:8600 and 1 more refuse {text}{hint}"]
            times.append(now)
    assert times == [AGAIN, 3 * AGAIN, 7 * AGAIN, 7 * AGAIN + LONGEST]
    assert known.faults() == [f"agent 10.0.0.2:8600 and 1 more refuse {text}"]
    caplog.clear()
    known.accepted("10.0.0.1:8600")
    assert known.faults() == [f"agent 10.0.0.2:8600 refuses {text}"]
    assert logged(caplog) == []
    for _ in range(2):
        known.accepted("10.0.0.2:8600")
        assert (known.faults(), logged(caplog)) == (
            [], [f"the token of {file} is accepted again"]
        )  # fmt: skip
    known.leave(known._count, "")


async def test_refusals_of_one_token_say_nothing_of_the_next(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    known = Known(file)
    await known.look()
    for agent in ("10.0.0.1:8600", "10.0.0.2:8600"):
        known.refused(agent, "HTTP 403: ACL not found")
    replace(file, "two")
    await known.look()
    assert known.faults() == []
    caplog.clear()
    # The other one may not be asked for long.
    for _ in range(2):
        known.accepted("10.0.0.1:8600")
        assert logged(caplog) == [f"the token of {file} is accepted again"]
    # This one is refused as well.
    known.refused("10.0.0.1:8600", "HTTP 403: ACL not found")
    replace(file, "three")
    await known.look()
    known.refused("10.0.0.1:8600", "HTTP 403: ACL not found")
    caplog.clear()
    known.accepted("10.0.0.2:8600")
    assert (len(known.faults()), logged(caplog)) == (1, [])
    known.leave(known._count, "")


async def test_that_something_may_not_be_read_says_nothing_of_the_token(
    raw: Raw, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(raw.agent.replace(token_file=file))
    raw.replies = [http(b"Permission denied", status="403 Forbidden")]
    with pytest.raises(ConsulError, match="Permission denied"):
        await client.get("/v1/kv/a", timeout=5)
    assert (renewal.here().faults(), logged(caplog)) == ([], [])
    await client.close()


async def test_another_datacenter_says_nothing_of_the_token(
    raw: Raw, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    client = Client(raw.agent.replace(token_file=file))
    raw.tokens = set()
    # There it may not have been heard of yet.
    with pytest.raises(ConsulError, match="ACL not found"):
        await client.get("/v1/kv/a", {"dc": "dc2"}, timeout=5)
    assert (renewal.here().faults(), logged(caplog)) == ([], [])
    with pytest.raises(ConsulError, match="ACL not found"):
        await client.get("/v1/kv/a", timeout=5)
    told = renewal.here().faults()
    assert len(told) == 1
    raw.tokens = None
    await client.get("/v1/kv/a", {"dc": "dc2"}, timeout=5)
    assert renewal.here().faults() == told
    await client.close()


async def test_nothing_is_shown_where_that_is_asked_for(raw: Raw, file: Path) -> None:
    client = Client(raw.agent.replace(token_file=file))
    await client.get("/v1/status/peers", timeout=5, anonymous=True)
    assert shown(raw.requests[0]) == ""
    await client.close()


async def test_a_sleeper_wakes_for_a_renewal(raw: Raw, file: Path) -> None:
    client = Client(raw.agent.replace(token_file=file))
    await client.get(PATH, timeout=5)
    assert not await renewal.here().sleep(0.01)
    asleep = asyncio.ensure_future(renewal.here().sleep(60))
    await asyncio.sleep(0)
    replace(file, "two")
    assert client._identity is not None
    await client._identity.look()
    assert await asleep
    await client.close()


@pytest.mark.parametrize(
    "reply",
    [
        http(b"ACL not found", status="403 Forbidden"),
        http(b"no", status="500 Internal Server Error"),
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        http(b"y" * 2000),
        b"",
    ],
)
async def test_no_error_tells_the_token(
    raw: Raw, file: Path, reply: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    file.write_text(SECRET)
    client = Client(raw.agent.replace(token_file=file))
    raw.replies = [reply]
    texts = [repr(client), repr(vars(client)), repr(client._way)]
    for method in ("get", "put", "delete"):
        with pytest.raises(ConsulError) as caught:
            await getattr(client, method)(PATH, timeout=5, limit=1000)
        error: BaseException | None = caught.value
        assert shown(raw.requests[-1]) == SECRET
        texts += traceback.format_exception(caught.value)
        while error is not None:
            texts += repr(error), repr(error.args)
            error = error.__context__
    texts += repr(client._identity), repr(client._way), caplog.text
    assert not [one for one in texts if SECRET in one]
    await client.close()


async def test_a_question_that_waits_goes_on_when_a_certificate_is_renewed(
    certificate: Path, over_tls: ssl.SSLContext, tmp_path: Path
) -> None:
    raw = Raw()
    raw.tls = over_tls
    authorities = tmp_path / "ca.pem"
    replace(authorities, (certificate / "cert.pem").read_text())
    async with nothing_left_behind(), raw.serving():
        client = Client(raw.agent.replace(ca_file=authorities))
        raw.held.clear()
        waits = asyncio.ensure_future(client.get(PATH, {"index": "5"}, timeout=60))
        await until(lambda: raw.requests)
        replace(authorities, (certificate / "cert.pem").read_text())
        assert client._identity is not None
        way = client._way
        await client._identity.look()
        other = asyncio.ensure_future(client.get(PATH, timeout=60))
        await until(lambda: len(raw.requests) == 2)
        assert (client._way is way, raw.connections) == (False, 2)
        raw.held.set()
        assert (await waits).body == (await other).body == b"[]"
        assert len(raw.requests) == 2
        # Nothing is left of the way that was.
        await until(lambda: way is not None and way.closed)
        await client.close()


async def test_an_agent_that_proved_nothing_is_asked_again_at_once() -> None:
    nothing = cast(Any, None)
    prover = Prover(nothing, nothing, leader=False, expected=False, now=time.monotonic)
    pausing = asyncio.ensure_future(prover._pause(asyncio.Event(), time.monotonic(), 3600.0))
    await asyncio.sleep(0)
    renewal.here()._wake()
    await asyncio.wait_for(pausing, 5)
