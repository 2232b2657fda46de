"""`consulfwd zone watch`, caught at a step of a push: run as a program by tests.

It is the real one; what differs is below, and nothing else. The first time that a zone comes to the
step which its name begins with (`ask-1.updated.svc.example.com`) it stands still there, if that is
wanted, until there is a file RELEASE: so one process is caught at all of them at once. Messages are
small, so that there is something between two of them. A session may live for less than the 10 s
that Consul wants by default, and says whose it is.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import dns.message
import dns.opcode

from consulfwd.cli.main import main
from consulfwd.consul.campaign import Campaign, Form
from consulfwd.consul.stages import Event
from consulfwd.consul.term import Term
from consulfwd.dns import names
from consulfwd.zones import writer
from consulfwd.zones.memory import Memory
from consulfwd.zones.primary import target as primary
from consulfwd.zones.primary.store import Store
from consulfwd.zones.publish import carrying, pushing, site
from consulfwd.zones.sinks import updates, updating
from consulfwd.zones.sinks.exchange import Exchange
from consulfwd.zones.sinks.rfc2136 import UpdatedZone
from consulfwd.zones.target import Push

# In their order; a push is of two messages at least. Consul is asked (`ask`) before each.
STEPS = {
    "updated": (
        "begin", "read", "plan", "check", "ask-1", "write-1", "wrote-1", "ask-2", "write-2",
        "wrote-2", "verify", "settle",
    ),
    "primary": ("read", "plan", "ask-1", "write-1", "wrote-1", "verify", "remember"),
}  # fmt: skip
RELEASE = "release"


class Note(NamedTuple):
    """What became of a zone at whose hands, and when (time of day).

    `what` is "active" (`number` is the lock's), "stopped" (it is so no more), "served" (a version
    of that serial is), or the step at which it stands still.
    """

    at: float
    who: str
    zone: str
    what: str
    number: int = 0


def notes(folder: Path) -> list[Note]:
    """Return all that was noted so far, in order."""
    lines = [line for path in folder.glob("*.notes") for line in path.read_text().splitlines()]
    return sorted(Note(*json.loads(line)) for line in lines)


class Gate:
    """Where one stands still."""

    def __init__(self, folder: Path, who: str, hold: bool) -> None:
        self._who = who
        self._hold = hold
        self._release = folder / RELEASE
        self._notes = folder / f"{who}.notes"
        self._held: set[str] = set()
        self._lock = threading.Lock()

    @property
    def closed(self) -> bool:
        return not self._release.exists()

    def comes(self, origin: bytes, step: str) -> bool:
        """Return whether a zone is to stand still here; it is noted."""
        zone = names.to_text(origin).rstrip(".")
        with self._lock:
            if not self._hold or zone in self._held or zone.partition(".")[0] != step:
                return False
            self._held.add(zone)
        self.note(zone, step)
        return True

    def note(self, zone: str, what: str, number: int = 0) -> None:
        with self._lock, self._notes.open("a") as file:
            file.write(json.dumps(Note(time.time(), self._who, zone, what, number)) + "\n")

    def at(self, origin: bytes, step: str) -> None:
        """Stand still here, if that is wanted."""
        if self.comes(origin, step):
            while self.closed:
                time.sleep(0.01)

    def before(self, kind: Any, method: str, step: str, origin: Callable[[Any], bytes]) -> None:
        """Let a step be the one before a method."""
        done = getattr(kind, method)

        def held(self_: Any, *given: Any, **more: Any) -> Any:
            self.at(origin(self_), step)
            return done(self_, *given, **more)

        setattr(kind, method, held)


def caught(gate: Gate) -> None:
    """Have pushes pass the gate at each step."""
    gate.before(UpdatedZone, "read", "read", lambda zone: zone.origin)
    gate.before(primary.Primary, "read", "read", lambda zone: zone.origin)
    for step in ("plan", "check", "verify", "settle"):
        gate.before(updating.UpdateChange, step, step, lambda change: change._zone.origin)
        gate.before(primary.Change, step, step, lambda change: change._primary.origin)
    carry_out = carrying.carry_out

    def carried(target: Any, push: Push, *given: Any, **more: Any) -> Any:
        number = itertools.count(1)

        def may() -> str:
            gate.at(target.origin, f"ask-{next(number)}")
            return push.may()

        return carry_out(target, push._replace(may=may), *given, **more)

    vars(pushing)["carry_out"] = carried
    _catch_writes(gate)
    _catch_memory(gate)


def _catch_writes(gate: Gate) -> None:
    ask, put = Exchange.ask, Store.put
    sent: dict[bytes, int] = {}

    def asked(self: Exchange, server: Any, message: dns.message.Message) -> dns.message.Message:
        if message.opcode() != dns.opcode.UPDATE:
            return ask(self, server, message)
        origin = message.question[0].name.canonicalize().to_wire()
        assert origin is not None
        sent[origin] = number = sent.get(origin, 0) + 1
        gate.at(origin, f"write-{number}")
        reply = ask(self, server, message)
        gate.at(origin, f"wrote-{number}")
        return reply

    def written(self: Store, *given: Any) -> None:
        gate.at(self._origin, "write-1")
        put(self, *given)
        gate.note(names.to_text(self._origin).rstrip("."), "served", self.versions.serial or 0)
        gate.at(self._origin, "wrote-1")

    Exchange.ask = asked  # type: ignore[method-assign]
    Store.put = written  # type: ignore[assignment,method-assign]


def _catch_memory(gate: Gate) -> None:
    save = writer._Holding.save

    async def saved(self: Any, memory: Memory) -> None:
        zone = self._shared.memory_key.split("/")[-2]
        first = not self.index or not getattr(self, "begun", False)
        self.begun = True
        if gate.comes(names.from_text(zone), "begin" if first else "remember"):
            while gate.closed:
                await asyncio.sleep(0.01)
        await save(self, memory)
        if first:
            gate.note(zone, "active", self.number)

    writer._Holding.save = saved  # type: ignore[method-assign]
    end = Campaign._end

    def ended(self: Campaign, term: Term, event: Event, why: str) -> None:
        gate.note(term.key.split("/")[-2], "stopped")
        end(self, term, event, why)

    Campaign._end = ended  # type: ignore[method-assign]


def run(asked: dict[str, Any], words: list[str]) -> None:
    """Be the command of these words."""
    form_of = writer.form_of

    def short(settings: Any) -> Form:
        return replace(form_of(settings, asked["who"]), **asked.get("lock", {}))

    vars(site)["form_of"] = short
    updates.ROOM = 300
    # Each of those that stand still takes a thread.
    ThreadPoolExecutor.__init__.__defaults__ = (64, "", None, ())
    caught(Gate(Path(asked["folder"]), asked["who"], asked["hold"]))
    sys.argv[1:] = words
    main()


if __name__ == "__main__":
    run(json.loads(sys.argv[1]), sys.argv[2:])
