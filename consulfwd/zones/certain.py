"""Names that no service has any more, for certain, and who had each.

What belongs here: one such list, by name and by service. Pure; a change costs what it changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class Certain(Mapping[bytes, str]):
    """Who had a name, by the name."""

    __slots__ = ("_had", "_names")

    def __init__(self) -> None:
        self._had: dict[bytes, str] = {}
        self._names: dict[str, set[bytes]] = {}

    def __getitem__(self, name: bytes) -> str:
        return self._had[name]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._had)

    def __len__(self) -> int:
        return len(self._had)

    def put(self, name: bytes, service: str) -> None:
        """Note who had a name."""
        self.discard(name)
        self._had[name] = service
        self._names.setdefault(service, set()).add(name)

    def discard(self, name: bytes) -> None:
        """Forget a name: somebody has it."""
        service = self._had.pop(name, None)
        if service is not None:
            self._names[service].discard(name)
            if not self._names[service]:
                del self._names[service]

    def back(self, service: str) -> None:
        """Forget what a service had: it may be its again."""
        for name in self._names.pop(service, ()):
            del self._had[name]

    def clear(self) -> None:
        """Forget all."""
        self._had.clear()
        self._names.clear()
