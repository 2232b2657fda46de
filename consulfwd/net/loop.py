"""The server's event loop: asyncio's, with a short way for the sockets that matter.

A socket watched here has its callback run as soon as the selector reports it, without the
handles, contexts and queues of `add_reader`: per wake-up that is most of what asyncio costs.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

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


class _Selector(selectors.DefaultSelector):
    """Runs the callbacks of watched sockets; gives asyncio the rest of the events.

    While there are only such callbacks, and they leave asyncio nothing to do (`touched`), it goes
    on waiting by itself.
    """

    failed: Callable[[Exception], None]
    touched = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        until = None if timeout is None else time.monotonic() + timeout
        rest: list[tuple[selectors.SelectorKey, int]] = []
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


class ServerLoop(asyncio.SelectorEventLoop):
    """An event loop that can watch sockets directly."""

    def __init__(self) -> None:
        self._direct = _Selector()
        self._direct.failed = self._failed
        super().__init__(self._direct)

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.Handle:
        """Schedule a callback (see asyncio); the selector must not go on waiting now."""
        self._direct.touched = True
        return super().call_soon(callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Schedule a callback (see asyncio); the selector must not wait past it."""
        self._direct.touched = True
        return super().call_at(when, callback, *args, context=context)

    def watch(
        self, sock: Watched, callback: Callable[[], None], *, first: bool = False
    ) -> None:
        """Run `callback` whenever `sock` is readable; it must not block.

        Where many are at once, those of sockets that come `first` are run before others.
        """
        turn = FIRST if first else NEXT
        self._direct.register(sock, selectors.EVENT_READ, _Direct(callback, turn))

    def unwatch(self, sock: Watched) -> None:
        """Watch a socket no longer; harmless when it is not watched."""
        if sock.fileno() >= 0 and sock in self._direct.get_map():
            # Its event may stand in the list that is being worked through.
            self._direct.unregister(sock).data.callback = _nothing

    def _failed(self, error: Exception) -> None:
        self.call_exception_handler({"message": "reading a socket failed", "exception": error})


def watch(
    loop: asyncio.AbstractEventLoop,
    sock: Watched,
    callback: Callable[[], None],
    *,
    first: bool = False,
) -> None:
    """Run `callback` whenever `sock` is readable, the short way where the loop has it."""
    if isinstance(loop, ServerLoop):
        loop.watch(sock, callback, first=first)
    else:
        loop.add_reader(sock, callback)


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
