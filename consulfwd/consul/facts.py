"""What a template may ask of Consul: how each thing is asked for, and the value a reply becomes.

What belongs here: paths and parameters. Must not know: connections, tasks, templates, nor what
replies look like (`values`). Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from consulfwd.consul import hints, servers, strict, values
from consulfwd.consul.blocking import HOLD
from consulfwd.consul.content import Content

_DATACENTER = re.compile(r"[A-Za-z0-9_-]{1,64}")
# What Consul cannot be asked to wait for is asked for again after so many seconds; who Raft's peers
# are more seldom, as whoever is in doubt about them asks at once (`Following.again`).
POLL, PEERS_POLL = 10.0, 60.0
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
    PEERS = "peers"
    CHECKS = "checks"


class _Reader(Protocol):
    def __call__(self, parsed: object, left_out: strict.LeftOut, /) -> object: ...


class _Grammar(NamedTuple):
    """`path` with a place for the name; `read` makes the value; `safe` stays unquoted in names.

    `blocks` says that Consul can be asked to wait for changes, else it is asked `every` so many
    seconds; `absent` that 404 is an answer; `hints`, that it only tells where to look, so that
    nothing of it is to be doubted.
    """

    path: str
    read: _Reader
    blocks: bool = True
    absent: bool = False
    safe: str = ""
    params: Mapping[str, str] = MappingProxyType({})
    every: float = POLL
    hints: bool = False


def _peers(parsed: object, left_out: strict.LeftOut = strict.ignore) -> tuple[str, ...]:
    return tuple(sorted(servers.peers([] if parsed is None else parsed)))


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
    FactKind.PEERS: _Grammar("/v1/status/peers", _peers, blocks=False, every=PEERS_POLL),
    FactKind.CHECKS: _Grammar("/v1/health/state/{}", hints.checks, hints=True),
}
_PATHS = frozenset({FactKind.KEY, FactKind.KEYS})


@dataclass(frozen=True, slots=True)
class Reading(Content):
    """What one reply says of a fact: its value, who is in it, and what was left out, and why."""

    value: Any = field(default=None, compare=False)
    members: frozenset[object] = field(default=frozenset(), compare=False)
    left_out: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Known:
    """What is known of a fact; times are those of the follower's clock, in seconds.

    It was known to be so at `as_of`, has been so `since`, and no change of it has gone unseen
    until `proved_until`. `partial` says that the token may see a part of it only. `agent` is who
    said it, and had counted to `index` by then. `held` is why Consul says something else by now
    that is not believed yet, where that may last; else "".
    """

    value: Any
    as_of: float
    since: float
    proved_until: float
    partial: bool
    agent: str
    index: int = 0
    held: str = ""


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
        if len(name.encode("utf-8", "surrogatepass")) > MOST_NAME or not strict.fits_a_line(name):
            raise ValueError(f"{self.kind.value}: {name[:60]!r} cannot be asked for")
        parts = name.removesuffix("/").split("/") if self.kind in _PATHS and name else [name]
        if {".", ".."} & set(parts) or (self.kind in _PATHS and name and "" in parts):
            what = "starts with a slash, or has an empty part, . or .."
            raise ValueError(f"{self.kind.value}: {name[:60]!r} {what}")
        if self.datacenter and not _DATACENTER.fullmatch(self.datacenter):
            raise ValueError(f"{self.datacenter[:60]!r} is not the name of a datacenter")

    def __hash__(self) -> int:
        """Return what few others have: names do not tell kinds apart, nor datacenters."""
        return hash(self.name)

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
    def every(self) -> float:
        """How often (seconds) it is asked for where Consul cannot be asked for that."""
        return _GRAMMARS[self.kind].every

    @property
    def absent(self) -> bool:
        """Whether status 404 says that there is none, rather than that something is wrong."""
        return _GRAMMARS[self.kind].absent

    @property
    def hold(self) -> float:
        """How long (seconds) there must have been nothing, where there was something."""
        return HOLD

    @property
    def hints(self) -> bool:
        """Whether it only tells where to look: nothing else hangs on it."""
        return _GRAMMARS[self.kind].hints

    def read(self, parsed: object, left_out: strict.LeftOut = strict.ignore) -> object:
        """Return the value of a decoded reply.

        service: Instances, services: Listed, nodes: Nodes, datacenters and peers (Raft's, by their
        addresses): texts, all in sorted tuples; node, key, session: Node, Entry, Session, or None;
        keys: Entries by key, sorted; checks: see `hints.checks`.
        `left_out` is told of each thing that is not in the value because of what strangers wrote
        into it. Raises ValueError, which says what is wrong with the reply as a whole.
        """
        return _GRAMMARS[self.kind].read(parsed, left_out)

    def reading(self, parsed: object) -> Reading:
        """Return all that a decoded reply says. Raises ValueError as `read` does."""
        left_out: list[str] = []
        return self.reading_of(self.read(parsed, left_out.append), left_out)

    def reading_of(self, value: Any, left_out: Sequence[str] = ()) -> Reading:
        """Return the same for a value that was read."""
        found = content(value)
        if self.hints:
            # It is neither empty nor short of anything: both would be waited for.
            return Reading(1, found.digest, 1, value)
        who = self.members(value)
        return Reading(found.size, found.digest, found.healthy, value, who, tuple(left_out))

    def members(self, value: Any) -> frozenset[object]:
        """Return by what the members of a value are known from one reply to the next."""
        return _members(value)


def content(value: object) -> Content:
    """Return how many there are and a digest, to compare values by (see `blocking`)."""
    size = len(value) if isinstance(value, Sized) else int(value is not None)
    digest = hashlib.blake2b(repr(value).encode("utf-8", "backslashreplace"), digest_size=16)
    return Content(size, digest.digest(), size)


def _members(value: object) -> frozenset[object]:
    if isinstance(value, Mapping):
        return frozenset(value)
    if isinstance(value, tuple):
        return frozenset(
            (one.node, one.id)
            if isinstance(one, values.ServiceInstance)
            else getattr(one, "name", one)
            for one in value
        )
    return frozenset() if value is None else frozenset({""})
