"""Lines and desks between processes: in order, whole, bounded, and never waited for in vain."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import resource
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from consulfwd.ops.watched import OrderError
from consulfwd.workers import line as line_module
from consulfwd.workers.desk import Asked, Asker, Replier, Silent
from consulfwd.workers.frames import frame
from consulfwd.workers.line import Line


class End:
    """One end of a line, and what it heard."""

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self.heard: list[Any] = []
        self.ended = 0
        self.line = Line(sock, loop, self.heard.append, self._end)

    def _end(self) -> None:
        self.ended += 1


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture
def ends(loop: asyncio.AbstractEventLoop) -> Iterator[tuple[End, End]]:
    one, two = (End(sock, loop) for sock in socket.socketpair())
    yield one, two
    one.line.close()
    two.line.close()


def turn(loop: asyncio.AbstractEventLoop, times: int = 50) -> None:
    async def turns() -> None:
        for _ in range(times):
            await asyncio.sleep(0)

    loop.run_until_complete(turns())


def test_messages_come_whole_and_in_order(
    loop: asyncio.AbstractEventLoop, ends: tuple[End, End]
) -> None:
    one, two = ends
    sent = [(number, b"x" * 70_000) for number in range(20)]
    for message in sent:
        one.line.send(message)
    turn(loop)
    assert two.heard == sent


def test_the_end_of_one_is_told_once_with_what_it_said_last(
    loop: asyncio.AbstractEventLoop, ends: tuple[End, End]
) -> None:
    one, two = ends
    one.line.send(("last",))
    one.line.close()
    turn(loop)
    assert (two.heard, two.ended, one.ended) == ([("last",)], 1, 0)
    two.line.send(("to nobody",))


def test_what_nobody_reads_is_lost_if_it_may_be_else_the_line_ends(
    loop: asyncio.AbstractEventLoop, ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = ends
    monkeypatch.setattr(line_module, "MOST", 1000)
    for _ in range(3):
        one.line.send(("much", b"x" * 900), may_be_lost=True)
    assert one.line._size < 3000
    assert not one.line.closed
    one.line.send(("must be known",))
    assert (one.line.closed, one.ended) == (True, 1)


@pytest.fixture
def asked(loop: asyncio.AbstractEventLoop) -> Iterator[Asker]:
    ours, theirs = socket.socketpair()

    def answer(asked: Asked) -> Any:
        match asked.name:
            case "refuse":
                raise OrderError(409, "not now")
            case "fail":
                raise ValueError("broken")
            case "late":
                return {"made": lambda: "in a thread"}
            case "socket":
                with asked.sockets[0] as sock:
                    return sock.family
        return asked.values

    replier = Replier(theirs, loop, answer)
    asker = Asker(ours)
    yield asker
    replier.close()
    asker.close()


def test_a_process_with_thousands_of_files_has_its_replies() -> None:
    ours, theirs = socket.socketpair()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    try:
        number = fcntl.fcntl(ours.fileno(), fcntl.F_DUPFD_CLOEXEC, 1500)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with ours, theirs, contextlib.closing(Asker(socket.socket(fileno=number))) as asker:
        with pytest.raises(Silent):
            asker.reply(1, time.monotonic() + 0.01)
        theirs.sendall(frame((1, "reply", "here")))
        assert asker.reply(1, time.monotonic() + 5.0) == "here"


def test_each_question_has_its_reply(loop: asyncio.AbstractEventLoop, asked: Asker) -> None:
    def reply(name: str, *values: Any, **more: Any) -> Any:
        number = asked.put(name, *values, **more)
        loop.run_until_complete(asyncio.sleep(0.01))
        return asked.reply(number, time.monotonic() + 5.0)

    assert reply("echo", 1, "two") == (1, "two")
    assert reply("late") == {"made": "in a thread"}
    with socket.socket() as sock:
        assert reply("socket", sockets=[sock]) == socket.AF_INET
    with pytest.raises(OrderError, match="not now"):
        reply("refuse")
    with pytest.raises(Silent, match="ValueError: broken"):
        reply("fail")


def test_a_reply_that_comes_too_late_is_not_taken_for_the_next(
    loop: asyncio.AbstractEventLoop, asked: Asker
) -> None:
    first = asked.put("echo", "first")
    with pytest.raises(Silent, match="no reply"):
        asked.reply(first, time.monotonic())
    second = asked.put("echo", "second")
    turn(loop)
    assert asked.reply(second, time.monotonic() + 5.0) == ("second",)


def test_a_reply_that_is_there_is_taken_though_the_time_is_up(
    loop: asyncio.AbstractEventLoop, asked: Asker
) -> None:
    # Another one, which hangs, was waited for until then.
    number = asked.put("echo", "there")
    turn(loop)
    assert asked.reply(number, time.monotonic() - 1.0) == ("there",)


def test_a_desk_whose_other_end_is_gone_says_so() -> None:
    ours, theirs = socket.socketpair()
    asker = Asker(ours)
    number = asker.put("echo")
    theirs.close()
    with pytest.raises(Silent, match="gone"):
        asker.reply(number, time.monotonic() + 5.0)
    with pytest.raises(Silent):
        asker.put("echo")
    asker.close()
