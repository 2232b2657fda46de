"""The admin server of a process: its thread, and the few calls by which the process has it.

| call | when |
|---|---|
| `bind` | before rights are given up: sockets are made, nobody is let in |
| `begin` | once the process works: people are let in |
| `use` | after settings were read again |
| `end` | last |

None of them raises: whatever is wrong here is told in the log, and the process goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import select
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from consulfwd.config.sections import AdminSettings
from consulfwd.ops.admin import where
from consulfwd.ops.admin.doors import Busy, Door, Owner, Place, Port, Unix, Unusable
from consulfwd.ops.watched import Watched

if TYPE_CHECKING:
    from consulfwd.ops.admin.connections import Connections

log = logging.getLogger("consulfwd.admin")

Call = TypeVar("Call", bound=Callable[..., None])

# How often (seconds) it is tried to take what another process has, and what cannot be used.
BUSY, UNUSABLE = 1.0, 10.0
# So long (seconds) the end of the process waits for the thread.
PARTING = 1.0


def _harmless(call: Call) -> Call:
    """Have an error of ours told, and no more than that."""

    @functools.wraps(call)
    def called(*args: Any, **options: Any) -> None:
        try:
            call(*args, **options)
        except Exception:
            log.exception("the admin server failed:")

    return called  # type: ignore[return-value]


class _Held:
    """A place, its socket if it is ours now, and what was last told of it if it is not."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.taken: tuple[socket.socket, Door] | None = None
        self.letting_in: asyncio.Task[None] | None = None
        self._told = ""

    def take(self) -> float:
        """Take it unless it is ours; return after how many seconds to try again, 0 for never."""
        if self.taken is not None:
            return 0
        try:
            self.taken = self.place.take()
        except Busy:
            key = "socket" if isinstance(self.place, Unix) else "listen"
            self._tell("another process answers there; it is taken over once that one ends (what is"
                       f" to run beside it needs an admin.{key} of its own)")  # fmt: skip
            return BUSY
        except Unusable as error:
            self._tell(f"nobody can look there: {error}")
            return UNUSABLE
        log.info("%s is taken over" if self._told else "to be looked at by %s", self.place)
        self._told = ""
        return 0

    def _tell(self, what: str) -> None:
        if what != self._told:
            log.warning("%s: %s", self.place, what)
            self._told = what

    def give_back(self) -> None:
        """Let it go, and whoever would still come in."""
        if self.letting_in is not None:
            self.letting_in.cancel()
            self.letting_in = None
        if self.taken is not None:
            self.place.give_back()
            self.taken[0].close()
            self.taken = None


class Admin:
    """The admin server of a process that runs `verb`; `name` tells it from others of that verb.

    With `any_port` it takes another port where that of the settings is not free.
    """

    def __init__(
        self,
        verb: str,
        name: str = "",
        *,
        any_port: bool = False,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._name = where.called(verb, name)
        self._environ = environ
        self._any_port = any_port
        self.bound = False
        self._usual: list[Path | None] = []
        self._owner: Owner | None = None
        self._held: list[_Held] = []
        self._wanted: list[Place] = []
        self._token = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._ending = False
        self._watched: list[int] = []
        # Those who were let in; None until somebody knocked.
        self.people: Connections | None = None

    @property
    def pages(self) -> list[str]:
        """Return where a browser finds the page."""
        held = [one for one in self._held if one.taken is not None]
        return [str(one.place) for one in held if isinstance(one.place, Port)]

    @property
    def sockets(self) -> list[Path]:
        """Return where a command finds this process."""
        held = [one for one in self._held if one.taken is not None]
        return [one.place.path for one in held if isinstance(one.place, Unix)]

    @_harmless
    def bind(self, settings: AdminSettings, user: str | None = None) -> None:
        """Make the sockets. The process is to become `user`, if that is somebody else."""
        self._owner = where.owner_of(user)
        self.bound = True
        self._read(settings)
        if self._thread is None:
            self._arrange()
        else:
            self._stir()

    @_harmless
    def begin(self, watched: Watched) -> None:
        """Let people in; called on the event loop of the process."""
        process = asyncio.get_running_loop()
        self._loop = asyncio.new_event_loop()
        self._wake = asyncio.Event()
        self._thread = threading.Thread(
            target=self._run, args=(self._loop, watched, process), name="admin", daemon=True
        )
        self._thread.start()

    @_harmless
    def use(self, settings: AdminSettings) -> None:
        """Take other settings, and the token anew."""
        self._read(settings)
        self._stir()

    @_harmless
    def end(self) -> None:
        """Let nobody in any more, and leave nothing behind."""
        self._ending = True
        self._stir()
        if self._thread is not None:
            self._thread.join(PARTING)
        for held in self._held:
            held.letting_in = None
            held.give_back()

    def _stir(self) -> None:
        if self._loop is not None and self._wake is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    def _read(self, settings: AdminSettings) -> None:
        if settings.socket == "auto" and not self._usual:
            # Once: it is the same one after rights were given up.
            self._usual = [where.usual(self._name, self._environ, self._owner)]
        usual = self._usual[0] if self._usual else None
        self._wanted = where.places_of(settings, usual, self._owner, spare=self._any_port)
        self._token = where.token_of(settings, self._environ, self._token)

    def _arrange(self) -> float:
        """Have what is wanted, and nothing else; return when to try again, 0 for never."""
        wanted = {one.key: one for one in self._wanted}
        for held in self._held:
            if held.place.key not in wanted:
                held.give_back()
        self._held = [one for one in self._held if one.place.key in wanted]
        known = {one.place.key for one in self._held}
        self._held += [_Held(one) for key, one in wanted.items() if key not in known]
        return min(filter(None, [one.take() for one in self._held]), default=0.0)

    def _run(
        self,
        loop: asyncio.AbstractEventLoop,
        watched: Watched,
        process: asyncio.AbstractEventLoop,
    ) -> None:
        try:
            loop.run_until_complete(self._main(watched, process))
        except Exception:
            log.exception("the admin server failed:")
            # Whoever comes is refused at once, and does not wait for nobody.
            for held in self._held:
                held.letting_in = None
                held.give_back()
        finally:
            loop.close()

    async def _main(self, watched: Watched, process: asyncio.AbstractEventLoop) -> None:
        assert self._wake is not None
        try:
            while not self._ending:
                self._wake.clear()
                self._watch(())
                again = self._arrange()
                if self.people is None and self._knocked():
                    self.people = self._let_in(watched, process)
                if self.people is None:
                    self._watch(self._sockets())
                else:
                    self._open(self.people)
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), again or None)
        finally:
            self._watch(())
            letting_in = {one.letting_in for one in self._held if one.letting_in is not None}
            for task in letting_in:
                task.cancel()
            if letting_in:
                await asyncio.wait(letting_in)
            if self.people is not None:
                await self.people.close()

    def _open(self, people: Connections) -> None:
        for held in self._held:
            if held.taken is not None and held.letting_in is None:
                held.letting_in = asyncio.ensure_future(people.accept(*held.taken))

    def _sockets(self) -> list[socket.socket]:
        return [one.taken[0] for one in self._held if one.taken is not None]

    def _watch(self, sockets: Iterable[socket.socket]) -> None:
        """Be woken by who knocks at these, and at no others."""
        assert self._loop is not None
        assert self._wake is not None
        for number in self._watched:
            self._loop.remove_reader(number)
        self._watched = [one.fileno() for one in sockets]
        for number in self._watched:
            self._loop.add_reader(number, self._wake.set)

    def _knocked(self) -> bool:
        """Return whether anybody waits to be let in."""
        polling = select.poll()
        for one in self._sockets():
            polling.register(one, select.POLLIN)
        return bool(polling.poll(0))

    def _let_in(self, watched: Watched, process: asyncio.AbstractEventLoop) -> Connections:
        # Imported late: most processes are looked at by nobody, and all are to begin soon.
        from consulfwd.ops.admin.connections import Connections
        from consulfwd.ops.admin.pictures import Pictures
        from consulfwd.ops.admin.routes import Routes

        pictures = Pictures(watched, process, lambda: people.seen())
        people = Connections(Routes(pictures, watched, lambda: self._token).answer)
        return people
