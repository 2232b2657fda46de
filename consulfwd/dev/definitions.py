"""Consul's own service-definition files (JSON), read into a catalog.

What belongs here: the files, the keys Consul knows in a service, what is wrong with them. Must not
know: DNS, HTTP, running agents. See "Services configuration reference" in Consul's documentation.

A real agent puts every service it is given on its own node. Development agents stand for a whole
fleet: an instance with an `address` gets a node of its own, named by `meta.node` or else by the
service's ID; one without stays on the first agent's node. Checks are not run: an instance has the
`status` its definition gives, or passes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from consulfwd.errors import ConfigError, Problem

from .catalog import Catalog, Check, Status

# Compared without case and underscores, as Consul does.
_SERVICE_KEYS = frozenset(
    {
        "id",
        "name",
        "kind",
        "tags",
        "meta",
        "address",
        "taggedaddresses",
        "port",
        "ports",
        "socketpath",
        "check",
        "checks",
        "weights",
        "enabletagoverride",
        "token",
        "connect",
        "proxy",
        "locality",
        "namespace",
        "partition",
    }
)
_STATES = ("passing", "warning", "critical")


@dataclass(frozen=True)
class Definition:
    """One service instance as a file defines it."""

    id: str
    name: str
    tags: tuple[str, ...]
    address: str
    port: int
    meta: dict[str, str]
    weights: tuple[int, int]
    checks: tuple[Check, ...]

    @property
    def node(self) -> str | None:
        """Its own node's name, or None where it runs on the agent's."""
        return (self.meta.get("node") or self.id) if self.address else None


def read_definitions(path: Path) -> list[Definition]:
    """The services of a file, or of every `*.json` of a directory in alphabetical order.

    Keys beside `service` and `services` are those of an agent and are passed over. ConfigError
    names every fault with its file and key.
    """
    problems: list[Problem] = []
    found: list[Definition] = []
    seen: dict[str, str] = {}
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        problems.append(Problem(str(path), "no *.json file in this directory"))
    for file in files:
        for key, body in _stanzas(file, problems):
            definition = _Reader(f"{file}: {key}", problems).definition(body)
            if definition is None:
                continue
            first = seen.setdefault(definition.id, f"{file}: {key}")
            if first != f"{file}: {key}":
                problems.append(
                    Problem(
                        f"{file}: {key}.id",
                        f"{definition.id!r} is also the ID of {first}",
                        "give each instance an id of its own",
                    )
                )
            found.append(definition)
    if problems:
        raise ConfigError(problems)
    return found


def load(definitions: Iterable[Definition], catalog: Catalog, agent_node: str) -> None:
    """Registers the instances; those without an address go to the node `agent_node`."""
    for each in definitions:
        catalog.register(
            each.name,
            id=each.id,
            node=each.node or agent_node,
            address=each.address,
            port=each.port,
            tags=each.tags,
            meta=each.meta,
            weights=each.weights,
            checks=each.checks or None,
        )


def _stanzas(file: Path, problems: list[Problem]) -> Iterable[tuple[str, object]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(Problem(str(file), f"cannot be read: {error.strerror}"))
        return
    except json.JSONDecodeError as error:
        problems.append(Problem(f"{file}:{error.lineno}:{error.colno}", f"not JSON: {error.msg}"))
        return
    except UnicodeDecodeError:
        problems.append(Problem(str(file), "not UTF-8 text"))
        return
    if not isinstance(content, dict):
        problems.append(Problem(str(file), "must hold a JSON object with `service` or `services`"))
        return
    if "service" in content:
        yield "service", content["service"]
    services = content.get("services", [])
    if not isinstance(services, list):
        problems.append(Problem(f"{file}: services", "must be a list of services"))
        return
    for number, body in enumerate(services):
        yield f"services[{number}]", body


class _Reader:
    """Reads one service stanza; every fault goes to `problems` with its key."""

    def __init__(self, where: str, problems: list[Problem]) -> None:
        self._where = where
        self._problems = problems

    def definition(self, body: object) -> Definition | None:
        before = len(self._problems)
        if not isinstance(body, dict):
            self._fault("", "must be an object")
            return None
        values: dict[str, Any] = {}
        for key, value in body.items():
            plain = str(key).lower().replace("_", "")
            if plain not in _SERVICE_KEYS:
                self._fault(f".{key}", "is no key of a Consul service")
            values[plain] = value
        name = self._text(values, "name")
        if not name and "name" not in values:
            self._fault(".name", "is missing")
        elif not name:
            self._fault(".name", "must not be empty")
        port = self._whole(values.get("port", 0), ".port", 65535)
        result = Definition(
            id=self._text(values, "id") or name,
            name=name,
            tags=self._tags(values.get("tags")),
            address=self._text(values, "address"),
            port=port,
            meta=self._meta(values.get("meta")),
            weights=self._weights(values.get("weights")),
            checks=self._checks(values),
        )
        return result if len(self._problems) == before else None

    def _fault(self, key: str, what: str) -> None:
        self._problems.append(Problem(self._where + key, what))

    def _text(self, values: Mapping[str, Any], key: str, under: str = "") -> str:
        value = values.get(key, "")
        if isinstance(value, str):
            return value
        self._fault(f"{under}.{key}", f"must be a string, not {value!r}")
        return ""

    def _whole(self, value: object, key: str, largest: int) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest:
            return value
        self._fault(key, f"must be a whole number from 0 to {largest}, not {value!r}")
        return 0

    def _tags(self, value: object) -> tuple[str, ...]:
        if value is None:
            return ()
        if isinstance(value, list) and all(isinstance(tag, str) for tag in value):
            return tuple(value)
        self._fault(".tags", "must be a list of strings")
        return ()

    def _meta(self, value: object) -> dict[str, str]:
        if value is None:
            return {}
        if isinstance(value, dict) and all(isinstance(each, str) for each in value.values()):
            return dict(value)
        self._fault(".meta", "must be an object of strings")
        return {}

    def _weights(self, value: object) -> tuple[int, int]:
        if value is None:
            return 1, 1
        if not isinstance(value, dict):
            self._fault(".weights", 'must be an object like {"passing": 10, "warning": 1}')
            return 1, 1
        plain = {str(key).lower(): weight for key, weight in value.items()}
        return (
            self._whole(plain.get("passing", 1), ".weights.passing", 65535),
            self._whole(plain.get("warning", 1), ".weights.warning", 65535),
        )

    def _checks(self, values: Mapping[str, Any]) -> tuple[Check, ...]:
        bodies = [(".check", values["check"])] if "check" in values else []
        several = values.get("checks", [])
        if not isinstance(several, list):
            self._fault(".checks", "must be a list of checks")
            several = []
        bodies += [(f".checks[{number}]", body) for number, body in enumerate(several)]
        service = values.get("id") or values.get("name")
        found = []
        for number, (key, body) in enumerate(bodies, 1):
            if not isinstance(body, dict):
                self._fault(key, "must be an object")
                continue
            plain = {str(each).lower().replace("_", ""): value for each, value in body.items()}
            status = plain.get("status", "passing")
            if status not in _STATES:
                self._fault(f"{key}.status", f"must be one of {', '.join(_STATES)}: {status!r}")
                continue
            suffix = f":{number}" if len(bodies) > 1 else ""
            id = self._text(plain, "id", key) or self._text(plain, "checkid", key)
            name = self._text(plain, "name", key) or f"Service '{values.get('name')}' check"
            kind = "ttl" if "ttl" in plain else ""
            notes = self._text(plain, "notes", key)
            state = cast(Status, status)
            found.append(Check(id or f"service:{service}{suffix}", name, state, notes, kind=kind))
        return tuple(found)
