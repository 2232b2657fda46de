"""Telling the service manager how this process is: the protocol of sd_notify(3).

What belongs here is what to say to it, and how. Must not know what the process does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, MutableMapping

from consulfwd.errors import ConsulfwdError

log = logging.getLogger("consulfwd.notify")
reloads = logging.getLogger("consulfwd")

TELL_EVERY = 10.0
FIRST_TELLING = 1.0
MAX_WAITING = 8
REFUSED_RELOAD = "the last reload was refused, see the log"
REFUSED = f"{REFUSED_RELOAD}; "


class Notifier:
    """Sends datagrams to the service manager; without one, does nothing.

    `watchdog` is the time in seconds within which the manager wants to hear WATCHDOG=1, None when
    it does not.
    """

    def __init__(self, address: str = "", watchdog: float | None = None) -> None:
        # A leading @ stands for the zero octet of Linux's abstract addresses (unix(7)).
        known = address if address[:1] in ("/", "@") else ""
        self._address = known.replace("@", "\0", 1) if known[:1] == "@" else known
        self._socket: socket.socket | None = None
        self._waiting: deque[bytes] = deque(maxlen=MAX_WAITING)
        self.watchdog = watchdog

    @classmethod
    def take(cls, environ: MutableMapping[str, str], pid: int) -> Notifier:
        """Return what the environment asks for, and take it out: children are not to speak for us.

        WATCHDOG_USEC counts for the process WATCHDOG_PID only, as sd_watchdog_enabled(3) has it.
        """
        address = environ.pop("NOTIFY_SOCKET", "")
        period = environ.pop("WATCHDOG_USEC", "")
        meant = environ.pop("WATCHDOG_PID", "") in ("", str(pid))
        wanted = address and meant and period.isascii() and period.isdigit() and int(period) > 0
        return cls(address, int(period) / 1e6 if wanted else None)

    @property
    def listening(self) -> bool:
        """Return whether there is a manager to tell."""
        return bool(self._address)

    def send(self, *assignments: str) -> None:
        """Send assignments such as "READY=1" as one datagram.

        It never blocks: what a busy manager does not take is sent again before the next. No error
        gets out: nobody is to go without an answer because of the manager.
        """
        if not self._address:
            return
        self._waiting.append("\n".join(one.replace("\n", " ") for one in assignments).encode())
        try:
            while self._waiting:
                self._open().sendto(self._waiting[0], self._address)
                self._waiting.popleft()
        except BlockingIOError:
            log.debug("the service manager is busy: %d messages wait", len(self._waiting))
        except OSError as error:
            log.debug("the service manager cannot be told: %s", error.strerror or error)
            self._waiting.clear()

    def keep(self, name: str, sockets: Iterable[socket.socket]) -> None:
        """Have the manager keep these sockets under a name while the process is restarted.

        As with `send`, no error gets out: without it, they are bound anew.
        """
        if not self._address:
            return
        # A socket with an error in its queue is still one to listen on.
        lines = f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0".encode()
        numbers = array("i", [sock.fileno() for sock in sockets])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)]
        try:
            self._open().sendmsg([lines], rights, 0, self._address)
        except OSError as error:
            log.debug("the service manager keeps no sockets: %s", error.strerror or error)

    def _open(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        return self._socket

    def close(self) -> None:
        """Say nothing more."""
        self._address = ""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Manager:
    """Keeps the service manager informed while the process runs.

    `status` gives a line for people; it is asked for every ten seconds at least, on the event loop,
    and sent when it has changed. WATCHDOG=1 goes with it, at half the time the manager allows at
    the latest: a loop that hangs is silent.
    """

    def __init__(self, notifier: Notifier, status: Callable[[], str]) -> None:
        self._notifier = notifier
        self._status = status
        self._said = ""
        self._note = ""
        self._is_ready = False
        self._reloads = 0
        self._timer: asyncio.TimerHandle | None = None
        self._every = TELL_EVERY
        if notifier.watchdog is not None:
            self._every = min(TELL_EVERY, notifier.watchdog / 2)

    @property
    def refused(self) -> bool:
        """Return whether the last reload was refused: the settings before it are in force."""
        return bool(self._note)

    def begin(self) -> None:
        """Begin to tell how the process is; it does not do its work yet."""
        if self._notifier.listening and self._timer is None:
            self._notifier.send(*self._alive(), *self._line())
            self._wait(min(FIRST_TELLING, self._every))

    def ready(self) -> None:
        """Say that the process does its work, and begin to tell how it is if that has not begun."""
        self._is_ready = True
        if self._notifier.listening:
            self._notifier.send("READY=1", *self._alive(), *self._line())
            if self._timer is None:
                self._wait(min(FIRST_TELLING, self._every))

    def tell(self) -> None:
        """Say now how the process is, if that has changed."""
        if self._notifier.listening and (line := self._line()):
            self._notifier.send(*line)

    @contextlib.contextmanager
    def reload(self) -> Iterator[None]:
        """Have the manager know that settings are being read again.

        An error in it is told, here and in the log: what was in force stays in force.
        """
        note = REFUSED
        self._reloading()
        try:
            yield
            note = ""
        except ConsulfwdError as error:
            reloads.error("not reloaded, the old settings stay in force:\n%s", error)
        except Exception:
            # One of ours; it must not end what goes on well.
            reloads.exception("not reloaded, the old settings stay in force:")
        finally:
            self._reloaded(note)

    def _reloading(self) -> None:
        self._reloads += 1
        # CLOCK_MONOTONIC, by which the manager sees which of its requests this one answers. Whoever
        # is not ready yet reloads nothing: READY=1 after it would not be true.
        if self._is_ready:
            self._notifier.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def _reloaded(self, note: str) -> None:
        """`note` stands before the status until the next reload."""
        self._reloads -= 1
        self._note = note
        if self._reloads or not self._notifier.listening:
            return
        if self._is_ready:
            self._notifier.send("READY=1", *self._line())
        else:
            self.tell()

    def stopping(self) -> None:
        """Say that the end has begun, and tell nothing more but that it is alive."""
        self._note, self._status = "", lambda: "stopping"
        if self._notifier.listening:
            self._notifier.send("STOPPING=1", *self._line())

    def close(self) -> None:
        """Say nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        self._notifier.close()

    def _wait(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._tell)

    def _tell(self) -> None:
        self._wait(self._every)
        if told := [*self._alive(), *self._line()]:
            self._notifier.send(*told)

    def _alive(self) -> list[str]:
        return [] if self._notifier.watchdog is None else ["WATCHDOG=1"]

    def _line(self) -> list[str]:
        line = self._note + self._status()
        if line == self._said:
            return []
        self._said = line
        return [f"STATUS={line}"]
