"""unbound's files: their grammar, rules and looks."""

from __future__ import annotations

from collections.abc import Sequence

from consulfwd.servers.kind import ServerKind, looks_like
from consulfwd.servers.rules import RULES as ALL_SERVERS
from consulfwd.servers.unbound import grammar, model, rules, written
from consulfwd.servers.unbound.names import SECTIONS
from consulfwd.servers.unbound.target import TARGET


def stanza(zone: str, agents: Sequence[tuple[str, int]]) -> str:
    """Return a zone as unbound.conf has it."""
    servers = "\n".join(f"    forward-addr: {address}@{port}" for address, port in agents)
    return f'forward-zone:\n    name: "{zone}."\n{servers}'


KIND = ServerKind(
    target=TARGET,
    parse=grammar.parse,
    groups=model.groups,
    rules=(*ALL_SERVERS, *rules.RULES),
    spell=lambda address, port: f"forward-addr: {address}@{port}",
    stanza=stanza,
    looks=looks_like(rf"(?:{'|'.join(sorted(SECTIONS))}|include(?:-toplevel)?):(?:\s|$)"),
    included=grammar.included,
    directory=grammar.directory,
    joined=written.joined,
)
