#!/usr/bin/env python3
"""Runs a command on one host at a time: on the one that holds a lock of Consul's.

What belongs here: one instance's campaign for the lock, and the life of its application while the
lock is held. It must not know what the application does, nor who sends it requests. It needs
Python 3.8 and setpriv (util-linux), nothing else.

The rule that everything serves: the application is gone before anybody else can have the lock. A
session with a TTL ends no sooner than one TTL after its last renewal
(https://developer.hashicorp.com/consul/docs/dynamic-app-config/sessions), and so the application
gets SIGTERM one TTL less `margin` after the last renewal that Consul confirmed, counted from when
it was asked for, and SIGKILL `grace` seconds later. A timer of the kernel's does that, whatever
this program hangs in. The session has no health checks: they could end it sooner.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

# The longest that is waited for a change, and for any other reply (seconds).
WAIT_S, REPLY_S = 10.0, 5.0


class Stop(Exception):
    """A signal asked for the end."""


class Away(Exception):
    """Consul could not be asked, or answered with an error."""


class Lost(Exception):
    """The lock is not held any more."""


@dataclass(frozen=True)
class Numbers:
    """All times in seconds; see --help."""

    ttl: float
    lock_delay: float
    retry: float
    renew: float
    margin: float
    grace: float

    def wrong(self) -> str:
        """What cannot be, "" if nothing."""
        if not 10 <= self.ttl <= 86400:
            return "--ttl: Consul takes 10 to 86400 seconds"
        if not 0 <= self.lock_delay <= 60:
            return "--lock-delay: Consul takes 0 to 60 seconds"
        if self.retry <= 0 or self.renew <= 0:
            return "--retry and --renew must be more than 0"
        if not 0 < self.grace < self.margin:
            return "--grace must be more than 0 and less than --margin"
        if 2 * self.renew > self.ttl - self.margin:
            return "--renew: at least two renewals must fit into --ttl less --margin"
        return ""


class Consul:
    """The HTTP API of the agent on this host, as far as a lock needs it. All raise Away."""

    def __init__(self, address: str, token: str) -> None:
        self._address = address
        self._headers = {"X-Consul-Token": token} if token else {}

    def read(self, key: str, index: int, timeout_s: float) -> tuple[dict[str, Any] | None, int]:
        """Return the key's entry (None: there is none) and its index, once it is another one.

        With index 0 at once, and by the leader's word.
        """
        wait = f"index={index}&wait={timeout_s:g}s" if index else "consistent"
        path = f"/v1/kv/{urllib.parse.quote(key)}?{wait}"
        # Consul adds up to a sixteenth to the time it waits.
        status, headers, text = self._ask("GET", path, None, timeout_s * 1.1 + REPLY_S)
        if status not in (200, 404):
            raise Away(f"GET {path}: HTTP {status} {text.strip()}")
        found = int(headers.get("X-Consul-Index") or 0)
        return (json.loads(text)[0] if status == 200 else None), (found if found >= index else 0)

    def open_session(self, name: str, numbers: Numbers) -> str:
        """Make a session that ends by its TTL and by nothing else; return its ID."""
        body = {
            "Name": name,
            "TTL": f"{numbers.ttl:g}s",
            "LockDelay": f"{numbers.lock_delay:g}s",
            "Behavior": "release",
            # The one is for Consul since 1.7, the other for older ones.
            "NodeChecks": [],
            "Checks": [],
        }
        made: str = self._put("/v1/session/create", body)["ID"]
        return made

    def acquire(self, key: str, session: str, value: str) -> bool:
        """Take the lock; return whether it was to be had."""
        return self._put(f"/v1/kv/{urllib.parse.quote(key)}?acquire={session}", value) is True

    def confirm(self, key: str, session: str, timeout_s: float) -> dict[str, Any]:
        """Renew the session; return the key's entry. Raises Lost if it is not this session's."""
        path = f"/v1/session/renew/{session}"
        status, _, text = self._ask("PUT", path, None, timeout_s)
        if status == 404:
            raise Lost("Consul has ended the session")
        if status != 200:
            raise Away(f"PUT {path}: HTTP {status} {text.strip()}")
        entry, _ = self.read(key, 0, timeout_s)
        if entry is None or entry.get("Session") != session:
            raise Lost("the lock was taken away")
        return entry

    def give_back(self, key: str, session: str) -> None:
        """Release the lock, which spares the others the lock delay, and end the session."""
        self._put(f"/v1/kv/{urllib.parse.quote(key)}?release={session}")
        self._put(f"/v1/session/destroy/{session}")

    def _put(self, path: str, body: object = None) -> Any:
        text = body if isinstance(body, str) else None if body is None else json.dumps(body)
        status, _, reply = self._ask("PUT", path, text, REPLY_S)
        if status != 200:
            raise Away(f"PUT {path}: HTTP {status} {reply.strip()}")
        return json.loads(reply)

    def _ask(
        self, method: str, path: str, body: str | None, timeout_s: float
    ) -> tuple[int, http.client.HTTPMessage, str]:
        connection = http.client.HTTPConnection(self._address, timeout=timeout_s)
        try:
            connection.request(method, path, body, self._headers)
            reply = connection.getresponse()
            return reply.status, reply.headers, reply.read().decode()
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Away(f"{method} {path} at {self._address}: {error!r}") from error
        finally:
            connection.close()


class Application:
    """The command while it runs, in a process group of its own; ended at `extend`'s time."""

    def __init__(self, command: Sequence[str], lock_index: int, grace: float) -> None:
        environ = {**os.environ, "CAMPAIGN_LOCK_INDEX": str(lock_index)}
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
            environ.pop(name, None)
        self._grace = grace
        self._ending = False
        signal.signal(signal.SIGALRM, self._time_is_up)
        # Should this program be killed, the kernel kills the application.
        wrapped = ["setpriv", "--pdeathsig", "KILL", "--", *command]
        self._process = subprocess.Popen(wrapped, env=environ, start_new_session=True)

    def extend(self, until: float) -> None:
        """Let it run until then (monotonic clock), unless it is being ended."""
        if not self._ending:
            signal.setitimer(signal.ITIMER_REAL, max(until - time.monotonic(), 1e-3))

    def ended(self, timeout_s: float) -> bool:
        """Wait that long at most for its end; return whether it has come."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self) -> None:
        """End it, and all that is left of its process group."""
        if not self._ending:
            self._terminate()
        self._process.wait()
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._signal(signal.SIGKILL)
        say(f"the application has ended (code {self._process.returncode})")

    def _time_is_up(self, number: int, frame: FrameType | None) -> None:
        if self._ending:
            say("the application is killed")
            self._signal(signal.SIGKILL)
        else:
            say("the lock could not be confirmed for too long: stepping down")
            self._terminate()

    def _terminate(self) -> None:
        self._ending = True
        signal.setitimer(signal.ITIMER_REAL, self._grace)
        self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


class Campaign:
    """Stands by until the lock is to be had, runs the application while it is held; and again."""

    def __init__(
        self, consul: Consul, key: str, name: str, command: Sequence[str], numbers: Numbers
    ) -> None:
        self._consul = consul
        self._key = key
        self._name = name
        self._command = command
        self._numbers = numbers
        self._asked = False
        self._open = False

    def run(self) -> NoReturn:
        """Go on until SIGTERM, SIGINT or SIGHUP. Raises Stop then; all is given back."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        tell_manager("READY=1")
        while True:
            try:
                self._stand_by()
                self._term()
            except Away as error:
                say(str(error))
            self._pause(self._numbers.retry)

    def _stand_by(self) -> None:
        """Return when nobody holds the lock."""
        index, told = 0, ""
        while True:
            tell_manager("WATCHDOG=1")
            with self._interruptible():
                entry, index = self._consul.read(self._key, index, WAIT_S)
            if entry is None or not entry.get("Session"):
                return
            holder = base64.b64decode(entry["Value"] or "").decode(errors="replace")
            if entry["Session"] != told:
                say(f"standing by: {holder} holds {self._key}")
                told = entry["Session"]

    def _term(self) -> None:
        """Try to take the lock once; run the application if that succeeds."""
        opened = time.monotonic()
        session = self._consul.open_session(self._name, self._numbers)
        try:
            if self._consul.acquire(self._key, session, self._name):
                self._hold(session, opened)
            else:
                say(f"{self._key} is not to be had yet: the lock delay, or another was first")
        except Lost as error:
            say(str(error))
        finally:
            # The application is gone by now, so that another may begin at once.
            try:
                self._consul.give_back(self._key, session)
            except Away as error:
                say(f"the session {session} is left to its TTL: {error}")

    def _hold(self, session: str, opened: float) -> None:
        """Run the application while the lock is confirmed. Raises Lost and Stop."""
        of = self._numbers
        timeout_s = min(of.renew, REPLY_S)
        until = opened + of.ttl - of.margin
        entry = self._consul.confirm(self._key, session, timeout_s)
        if time.monotonic() >= until:
            raise Lost("it took too long to get the lock")
        say(f"active: holds {self._key} by session {session}")
        tell_manager("WATCHDOG=1")
        application = Application(self._command, entry["LockIndex"], of.grace)
        try:
            application.extend(until)
            while True:
                with self._interruptible():
                    if application.ended(of.renew):
                        return
                asked = time.monotonic()
                try:
                    self._consul.confirm(self._key, session, timeout_s)
                except Away as error:
                    say(str(error))
                else:
                    application.extend(asked + of.ttl - of.margin)
                    # Only now: should this program stand still, its watchdog has to end it in time.
                    tell_manager("WATCHDOG=1")
        finally:
            application.end()
            tell_manager("WATCHDOG=1")

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            tell_manager("WATCHDOG=1")
            with self._interruptible():
                time.sleep(min(left, WAIT_S))

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Signals end only what is inside, so that nothing else is left half done."""
        self._open = True
        if self._asked:
            raise Stop
        try:
            yield
        finally:
            self._open = False

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        if self._open:
            self._open = False
            raise Stop


def say(text: str) -> None:
    """Write a line to standard error; signal handlers may do so too."""
    os.write(2, f"{text}\n".encode())


def tell_manager(state: str) -> None:
    """Tell systemd, if that is what started this program (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        if address[0] == "@":
            address = "\0" + address[1:]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
            sock.sendto(state.encode(), address)


def parser() -> argparse.ArgumentParser:
    """The options; their defaults are in seconds."""
    made = argparse.ArgumentParser(
        description="Run COMMAND while this host holds a lock of Consul's, and nowhere else.",
        epilog="CONSUL_HTTP_ADDR (default 127.0.0.1:8500) is the agent on this host,"
        " CONSUL_HTTP_TOKEN_FILE holds its token. COMMAND finds CAMPAIGN_LOCK_INDEX in its"
        " environment: it grows with each holder.",
    )
    made.add_argument("--key", required=True, help="the lock's key")
    made.add_argument("--name", default=socket.gethostname(), help="what the key is to hold")
    made.add_argument("--ttl", type=float, default=60.0, help="of the session")
    made.add_argument("--lock-delay", type=float, default=15.0, help="of the session")
    made.add_argument("--retry", type=float, default=20.0, help="between two tries")
    made.add_argument("--renew", type=float, default=5.0, help="between two renewals")
    made.add_argument("--margin", type=float, default=10.0, help="the end comes so long before TTL")
    made.add_argument("--grace", type=float, default=5.0, help="from SIGTERM to SIGKILL")
    made.add_argument("command", nargs="+", metavar="COMMAND", help="after --: the application")
    return made


def main() -> int:
    """Run; return 0 after a signal, 2 for wrong use."""
    options = parser()
    given = options.parse_args()
    fields = Numbers.__dataclass_fields__
    numbers = Numbers(**{name: getattr(given, name) for name in fields})
    if numbers.wrong():
        options.error(numbers.wrong())
    address = os.environ.get("CONSUL_HTTP_ADDR") or "127.0.0.1:8500"
    if address.startswith("https:"):
        options.error("CONSUL_HTTP_ADDR: use the agent on this host, over http")
    file = os.environ.get("CONSUL_HTTP_TOKEN_FILE")
    try:
        token = Path(file).read_text().strip() if file else ""
    except OSError as error:
        options.error(f"CONSUL_HTTP_TOKEN_FILE: {error}")
    consul = Consul(address.replace("http://", "", 1), token)
    try:
        Campaign(consul, given.key, given.name, given.command, numbers).run()
    except Stop:
        return 0


if __name__ == "__main__":
    sys.exit(main())
