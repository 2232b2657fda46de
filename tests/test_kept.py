"""Listening sockets that the service manager keeps while the process is replaced."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import dns.message
import pytest

from consulfwd.config import Endpoint
from consulfwd.errors import StartError
from consulfwd.kept import Kept
from consulfwd.net.binding import Pair, bind_all
from consulfwd.notify import Notifier
from tests.loopback import OWN

LOOPBACK = Endpoint(host=OWN, port=0)


class Manager:
    """The end of the socket that a service manager reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(10)

    def heard(self) -> tuple[list[str], list[int]]:
        """The lines of the next message, and the descriptors that came with it."""
        text, numbers, _, _ = socket.recv_fds(self._socket, 4096, 8)
        return text.decode().split("\n"), numbers

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


@pytest.fixture
def notifier(manager: Manager) -> Iterator[Notifier]:
    made = Notifier(str(manager.path))
    yield made
    made.close()


def at(pair: Pair) -> Endpoint:
    host, port = pair[0].getsockname()
    return Endpoint(host=host, port=port)


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Both sockets of an address, as a former process bound them."""
    ((udp, tcp),) = bind_all([LOOPBACK]).pairs.values()
    with udp, tcp:
        yield udp, tcp


def test_what_is_bound_is_given_to_the_manager(manager: Manager, notifier: Notifier) -> None:
    ((udp, tcp),) = bind_all([LOOPBACK]).pairs.values()
    port = udp.getsockname()[1]
    udp.close()
    tcp.close()
    endpoint = Endpoint(host=OWN, port=port)
    with ExitStack() as stack:
        bound = Kept(notifier).bind([endpoint])
        for sock in bound.pairs[endpoint]:
            stack.enter_context(sock)
        lines, numbers = manager.heard()
        for number in numbers:
            kept = stack.enter_context(socket.socket(fileno=number))
            assert kept.getsockname() == (OWN, port)
    assert lines == ["FDSTORE=1", f"FDNAME=dns-{OWN}-{port}", "FDPOLL=0"]
    assert len(numbers) == 2


def test_names_have_no_colons(manager: Manager, notifier: Notifier) -> None:
    Kept(notifier).let_go(Endpoint(host="::1", port=53))
    assert manager.heard()[0] == ["FDSTOREREMOVE=1", "FDNAME=dns-..1-53"]


def test_what_was_handed_over_is_used_and_not_bound_again(notifier: Notifier, pair: Pair) -> None:
    endpoint = at(pair)
    assert Kept(notifier, pair).bind([endpoint]) == ({endpoint: pair}, {})
    assert [sock.getblocking() for sock in pair] == [False, False]


def test_an_address_without_both_sockets_is_bound_anew(notifier: Notifier, pair: Pair) -> None:
    endpoint = at(pair)
    udp, tcp = pair
    tcp.close()
    found = Kept(notifier, [udp]).bind([endpoint])
    with found.pairs[endpoint][0], found.pairs[endpoint][1]:
        assert udp.fileno() == -1
        assert at(found.pairs[endpoint]) == endpoint


def test_an_address_that_is_not_there_keeps_no_other_from_being_used(
    manager: Manager, notifier: Notifier, pair: Pair
) -> None:
    endpoint, missing = at(pair), Endpoint(host="192.0.2.1", port=5399)
    found = Kept(notifier, pair).bind([endpoint, missing])
    assert (found.pairs, [*found.missing]) == ({endpoint: pair}, [missing])
    # Of what is not bound the manager hears nothing.
    notifier.send("READY=1")
    assert manager.heard()[0] == ["READY=1"]


def test_what_is_not_wanted_any_more_is_let_go(
    manager: Manager, notifier: Notifier, pair: Pair
) -> None:
    # By the name it was kept with, however that came to be.
    found = Kept(notifier, pair, ["one", "other"]).bind([LOOPBACK])
    assert [sock.fileno() for sock in pair] == [-1, -1]
    for name in ("one", "other"):
        assert manager.heard()[0] == ["FDSTOREREMOVE=1", f"FDNAME={name}"]
    for sock in found.pairs[LOOPBACK]:
        sock.close()


def closed(pairs: list[Pair]) -> None:
    for one in pairs:
        for sock in one:
            sock.close()


def test_of_each_address_there_are_as_many_as_workers(
    manager: Manager, notifier: Notifier, pair: Pair
) -> None:
    endpoint = at(pair)
    closed([pair])
    kept = Kept(notifier, count=3)
    found = kept.pairs(kept.bind([endpoint]).pairs[endpoint])
    assert [at(one) for one in found] == [endpoint] * 3
    assert all(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) for one in found
               for sock in one)  # fmt: skip
    name = f"dns-{OWN}-{endpoint.port}"
    assert [manager.heard()[0][1] for _ in found] == [
        f"FDNAME={name}", f"FDNAME={name}-1", f"FDNAME={name}-2",
    ]  # fmt: skip
    # Another server at that address is a fault as ever.
    with pytest.raises(StartError, match="address already in use"):
        Kept(Notifier(), count=3).bind([endpoint])
    kept.let_go(endpoint)
    assert [manager.heard()[0][1] for _ in found] == [
        f"FDNAME={name}", f"FDNAME={name}-1", f"FDNAME={name}-2",
    ]  # fmt: skip
    closed(found)


def test_fewer_workers_take_over_their_own_and_let_go_the_others(
    manager: Manager, notifier: Notifier, pair: Pair
) -> None:
    endpoint = at(pair)
    closed([pair])
    before = Kept(Notifier(), count=3)
    found = before.pairs(before.bind([endpoint]).pairs[endpoint])
    name = f"dns-{OWN}-{endpoint.port}"
    named = [name, name, f"{name}-1", f"{name}-1", f"{name}-2", f"{name}-2"]
    # In whatever order the manager has them.
    handed = [*zip([sock for one in found for sock in one], named, strict=True)][::-1]
    kept = Kept(notifier, [one for one, _ in handed], [one for _, one in handed], count=2)
    taken = kept.pairs(kept.bind([endpoint]).pairs[endpoint])
    assert taken == found[:2]
    assert manager.heard()[0] == ["FDSTOREREMOVE=1", f"FDNAME={name}-2"]
    assert [sock.fileno() for sock in found[2]] == [-1, -1]
    closed(taken)


def test_more_workers_share_what_one_process_had(
    manager: Manager, notifier: Notifier, pair: Pair
) -> None:
    endpoint = at(pair)
    kept = Kept(notifier, pair, [f"dns-{OWN}-{endpoint.port}"] * 2, count=2)
    taken = kept.pairs(kept.bind([endpoint]).pairs[endpoint])
    assert taken[0] == pair
    assert at(taken[1]) == endpoint
    assert manager.heard()[0][1] == f"FDNAME=dns-{OWN}-{endpoint.port}-1"
    closed(taken)


def test_a_socket_of_another_family_is_closed(notifier: Notifier) -> None:
    first, second = socket.socketpair()
    with second:
        found = Kept(notifier, [first]).bind([LOOPBACK])
        assert first.fileno() == -1
    for sock in found.pairs[LOOPBACK]:
        sock.close()


def test_an_address_another_process_has_is_refused(pair: Pair) -> None:
    with pytest.raises(StartError, match="in use"):
        Kept(Notifier()).bind([at(pair)])


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "many", "LISTEN_PID": str(os.getpid())},
        {"LISTEN_FDS": "²", "LISTEN_PID": str(os.getpid())},
    ],
)
def test_what_is_not_meant_for_this_process_is_left_alone(environ: dict[str, str]) -> None:
    environ["LISTEN_FDNAMES"] = "dns"
    Kept.take(Notifier(), environ, os.getpid())
    assert environ == {}


def serve_with(pair: Pair, file: Path, manager: Manager | None = None) -> subprocess.Popen[str]:
    """Start the program on settings, with sockets handed over by the name "kept"."""
    for sock in pair:
        sock.set_inheritable(True)
    udp, tcp = (sock.fileno() for sock in pair)
    script = f'exec 3<&{udp} 4<&{tcp}; export LISTEN_PID=$$ LISTEN_FDS=2; exec "$@"'
    command = [sys.executable, "-m", "consulfwd.cli.main", "serve", "-c", str(file)]
    environ = {**os.environ, "LISTEN_FDNAMES": "kept:kept"}
    if manager is not None:
        environ["NOTIFY_SOCKET"] = str(manager.path)
    return subprocess.Popen(
        ["bash", "-c", script, "bash", *command],
        pass_fds=[udp, tcp],
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
    )


@pytest.mark.parametrize(
    "settings", ["nonsense: 1\n", "listen: ['192.0.2.1:5399']\n", "user: there-is-no-such-user\n"]
)
def test_who_cannot_start_does_not_let_queries_wait_in_vain(
    tmp_path: Path, manager: Manager, pair: Pair, settings: str
) -> None:
    file = tmp_path / "consulfwd.yml"
    file.write_text(f"recursors: ['127.0.0.1:9']\n{settings}")
    with serve_with(pair, file, manager) as process:
        _, said = process.communicate(timeout=20)
    assert process.returncode in (2, 3), said
    assert manager.heard()[0] == ["FDSTOREREMOVE=1", "FDNAME=kept"]


def test_queries_wait_for_the_next_process(tmp_path: Path, pair: Pair) -> None:
    file = tmp_path / "consulfwd.yml"
    file.write_text(f"listen: ['{at(pair)}']\nrecursors: ['127.0.0.1:9']\n")
    query = dns.message.make_query("localhost", "A")
    pair[1].listen()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
        socket.create_connection(pair[1].getsockname(), 10) as stream,
    ):
        client.settimeout(20)
        stream.settimeout(20)
        client.sendto(query.to_wire(), pair[0].getsockname())
        stream.sendall(query.to_wire(prepend_length=True))
        # The program begins when nobody has read the query yet.
        with serve_with(pair, file) as process:
            try:
                reply = dns.message.from_wire(client.recv(4096))
                length = int.from_bytes(stream.recv(2, socket.MSG_WAITALL), "big")
                other = dns.message.from_wire(stream.recv(length, socket.MSG_WAITALL))
            finally:
                process.terminate()
                _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert f"taken over: the sockets of {at(pair)}" in said
    for one in (reply, other):
        assert str(one.answer[0][0]) == "127.0.0.1"


def test_what_is_handed_over_is_told_apart_by_its_names(manager: Manager, pair: Pair) -> None:
    environ = {"LISTEN_PID": "7", "LISTEN_FDS": "0", "LISTEN_FDNAMES": "kept"}
    notifier = Notifier(str(manager.path))
    Kept.take(notifier, environ, 7).give_up()
    Kept(notifier, pair, ["kept", ""]).give_up()
    notifier.send("STOPPING=1")
    heard = [manager.heard()[0] for _ in range(2)]
    assert heard == [["FDSTOREREMOVE=1", "FDNAME=kept"], ["STOPPING=1"]]
    notifier.close()
