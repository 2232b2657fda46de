"""consulfwd itself as a child process, as it is run in production: with a file, on a free port."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from consulfwd.dev.child import PATIENCE_S, Child, Guard
from consulfwd.dev.real import RealAgent
from tests.integration.asking import At
from tests.integration.own_words import own_words

HOST = "127.0.0.1"
SERVE = ("-m", "consulfwd.cli.main", "serve", "-c")


class Served(Child):
    """`consulfwd serve` with `settings` in a file of `folder`; JSON is YAML too.

    `python` is what the interpreter is to run with the file as its last argument.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        folder: Path,
        guard: Guard,
        *,
        python: Sequence[str | Path] = ("-X", "dev", "-W", "error", *SERVE),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "consulfwd.yml"
        self.configure(settings)
        variables = [f"{name}={value}" for name, value in (environ or {}).items()]
        command = ["env", *variables, sys.executable, *python, self.file]
        super().__init__("consulfwd", command, folder / "consulfwd.log", guard)

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Write the file; a server that runs reads it on SIGHUP."""
        everywhere = {"listen": [f"{HOST}:0"], "resolv_conf": str(self.file.with_name("none"))}
        self.file.write_text(json.dumps({**everywhere, **settings}, indent=2))

    @property
    def at(self) -> At:
        """The address and port that it listens on."""
        return HOST, int(re.findall(rf"listening on {HOST}:(\d+)", self.said())[-1])

    def said(self) -> str:
        """Its log so far."""
        return own_words(self.log.read_text()) if self.log.exists() else ""

    def start(self) -> None:
        """Start it and return when it listens."""
        super().start()
        started = re.compile("everything else|no recursors")
        self.wait_until(lambda: started.search(self.said()), "listening")

    def end(self) -> int:
        """Stop it in order; what it exits with."""
        os.kill(self.pid, signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """Wait until it has ended by itself, or by a signal already sent; what it exits with."""
        assert self._process is not None
        code = self._process.wait(PATIENCE_S)
        self._reap()
        return code

    def complaints(self) -> list[str]:
        """Lines of the log that no server in order writes."""
        bad = re.compile(r" (ERROR|CRITICAL) |^Traceback|Warning:|never retrieved|^\S*Error\b")
        return [line for line in self.said().splitlines() if bad.search(line)]


@contextmanager
def serve(settings: Mapping[str, Any], folder: Path, guard: Guard, **how: Any) -> Iterator[Served]:
    """A server for as long as the block lasts; it must end in order, with a clean log."""
    served = Served(settings, folder, guard, **how)
    try:
        served.start()
        yield served
        assert (served.end(), served.complaints()) == (0, [])
    finally:
        served.kill()


def consul(*agents: RealAgent, **more: Any) -> dict[str, Any]:
    """The `consul` section for these agents."""
    found = [
        {"address": one.address, "dns_port": one.dns_port, "http_port": one.http_port}
        for one in agents
    ]
    return {"agents": found, **more}


def at(agent: RealAgent) -> At:
    """Where an agent's DNS is."""
    return agent.address, agent.dns_port
