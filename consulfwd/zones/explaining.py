"""Which services a name may be of: of those there are, as far as a name tells.

What belongs here: reading names of a zone back. An earlier process may have put them there, so what
is claimed now is not all there is. Must not know: records wanted, budgets. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from consulfwd.dns import const, names
from consulfwd.zones.claims import Group
from consulfwd.zones.model import Act
from consulfwd.zones.naming import Naming, is_host


class Origin(NamedTuple):
    """Where a name comes from: the `groups` it may be of; or an address, of whatever service."""

    groups: tuple[Group, ...] = ()
    host: bool = False


class Explaining:
    """The names of one zone, read."""

    def __init__(self, naming: Naming, names_in: bytes = b"") -> None:
        self._naming = naming
        self._names_in = names_in
        # Services there are by their folded name: several that differ in case share one.
        self._known: dict[bytes, dict[str, int]] = {}

    def add(self, service: str) -> None:
        """Note that a service is in the catalog (in one more datacenter)."""
        at = self._known.setdefault(_folded(service), {})
        at[service] = at.get(service, 0) + 1

    def remove(self, service: str) -> None:
        """Note that a service is not in the catalog any more (in one datacenter less)."""
        at = self._known[_folded(service)]
        at[service] -= 1
        if not at[service]:
            del at[service]
            if not at:
                del self._known[_folded(service)]

    def origin(self, act: Act) -> Origin:
        """Return where the name of an act comes from."""
        if act.key.type == const.PTR:
            gone = sorted(act.withdrawn)
            found = [self._groups(self._below(one, self._names_in), plain=True) for one in gone]
            return Origin(tuple(dict.fromkeys(one for each in found for one in each)))
        labels = self._below(act.key.name, self._naming.origin)
        if is_host(labels):
            return Origin(tuple(self._groups(labels)), host=True)
        return Origin(tuple(dict.fromkeys(self._groups(labels))))

    def told_by(self, name: bytes) -> tuple[str, tuple[bytes, ...]]:
        """Return which service a name of SRV records is of, and its names that follow from that.

        Nothing ("" and none) of a name that is none of ours.
        """
        labels = self._below(name, self._naming.origin)
        if len(labels) < 2 or not (labels[0].startswith(b"_") and labels[-1].startswith(b"_")):
            return "", ()
        service, part = [labels[0][1:], *labels[1:-1]], labels[-1][1:]
        if not all(service):
            return "", ()
        own = names.join(service)[:-1] + self._naming.origin
        # It is no longer than that of the SRV records.
        parts = () if part == b"tcp" or not part else (names.join([part])[:-1] + own,)
        return b".".join(service).decode("latin-1"), (name, own, *parts)

    def _below(self, name: bytes, origin: bytes) -> list[bytes]:
        if not origin or not names.is_under(name, origin):
            return []
        return names.labels_of(name[: -len(origin)] + names.ROOT)

    def _groups(self, labels: list[bytes], plain: bool = False) -> Iterator[Group]:
        if not labels:
            return
        if labels[0].startswith(b"_") and len(labels) > 1:
            part = labels[-1][1:]
            service = [labels[0][1:], *labels[1:-1]]
            yield from self._named(service, tag=b"" if part == b"tcp" else part)
            return
        yield from self._named(labels)
        if len(labels) > 1 and not plain:
            yield from self._named(labels[1:], tag=labels[0])
            yield from self._named(labels[:-1], datacenter=labels[-1])

    def _named(
        self, labels: Iterable[bytes], tag: bytes = b"", datacenter: bytes = b""
    ) -> Iterator[Group]:
        for service in sorted(self._known.get(b".".join(labels), {})):
            yield Group(service, tag.decode("latin-1"), datacenter.decode("latin-1"))


def _folded(service: str) -> bytes:
    return service.lower().encode("utf-8", "replace")
