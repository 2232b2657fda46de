"""The status page of a running `consulfwd serve` on real Consul, in a real Chromium: in time."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import time
import urllib.request
from pathlib import Path

import pytest

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealCluster
from tests.coreless import HeldUp
from tests.integration import served as process
from tests.integration.asking import question
from tests.integration.chromium import Chromium, Page
from tests.integration.page_shown import SENTENCE, text
from tests.integration.page_shown import chromium as chromium
from tests.integration.page_shown import page as page
from tests.integration.page_shown import served as served
from tests.integration.page_shown import window as window
from tests.loopback import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "127.0.0.1"
# How long it may take until it is to be seen.
IN_TIME_S, IN_RESERVE_S = 2.0, 3.0


async def ask_on(at: tuple[str, int]) -> None:
    """Be a client that asks, and asks."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        for number in range(1_000_000):
            client.sendto(question(f"x{number}.service.consul").to_wire(), at)
            await asyncio.sleep(0.02)
            with contextlib.suppress(BlockingIOError):
                client.recv(4096)


async def look_on(at: int) -> None:
    """Be another who looks, at moments of his own."""
    while True:
        with await asyncio.to_thread(urllib.request.urlopen, f"http://{HOST}:{at}/status.json"):
            await asyncio.sleep(0.3)


async def test_a_killed_agent_is_seen_within_two_seconds(
    page: Page, chromium: Chromium, cluster: RealCluster, tmp_path: Path
) -> None:
    # Who is killed does not lead: an election is another matter.
    leader = await asyncio.to_thread(cluster.leader)
    agents = sorted(cluster.servers, key=lambda one: one is leader)
    names = [f"{one.address}:{one.dns_port}" for one in agents]
    at = free_port(HOST)
    guard = Guard()
    settings = {
        "consul": process.consul(*agents),
        "admin": {"listen": f"{HOST}:{at}", "socket": False},
    }
    running = process.Served(settings, tmp_path, guard)
    await asyncio.to_thread(running.start)
    shown = f"to be looked at by http://{HOST}:{at}"
    await asyncio.to_thread(running.wait_until, lambda: shown in running.said(), "shown")
    beside = [asyncio.create_task(one) for one in (ask_on(running.at), look_on(at))]
    try:
        await page.open(f"http://{HOST}:{at}/")
        await page.until(f"{SENTENCE} === 'All is well: 3 of 3 agents are up.'")
        assert await text(page, "#groups strong") == names[0]
        # One in reserve, which no client's query is passed to.
        held, killed = HeldUp(running.pid, chromium.pid, disk=True), time.monotonic()
        agents[1].kill()
        await page.until(f"{SENTENCE}.startsWith('Working, with a fault: agent {names[1]} ')")
        assert time.monotonic() - killed < IN_RESERVE_S + held.seconds()
        await asyncio.to_thread(cluster.heal)
        await page.until(f"{SENTENCE}.startsWith('All is well')")
        rows = "[...document.querySelectorAll('#agents tr')]"
        row = f"{rows}.find((one) => one.innerText.startsWith('{names[0]}'))"
        held = HeldUp(running.pid, chromium.pid, disk=True)
        killed = time.monotonic()
        agents[0].kill()
        await page.until(f"{row}.querySelector('.pill').textContent === 'down'")
        assert time.monotonic() - killed < IN_TIME_S + held.seconds()
        # Another one may be slow for a moment, which is one more.
        fault = f"agent {names[0]} is down"
        whole = f"^Working, with (a fault: {fault}|faults: {fault}; and 1 more)[.]$"
        assert re.search(whole, await page.value(SENTENCE))
        # On a busy machine one that stays may be slow, and asked behind the other.
        assert await text(page, "#groups strong") in names[1:]
        assert f"{names[0]} up → " in await text(page, ".changes")
        # Nobody who looks costs an answer.
        assert float((await text(page, ".tile .big")).replace(",", "")) > 5
        await asyncio.to_thread(cluster.heal)
        await page.until(f"{SENTENCE}.startsWith('All is well')")
    finally:
        for one in beside:
            one.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        code = await asyncio.to_thread(running.end)
        guard.close()
    assert code == 0
    await page.until("document.querySelector('#lost').innerText")
    assert running.complaints() == []
