"""Telling secondaries, on loopback: stand-ins that reply, refuse, keep silent, lie."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import dns.message
import pytest

from consulfwd.config import Endpoint
from consulfwd.zones.primary import notices
from consulfwd.zones.primary.notifying import Notifier
from tests.zones.primary.pulled import KEY, KEYRING, WIRE, version

Reply = Callable[[bytes], list[bytes]]


class Secondary(asyncio.DatagramProtocol):
    """Notes what comes, by serial and from where, and replies as it is told to."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.serials: list[int] = []
        self.sources: list[tuple[str, int]] = []
        self.idents: list[bytes] = []
        self._come = asyncio.Event()
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self) -> Endpoint:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.2", 0)
        )
        return Endpoint(host="127.0.0.2", port=self._transport.get_extra_info("sockname")[1])

    def datagram_received(self, data: bytes, addr: Any) -> None:
        found = dns.message.from_wire(data, keyring=KEYRING)
        self.serials.append(found.answer[0][0].serial)
        self.sources.append(addr)
        self.idents.append(data[:2])
        assert self._transport is not None
        for each in self.reply(data):
            self._transport.sendto(each, addr)
        self._come.set()

    async def has(self, number: int) -> None:
        while len(self.serials) < number:
            self._come.clear()
            await asyncio.wait_for(self._come.wait(), 20)

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()


def yes(data: bytes) -> list[bytes]:
    return [dns.message.make_response(dns.message.from_wire(data, keyring=KEYRING)).to_wire()]


def silence(data: bytes) -> list[bytes]:
    return []


def lies(data: bytes) -> list[bytes]:
    (good,) = yes(data)
    return [b"", data, bytes((good[0] ^ 1,)) + good[1:], good[:12]]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "FIRST", 0.01)
    monkeypatch.setattr(notices, "LONGEST", 0.03)


async def test_each_version_is_told_of_once() -> None:
    secondary = Secondary(yes)
    notifier = Notifier(WIRE, [await secondary.open()], None, [Endpoint(host="127.0.0.5", port=5)])
    notifier.start()
    for serial in (1, 2, 3):
        notifier.announce(version(serial))
        await secondary.has(serial)
        await asyncio.sleep(0.05)
    assert secondary.serials == [1, 2, 3]
    assert {host for host, _ in secondary.sources} == {"127.0.0.5"}
    assert len({port for _, port in secondary.sources}) > 1
    assert len(set(secondary.idents)) > 1
    await notifier.close()
    secondary.close()


@pytest.mark.parametrize("reply", [silence, lies])
async def test_again_until_there_is_a_reply(reply: Reply, caplog: pytest.LogCaptureFixture) -> None:
    secondary = Secondary(reply)
    endpoint = await secondary.open()
    notifier = Notifier(WIRE, [endpoint], None)
    notifier.start()
    with caplog.at_level(logging.INFO):
        notifier.announce(version(1))
        await secondary.has(8)
        secondary.reply = yes
        await secondary.has(len(secondary.serials) + 1)
        await asyncio.sleep(0.05)
        number = len(secondary.serials)
        await asyncio.sleep(0.1)
    assert len(secondary.serials) == number
    assert [one.getMessage() for one in caplog.records] == [
        f"svc.example.com.: {endpoint} is not told of new versions: no reply; tried again",
        f"svc.example.com.: {endpoint} is told of new versions again",
    ]
    await notifier.close()
    secondary.close()


async def test_a_newer_version_is_told_of_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "FIRST", 60)
    monkeypatch.setattr(notices, "LONGEST", 60)
    secondary = Secondary(silence)
    notifier = Notifier(WIRE, [await secondary.open()], None)
    notifier.start()
    began = time.monotonic()
    for serial in range(1, 6):
        notifier.announce(version(serial))
        await secondary.has(serial)
    assert time.monotonic() - began < 10
    assert secondary.serials == [1, 2, 3, 4, 5]
    await notifier.close()
    secondary.close()


async def test_one_that_does_not_answer_is_no_hindrance_to_others() -> None:
    dead, alive = Secondary(silence), Secondary(yes)
    notifier = Notifier(WIRE, [await dead.open(), await alive.open()], None)
    notifier.start()
    for serial in (1, 2):
        notifier.announce(version(serial))
        await alive.has(serial)
    # Nobody is there any more: the system says so.
    dead.close()
    notifier.announce(version(3))
    await alive.has(3)
    await notifier.close()
    alive.close()


async def test_signed() -> None:
    seen: list[bool] = []

    def keyed(data: bytes) -> list[bytes]:
        seen.append(dns.message.from_wire(data, keyring=KEYRING).had_tsig)
        return yes(data)

    secondary = Secondary(keyed)
    notifier = Notifier(WIRE, [await secondary.open()], KEY)
    notifier.start()
    notifier.announce(version(1))
    await secondary.has(1)
    await asyncio.sleep(0.1)
    assert seen == [True]
    await notifier.close()
    secondary.close()
