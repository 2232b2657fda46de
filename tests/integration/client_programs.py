"""Programs that resolve names, each by its own library, on a host with a resolv.conf of its own.

A program lives as long as the test wants, as programs do, and is asked line by line (`clients/`).
What belongs here is how it is run and asked. It must not know which libraries there are.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.namespaces import Host, Network, network

# Longer than any library takes to give up.
PATIENCE_S = 40.0
HOSTS = "127.0.0.1 localhost\n::1 localhost\n"
# What others put there would decide who is asked.
NSSWITCH = "hosts: files dns\n"
# A name server cache of the host's would be asked through a socket.
_MOUNT = """
set -eu
for name in resolv.conf hosts nsswitch.conf; do
    mount --bind "$1/$name" "$(realpath "/etc/$name")"
done
[ ! -d /run/nscd ] || mount -t tmpfs none /run/nscd
shift
exec "$@"
"""


@dataclass(frozen=True)
class Said:
    """What a program said: what it found, sorted, or `error`, in its library's words."""

    found: tuple[str, ...]
    error: str
    took_s: float

    @property
    def what(self) -> tuple[str, ...] | str:
        """Either of the two, to compare with."""
        return self.error or self.found


class Program:
    """One that runs; `name` and what it writes to `log` are for messages."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log
        self._rest = b""

    def ask(self, kind: str, name: str) -> Said:
        """Ask for addresses ("any", "a", "aaaa"), services ("srv") or a name ("ptr")."""
        reverse = ipaddress.ip_address(name).reverse_pointer if kind == "ptr" else "-"
        assert self._process.stdin is not None
        began = time.monotonic()
        self._process.stdin.write(f"{kind} {name} {reverse}\n".encode())
        self._process.stdin.flush()
        how, *words = self._line().split()
        took_s = time.monotonic() - began
        if how == "error":
            return Said((), " ".join(words), took_s)
        assert how == "ok", (self.name, how, words)
        # Names are compared as DNS does, with or without the dot at their end.
        found = {word.lower().replace(".:", ":").rstrip(".") for word in words}
        if kind in ("any", "a", "aaaa"):
            found = {str(ipaddress.ip_address(word)) for word in found}
        return Said(tuple(sorted(found)), "", took_s)

    def wait(self) -> None:
        """Return when it is ready for questions."""
        assert self.ask("none", "-").error == "not a question", self.name

    def _line(self) -> str:
        assert self._process.stdout is not None
        end = time.monotonic() + PATIENCE_S
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self._process.stdout], [], [], end - time.monotonic())
            got = os.read(self._process.stdout.fileno(), 65536) if ready else b""
            if not got:
                how = "ended" if ready else "says nothing"
                pytest.fail(f"{self.name} {how}\n{self._log.read_text()}", pytrace=False)
            self._rest += got
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def end(self) -> None:
        """End it; what it does not end by itself at the end of its questions."""
        self._process.kill()
        self._process.communicate()


class Desk:
    """A host with an address of each family beside loopback, as programs ask for what they have."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self._folder = folder
        self._programs: list[Program] = []

    def start(self, name: str, command: Sequence[str | Path], resolv_conf: str) -> Program:
        """Run a program; it is ready when `wait` returns."""
        etc = self._folder / name.replace(" ", "-").replace("/", "-")
        etc.mkdir()
        files = {"resolv.conf": resolv_conf, "hosts": HOSTS, "nsswitch.conf": NSSWITCH}
        for file, text in files.items():
            (etc / file).write_text(text)
        mounted: list[str | Path] = ["unshare", "--mount", "--propagation=private"]
        with (etc / "stderr").open("wb") as log, self.host.inside():
            process = subprocess.Popen(
                [*mounted, "sh", "-c", _MOUNT, "sh", etc, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environ(),
            )
        program = Program(name, process, etc / "stderr")
        self._programs.append(program)
        return program

    def end(self) -> None:
        """End all programs."""
        for program in self._programs:
            program.end()


@contextlib.contextmanager
def desk(folder: Path) -> Iterator[Desk]:
    """One, for as long as the block."""
    with network({"desk": {"lan": "192.0.2.77/24"}}) as made:
        _give_ipv6(made)
        one = Desk(made.hosts["desk"], folder)
        try:
            yield one
        finally:
            one.end()


def _give_ipv6(made: Network) -> None:
    made.hosts["desk"].ip("addr add 2001:db8:77::77/64 dev lan nodad")


def _environ() -> Mapping[str, str]:
    """No settings of resolvers (RES_OPTIONS, JAVA_TOOL_OPTIONS, GODEBUG, ...)."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8"}
