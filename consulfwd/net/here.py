"""What the settings name that this host does not have now: addresses, interfaces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from consulfwd.config import Agent, Recursor, Settings
from consulfwd.config.objections import KeyPath, Objection
from consulfwd.core.upstreams import NO_INTERFACE
from consulfwd.net.binding import absent
from consulfwd.net.scopes import interface


def lacking(settings: Settings) -> Iterator[Objection]:
    """Yield what cannot be had now, though it may come; this host is asked, no port is taken."""
    reasons = [absent(endpoint.host) for endpoint in settings.listen]
    then = "it does not start before" if all(reasons) else "it is tried again while others answer"
    for index, (endpoint, why) in enumerate(zip(settings.listen, reasons, strict=True)):
        if why:
            what = f"{endpoint} cannot be had on this host now: {why}"
            yield Objection(("listen", index), what, then)
    lists: list[tuple[KeyPath, Sequence[Agent | Recursor]]] = [
        *settings.agent_lists(),
        *settings.recursor_lists(),
    ]
    for path, servers in lists:
        for index, server in enumerate(servers):
            scope = server.address.partition("%")[2]
            if scope and not _is_there(scope):
                what = f"{server.name} cannot be asked from this host now: {NO_INTERFACE}"
                yield Objection((*path, index), what, "it counts as down until then")


def _is_there(scope: str) -> bool:
    try:
        interface(scope)
    except OSError:
        return False
    return True
