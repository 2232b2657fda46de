"""What a template may ask of Consul: how each thing is asked for, and the value a reply becomes.

What belongs here: paths and parameters. Must not know: connections, tasks, templates, nor what
replies look like (`values`). Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote

from consulfwd.consul import values
from consulfwd.consul.content import Content

_DATACENTER = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Octets: a name stands in the first line of a request.
MOST_NAME = 1024


class FactKind(Enum):
    """What can be asked for; the value is how it is called in messages."""

    SERVICE = "service"
    SERVICES = "services"
    NODES = "nodes"
    NODE = "node"
    KEY = "key"
    KEYS = "keys"
    SESSION = "session"
    DATACENTERS = "datacenters"


class _Grammar(NamedTuple):
    """`path` with a place for the name; `read` makes the value; `safe` stays unquoted in names.

    `blocks` says that Consul can be asked to wait for changes; `absent` that 404 is an answer.
    """

    path: str
    read: Callable[[object], object]
    blocks: bool = True
    absent: bool = False
    safe: str = ""
    params: Mapping[str, str] = MappingProxyType({})


_GRAMMARS: dict[FactKind, _Grammar] = {
    FactKind.SERVICE: _Grammar("/v1/health/service/{}", values.instances),
    FactKind.SERVICES: _Grammar("/v1/catalog/services", values.services),
    FactKind.NODES: _Grammar("/v1/catalog/nodes", values.nodes),
    FactKind.NODE: _Grammar("/v1/catalog/node/{}", values.one_node),
    FactKind.KEY: _Grammar("/v1/kv/{}", values.one_entry, absent=True, safe="/"),
    FactKind.KEYS: _Grammar(
        "/v1/kv/{}", values.entries, absent=True, safe="/", params={"recurse": ""}
    ),
    FactKind.SESSION: _Grammar("/v1/session/info/{}", values.session),
    FactKind.DATACENTERS: _Grammar("/v1/catalog/datacenters", values.datacenters, blocks=False),
}
_PATHS = frozenset({FactKind.KEY, FactKind.KEYS})


@dataclass(frozen=True)
class Fact:
    """One thing to know. `datacenter` "" is the one of the agent that is asked."""

    kind: FactKind
    name: str = ""
    datacenter: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for what Consul cannot be asked for."""
        name, named = self.name, "{" in _GRAMMARS[self.kind].path
        if named and not (name or self.kind is FactKind.KEYS):
            raise ValueError(f"{self.kind.value}: the name is empty")
        if len(name.encode("utf-8", "surrogatepass")) > MOST_NAME or not values.fits_a_line(name):
            raise ValueError(f"{self.kind.value}: {name[:60]!r} cannot be asked for")
        parts = name.removesuffix("/").split("/") if self.kind in _PATHS and name else [name]
        if {".", ".."} & set(parts) or (self.kind in _PATHS and name and "" in parts):
            what = "starts with a slash, or has an empty part, . or .."
            raise ValueError(f"{self.kind.value}: {name[:60]!r} {what}")
        if self.datacenter and not _DATACENTER.fullmatch(self.datacenter):
            raise ValueError(f"{self.datacenter[:60]!r} is not the name of a datacenter")

    def __str__(self) -> str:
        where = f" in {self.datacenter}" if self.datacenter else ""
        return f"{self.kind.value} {self.name}".rstrip() + where

    @property
    def path(self) -> str:
        """The path of the request, quoted."""
        grammar = _GRAMMARS[self.kind]
        return grammar.path.format(quote(self.name, safe=grammar.safe))

    @property
    def params(self) -> dict[str, str]:
        """The parameters of the request, but those of blocking and consistency."""
        params = dict(_GRAMMARS[self.kind].params)
        return params | ({"dc": self.datacenter} if self.datacenter else {})

    @property
    def blocks(self) -> bool:
        """Whether Consul can be asked to answer once it changed."""
        return _GRAMMARS[self.kind].blocks

    @property
    def absent(self) -> bool:
        """Whether status 404 says that there is none, rather than that something is wrong."""
        return _GRAMMARS[self.kind].absent

    def read(self, parsed: object) -> object:
        """Return the value of a decoded reply.

        service: Instances, services: Listed, nodes: Nodes, datacenters: texts, all in sorted
        tuples; node, key, session: Node, Entry, Session, or None; keys: Entries by key, sorted.
        Raises ValueError, which says what is wrong with the reply.
        """
        return _GRAMMARS[self.kind].read(parsed)


def content(value: object) -> Content:
    """Return how many there are and a digest, to compare values by (see `blocking`)."""
    size = len(value) if isinstance(value, Sized) else int(value is not None)
    digest = hashlib.blake2b(repr(value).encode("utf-8", "backslashreplace"), digest_size=16)
    return Content(size, digest.digest(), size)
