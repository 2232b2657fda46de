"""What Icinga 2 says of itself: its link to the database, and the checks that matter here.

Asks the API of one master from inside its host. What belongs here is how to ask and what the
answers mean; it must not know what is broken meanwhile.
Fields as in the chapters "Icinga 2 API" and "Object Types" of Icinga's manual; times are seconds
since 1970, as Icinga has them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

IDO = "ido-mysql"
OUTSIDE_CHECK = "outside name resolves"
# consulfwd's own plug-ins.
SERVICE_CHECK, AGENTS_CHECK = "galeradb in Consul", "agents and recursors"
CA_FILE = "/var/lib/icinga2/certs/ca.crt"
PORT = 5665
PATIENCE_S = 5
# Queries wait for moments only: with more than this Icinga has stood still for seconds.
WAITING = 30
# A check that did not run for so long does not run.
SILENT_S = 60.0


class Machine(Protocol):
    """A host to run commands in, as `machines.Machine` is one."""

    @property
    def name(self) -> str:
        """Its name, which is that of its certificate."""

    def run(self, *arguments: str, given: str | None = None, check: bool = True) -> str:
        """Run a command there with this on standard input; what it writes."""


class Cluster(Protocol):
    """Hosts and passwords, as `site.Site` has them."""

    @property
    def machines(self) -> Mapping[str, Machine]:
        """The hosts by name."""

    def secret(self, key: str) -> str:
        """A password."""


# -- the API ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class IdoStatus:
    """What a master says of its link to the database.

    `answers`: it said something at all. `active`: it is the one that writes, the other one has
    "paused". `connected` stays true while the database has fallen silent: then `queued` grows.
    """

    answers: bool
    active: bool = False
    connected: bool = False
    queued: int = 0

    @property
    def writing(self) -> bool:
        """Whether what it has to say gets into the database."""
        return self.active and self.connected and self.queued <= WAITING


@dataclass(frozen=True)
class CheckState:
    """Where a service stands: `state` 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.

    `last_bad` is when it last was anything but OK,
    0.0 for never.
    """

    host: str
    state: int
    output: str
    last_check: float
    last_bad: float


def ask(machine: Machine, password: str, *paths: str) -> list[Any]:
    """The results at some paths of the API, [] for all if it does not answer (or refuses)."""
    settings = [
        "silent",
        "fail",
        "globoff",
        f"max-time = {PATIENCE_S}",
        f'cacert = "{CA_FILE}"',
        # Standard input, as every user can read the arguments of a program.
        f'user = "root:{password}"',
        f'connect-to = "{machine.name}:{PORT}:127.0.0.1:{PORT}"',
        *(f'url = "https://{machine.name}:{PORT}/v1/{path}"' for path in paths),
    ]
    text = machine.run("curl", "--config", "-", given="\n".join(settings) + "\n", check=False)
    decoder, found = json.JSONDecoder(), []
    try:
        for _ in paths:
            one, end = decoder.raw_decode(text)
            found.append(one["results"])
            text = text[end:].lstrip()
    except (ValueError, KeyError, TypeError):
        return []
    return found


def ido_status(machine: Machine, password: str) -> IdoStatus:
    """How this master stands with the database; `answers` is False when it does not say."""
    found = ask(
        machine, password, f"objects/idomysqlconnections/{IDO}", "status/IdoMysqlConnection"
    )
    if not found:
        return IdoStatus(answers=False)
    ((one,), (status,)) = found
    attributes, figures = one["attrs"], status["status"]["idomysqlconnection"][IDO]
    return IdoStatus(
        answers=True,
        active=not attributes["paused"],
        connected=attributes["connected"],
        queued=int(figures["query_queue_items"]),
    )


def check_states(machine: Machine, password: str, service: str) -> list[CheckState]:
    """Where the services of this name stand, by host; [] when Icinga does not say."""
    wanted = quote(f'service.name=="{service}"', safe="")
    found = ask(machine, password, f"objects/services?filter={wanted}")
    states = [_state(one["attrs"]) for results in found for one in results]
    return sorted(states, key=lambda one: one.host)


def _state(attributes: Mapping[str, Any]) -> CheckState:
    result = attributes["last_check_result"] or {}
    return CheckState(
        host=attributes["host_name"],
        state=int(attributes["state"]),
        output=result.get("output", ""),
        # -1 before the first one.
        last_check=max(attributes["last_check"], 0.0),
        last_bad=max(attributes[f"last_state_{one}"] for one in ("warning", "critical", "unknown")),
    )


def told(cluster: Cluster, service: str) -> dict[str, CheckState]:
    """Where the services of this name stand, by host, as the first master that answers says."""
    for name in sorted(cluster.machines):
        if name.startswith("icinga"):
            password = cluster.secret("ICINGA_API_PASSWORD")
            if states := check_states(cluster.machines[name], password, service):
                return {one.host: one for one in states}
    return {}


def outside_checks(cluster: Cluster, since: float = 0.0) -> list[str]:
    """What is wrong, or was since then, with Icinga's checks of a name outside Consul; [] if all
    is well. A check that does not run is wrong, too."""
    names = [name for name in sorted(cluster.machines) if name.startswith("icinga")]
    states = list(told(cluster, OUTSIDE_CHECK).values())
    silent = sorted(set(names) - {one.host for one in states})
    return [f"{name}: is not checked" for name in silent] + faults(states, since, time.time())


def faults(states: Iterable[CheckState], since: float, now: float) -> list[str]:
    """What is wrong with some checks, or was since then."""
    found = []
    for one in states:
        if one.last_bad > since:
            found.append(f"{one.host}: not OK {now - one.last_bad:.0f} s ago; now: {one.output}")
        if one.last_check < now - SILENT_S:
            found.append(f"{one.host}: no check for {now - one.last_check:.0f} s")
    return found
