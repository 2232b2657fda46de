"""Failover records as they are run: `consulfwd serve` before real web servers that die and lie.

Checks come three times a second, so that what takes a minute in production takes a second here.
What is measured is what is promised: from a server's death to the last answer with its address.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest

from consulfwd.dev.child import PATIENCE_S, Child, Guard
from consulfwd.dev.real import RealCluster
from tests.consul import certificates
from tests.coreless import HeldUp
from tests.integration.asking import PATIENCE_S as ANSWER_S
from tests.integration.asking import At
from tests.integration.conftest import NEWEST
from tests.integration.namespaces import Network, network
from tests.integration.places import addresses
from tests.integration.proxy import Proxy
from tests.integration.recursors import own_copy
from tests.integration.served import Served, consul, serve
from tests.integration.webs import PAGE, WRONG, Web
from tests.loopback import free_port
from tests.stalled import Stalls

NETWORK = 96
NAME = "www.example.com"
INTERVAL, FALL, RISE, TTL_MIN = 0.3, 2, 2, 1
FALL_S, RISE_S = INTERVAL * FALL, INTERVAL * RISE
EVERY, MAX_AGE = 0.5, 2.0
# For so long a disk may keep Consul from taking votes before those it has are too old to count.
SPARE_S = MAX_AGE - 2 * EVERY
# What is allowed beside, on a host that does other things as well; what it holds up is taken off.
GRACE_S = 1.0
HERE = "127.0.0.1"
# As in production: what is measured is the server, not what tests add.
SERVE = ("-m", "consulfwd.cli.main", "serve", "-c")

pytestmark = pytest.mark.timeout(120)


class Seen(NamedTuple):
    """An answer: when it came, and the addresses; None is none, or another code than NOERROR."""

    at: float
    addresses: tuple[str, ...] | None
    ttl: int = 0


def ask(at: At, timeout: float = ANSWER_S) -> Seen:
    """Ask for the name once."""
    query = dns.message.make_query(NAME, "A")
    try:
        reply = dns.query.udp(query, at[0], timeout, at[1])
    except (OSError, dns.exception.DNSException):
        return Seen(time.monotonic(), None)
    now = time.monotonic()
    if reply.rcode() != dns.rcode.NOERROR:
        return Seen(now, None)
    records = [(str(one), rrset.ttl) for rrset in reply.answer for one in rrset]
    return Seen(now, tuple(one for one, _ in records), min((ttl for _, ttl in records), default=0))


class Client(threading.Thread):
    """Asks again and again; `seen` is what came, oldest first."""

    def __init__(self, at: At) -> None:
        super().__init__()
        self.at = at
        self.seen: list[Seen] = [ask(at)]
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.02):
            self.seen.append(ask(self.at))

    def until(self, address: str, timeout: float = PATIENCE_S) -> float:
        """Return when the last answer with another address came, once this one is given."""
        begun, ends = len(self.seen), time.monotonic() + timeout
        while time.monotonic() < ends:
            if (last := self.seen[-1]).addresses == (address,) and len(self.seen) > begun:
                others = [one.at for one in self.seen if one.addresses != (address,)]
                return others[-1] if others else last.at
            time.sleep(0.01)
        raise AssertionError(f"{address} is not given within {timeout} s: {self.seen[-5:]}")

    def end(self) -> None:
        self._over.set()
        self.join()


@contextlib.contextmanager
def client(at: At) -> Iterator[Client]:
    made = Client(at)
    made.start()
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates.make(tmp_path_factory.mktemp("tls"), f"DNS:{NAME}")


Webs = tuple[Web, Web]


@pytest.fixture
def webs(tls: Path, tmp_path: Path, guard: Guard) -> Iterator[Webs]:
    first, second = addresses(NETWORK, 11, 12)
    port = free_port(first)
    made = tuple(Web(one, port, tls, tmp_path / one, guard) for one in (first, second))
    for one in made:
        one.start()
    yield made[0], made[1]
    for one in made:
        one.kill()


def settings(
    targets: Sequence[str],
    check: Mapping[str, Any],
    folder: Path,
    interval: float = INTERVAL,
    **more: Any,
) -> dict[str, Any]:
    """Settings with one record: each target is a pool of its own."""
    record = {
        "pools": [{"addresses": [one]} for one in targets],
        "check": check,
        "interval": interval,
        # As long as may be: what is late here is mostly this host.
        "timeout": interval,
        "fall": FALL,
        "rise": RISE,
        "flapping": {"rise_max": RISE},
        "ttl": 30,
        "ttl_min": TTL_MIN,
    }
    (folder / "state").mkdir(exist_ok=True, parents=True)
    checker = {"state": str(folder / "state"), **more.pop("failover_checker", {})}
    nobody: dict[str, Any] = {"agents": [{"address": HERE, "dns_port": 9, "http_port": 9}]}
    made = {"consul": nobody, "recursors": ["127.0.0.1:9"], "failover": {NAME: record}}
    return {**made, "failover_checker": checker, **more}


def page(web: Web, tls: Path, port: int = 0) -> dict[str, Any]:
    """The check of the page."""
    return {
        "http": {
            "url": f"https://{NAME}:{port or web.port}/health",
            "contains": PAGE.strip(),
            "ca_file": str(tls / "ca.pem"),
        }
    }


def gives(served: Served, address: str) -> None:
    """Wait until a server gives an address."""
    served.wait_until(lambda: ask(served.at).addresses == (address,), "answering")


UNBOUND = """\
server:
    directory: "{folder}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    interface: 127.0.0.1@{port}
    num-threads: 1
    module-config: "iterator"
    do-not-query-localhost: no
    do-ip6: no
remote-control:
    control-enable: no
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@{upstream}
"""


@contextlib.contextmanager
def caching(upstream: int, folder: Path, guard: Guard) -> Iterator[At]:
    """An unbound that keeps what it is told as long as it may."""
    port = free_port(HERE)
    folder.mkdir()
    (folder / "unbound.conf").write_text(
        UNBOUND.format(folder=folder, port=port, upstream=upstream)
    )
    command: list[str | Path] = [own_copy("unbound", folder), "-d", "-c", folder / "unbound.conf"]
    unbound = Child("unbound", command, folder / "unbound.log", guard)
    unbound.start()
    try:
        unbound.wait_until(lambda: ask((HERE, port)).addresses, "answering")
        yield HERE, port
    finally:
        unbound.kill()


def test_a_name_leaves_what_is_dead_or_wrong_and_comes_back(
    webs: Webs, tls: Path, tmp_path: Path, guard: Guard
) -> None:
    first, second = webs
    given = settings([first.address, second.address], page(first, tls), tmp_path)
    with contextlib.ExitStack() as stack:
        served = stack.enter_context(serve(given, tmp_path / "us", guard))
        gives(served, first.address)
        unbound = stack.enter_context(caching(served.at[1], tmp_path / "unbound", guard))
        direct = stack.enter_context(client(served.at))
        cached = stack.enter_context(client(unbound))
        steps: tuple[tuple[Callable[[], None], Web, float], ...] = (
            (first.kill, second, FALL_S),
            (first.start, first, RISE_S),
            (lambda: first.say(WRONG), second, FALL_S),
            (lambda: first.say(PAGE), first, RISE_S),
        )
        for step, to, allowed in steps:
            held = HeldUp(served.pid)
            at = time.monotonic()
            step()
            took = direct.until(to.address) - at
            most = allowed + GRACE_S + held.seconds()
            print(f"{to.address}: {took:.2f} s, promised {most:.2f} s")
            assert took < most
            if to is second:
                # Whoever keeps answers keeps the dead one no longer than it was promised.
                took = cached.until(to.address) - at
                most = allowed + TTL_MIN + GRACE_S + held.seconds()
                print(f"behind a cache: {took:.2f} s, {most:.2f} s")
                assert took < most
            else:
                cached.until(to.address)
    # Nobody was ever told that there is nothing.
    assert [one for one in (*direct.seen, *cached.seen) if not one.addresses] == []


def test_no_start_gives_an_address_that_is_down(
    webs: Webs, tls: Path, tmp_path: Path, guard: Guard
) -> None:
    first, second = webs
    first.kill()

    def starts(number: int) -> None:
        """Start ten times, one after the other; each other time nothing is remembered."""
        folder = tmp_path / f"{number}"
        given = settings([first.address, second.address], page(first, tls), folder, interval=3.0)
        for turn in range(10):
            served = Served(given, folder / f"{turn}", guard, python=SERVE)
            served.start()
            try:
                ends = time.monotonic() + PATIENCE_S
                while not (last := ask(served.at)).addresses and time.monotonic() < ends:
                    seen.append(last)
                seen.extend((last, ask(served.at)))
                given_first.append(last.addresses)
                if turn % 2:
                    served.kill()
                    for one in (folder / "state").iterdir():
                        one.unlink()
                else:
                    served.end()
            finally:
                served.kill()

    # All that was ever answered, and what came first at each start.
    seen: list[Seen] = []
    given_first: list[tuple[str, ...] | None] = []
    both = [threading.Thread(target=starts, args=(number,)) for number in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert given_first == [(second.address,)] * 20
    assert {one.addresses for one in seen} <= {None, (second.address,)}


PLAN = {name: {"lan": f"10.83.0.{n}/24"} for n, name in enumerate(("us", "one", "other"), 1)}


@pytest.fixture
def hosts() -> Iterator[Network]:
    with network(PLAN) as made:
        yield made


def test_our_own_line_cut_moves_nothing_and_is_said_once(
    hosts: Network, tls: Path, tmp_path: Path, guard: Guard
) -> None:
    us = hosts.hosts["us"]
    with contextlib.ExitStack() as stack:
        targets = []
        for name in ("one", "other"):
            host = hosts.hosts[name]
            web = Web(host.addresses["lan"], 8443, tls, tmp_path / name, guard)
            stack.callback(web.kill)
            with host.inside():
                web.start()
            targets.append(web)
        first, second = targets
        given = settings([first.address, second.address], page(first, tls), tmp_path)
        stack.enter_context(us.inside())
        served = stack.enter_context(serve(given, tmp_path / "us", guard))
        gives(served, first.address)
        hosts.cut(us)
        with client(served.at) as asking:
            time.sleep(4 * FALL_S)
        assert {one.addresses for one in asking.seen} == {(first.address,)}
        held = [line for line in served.said().splitlines() if "held" in line]
        assert len(held) == 1, held
        assert "no carrier" in held[0]
        # Nothing of it is left: what is dead once it is mended is left in time.
        first.kill()
        hosts.mend(us)
        slowed = HeldUp(served.pid)
        at = time.monotonic()
        with client(served.at) as asking:
            took = asking.until(second.address) - at
            assert took < FALL_S + GRACE_S + INTERVAL + slowed.seconds()
        again = [line for line in served.said().splitlines() if "can be checked again" in line]
        assert len(again) == 1, again


@NEWEST
def test_one_of_three_checkers_moves_nothing(
    cluster: RealCluster, webs: Webs, tls: Path, tmp_path: Path, guard: Guard
) -> None:
    first, second = webs
    stalls = Stalls()
    names = ["site-a", "site-b", "site-c"]
    with contextlib.ExitStack() as stack:
        # All that the third one has to do with others passes here.
        web = stack.enter_context(Proxy((first.address, first.port)))
        # The second site is well for it, whatever becomes of the way to the first.
        other = Web(second.address, web.port, tls, tmp_path / "other", guard)
        stack.callback(other.kill)
        other.start()
        agent = cluster.servers[2]
        http = stack.enter_context(Proxy((agent.address, agent.http_port)))
        checkers = []
        prefix = f"consulfwd/failover-{first.port}"
        for name, server in zip(names, cluster.servers, strict=True):
            port = web.port if name == "site-c" else 0
            known = consul(server)
            if name == "site-c":
                known["agents"][0]["http_port"] = http.port
            given = settings(
                [first.address, second.address],
                page(first, tls, port),
                tmp_path / name,
                consul=known,
                failover_checker={
                    "name": name,
                    "checkers": names,
                    "prefix": prefix,
                    "every": EVERY,
                    "max_age": MAX_AGE,
                },
            )
            checkers.append((name, given))
        served = []
        stack.callback(cluster.http, "DELETE", f"/v1/kv/{prefix}?recurse")
        for name, given in checkers:
            served.append(stack.enter_context(serve(given, tmp_path / name / "us", guard)))
        for one in served:
            gives(one, first.address)
        clients = [stack.enter_context(client(one.at)) for one in served]
        # Alone it finds the first one dead, and can say so to the others; then not even that.
        web.cut()
        time.sleep(2 * FALL_S)
        http.cut()
        time.sleep(MAX_AGE + 0.5)
        for asking in clients:
            assert {one.addresses for one in asking.seen} == {(first.address,)}
        once = sum("held" in line for line in served[2].said().splitlines()) == 1
        assert once or stalls.seconds() > SPARE_S
        # What one finds is in Consul once a disk has it.
        held = HeldUp(*(one.pid for one in served), disk=True)
        at = time.monotonic()
        first.kill()
        for asking in clients[:2]:
            # What they find reaches the other with the next write.
            took = asking.until(second.address) - at
            assert took < FALL_S + EVERY + GRACE_S + held.seconds()
        assert clients[2].seen[-1].addresses == (first.address,)
        http.mend()
        clients[2].until(second.address)
