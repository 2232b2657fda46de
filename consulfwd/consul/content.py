"""What DNS can show of a reply of the catalog: the rest may change without any answer changing.

What belongs here: which fields count, and a digest of them. Must not know: how a reply was got,
what is done when it changed. Pure. A field is left out only when no DNS answer depends on it; a
change seen where there is none costs one question, one overlooked would be a wrong answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from consulfwd.core.settling import Instance

# When a thing was written, by Raft's count.
_WRITTEN = frozenset({"CreateIndex", "ModifyIndex"})
# What a check says for people changes with each run.
_FOR_PEOPLE = frozenset({"Notes", "Output"})


@dataclass(frozen=True, slots=True)
class Content:
    """How many instances (or nodes) there are, and a digest of what DNS shows of them.

    `healthy` is how many of them DNS may name: those without a critical check.
    """

    size: int
    digest: bytes
    healthy: int


def service(parsed: object) -> Content:
    """Return the content of /v1/health/service/<name>, whatever order it is in.

    Raises ValueError when it is not of that form.
    """
    instances = _list(parsed)
    return _content([_instance(entry) for entry in instances], sum(map(_healthy, instances)))


def node(parsed: object) -> Content:
    """Return the content of /v1/catalog/node/<name>, null when there is none.

    A node's services are left out: its names show its address and its metadata. Raises
    ValueError when it is not of that form.
    """
    if parsed is None:
        return _content([], 0)
    return _content([_without(_mapping(parsed).get("Node"), _WRITTEN)], 1)


def _instance(entry: object) -> Mapping[str, object]:
    fields = _mapping(entry)
    checks = [_without(check, _WRITTEN | _FOR_PEOPLE) for check in _list(fields.get("Checks"))]
    return {
        **fields,
        "Node": _without(fields.get("Node"), _WRITTEN),
        "Service": _without(fields.get("Service"), _WRITTEN),
        "Checks": sorted(map(_canonical, checks)),
    }


def _healthy(entry: object) -> bool:
    checks = _list(_mapping(entry).get("Checks"))
    return all(_mapping(check).get("Status") != "critical" for check in checks)


def _without(thing: object, names: frozenset[str]) -> Mapping[str, object]:
    return {name: value for name, value in _mapping(thing).items() if name not in names}


def _mapping(thing: object) -> Mapping[str, Any]:
    if not isinstance(thing, dict):
        raise ValueError("the reply is not of the form Consul's have")
    return thing


def _list(thing: object) -> list[Any]:
    # Go writes an empty list as null at times.
    if thing is None:
        return []
    if not isinstance(thing, list):
        raise ValueError("the reply is not of the form Consul's have")
    return thing


def _canonical(thing: object) -> str:
    try:
        return json.dumps(thing, sort_keys=True, separators=(",", ":"))
    except RecursionError:
        raise ValueError("the reply is nested too deep") from None


def _content(parts: Iterable[Mapping[str, object]], healthy: int) -> Content:
    lines = sorted(map(_canonical, parts))
    digest = hashlib.blake2b(digest_size=16)
    for line in lines:
        # Text of JSON has no line breaks.
        digest.update(line.encode() + b"\n")
    return Content(len(lines), digest.digest(), healthy)


def instances(parsed: object) -> frozenset[Instance]:
    """Return the healthy instances in /v1/health/service/<name>, as DNS shows them.

    Raises ValueError when it is not of that form.
    """
    return frozenset(_shown(entry) for entry in _list(parsed) if _healthy(entry))


def _shown(entry: object) -> Instance:
    fields = _mapping(entry)
    node, service = _mapping(fields.get("Node")), _mapping(fields.get("Service"))
    weights, port = _mapping(service.get("Weights") or {}), service.get("Port")
    passing = all(_mapping(one).get("Status") == "passing" for one in _list(fields.get("Checks")))
    weight = weights.get("Passing" if passing else "Warning")
    own = str(service.get("Address") or "")
    return Instance(
        node=str(node.get("Node")),
        address=own or str(node.get("Address")),
        own=bool(own),
        port=port if isinstance(port, int) and 0 <= port < 65536 else 0,
        tags=frozenset(str(tag).lower() for tag in _list(service.get("Tags"))),
        weight=weight if isinstance(weight, int) and 0 <= weight < 65536 else 1,
        passing=passing,
        datacenter=str(node.get("Datacenter")),
    )
