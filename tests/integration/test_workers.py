"""Several workers under load on real Consul: killed, exchanged, told of changes and orders.

Queries come from many ports, so that each worker has its part of them, and each is waited for.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from consulfwd.dev.child import PATIENCE_S, Guard
from consulfwd.dev.real import RealCluster, Registration
from consulfwd.errors import ConsulfwdError
from consulfwd.ops import client
from tests.coreless import HeldUp
from tests.integration.asking import ask, question, rcode
from tests.integration.conftest import NEWEST
from tests.integration.served import SERVE, Served, consul, serve
from tests.load_lock import only_load
from tests.loopback import free_port

SOCKETS, RATE, LAST_S = 16, 500, 4.0
NAMES = ("web.service.consul", "consul.service.consul", "nobody.service.consul")
# On a quiet machine: what it holds up is taken off.
MENDED_S, TOLD_S, LOST = 1.0, 1.0, 50


class Load:
    """Asks from many ports in turn, at a rate, until the end; `lost` are those without a reply."""

    def __init__(self, at: tuple[str, int]) -> None:
        self._sockets = []
        for _ in range(SOCKETS):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.connect(at)
            sock.setblocking(False)
            self._sockets.append(sock)
        self._queries = [question(name).to_wire() for name in NAMES]
        self._waiting: dict[tuple[int, int], float] = {}
        self._ending = threading.Event()
        self.sent = 0
        self.slowest = 0.0
        self.codes: Counter[int] = Counter()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._ending.is_set():
            if time.monotonic() >= began + self.sent / RATE:
                number, sock = self.sent, self._sockets[self.sent % SOCKETS]
                query = self._queries[number // SOCKETS % len(self._queries)]
                self._waiting[sock.fileno(), number & 0xFFFF] = time.monotonic()
                with contextlib.suppress(ConnectionRefusedError):
                    sock.send((number & 0xFFFF).to_bytes(2, "big") + query[2:])
                self.sent += 1
            self._receive(0.001)
        ends = time.monotonic() + LAST_S
        while self._waiting and time.monotonic() < ends:
            self._receive(0.05)

    def _receive(self, wait: float) -> None:
        for sock in select.select(self._sockets, [], [], wait)[0]:
            with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
                while True:
                    reply = sock.recv(65535)
                    number = int.from_bytes(reply[:2], "big")
                    sent_at = self._waiting.pop((sock.fileno(), number))
                    self.slowest = max(self.slowest, time.monotonic() - sent_at)
                    self.codes[reply[3] & 15] += 1

    def end(self) -> int:
        """Send no more; return how many had no reply."""
        self._ending.set()
        self._thread.join()
        for sock in self._sockets:
            sock.close()
        return len(self._waiting)


@contextlib.contextmanager
def load(at: tuple[str, int]) -> Iterator[Load]:
    """Ask for as long as the block lasts."""
    made = Load(at)
    try:
        yield made
    finally:
        made.end()


class Workers:
    """A server with two workers, and what it says of itself."""

    def __init__(self, served: Served, path: Path) -> None:
        self.served = served
        self.path = path

    def status(self) -> dict[str, Any]:
        code, found = client.ask(self.path, "GET", "/status.json")
        assert code == 200, found
        return found

    def counters(self) -> dict[str, float]:
        found = self.status()["resolver"]["counters"]
        assert isinstance(found, dict)
        return found

    def pids(self) -> list[int]:
        return [one["pid"] for one in self.status()["workers"] if one["answers"]]

    def order(self, order: str, **values: Any) -> Mapping[str, Any]:
        code, found = client.ask(self.path, "POST", f"/orders/{order}", values)
        if code != 200:
            raise AssertionError(f"{code}: {found}")
        return found

    def until_two(self, but: int = 0) -> None:
        """Wait until two workers answer, none of them `but`."""
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            with contextlib.suppress(ConsulfwdError, AssertionError):
                found = self.pids()
                if len(found) == 2 and but not in found:
                    return
            time.sleep(0.02)
        raise AssertionError(f"not in {PATIENCE_S} s: {self.served.said()[-2000:]}")


def given(cluster: RealCluster, path: Path, port: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "workers": 2,
        "listen": [f"127.0.0.1:{port}"],
        "admin": {"socket": str(path)},
        "consul": consul(*cluster.servers),
        **more,
    }


@pytest.fixture
def workers(cluster: RealCluster, guard: Guard, tmp_path: Path) -> Iterator[Workers]:
    path = tmp_path / "admin"
    # The next program takes over what is at a port that it knows.
    port = free_port("127.0.0.1")
    with serve(given(cluster, path, port), tmp_path / "serve", guard, python=SERVE) as served:
        made = Workers(served, path)
        made.until_two()
        yield made
        # The one that a test has killed is told of as an error.
        told = served.log.read_text().replace(" ERROR worker", " NOTED worker")
        served.log.write_text(told)


@NEWEST
def test_killed_exchanged_and_reloaded_under_load(
    workers: Workers, cluster: RealCluster
) -> None:
    served = workers.served
    with only_load(light=True):
        with load(served.at) as asking:
            # The spare one begins as well.
            time.sleep(2.5)
            before = workers.status()
            victim = workers.pids()[0]
            held = HeldUp(served.pid)
            os.kill(victim, signal.SIGKILL)
            began = time.monotonic()
            served.wait_until(lambda: "answers again" in served.said(), "mended")
            mended = time.monotonic() - began
            late = held.seconds()
            # A picture is of the last second.
            served.wait_until(lambda: _mended(workers.status()), "seen to be mended")
            after = workers.status()
            lost = asking.end()
        print(f"killed: {lost} of {asking.sent} lost, mended in {mended:.2f} s,"
              f" slowest {asking.slowest:.2f} s, codes {asking.codes}")  # fmt: skip
        assert lost < LOST + RATE * late
        assert mended < MENDED_S + late
        assert after["workers_replaced"] == 1
        assert after["workers_wanted"] == 2
        counted = [one["resolver"]["counters"]["queries"] for one in (before, after)]
        assert counted[0] <= counted[1]

        with load(served.at) as asking:
            time.sleep(0.5)
            old = workers.pids()
            os.kill(served.pid, signal.SIGUSR2)
            for pid in old:
                workers.until_two(pid)
            time.sleep(0.5)
            served.configure(given(cluster, workers.path, served.at[1], cache={"size": 1000}))
            os.kill(served.pid, signal.SIGHUP)
            served.wait_until(lambda: "settings reloaded" in served.said(), "reloaded")
            time.sleep(0.5)
            lost = asking.end()
        print(f"exchanged and reloaded: {lost} of {asking.sent} lost,"
              f" slowest {asking.slowest:.2f} s, codes {asking.codes}")  # fmt: skip
        assert lost == 0
        assert set(asking.codes) <= {0, 3}
        assert not set(workers.pids()) & set(old)
        assert workers.status()["pid"] == served.pid

        def shown() -> bool:
            seen = workers.status()
            size = seen["resolver"]["cache"]["size"] == 2 * 1000
            return size and all(one["queries"] for one in seen["workers"])

        served.wait_until(shown, "seen as it is")
    for pid in old:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def _mended(seen: Mapping[str, Any]) -> bool:
    """Whether a picture shows that a worker was replaced, and nothing wrong."""
    return seen["workers_replaced"] == 1 and not seen["faults"]


@NEWEST
def test_changes_and_orders_reach_all(workers: Workers, cluster: RealCluster) -> None:
    at = workers.served.at

    def register(address: str) -> None:
        cluster.register_all([Registration("shared1", "shared", address)])

    def answers() -> set[str]:
        """What queries from many ports are answered with, by both workers."""
        found = (ask(at, "shared.service.consul") for _ in range(16))
        return {str(one.answer[0][0]) if one.answer else rcode(one) for one in found}

    try:
        register("10.77.0.1")
        cluster.settle()

        def watched() -> bool:
            answers()
            seen = workers.status()["resolver"]["watches"]
            return any(one["subject"] == "service shared" and one["armed"] for one in seen)

        def held_good() -> bool:
            """Whether few of 320 queries are passed on; each of them is counted once."""
            before = workers.counters()
            for _ in range(20):
                answers()
            workers.served.wait_until(
                lambda: workers.counters()["queries"] - before["queries"] >= 320, "counted"
            )
            time.sleep(1.0)
            after = workers.counters()
            assert after["queries"] - before["queries"] == 320
            return after["forwarded"] - before["forwarded"] < 80

        workers.served.wait_until(watched, "watching")
        # Consul gives a TTL of 0: what is not passed on is held good by the head's watch.
        workers.served.wait_until(held_good, "watching for all")
        for number in range(2, 6):
            address = f"10.77.0.{number}"
            register(address)
            held = HeldUp(workers.served.pid, disk=True)
            began = time.monotonic()
            while answers() != {address} and time.monotonic() < began + PATIENCE_S:
                pass
            assert time.monotonic() - began < TOLD_S + held.seconds()
            assert answers() == {address}
    finally:
        cluster.deregister("shared1")

    with pytest.raises(AssertionError, match=r"404: .*there is no .nowhere."):
        workers.order("drain", server="nowhere")
    first = workers.status()["resolver"]["upstreams"][0]["name"]
    assert len(workers.order("drain", server=first)["others"]) == 2
    victim = workers.pids()[1]
    os.kill(victim, signal.SIGKILL)
    workers.until_two(victim)

    def drained() -> bool:
        return bool(workers.status()["resolver"]["upstreams"][0]["drained"])

    # Who begins later knows it, too. A picture is of the last second.
    workers.served.wait_until(drained, "seen to be drained")
    assert workers.order("explain", name="web.service.consul", type="A")
    workers.order("undrain", server=first)
    workers.served.wait_until(lambda: not drained(), "seen to be drained no more")
    answers()
    assert workers.order("cache", name="shared.service.consul")["in_all"] == 1
    assert workers.order("flush", name="shared.service.consul")["dropped"] == 2
    assert workers.order("cache", name="shared.service.consul")["in_all"] == 0
    lines: list[dict[str, Any]] = []

    def look() -> None:
        for line in client.lines(workers.path, "/querylog"):
            lines.append(json.loads(line))
            if len(lines) == 16:
                return

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    ends = time.monotonic() + PATIENCE_S
    while looking.is_alive() and time.monotonic() < ends:
        answers()
    assert not looking.is_alive()
    assert {one["name"] for one in lines} == {"shared.service.consul."}


@NEWEST
def test_workers_end_with_the_head(cluster: RealCluster, guard: Guard, tmp_path: Path) -> None:
    path = tmp_path / "admin"
    served = Served(given(cluster, path), tmp_path / "serve", guard, python=SERVE)
    try:
        served.start()
        made = Workers(served, path)
        made.until_two()
        pids = made.pids()
    finally:
        served.kill()
    ends = time.monotonic() + PATIENCE_S
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < ends:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
