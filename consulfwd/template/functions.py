"""What templates of any kind may ask of Consul: the functions they call.

What belongs here: how a function's answer follows from what is known, and what is not known yet.
Must not know how anything comes to be known, nor wait for it. Pure.

A template is rendered with what is known; whatever it asked for beside that is found out, and it
is rendered again, until nothing is missing. Only that last text counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import EllipsisType
from typing import Any

from consulfwd.consul.facts import Fact, FactKind
from consulfwd.consul.values import CatalogNode, KeyValue, Listed, Located, ServiceInstance, Session

# Some wait at the agent for changes, the others are looked at in turn (`consul.seats`), which takes
# the longer, the more there are. From NEARLY on it is told that there is a limit.
MOST_FACTS = 5000
NEARLY = MOST_FACTS * 4 // 5


@dataclass(frozen=True)
class Leader(Located):
    """Who holds a lock: its session, the session's node and that node's address.

    `value` is what the lock's key holds.
    """

    session: str
    node: str
    address: str
    value: str


class Functions:
    """The functions, answering by `known`. `asked` is all they were asked for meanwhile.

    What is `missing` of it is answered as if there were nothing: the text does not count then.
    `given` has how many instances were given by each question for them.
    """

    def __init__(self) -> None:
        self.known: Mapping[Fact, Any] = {}
        self.asked: set[Fact] = set()
        self.given: dict[str, int] = {}

    @property
    def missing(self) -> set[Fact]:
        """What was asked for and is not known."""
        return self.asked - self.known.keys()

    def begin(self, known: Mapping[Fact, Any]) -> None:
        """Answer by this from now on; nothing has been asked yet."""
        self.known = known
        self.asked = set()
        self.given = {}

    def names(self) -> dict[str, Callable[..., Any]]:
        """Return the functions by the names they have in templates."""
        return {name: getattr(self, name) for name in NAMES}

    def service(
        self,
        name: str,
        tag: str | None = None,
        datacenter: str | None = None,
        passing: bool = True,
    ) -> list[ServiceInstance]:
        """Return a service's instances, by node and ID; not only those that pass all checks,
        if so wanted."""
        fact = _fact(FactKind.SERVICE, name, datacenter)
        found: tuple[ServiceInstance, ...] = self._look(fact) or ()
        given = [
            one
            for one in found
            if (one.status == "passing" or not passing) and (tag is None or tag in one.tags)
        ]
        tagged = "" if tag is None else f" with the tag {str(tag)[:60]!r}"
        self.given[f"{fact}{tagged}"] = len(given)
        return given

    def services(self, datacenter: str | None = None) -> list[Listed]:
        """Return all services, by name."""
        return list(self._ask(FactKind.SERVICES, "", datacenter) or ())

    def nodes(self, datacenter: str | None = None) -> list[CatalogNode]:
        """Return all nodes, by name."""
        return list(self._ask(FactKind.NODES, "", datacenter) or ())

    def key(self, path: str, default: Any = ..., datacenter: str | None = None) -> Any:
        """Return a key's value, or `default` if there is no such key. Raises ValueError."""
        fact = _fact(FactKind.KEY, path, datacenter)
        entry: KeyValue | None = self._look(fact)
        if entry is not None:
            return entry.text()
        if fact not in self.known:
            return ""
        if isinstance(default, EllipsisType):
            raise ValueError(f"there is no key {path!r} (a default may be given: default='...')")
        return default

    def keys(self, prefix: str, datacenter: str | None = None) -> dict[str, str]:
        """Return the values of all keys that begin with a prefix, by key; no folders."""
        found: dict[str, KeyValue] = self._ask(FactKind.KEYS, prefix, datacenter) or {}
        return {key: one.text() for key, one in found.items() if not key.endswith("/")}

    def leader(self, key: str, datacenter: str | None = None) -> Leader | None:
        """Return who holds the lock of this key, None if nobody does. Raises ValueError."""
        entry: KeyValue | None = self._ask(FactKind.KEY, key, datacenter)
        if entry is None or not entry.session:
            return None
        of_session = _fact(FactKind.SESSION, entry.session, datacenter)
        session: Session | None = self._look(of_session)
        if session is None:
            self._unseen(of_session, key)
            return None
        of_node = _fact(FactKind.NODE, session.node, datacenter)
        node: CatalogNode | None = self._look(of_node)
        if node is None:
            self._unseen(of_node, key)
            return None
        return Leader(session.id, node.name, node.address, entry.text())

    def _unseen(self, fact: Fact, key: str) -> None:
        """What a lock's key names is not there. That is not to say that nobody holds the lock."""
        if fact in self.known:
            raise ValueError(
                f"who holds {key!r} cannot be seen: there is no {fact}"
                " (it has just ended, or the token may not read sessions or nodes)"
            )

    def datacenters(self) -> list[str]:
        """Return the names of all datacenters, sorted."""
        return list(self._ask(FactKind.DATACENTERS, "", None) or ())

    def _ask(self, kind: FactKind, name: str, datacenter: str | None) -> Any:
        return self._look(_fact(kind, name, datacenter))

    def _look(self, fact: Fact) -> Any:
        self.asked.add(fact)
        if len(self.asked) > MOST_FACTS:
            raise ValueError(f"more than {MOST_FACTS} things are asked of Consul")
        return self.known.get(fact)


NAMES = ("service", "services", "nodes", "key", "keys", "leader", "datacenters")


def _fact(kind: FactKind, name: object, datacenter: object) -> Fact:
    where = "" if datacenter is None else datacenter
    for one in (name, where):
        if not isinstance(one, str):
            raise ValueError(f"{kind.value}: {str(one)[:60]!r} is not a text")
    return Fact(kind, str(name), str(where))
