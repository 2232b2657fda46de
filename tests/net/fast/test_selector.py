"""The loop that waits for sockets, compiled and pure: who is called when, and what ends a wait."""

from __future__ import annotations

import asyncio
import os
import resource
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from consulfwd.net import loop as loops
from consulfwd.net.loop import FIRST, NEXT, FastSelector, PureSelector

Kind = type[PureSelector | FastSelector]
TWINS = pytest.mark.parametrize("kind", [PureSelector, FastSelector], ids=["pure", "compiled"])


class Sockets:
    """Socket pairs: `ready` makes one readable."""

    def __init__(self) -> None:
        self.pairs: list[tuple[socket.socket, socket.socket]] = []

    def one(self) -> socket.socket:
        self.pairs.append(socket.socketpair())
        return self.pairs[-1][0]

    def ready(self, sock: socket.socket) -> None:
        (there,) = [far for near, far in self.pairs if near is sock]
        there.send(b"x")


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    made = Sockets()
    yield made
    for near, far in made.pairs:
        near.close()
        far.close()


def unexpected(error: Exception) -> None:
    raise AssertionError(error)


@TWINS
def test_watched_sockets_have_their_callbacks_run_in_turn(kind: Kind, sockets: Sockets) -> None:
    selector = kind(unexpected)
    called: list[str] = []
    clients = [sockets.one() for _ in range(3)]
    upstream = sockets.one()

    def note(sock: socket.socket, name: str) -> Callable[[], None]:
        def callback() -> None:
            sock.recv(1)
            called.append(name)
            selector.touch()

        return callback

    for number, one in enumerate(clients):
        selector.watch(one, note(one, f"client {number}"), NEXT)
        sockets.ready(one)
    selector.watch(upstream, note(upstream, "upstream"), FIRST)
    sockets.ready(upstream)
    assert selector.select(5) == []
    assert called[0] == "upstream"
    assert sorted(called[1:]) == ["client 0", "client 1", "client 2"]
    selector.close()


@TWINS
def test_others_are_told_of(kind: Kind, sockets: Sockets) -> None:
    selector = kind(unexpected)
    reader, writer = sockets.one(), sockets.one()
    both = selectors.EVENT_READ | selectors.EVENT_WRITE
    selector.register(reader, selectors.EVENT_READ, "reader")
    assert selector.select(0) == []
    assert selector.select(-1) == []
    sockets.ready(reader)
    ((key, mask),) = selector.select(5)
    assert (key.data, key.fileobj, mask) == ("reader", reader, selectors.EVENT_READ)
    selector.register(writer, both, "writer")
    found = {key.data: mask for key, mask in selector.select(5)}
    assert found == {"reader": selectors.EVENT_READ, "writer": selectors.EVENT_WRITE}
    sockets.ready(writer)
    assert {key.data: mask for key, mask in selector.select(5)}["writer"] == both
    selector.unregister(reader)
    selector.modify(writer, selectors.EVENT_READ, "changed")
    assert [(key.data, mask) for key, mask in selector.select(5)] == [
        ("changed", selectors.EVENT_READ)
    ]
    selector.close()


@TWINS
def test_it_goes_on_waiting_until_there_is_something_to_do(kind: Kind, sockets: Sockets) -> None:
    selector = kind(unexpected)
    sock = sockets.one()
    calls: list[int] = []

    def callback() -> None:
        sock.recv(1)
        calls.append(len(calls))
        if len(calls) < 3:
            sockets.ready(sock)
        else:
            selector.touch()

    selector.watch(sock, callback, NEXT)
    sockets.ready(sock)
    began = time.monotonic()
    assert selector.select(30) == []
    assert calls == [0, 1, 2]
    assert time.monotonic() - began < 20
    # Nothing comes, and the time passes.
    began = time.monotonic()
    assert selector.select(0.02) == []
    assert 0.02 <= time.monotonic() - began < 20
    # What was asked for before the wait does not end it: it is in its time already.
    selector.touch()
    assert selector.select(0.02) == []
    selector.close()


@contextmanager
def without_descriptors(left: int) -> Iterator[None]:
    """No more than so many descriptors are to be had."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path(os.devnull).open() as lowest:
        first = lowest.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (first + left, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@TWINS
@pytest.mark.parametrize("few", [False, True])
def test_how_long_it_waits(kind: Kind, sockets: Sockets, few: bool) -> None:
    with ExitStack() as stack:
        if few:
            # Enough for the one that waits, and none for its timer.
            stack.enter_context(without_descriptors(1))
        selector = kind(unexpected)
    sock = sockets.one()

    def callback() -> None:
        sock.recv(1)
        selector.touch()

    selector.watch(sock, callback, NEXT)
    sockets.ready(sock)
    assert selector.select(0.03) == []
    # What a wait that was cut short was to last ends none of those behind it.
    for seconds in (0.1, 0.001, 0.02, 0.0, 0.05):
        began = time.monotonic()
        assert selector.select(seconds) == []
        assert seconds <= time.monotonic() - began < seconds + 10
    selector.close()


@TWINS
def test_an_error_is_told_and_the_others_have_their_turn(kind: Kind, sockets: Sockets) -> None:
    failed: list[Exception] = []
    selector = kind(failed.append)
    first, second = sockets.one(), sockets.one()

    def fails() -> None:
        first.recv(1)
        raise ValueError("ours")

    selector.watch(first, fails, FIRST)
    selector.watch(second, selector.touch, NEXT)
    sockets.ready(first)
    sockets.ready(second)
    assert selector.select(5) == []
    assert [str(one) for one in failed] == ["ours"]
    assert failed[0].__traceback__ is not None

    def ends() -> None:
        raise KeyboardInterrupt

    selector.unwatch(first)
    selector.watch(first, ends, FIRST)
    sockets.ready(first)
    with pytest.raises(KeyboardInterrupt):
        selector.select(5)
    selector.close()


@TWINS
def test_who_is_watched_no_longer_is_not_called(kind: Kind, sockets: Sockets) -> None:
    selector = kind(unexpected)
    first, second, third = sockets.one(), sockets.one(), sockets.one()
    called: list[str] = []

    def takes_out() -> None:
        first.recv(1)
        called.append("first")
        selector.unwatch(second)
        # Another socket has its number at once, as they do.
        selector.watch(third, lambda: called.append("third"), NEXT)
        selector.touch()

    selector.watch(first, takes_out, FIRST)
    selector.watch(second, lambda: called.append("second"), NEXT)
    sockets.ready(first)
    sockets.ready(second)
    assert selector.select(5) == []
    assert called == ["first"]
    selector.close()


@TWINS
def test_a_signal_is_handled_while_it_waits(kind: Kind, sockets: Sockets) -> None:
    selector = kind(unexpected)
    handled = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: handled.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        selector.select(0.3)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert handled == [signal.SIGALRM]
    selector.close()


@TWINS
async def test_a_loop_with_it_is_asyncio_s(
    kind: Kind, sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    def whole() -> str:
        async def main() -> str:
            loop = asyncio.get_running_loop()
            done = loop.create_future()
            sock = sockets.one()

            def seen() -> None:
                sock.recv(1)
                done.set_result("seen")

            loops.watch(loop, sock, seen)
            server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1")
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert await reader.read() == b""
            writer.close()
            server.close()
            await asyncio.gather(asyncio.sleep(0.01), asyncio.to_thread(time.sleep, 0.01))
            sockets.ready(sock)
            try:
                return str(await asyncio.wait_for(done, 5))
            finally:
                loops.unwatch(loop, sock)

        return loops.run(main())

    monkeypatch.setattr(loops, "ServerSelector", kind)
    assert await asyncio.to_thread(whole) == "seen"
