"""The server as a whole: starting and failing to, reload whole or not at all, an orderly stop."""

from __future__ import annotations

import asyncio
import errno
import os
import pwd
import re
import select
import signal
import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack

import pytest

from consulfwd import daemon
from consulfwd.config import Endpoint, Loaded, Settings
from consulfwd.core.telling import LINES
from consulfwd.dev import DevCluster
from consulfwd.errors import ConfigError, Problem, StartError
from consulfwd.hangups import APART
from consulfwd.kept import Kept
from consulfwd.net import fastlane
from consulfwd.net.binding import Bound, bind_all
from consulfwd.notify import Manager
from consulfwd.process import drop_privileges
from consulfwd.server import Server
from tests.loopback import OWN, free_port
from tests.net.messages import parse, question
from tests.net.recursor import Recursor
from tests.net.world import (
    EXAMPLES,
    GALERA,
    TcpClient,
    UdpClient,
    ask,
    nothing_left_behind,
    open_sockets,
    settings,
    until,
    world,
)

NAME = "galeradb.service.consul"


def endpoint(text: str) -> Endpoint:
    host, _, port = text.rpartition(":")
    return Endpoint(host=host.strip("[]"), port=int(port))


def test_every_address_that_cannot_be_had_is_named() -> None:
    before = open_sockets()
    with (
        socket.create_server((OWN, 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        udp.bind((OWN, 0))
        ports = tcp.getsockname()[1], udp.getsockname()[1]
        wanted = [f"{OWN}:{port}" for port in ports] + ["192.0.2.1:5300", "[2001:db8::1]:5300"]
        with pytest.raises(StartError) as failed:
            bind_all(map(endpoint, [*wanted, f"{OWN}:0", "[::1]:0"]))
    in_use = "address already in use; see who listens there: ss -lntup 'sport = :{}'"
    not_ours = "cannot assign requested address; no interface of this host has that address"
    assert str(failed.value).splitlines() == [
        f"cannot listen on {wanted[0]}: {in_use.format(ports[0])}",
        f"cannot listen on {wanted[1]}: {in_use.format(ports[1])}",
        f"cannot listen on {wanted[2]}: {not_ours}",
        f"cannot listen on {wanted[3]}: {not_ours}",
    ]
    # Nothing stays bound, not even what could be had.
    assert (failed.value.exit_code, open_sockets()) == (3, before)


def test_low_ports_need_a_capability(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("consulfwd.net.host.bind", refuse)
    with pytest.raises(StartError) as failed:
        bind_all([endpoint("127.0.0.1:53")])
    assert str(failed.value) == (
        "cannot listen on 127.0.0.1:53: permission denied; ports under 1024 need "
        "CAP_NET_BIND_SERVICE, or choose another with --listen"
    )


async def test_a_server_that_cannot_start_leaves_nothing_running() -> None:
    async with nothing_left_behind():
        with socket.create_server(("127.0.0.2", 0)) as taken:
            listen = [f"{OWN}:0", f"127.0.0.2:{taken.getsockname()[1]}"]
            with pytest.raises(StartError):
                await Server(settings(None, listen=listen)).start()


async def test_a_server_without_any_address_does_not_start() -> None:
    async with nothing_left_behind():
        with pytest.raises(StartError) as failed:
            await Server(settings(None, listen=["192.0.2.1:53", "[fe80::1%none]:53"])).start()
    assert str(failed.value).splitlines() == [
        "cannot listen on 192.0.2.1:53: cannot assign requested address; "
        "no interface of this host has that address",
        "cannot listen on [fe80::1%none]:53: its interface is not there",
    ]


async def test_what_it_says_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with (
        Recursor() as recursor,
        world(recursor, listen=[f"{OWN}:0", "[::1]:0"], access={"allow": ["8.0.0.0/8"]}) as here,
    ):
        one, two = here.server.endpoints
        agents = ", ".join(f"{OWN}:{agent.dns_port}" for agent in here.agents)
    logged = [(one.levelname, one.getMessage()) for one in caplog.records]
    assert logged == [
        ("INFO", f"listening on {one}, {two} (UDP and TCP)"),
        ("INFO", f"consul is answered from {agents} (ordered)"),
        ("INFO", f"everything else by {OWN}:{recursor.port} (from settings)"),
        ("WARNING", "access.allow opens this resolver to public addresses"),
    ]


async def test_agents_that_go_and_come_back_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with world() as here:
        caplog.clear()
        await here.agents[0].stop()
        assert (await here.ask(NAME)).data == GALERA
        await here.until("down", "up", "up")
        await here.agents[0].start()
        await here.until("up", "up", "up")
        name = f"agent {OWN}:{here.agents[0].dns_port}"
        heir = f"{OWN}:{here.agents[1].dns_port}"
    told = [re.sub(r"for [\d.]+ m?s\b", "for ...", one.getMessage()) for one in caplog.records]
    assert list(zip((one.levelname for one in caplog.records), told, strict=True)) == [
        ("WARNING", f"{name} is down, was up for ...: connection refused; {heir} takes over"),
        ("INFO", f"{name} is probing, was down for ...: answers again"),
        (
            "INFO",
            f"{name} is up, was probing (away for ...): 3 good replies in a row; first again",
        ),
    ]


async def test_an_agent_that_comes_and_goes_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consulfwd.core.telling.WINDOW", 0.2)
    caplog.set_level("INFO")
    async with world() as here:
        caplog.clear()
        engine = here.server.engine
        upstream = engine.upstreams()[0]
        for _ in range(20):
            now = engine.clock.now()
            engine.health.refused(upstream, now, "connection refused")
            engine.health.good(upstream, now, 0)
            engine.prober.look(now)
        assert len(caplog.records) == LINES
        await until(lambda: len(caplog.records) > LINES)
        last = caplog.records[LINES]
    assert last.levelname == "WARNING"
    assert last.getMessage() == (
        f"agent {upstream.name} is {upstream.state.value}: it comes and goes,"
        f" {40 - LINES} more changes in the last 60 s"
    )


async def test_reload_takes_everything_new() -> None:
    async with (
        DevCluster(EXAMPLES, 1, domain="new", http=False) as other,
        Recursor({("www.test", "A"): ["A 192.0.2.1"]}) as recursor,
        world(listen=[f"{OWN}:0"]) as here,
    ):
        old = here.at
        assert (await here.ask(NAME)).data == GALERA
        assert (await here.ask("www.test")).rcode == "SERVFAIL"
        await here.server.reload(
            settings(other, recursor, listen=["[::1]:0", "127.0.0.2:0"], consul={"domain": "new"})
        )
        six, four = here.server.endpoints
        assert (six.host, four.host) == ("::1", "127.0.0.2")
        for at in (six, four):
            for tcp in (False, True):
                assert (await ask(at, "galeradb.service.new", tcp=tcp)).data == GALERA
                assert (await ask(at, "www.test", tcp=tcp)).data == ["192.0.2.1"]
        asked = here.asked()
        assert (await ask(four, NAME)).rcode == "NXDOMAIN"
        assert (here.asked(), recursor.names[-1]) == (asked, f"{NAME}.")
        # Nobody listens at the old address any more.
        with pytest.raises(ConnectionError):
            await ask(old, "localhost", tcp=True)


async def test_reload_takes_nothing_when_an_address_cannot_be_had() -> None:
    async with world() as here:
        before = here.server.settings, list(here.server.endpoints), here.engine.table.routes
        with socket.create_server((OWN, 0)) as taken:
            port = taken.getsockname()[1]
            sockets = open_sockets()
            with pytest.raises(StartError, match=f"cannot listen on {OWN}:{port}: "):
                await here.server.reload(
                    settings(
                        here.cluster,
                        listen=["[::1]:0", f"{OWN}:{port}"],
                        consul={"domain": "new"},
                        access={"allow": ["192.0.2.0/24"]},
                    )
                )
            assert open_sockets() == sockets
        assert before == (here.server.settings, here.server.endpoints, here.engine.table.routes)
        for tcp in (False, True):
            assert (await here.ask(NAME, tcp=tcp)).data == GALERA


async def test_reload_keeps_addresses_and_connections_that_stay() -> None:
    async with world() as here, here.tcp() as client:
        client.send(question(NAME))
        assert parse(await client.receive()).data == GALERA
        at = here.at
        await here.server.reload(settings(here.cluster, tcp={"max_connections": 1}))
        assert here.at == at
        client.send(question(NAME))
        assert parse(await client.receive()).data == GALERA
        async with here.tcp() as second:
            # The only place there is now.
            second.send(question(NAME))
            assert parse(await second.receive()).data == GALERA
            assert await client.closed()


@pytest.mark.parametrize("kind", [UdpClient, TcpClient])
async def test_queries_to_an_address_that_goes_are_answered(
    kind: Callable[[Endpoint], UdpClient | TcpClient],
) -> None:
    async with world(patience=1.0) as here, kind(here.at) as client:
        here.agents[0].faults.any.delay.on(0.1, count=1)
        client.send(question(NAME))
        await until(lambda: here.engine.flights)
        await here.server.reload(settings(here.cluster, listen=["127.0.0.2:0"]))
        assert parse(await client.receive()).data == GALERA


@pytest.mark.parametrize("agents", ["answer late", "never answer"])
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_queries_to_agents_that_go_are_answered(agents: str, tcp: bool) -> None:
    kind = TcpClient if tcp else UdpClient
    async with (
        DevCluster(EXAMPLES, 1, http=False) as others,
        world(patience=1.0, agents=1, query={"deadline": 0.3}) as here,
        kind(here.at) as client,
    ):
        here.agents[0].faults.any.delay.on(0.1)
        here.agents[0].faults.frozen = agents == "never answer"
        client.send(question(NAME))
        await until(lambda: here.engine.flights)
        await here.server.reload(settings(others, query={"deadline": 0.3}))
        reply = parse(await client.receive())
        expected = ("NOERROR", GALERA) if agents == "answer late" else ("SERVFAIL", [])
        assert (reply.rcode, reply.data) == expected


@pytest.mark.parametrize("late", [0.05, 0.2], ids=["relayed", "looked up"])
async def test_what_the_old_agents_say_after_a_reload_is_not_kept(late: float) -> None:
    async with (
        DevCluster(EXAMPLES, 1, http=False) as others,
        world(patience=0.1, agents=1) as here,
        here.udp() as client,
    ):
        here.cluster.dns.service_ttl = 60
        others.catalog.set_check("galera1", "critical")
        here.agents[0].faults.any.delay.on(late)
        client.send(question(NAME))
        await until(lambda: here.engine.flights)
        await here.server.reload(settings(others))
        # Whoever asks now is not made to wait for the old agents either.
        assert (await here.ask(NAME)).data == GALERA[1:]
        assert parse(await client.receive()).data == GALERA
        assert (await here.ask(NAME)).data == GALERA[1:]


class Running:
    """`daemon.serve` as a process would run it, with settings that can be exchanged."""

    def __init__(self, first: Settings) -> None:
        self.next: Settings | ConfigError = first
        self.server: Server | None = None
        self.taken: list[Loaded] = []
        self.ready: Callable[[], None] = lambda: None

    def load(self) -> Loaded:
        if isinstance(self.next, ConfigError):
            raise self.next
        return Loaded(self.next, None, {})

    async def start(self) -> asyncio.Task[int]:
        running = asyncio.Event()

        def ready(server: Server) -> None:
            self.server = server
            self.ready()
            running.set()

        task = asyncio.ensure_future(
            daemon.serve(self.load(), self.load, ready, self.taken.append)
        )
        await asyncio.wait_for(running.wait(), 5)
        return task

    @property
    def at(self) -> Endpoint:
        assert self.server is not None
        return self.server.endpoints[0]


async def test_hang_up_reloads_whole_or_not_at_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with DevCluster(EXAMPLES, 1, http=False) as cluster:
        running = Running(settings(cluster))
        task = await running.start()
        assert (await ask(running.at, NAME)).data == GALERA
        problems = [Problem("x.yml:1", "no"), Problem("x.yml:2", "neither", "mend it")]
        for bad in (ConfigError(problems), settings(cluster, listen=["192.0.2.1:53"])):
            caplog.clear()
            running.next = bad
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: "not reloaded" in caplog.text)
            assert (await ask(running.at, NAME)).data == GALERA
            (record,) = caplog.records
            assert record.levelname == "ERROR"
            assert record.getMessage().startswith("not reloaded, the old settings stay in force:\n")
            assert "x.yml:2: neither (mend it)" in caplog.text or "192.0.2.1:53" in caplog.text
            assert running.taken == []
        running.next = settings(cluster, listen=["127.0.0.2:0"])
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: "settings reloaded" in caplog.text)
        assert [one.settings for one in running.taken] == [running.next]
        assert running.at.host == "127.0.0.2"
        assert (await ask(running.at, NAME)).data == GALERA
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 5)


async def test_who_lacks_the_compiled_fast_lane_is_told_so_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    monkeypatch.delenv(fastlane.VARIABLE, raising=False)
    monkeypatch.setattr(fastlane, "fast", None)
    async with DevCluster(EXAMPLES, 1, http=False) as cluster:
        task = await Running(settings(cluster)).start()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 5)
    (told,) = (one for one in caplog.records if "in Python alone" in one.getMessage())
    assert told.levelname == "INFO"
    assert "install consulfwd again" in told.getMessage()


async def test_many_signals_at_once_are_read_once_more(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with DevCluster(EXAMPLES, 1, http=False) as cluster:
        running = Running(settings(cluster))
        reads, load = 0, running.load

        def read() -> Loaded:
            nonlocal reads
            reads += 1
            # The first is the start's. What comes while it reads may be about what it has read.
            for _ in range(20 if 1 < reads < 4 else 0):
                os.kill(os.getpid(), signal.SIGHUP)
            return load()

        running.load = read  # type: ignore[method-assign]
        task = await running.start()
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: caplog.text.count("settings reloaded") == 3)
        assert (await ask(running.at, NAME)).data == GALERA
        await asyncio.sleep(2 * APART)
        assert reads == 4
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 5)


async def test_signals_while_it_starts_wait_until_it_has(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    start = Server.start

    async def start_and_be_told(server: Server, bound: Callable[[], None]) -> None:
        for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGTERM):
            # Else the process would be gone.
            assert signal.getsignal(number) is not signal.SIG_DFL
            os.kill(os.getpid(), number)
        await asyncio.sleep(0)
        await start(server, bound)

    monkeypatch.setattr(Server, "start", start_and_be_told)
    async with nothing_left_behind():
        running = Running(settings(None))
        assert await asyncio.wait_for(daemon.serve(running.load(), running.load), 5) == 0
    said = [one.getMessage() for one in caplog.records]
    assert said[-1] == "stopped"
    assert said.index("stopping: answering what is in flight") > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_answers_what_is_in_flight_and_takes_nothing_more(
    number: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with nothing_left_behind(), DevCluster(EXAMPLES, 1, http=False) as cluster:
        running = Running(settings(cluster))
        task = await running.start()
        at = running.at
        async with UdpClient(at) as client, TcpClient(at) as stream, TcpClient(at) as idle:
            await until(lambda: cluster.agents[0].queries)
            cluster.agents[0].faults.frozen = True
            for who in (client, stream):
                who.send(question(NAME, "SRV"))
                who.send(question(NAME))
            assert running.server is not None
            flights = running.server.engine.flights
            await until(lambda: len(flights) == 2)
            os.kill(os.getpid(), number)
            await until(lambda: "stopping" in caplog.text)
            client.send(question("localhost"))
            cluster.agents[0].faults.resume()
            for who in (client, stream):
                assert [len(parse(await who.receive()).answers) for _ in range(2)] == [3, 3]
            code = await asyncio.wait_for(task, 5)
            assert code == (130 if number == signal.SIGINT else 0)
            assert await stream.closed()
            assert await idle.closed()
            assert client.waiting == 0
    assert [one.getMessage() for one in caplog.records][-2:] == [
        "stopping: answering what is in flight",
        "stopped",
    ]


async def test_a_stop_does_not_wait_for_ever() -> None:
    async with DevCluster(EXAMPLES, 1, http=False) as cluster:
        running = Running(settings(cluster, query={"deadline": 0.3}))
        task = await running.start()
        async with UdpClient(running.at) as client:
            cluster.agents[0].faults.frozen = True
            client.send(question(NAME))
            await asyncio.sleep(0.02)
            os.kill(os.getpid(), signal.SIGTERM)
            assert parse(await client.receive()).rcode == "SERVFAIL"
            await asyncio.wait_for(task, 2)


async def test_a_server_whose_ports_are_taken_says_so_and_ends() -> None:
    port = free_port()
    with socket.create_server((OWN, port)):
        loaded = Loaded(settings(None, listen=[f"{OWN}:{port}"]), None, {})
        with pytest.raises(StartError, match="already in use"):
            await daemon.serve(loaded, lambda: loaded)


async def test_a_user_there_is_not_is_found_before_anything_listens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    async with nothing_left_behind():
        running = Running(settings(None, user="no-such-user-here"))
        with pytest.raises(StartError, match="there is no user 'no-such-user-here'"):
            await daemon.serve(running.load(), running.load)


async def test_it_becomes_another_user_between_listening_and_serving(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user, port = pwd.getpwuid(os.getuid()).pw_name, free_port()
    steps: list[str] = []

    def become(name: str) -> None:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            with socket.socket(type=kind) as sock, pytest.raises(OSError, match="in use"):
                sock.bind((OWN, port))
        steps.append(f"becomes {name}")

    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(daemon, "drop_privileges", become)
    monkeypatch.setattr(Manager, "ready", lambda manager: steps.append("tells that it is ready"))
    async with DevCluster(EXAMPLES, 1, http=False) as cluster:
        running = Running(settings(cluster, listen=[f"{OWN}:{port}"], user=user))
        running.ready = lambda: steps.append("serves")
        task = await running.start()
        assert (await ask(running.at, NAME)).data == GALERA
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 5)
    assert steps == [f"becomes {user}", "serves", "tells that it is ready"]


async def test_nothing_is_read_with_the_rights_that_binding_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user, port = pwd.getpwuid(os.getuid()).pw_name, free_port()
    at = [(f"127.0.0.{n}", port) for n in range(1, 6)]
    steps: list[str] = []
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in at]
        bind = Kept.bind

        def bind_and_be_asked(kept: Kept, endpoints: Iterable[Endpoint]) -> Bound:
            bound = bind(kept, endpoints)
            for client, address in zip(clients, at, strict=True):
                client.sendto(question("localhost"), address)
            steps.append("is asked")
            return bound

        def become(name: str) -> None:
            # Whatever was read by now would have its answer.
            assert select.select(clients, [], [], 0.1)[0] == []
            steps.append("becomes another")

        monkeypatch.setattr(Kept, "bind", bind_and_be_asked)
        monkeypatch.setattr(os, "getuid", lambda: 0)
        monkeypatch.setattr(daemon, "drop_privileges", become)
        listen = [f"{host}:{port}" for host, _ in at]
        running = Running(settings(None, listen=listen, user=user))
        task = await running.start()
        for client in clients:
            client.settimeout(5)
            reply = await asyncio.to_thread(client.recv, 4096)
            assert parse(reply).rcode == "NOERROR"
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 5)
    assert steps == ["is asked", "becomes another"]


async def test_a_user_that_cannot_be_become_ends_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user, port = pwd.getpwuid(os.getuid()).pw_name, free_port()
    gone: list[str] = []

    def refuse(name: str) -> None:
        raise StartError(f"cannot become user {name!r}")

    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(daemon, "drop_privileges", refuse)
    monkeypatch.setattr(Kept, "let_go", lambda _, endpoint: gone.append(str(endpoint)))
    before = open_sockets()
    running = Running(settings(None, listen=[f"{OWN}:{port}"], user=user))
    with pytest.raises(StartError, match="cannot become user"):
        await daemon.serve(running.load(), running.load)
    # Neither here nor with the service manager: queries to them would wait in vain.
    assert open_sockets() == before
    assert gone == [f"{OWN}:{port}"]


def test_becoming_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("initgroups", "setgid", "setuid"):
        monkeypatch.setattr(os, name, lambda *_, name=name: calls.append(name))
    drop_privileges(pwd.getpwuid(os.getuid()).pw_name)
    assert calls == []
    with pytest.raises(StartError, match="there is no user 'no-such-user-here' on this host"):
        drop_privileges("no-such-user-here")
    monkeypatch.setattr(os, "getuid", lambda: -1)
    drop_privileges("root")
    # Groups first: once the user is changed there is no right to change them.
    assert calls == ["initgroups", "setgid", "setuid"]

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "setgid", refuse)
    with pytest.raises(StartError, match="cannot become user 'root': Operation not permitted"):
        drop_privileges("root")
