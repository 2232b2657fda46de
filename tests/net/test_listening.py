"""Addresses that this host does not have now: told once, tried again, listened on one day."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from consulfwd.config import Endpoint
from consulfwd.errors import StartError
from consulfwd.net import host
from consulfwd.net.binding import Bound, Pair
from consulfwd.net.listening import AGAIN, LATEST, NO_WAY_BACK, SOON, Listening
from tests.loopback import OWN, free_port
from tests.net.world import GALERA, ask, settings, until, world

NAME = "galeradb.service.consul"
HERE, LATER = Endpoint(host="127.0.0.1", port=53), Endpoint(host="10.0.0.1", port=53)


class Sockets:
    """Addresses that can be had, or not: `answers` by endpoint, None for those that can."""

    def __init__(self) -> None:
        self.answers: dict[Endpoint, str | StartError | None] = {HERE: None, LATER: "not there"}
        self.tried: list[Endpoint] = []
        self.gone: list[Endpoint] = []

    def bind(self, endpoints: Iterable[Endpoint]) -> Bound:
        bound = Bound({}, {})
        for one in endpoints:
            self.tried.append(one)
            answer = self.answers[one]
            if isinstance(answer, StartError):
                raise answer
            if answer is None:
                bound.pairs[one] = pair()
            else:
                bound.missing[one] = answer
        return bound

    def let_go(self, endpoint: Endpoint) -> None:
        self.gone.append(endpoint)


def pair() -> Pair:
    made = [socket.socket(type=kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
    return made[0], made[1]


async def listen(pair: Pair) -> Any:
    """In the place of listeners: their sockets, which can be closed as those can."""
    return pair


@pytest.fixture
def sockets() -> Sockets:
    return Sockets()


@pytest.fixture
def listening(sockets: Sockets) -> Any:
    made = Listening(sockets, listen)
    yield made
    made.stop()


async def test_it_is_tried_again_ever_more_seldom(listening: Listening, sockets: Sockets) -> None:
    await listening.open(listening.bind([HERE, LATER]), 100.0)
    sockets.tried.clear()
    looks = []
    for tenth in range(1000, 1300):
        now = tenth / 10
        if listening.due(now):
            looks.append(now)
            assert not await listening.look(now)
    assert sockets.tried == [LATER] * len(looks)
    pauses = [round(b - a, 6) for a, b in zip([100.0, *looks], looks, strict=False)]
    assert pauses[:4] == [SOON, SOON, 2 * SOON, 4 * SOON]
    assert set(pauses[4:]) == {LATEST}


async def test_what_came_is_looked_for_no_more(
    listening: Listening, sockets: Sockets, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await listening.open(listening.bind([HERE, LATER]), 100.0)
    assert caplog.messages == ["not there (it is tried again)"]
    assert not await listening.look(110.0)
    sockets.answers[LATER] = None
    caplog.clear()
    assert await listening.look(112.0)
    assert caplog.messages == ["listening on 10.0.0.1:0 too: it was missing for 12 s"]
    assert [*listening.listeners] == [HERE, LATER]
    assert (listening.missing, listening.due(1000.0)) == ({}, False)


async def test_a_fault_is_told_once_and_tried_again(
    listening: Listening, sockets: Sockets, caplog: pytest.LogCaptureFixture
) -> None:
    await listening.open(listening.bind([HERE, LATER]), 100.0)
    caplog.clear()
    sockets.answers[LATER] = StartError("somebody else has it")
    for now in (101.0, 102.0, 104.0):
        assert not await listening.look(now)
    told = [(one.levelname, one.getMessage()) for one in caplog.records]
    assert told == [("ERROR", "somebody else has it (it is tried again)")]
    sockets.answers[LATER] = None
    assert await listening.look(105.0)


async def test_a_fault_of_one_that_is_waited_for_keeps_no_other_settings_out(
    listening: Listening, sockets: Sockets, caplog: pytest.LogCaptureFixture
) -> None:
    await listening.open(listening.bind([HERE, LATER]), 100.0)
    sockets.answers[LATER] = StartError("somebody else has it")
    bound = listening.bind([HERE, LATER])
    assert bound.missing == {LATER: "somebody else has it"}
    caplog.clear()
    await listening.open(bound, 101.0)
    assert not await listening.look(102.0)
    assert caplog.messages == ["somebody else has it (it is tried again)"]
    # One that is new is held against the settings.
    other = Endpoint(host="10.0.0.2", port=53)
    sockets.answers[other] = StartError("nobody may")
    with pytest.raises(StartError, match="nobody may"):
        listening.bind([HERE, LATER, other])


async def test_what_goes_wrong_with_its_listeners_is_tried_again(
    sockets: Sockets, caplog: pytest.LogCaptureFixture
) -> None:
    broken = True

    async def listen_or_not(pair: Pair) -> Any:
        if broken and pair in made:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return pair

    made: list[Pair] = []
    listening = Listening(sockets, listen_or_not)
    await listening.open(listening.bind([HERE, LATER]), 100.0)
    sockets.answers[LATER] = None
    bind = sockets.bind

    def bind_later(endpoints: Iterable[Endpoint]) -> Bound:
        bound = bind(endpoints)
        made.extend(bound.pairs.values())
        return bound

    sockets.bind = bind_later  # type: ignore[method-assign]
    assert not await listening.look(101.0)
    (said,) = [one for one in caplog.records if one.levelname == "ERROR"]
    assert "cannot be listened on" in said.getMessage()
    assert [sock.fileno() for sock in made[0]] == [-1, -1]
    assert (sockets.gone, [*listening.missing]) == ([LATER], [LATER])
    broken = False
    assert await listening.look(102.0)
    listening.stop()


async def test_none_at_all_is_a_fault(listening: Listening, sockets: Sockets) -> None:
    with pytest.raises(StartError, match="not there"):
        listening.bind([LATER])
    await listening.open(listening.bind([HERE]), 100.0)
    # One that answers is enough, but not one that is not to answer any more.
    assert listening.bind([HERE, LATER]) == ({}, {LATER: "not there"})
    with pytest.raises(StartError, match="not there"):
        listening.bind([LATER])


async def test_what_other_settings_do_not_name_is_tried_no_more(
    listening: Listening, sockets: Sockets, caplog: pytest.LogCaptureFixture
) -> None:
    await listening.open(listening.bind([HERE, LATER]), 100.0)
    caplog.clear()
    await listening.open(listening.bind([HERE, LATER]), 105.0)
    assert (caplog.messages, listening.missing[LATER].since) == ([], 100.0)
    await listening.open(listening.bind([HERE]), 106.0)
    assert (listening.missing, listening.due(1000.0)) == ({}, False)


async def test_whoever_stopped_looks_for_nothing(listening: Listening, sockets: Sockets) -> None:
    await listening.open(listening.bind([HERE, LATER]), 100.0)
    sockets.tried.clear()
    sockets.answers[LATER] = None
    listening.stop()
    assert not await listening.look(110.0)
    # Whoever keeps the sockets for the next process goes on to.
    assert (sockets.tried, sockets.gone) == ([], [])


# --- the server ----------------------------------------------------------------------------------


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Take an address from this host for a reason (errno), or give it back (0)."""
    bind, reasons = host.bind, dict[str, int]()

    def bind_or_not(address: str, port: int, kind: socket.SocketKind) -> socket.socket:
        if code := reasons.get(address):
            raise OSError(code, os.strerror(code))
        return bind(address, port, kind)

    monkeypatch.setattr(host, "bind", bind_or_not)
    monkeypatch.setattr("consulfwd.net.ticks.EPOCH", 0.01)
    return reasons.__setitem__


@pytest.mark.parametrize("code", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENODEV])
async def test_the_others_answer_and_it_when_it_comes(
    code: int, without: Callable[[str, int], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    without("127.0.0.9", code)
    port = free_port()
    missing: Any = {"listen": [f"{OWN}:0", f"127.0.0.9:{port}"]}
    async with world(**missing) as here:
        assert [one.host for one in here.server.endpoints] == [OWN]
        assert (await here.ask(NAME)).data == GALERA
        status = here.watched.line()
        assert status.startswith(f"listening on {here.at}, not on 127.0.0.9:{port}; 3 of 3")
        (told,) = (one for one in caplog.messages if "127.0.0.9" in one)
        assert told.startswith(f"cannot listen on 127.0.0.9:{port}: ")
        caplog.clear()
        here.skip(10)
        await until(lambda: here.server._listening.missing and here.server._listening._pause > SOON)
        assert "127.0.0.9" not in caplog.text
        without("127.0.0.9", 0)
        here.skip(10)
        await until(lambda: len(here.server.endpoints) == 2)
        for tcp in (False, True):
            assert (await ask(here.server.endpoints[1], NAME, tcp=tcp)).data == GALERA
        assert f"listening on 127.0.0.9:{port} too: it was missing for " in caplog.text
        assert here.watched.line().startswith(f"listening on {here.at}, 127.0.0.9:{port}; 3 of 3")


@pytest.mark.parametrize(
    ("code", "then"), [(errno.EADDRINUSE, AGAIN), (errno.EACCES, NO_WAY_BACK)]
)
async def test_it_says_what_helps_when_it_comes_and_cannot_be_had(
    code: int,
    then: str,
    without: Callable[[str, int], None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # An error in the log fails any other test.
    logger = logging.getLogger("consulfwd")
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    without("127.0.0.9", errno.EADDRNOTAVAIL)
    async with world(listen=[f"{OWN}:0", "127.0.0.9:53"]) as here:
        caplog.clear()
        without("127.0.0.9", code)
        here.skip(10)
        await until(lambda: caplog.messages)
        (told,) = caplog.messages
        assert told.startswith(f"cannot listen on 127.0.0.9:53: {os.strerror(code).lower()}; ")
        assert told.endswith(f" ({then})")


@pytest.mark.parametrize("code", [errno.EADDRINUSE, errno.EACCES])
async def test_what_is_somebody_elses_ends_the_start(
    code: int, without: Callable[[str, int], None]
) -> None:
    without("127.0.0.9", code)
    with pytest.raises(StartError, match=r"cannot listen on 127\.0\.0\.9:53"):
        async with world(listen=[f"{OWN}:0", "127.0.0.9:53"]):
            pass


async def test_a_reload_keeps_trying_and_drops_what_is_not_named(
    without: Callable[[str, int], None],
) -> None:
    without("127.0.0.9", errno.EADDRNOTAVAIL)
    async with world(listen=[f"{OWN}:0"]) as here:
        listening = here.server._listening
        both: Any = {"listen": [f"{OWN}:0", "127.0.0.9:0"]}
        await here.server.reload(settings(here.cluster, **both))
        assert [one.host for one in listening.missing] == ["127.0.0.9"]
        await here.server.reload(settings(here.cluster, listen=[f"{OWN}:0"]))
        assert listening.missing == {}
        await here.server.reload(settings(here.cluster, **both))
        without("127.0.0.9", 0)
        # Without waiting for the next look.
        await here.server.reload(settings(here.cluster, **both))
        assert [one.host for one in here.server.endpoints] == [OWN, "127.0.0.9"]
        assert (await ask(here.server.endpoints[1], NAME)).data == GALERA
