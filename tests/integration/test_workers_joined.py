"""What one process knows, as two workers answer by it: names that move, cookies, limits.

Each query comes from a port of its own, so that both workers have their part; what they counted
shows that both had.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from consulfwd.dev.child import PATIENCE_S, Guard
from consulfwd.errors import ConsulfwdError
from consulfwd.ops import client
from tests.coreless import HeldUp
from tests.integration.places import addresses
from tests.integration.served import SERVE, Served, serve
from tests.loopback import free_port

NETWORK = 97
NAME, OTHER = "www.example.com", "db.example.com"
INTERVAL, FALL = 0.2, 2
HERE, PORTS, PER_S = "127.0.0.1", 12, 20
COOKIE = dns.edns.OptionType.COOKIE


class Target:
    """Accepts connections at an address, until it does not."""

    def __init__(self, address: str, port: int) -> None:
        self.address, self.port = address, port
        self._sock: socket.socket | None = None
        self.begin()

    def begin(self) -> None:
        # Nobody accepts: that the kernel does is enough for a while.
        self._sock = socket.create_server((self.address, self.port), backlog=1024)

    def end(self) -> None:
        if self._sock is not None:
            self._sock.close()


class Site:
    """A server with two workers, and a name that moves between two targets."""

    def __init__(self, served: Served, path: Path, settings: dict[str, Any]) -> None:
        self.served, self.path, self.settings = served, path, settings

    def ask(
        self, name: str = NAME, rtype: str = "A", cookie: bytes | None = None, port: int = 0
    ) -> dns.message.Message:
        options: list[dns.edns.Option] = []
        if cookie is not None:
            options.append(dns.edns.GenericOption(COOKIE, cookie))
        query = dns.message.make_query(name, rtype, use_edns=0, options=options)
        return dns.query.udp(query, HERE, 2.0, self.served.at[1], source_port=port)

    def answers(self, name: str = NAME) -> set[str]:
        """What queries from many ports are answered with: addresses, or a code."""
        return {_shown(self.ask(name)) for _ in range(PORTS)}

    def until(self, answers: set[str], name: str = NAME) -> float:
        """Wait until all say so; return how long it took."""
        began = time.monotonic()
        while (found := self.answers(name)) != answers:
            assert time.monotonic() < began + PATIENCE_S, (found, self.served.said()[-2000:])
        return time.monotonic() - began

    def status(self) -> dict[str, Any]:
        code, found = client.ask(self.path, "GET", "/status.json")
        assert code == 200, found
        return found

    def order(self, order: str, **values: Any) -> Mapping[str, Any]:
        code, found = client.ask(self.path, "POST", f"/orders/{order}", values)
        assert code == 200, found
        return found

    def reload(self) -> None:
        reloaded = "settings reloaded"
        before = self.served.said().count(reloaded)
        self.served.configure(self.settings)
        os.kill(self.served.pid, signal.SIGHUP)
        self.served.wait_until(
            lambda: self.served.said().count(reloaded) > before, "reloaded"
        )

    def pids(self) -> list[int]:
        return [one["pid"] for one in self.status()["workers"] if one["answers"]]

    def until_two(self, but: int, meanwhile: Callable[[], object]) -> None:
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            meanwhile()
            with contextlib.suppress(ConsulfwdError, AssertionError):
                found = self.pids()
                if len(found) == 2 and but not in found:
                    return
        raise AssertionError(self.served.said()[-2000:])


def _shown(reply: dns.message.Message) -> str:
    if not reply.answer:
        return str(dns.rcode.to_text(reply.rcode()))
    return " ".join(sorted(str(one) for one in reply.answer[0]))


def _record(*targets: Target) -> dict[str, Any]:
    return {
        "pools": [{"addresses": [one.address]} for one in targets],
        "check": {"tcp": {"port": targets[0].port}},
        "interval": INTERVAL,
        "timeout": INTERVAL,
        "fall": FALL,
        "rise": 2,
        "flapping": {"rise_max": 2},
        "ttl_min": 1,
    }


@pytest.fixture
def targets() -> Iterator[tuple[Target, Target]]:
    first, second = addresses(NETWORK, 11, 12)
    port = free_port(first)
    made = Target(first, port), Target(second, port)
    yield made
    for one in made:
        one.end()


@pytest.fixture
def site(targets: tuple[Target, Target], guard: Guard, tmp_path: Path) -> Iterator[Site]:
    path = tmp_path / "admin"
    settings = {
        "workers": 2,
        # The next program takes over what is at a port that it knows.
        "listen": [f"{HERE}:{free_port(HERE)}"],
        "admin": {"socket": str(path)},
        "consul": {"agents": [{"address": HERE, "dns_port": 9, "http_port": 9}]},
        "cookies": {"enabled": True},
        "failover": {NAME: _record(*targets)},
        "failover_checker": {"state": str(tmp_path / "state")},
    }
    (tmp_path / "state").mkdir()
    with serve(settings, tmp_path / "serve", guard, python=SERVE) as served:
        made = Site(served, path, settings)
        made.until_two(0, lambda: time.sleep(0.02))
        yield made
        # The worker that a test has killed is told of as an error.
        told = served.log.read_text().replace(" ERROR worker", " NOTED worker")
        served.log.write_text(told)


def test_workers_answer_by_what_one_process_knows(
    site: Site, targets: tuple[Target, Target]
) -> None:
    primary, secondary = targets
    served = site.served
    site.until({primary.address})

    primary.end()
    held = HeldUp(served.pid)
    took = site.until({secondary.address})
    print(f"moved after {took:.2f} s")
    assert took < INTERVAL * FALL + 1.0 + held.seconds()
    texts = {str(site.ask(f"_failover.{NAME}", "TXT").answer[0]) for _ in range(PORTS)}
    assert all("down for" in one and "refused" in one for one in texts)
    # A picture is of the last second.
    served.wait_until(
        lambda: site.status()["failover"][0]["answer"] == [secondary.address], "seen"
    )
    served.wait_until(
        lambda: any(primary.address in one and "down" in one for one in site.status()["faults"]),
        "among the faults",
    )
    pool = f'consulfwd_failover_pool{{record="{NAME}"}} 1'
    served.wait_until(
        lambda: pool in client.ask(site.path, "GET", "/metrics")[1]["text"], "counted"
    )
    # One process checks, so one tells: not each worker.
    assert served.said().count(f"{primary.address} (primary) is down") == 1
    assert secondary.address in str(site.order("explain", name=NAME, type="A"))

    # An order reaches all, and a worker that begins later knows of it from its first answer on.
    site.order("force", glob=f"{NAME}/primary", to="up", reason="a drill", by="anna")
    site.until({primary.address})
    seen_meanwhile: set[str] = set()
    victim = site.pids()[0]
    os.kill(victim, signal.SIGKILL)
    site.until_two(victim, lambda: seen_meanwhile.update(_patient(site)))
    assert seen_meanwhile == {primary.address}

    # So is a name that came by a reload.
    site.settings["failover"][OTHER] = _record(secondary, primary)
    site.reload()
    site.until({secondary.address}, OTHER)
    assert site.answers() == {primary.address}

    # What was ordered a moment before holds in the next program.
    site.order("unforce", glob=f"{NAME}/primary")
    site.until({secondary.address})
    site.order("force", glob=f"{OTHER}/primary", to="down", by="anna")
    old = site.pids()
    os.kill(served.pid, signal.SIGUSR2)
    for pid in old:
        site.until_two(pid, lambda: seen_meanwhile.update(site.answers()))
    assert seen_meanwhile == {primary.address, secondary.address}
    served.wait_until(
        lambda: [len(one["forces"]) for one in site.status()["failover"]] == [1, 0], "forced"
    )

    # Of a client's queries so many are answered by all together, and a cookie of one lifts that.
    cookie = _cookie(site.ask(cookie=b"\1" * 8))
    assert len(cookie) == 24
    limits = {"own_host": True, "per_client": PER_S, "per_network": PER_S, "burst": 1}
    site.settings["limits"] = limits
    site.reload()
    began = time.monotonic()
    cut = sum(bool(site.ask().flags & dns.flags.TC) for _ in range(60))
    # Each worker gives its half of what a second has, and as much again for each that this took.
    assert cut > 60 - PER_S * (1 + time.monotonic() - began) - 15
    replies = [site.ask(cookie=cookie) for _ in range(PORTS)]
    assert {_shown(one) for one in replies} == {secondary.address}
    assert {_cookie(one) for one in replies} == {cookie}

    def counted() -> tuple[float, ...]:
        found = site.status()["resolver"]["counters"]
        return tuple(found[one] for one in ("limited", "slipped", "right_cookies"))

    # A picture is of the last second.
    served.wait_until(lambda: counted() >= (cut, cut, PORTS), "counted")
    assert counted() == (cut, cut, PORTS)
    seen = site.status()
    assert seen["resolver"]["counters"]["wrong_cookies"] == 0
    assert all(one["queries"] for one in seen["workers"])
    told = "queries over the limits of their clients: "
    served.wait_until(lambda: told in served.said(), "told")
    assert served.said().count(told) == 1


def _cookie(reply: dns.message.Message) -> bytes:
    (found,) = [one.to_wire() or b"" for one in reply.options if one.otype == COOKIE]
    return found


def _patient(site: Site) -> set[str]:
    """Ask though what a worker had read is lost with it."""
    with contextlib.suppress(dns.exception.Timeout):
        return site.answers()
    return set()
