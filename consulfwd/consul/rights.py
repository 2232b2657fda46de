"""How to find out whether a token may still read what is gone from a list.

What belongs here: what is asked for that, and what the answer says. Must not know: connections, nor
what becomes of the list. Pure.

Consul hides what a token may not read by leaving it out. From 1.11 on it says so beside; before, a
list that is shorter by rights looks like one that is shorter in truth. Some questions are not
answered with less, but refused (403), by the servers' own knowledge of the token (an agent's may be
old by its `policy_ttl`), for names that do not exist too. They need not be answered with anything.
Consul 1.10 alone neither says it nor is known by its replies to be one that does not.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import quote

from consulfwd.consul.facts import Fact, FactKind
from consulfwd.errors import ConsulError

# So many of those that are gone are asked about at once; the rest stands and falls with them.
MOST = 32
TIMEOUT = 5.0
FORBIDDEN, CROWDED = 403, 429
# What Consul says of a token that has no right to something, or no rights at all.
_BY_ACLS = ("permission denied", "acl not found")
_NODE, _SERVICE, _KEY = "/v1/coordinate/node/", "/v1/config/service-defaults/", "/v1/kv/"
_OF_MEMBERS = {FactKind.SERVICES: _SERVICE, FactKind.NODES: _NODE, FactKind.KEYS: _KEY}


def can_tell(fact: Fact) -> bool:
    """Return whether there is anything to ask; of a key, and of sessions, there is not.

    (A key is refused itself.)
    """
    return fact.kind in _OF_MEMBERS or fact.kind in (FactKind.SERVICE, FactKind.NODE)


def refused(error: ConsulError) -> bool:
    """Return whether the token may not read it. Raises that error where it says nothing of that."""
    if not error.status or error.status == CROWDED or error.status >= 500:
        raise error
    # Agents may keep no coordinates (401), block paths, or be behind somebody who does (403).
    why = error.reason.lower()
    return error.status == FORBIDDEN and any(text in why for text in _BY_ACLS)


def paths(fact: Fact, gone: Collection[object]) -> list[str]:
    """Return what to ask an agent for where members of a list are gone (see `facts.Reading`).

    Each is refused where the token may not read the thing it is about.
    """
    if fact.kind is FactKind.SERVICE:
        # A member is a node's name and an ID.
        nodes = {one[0] for one in gone if isinstance(one, tuple)}
        return [_path(_SERVICE, fact.name), *_paths(_NODE, nodes)]
    if fact.kind is FactKind.NODE:
        return [_path(_NODE, fact.name)]
    return _paths(_OF_MEMBERS[fact.kind], gone)


def _paths(above: str, names: Collection[object]) -> list[str]:
    return [_path(above, name) for name in sorted(map(str, names))[:MOST]]


def _path(above: str, name: str) -> str:
    return above + quote(name, safe="/" if above == _KEY else "")
