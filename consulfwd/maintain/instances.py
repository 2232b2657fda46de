"""Instances as maintenance sees them: who is well, who is out and by whom, what DNS says of them.

What belongs here: reading Consul's entries strictly, and what follows from one. Pure; must not
know: requests, what is done.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from consulfwd.consul import strict
from consulfwd.consul.health import Entry
from consulfwd.words import printable

PASSING, WARNING = "passing", "warning"
# How Consul calls the checks by which a node, or an instance, is in maintenance.
NODE_CHECK, SERVICE_CHECK = "_node_maintenance", "_service_maintenance:"
# The check of an agent's being there, which no program's restart has to do with.
_SERF = "serfHealth"
_LONGEST = 160
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Check:
    """One check of an instance, or of its node.

    `every` is its interval and timeout in seconds, None where Consul does not tell (before 1.10,
    and of checks that are told from outside).
    """

    id: str
    name: str
    status: str
    notes: str
    output: str
    every: float | None

    @property
    def maintenance(self) -> bool:
        """Whether it is one that says that somebody has taken it out."""
        return self.id == NODE_CHECK or self.id.startswith(SERVICE_CHECK)

    def __str__(self) -> str:
        said = " ".join(printable(self.output.replace("\n", " ")).split())
        said = said[:_LONGEST] + ("..." if len(said) > _LONGEST else "")
        told = f"{printable(self.name or self.id)} is {printable(self.status)}"
        return f"{told}: {said}" if said else told


@dataclass(frozen=True)
class Instance:
    """One instance of a service, with all checks that count for it."""

    service: str
    id: str
    node: str
    node_address: str
    address: str
    port: int
    checks: tuple[Check, ...]

    @property
    def key(self) -> tuple[str, str]:
        """What no other instance in the datacenter has: node and ID."""
        return self.node, self.id

    @property
    def healthy(self) -> bool:
        """Whether Consul's DNS gives it out, by its usual settings: nothing is critical."""
        return all(one.status in (PASSING, WARNING) for one in self.checks)

    @property
    def own(self) -> tuple[Check, ...]:
        """The checks that say how it is, and not that it was taken out."""
        return tuple(one for one in self.checks if not one.maintenance)

    @property
    def has_agent(self) -> bool:
        """Whether its node has an agent; else it is in the catalog alone."""
        return any(one.id == _SERF for one in self.checks)

    def notes(self, check: str) -> str | None:
        """Return the reason of a maintenance, None where there is none."""
        return next((one.notes for one in self.checks if one.id == check), None)

    def __str__(self) -> str:
        at = f"[{self.address}]" if ":" in self.address else self.address
        at = f"{at}:{self.port}" if self.port else at
        name = self.service if self.id == self.service else f"{self.service} {self.id}"
        return printable(f"{name} on {self.node} ({at})")


@dataclass(frozen=True)
class Unit:
    """What is taken out at once: an instance, or a `whole` node with all that is on it."""

    node: str
    node_address: str
    instances: tuple[Instance, ...]
    whole: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What no other one has: node and ID, without an ID the node."""
        return (self.node, "") if self.whole else self.instances[0].key

    @property
    def check(self) -> str:
        """The check that its maintenance is."""
        return NODE_CHECK if self.whole else SERVICE_CHECK + self.instances[0].id

    @property
    def odd(self) -> str:
        """What of it is nothing to hand to a command, "" where all is.

        Whoever may register a service chooses its address and ID: `-oProxyCommand=...` is an order
        to ssh, and what a variable of the environment cannot hold ends a run.
        """
        names = [("node's name", self.node)]
        hosts = [self.node_address]
        if not self.whole:
            names.append(("ID", self.instances[0].id))
            hosts.append(self.instances[0].address)
        try:
            for text in hosts:
                strict.address(text, "its address")
        except ValueError as error:
            return str(error)
        for what, text in names:
            if text.startswith("-") or not text.isprintable():
                return f"its {what} begins with a dash or has letters that cannot be shown"
        return ""

    @property
    def healthy(self) -> bool:
        """Whether anybody is given out who is not, once it is out."""
        return any(one.healthy for one in self.instances)

    def __str__(self) -> str:
        if not self.whole:
            return str(self.instances[0])
        return printable(f"node {self.node} ({self.node_address})")


def instances_of(service: str, entries: Iterable[Entry]) -> tuple[Instance, ...]:
    """Return the instances of a service. Raises ValueError for what is not of Consul's form."""
    return tuple(_instance(service, one) for one in entries)


def _instance(service: str, entry: Entry) -> Instance:
    node, at = _text(entry.node, "Node"), _text(entry.node, "Address")
    port = entry.service.get("Port", 0)
    if type(port) is not int or not 0 <= port < 65_536:
        raise ValueError("an instance has a port that is none")
    own = entry.own_address
    address = own if isinstance(own, str) and own else at
    checks = tuple(_check(one) for one in entry.checks)
    return Instance(service, _text(entry.service, "ID"), node, at, address, port, checks)


def _text(fields: Mapping[str, Any], name: str) -> str:
    found = fields.get(name)
    if not isinstance(found, str) or not found:
        raise ValueError(f"an instance has no {name}")
    return found


def _check(fields: Mapping[str, Any]) -> Check:
    texts = [fields.get(one) for one in ("CheckID", "Name", "Status", "Notes", "Output")]
    id, name, status, notes, output = (one if isinstance(one, str) else "" for one in texts)
    if id == _SERF:
        return Check(id, name, status, notes, output, 0.0)
    interval, timeout = seconds(fields.get("Interval")), seconds(fields.get("Timeout"))
    every = None if interval is None else interval + (timeout or 0.0)
    return Check(id, name, status, notes, output, every)


def seconds(text: object) -> float | None:
    """Return how long a duration of Consul's is ("1m30s"), None where it is none or nothing."""
    if not isinstance(text, str) or not text or len(text) > 40:
        return None
    parts = _PART.findall(text)
    if "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts) or None


def named_by(instance: Instance, answers: Iterable[tuple[int, str]]) -> bool:
    """Return whether SRV records, as port and target, lead to an instance.

    Targets are names of the node, of the address in hexadecimal, or what the service is registered
    with where that is a name.
    """
    begins: list[str] = []
    whole = instance.address.lower().rstrip(".") + "."
    if instance.address == instance.node_address:
        begins.append(f"{instance.node.lower()}.node.")
    with suppress(ValueError):
        begins.append(f"{ip_address(instance.address).packed.hex()}.addr.")
    for port, target in answers:
        name = target.lower().rstrip(".") + "."
        if port == instance.port and (name.startswith(tuple(begins)) or name == whole):
            return True
    return False


def twins(instance: Instance, others: Sequence[Instance]) -> bool:
    """Return whether DNS cannot tell it from another one: the same node or address, and port."""
    return any(
        one.key != instance.key
        and one.port == instance.port
        and (one.node == instance.node or one.address == instance.address)
        for one in others
    )
