"""The server's event loop: asyncio's, with a short way for the sockets that matter.

A socket watched here has its callback run as soon as the selector reports it, without the
handles, contexts and queues of `add_reader`: per wake-up that is most of what asyncio costs.
"""

from __future__ import annotations

import asyncio
import select
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from consulfwd.net.fastlane import fast

Result = TypeVar("Result")

# What upstreams say comes first: it ends work, what clients ask begins some.
FIRST, NEXT, LAST = 0, 1, 2


class Watched(Protocol):
    """A socket, or what else has a file descriptor (-1: not any more)."""

    def fileno(self) -> int:
        """Return it."""


class _Direct:
    """What is registered for a watched socket; asyncio never sees it."""

    __slots__ = ("callback", "turn")

    def __init__(self, callback: Callable[[], None], turn: int) -> None:
        self.callback = callback
        self.turn = turn


def _turn(event: tuple[selectors.SelectorKey, int]) -> int:
    """Return when an event has its turn among those there are."""
    data = event[0].data
    return data.turn if data.__class__ is _Direct else LAST


def _nothing() -> None:
    """Do nothing."""


Events = list[tuple[selectors.SelectorKey, int]]


class PureSelector(selectors.DefaultSelector):
    """Runs the callbacks of watched sockets; gives asyncio the rest of the events.

    While there are only such callbacks, and they leave asyncio nothing to do (`touched`), it goes
    on waiting by itself. What goes wrong in one is told to `failed`.
    """

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        super().__init__()
        self.failed = failed
        self.touched = False

    def touch(self) -> None:
        """Do not go on waiting: there is something to do."""
        self.touched = True

    def watch(
        self, sock: Watched, callback: Callable[[], None], turn: int, lane: object = None
    ) -> None:
        """Run `callback` whenever `sock` is readable, when it is its turn."""
        self.register(sock, selectors.EVENT_READ, _Direct(callback, turn))

    def unwatch(self, sock: Watched) -> None:
        """Watch a socket no longer."""
        # Its event may stand in the list that is being worked through.
        self.unregister(sock).data.callback = _nothing

    def select(self, timeout: float | None = None) -> Events:
        until = None if timeout is None else time.monotonic() + timeout
        rest: Events = []
        while True:
            self.touched = False
            events = super().select(timeout)
            if len(events) > 1:
                events.sort(key=_turn)
            for event in events:
                data = event[0].data
                if data.__class__ is not _Direct:
                    rest.append(event)
                    continue
                try:
                    data.callback()
                except Exception as error:
                    self.failed(error)
            if rest or self.touched or not events:
                return rest
            if until is not None:
                timeout = until - time.monotonic()
                if timeout <= 0:
                    return rest


class FastSelector(selectors.EpollSelector):
    """The same with its loop compiled: a socket with a lane is read without Python."""

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        super().__init__()
        assert fast is not None
        self._poller = fast.Poller(self.fileno(), failed)

    def touch(self) -> None:
        """Do not go on waiting: there is something to do."""
        self._poller.touched = True

    def watch(
        self, sock: Watched, callback: Callable[[], None], turn: int, lane: object = None
    ) -> None:
        """Run `callback` whenever `sock` is readable and its lane, if any, leaves it something."""
        key = self.register(sock, selectors.EVENT_READ)
        self._poller.add(key.fd, callback, turn, lane)

    def unwatch(self, sock: Watched) -> None:
        """Watch a socket no longer."""
        self._poller.remove(self.unregister(sock).fd)

    def select(self, timeout: float | None = None) -> Events:
        ready: Events = []
        known = self.get_map()
        for fd, event in self._poller.wait(timeout):
            key = known.get(fd)
            if key is not None:
                mask = selectors.EVENT_WRITE if event & ~select.EPOLLIN else 0
                mask |= selectors.EVENT_READ if event & ~select.EPOLLOUT else 0
                ready.append((key, mask & key.events))
        return ready


ServerSelector: type[PureSelector | FastSelector] = PureSelector if fast is None else FastSelector


class ServerLoop(asyncio.SelectorEventLoop):
    """An event loop that can watch sockets directly."""

    def __init__(self) -> None:
        self._direct: PureSelector | FastSelector = ServerSelector(self._failed)
        super().__init__(self._direct)

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.Handle:
        """Schedule a callback (see asyncio); the selector must not go on waiting now."""
        self._direct.touch()
        return super().call_soon(callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Schedule a callback (see asyncio); the selector must not wait past it."""
        self._direct.touch()
        return super().call_at(when, callback, *args, context=context)

    def watch(
        self,
        sock: Watched,
        callback: Callable[[], None],
        *,
        first: bool = False,
        lane: object = None,
    ) -> None:
        """Run `callback` whenever `sock` is readable; it must not block.

        Where many are at once, those of sockets that come `first` are run before others. A `lane`
        (of the compiled fast lane) reads the socket before: then `callback` is for what it leaves.
        """
        turn = FIRST if first else NEXT
        self._direct.watch(sock, callback, turn, lane)

    def unwatch(self, sock: Watched) -> None:
        """Watch a socket no longer; harmless when it is not watched."""
        if sock.fileno() >= 0 and sock in self._direct.get_map():
            self._direct.unwatch(sock)

    def _failed(self, error: Exception) -> None:
        self.call_exception_handler({"message": "reading a socket failed", "exception": error})


def watch(
    loop: asyncio.AbstractEventLoop,
    sock: Watched,
    callback: Callable[[], None],
    *,
    first: bool = False,
    lane: Any = None,
) -> None:
    """Run `callback` whenever `sock` is readable, the short way where the loop has it."""
    if isinstance(loop, ServerLoop):
        loop.watch(sock, callback, first=first, lane=lane)
    elif lane is None:
        loop.add_reader(sock, callback)
    else:
        loop.add_reader(sock, lambda: None if lane.serve() else callback())


def unwatch(loop: asyncio.AbstractEventLoop, sock: Watched) -> None:
    """Watch a socket no longer; harmless when it is not watched."""
    if isinstance(loop, ServerLoop):
        loop.unwatch(sock)
    else:
        loop.remove_reader(sock)


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run `main` to its end on a ServerLoop, as `asyncio.run` does on a default one."""
    loop = ServerLoop()
    try:
        asyncio.set_event_loop(loop)
        task = loop.create_task(main)
        return loop.run_until_complete(task)
    finally:
        try:
            left = asyncio.all_tasks(loop)
            for one in left:
                one.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()
