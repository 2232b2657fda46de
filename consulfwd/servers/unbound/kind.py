"""unbound's files: their grammar, rules and looks."""

from __future__ import annotations

from consulfwd.servers.kind import ServerKind, looks_like
from consulfwd.servers.rules import RULES as ALL_SERVERS
from consulfwd.servers.unbound import grammar, model, rules
from consulfwd.servers.unbound.target import TARGET

KIND = ServerKind(
    target=TARGET,
    parse=grammar.parse,
    groups=model.groups,
    rules=(*ALL_SERVERS, *rules.RULES),
    spell=lambda address, port: f"forward-addr: {address}@{port}",
    looks=looks_like(rf"(?:{'|'.join(sorted(grammar.SECTIONS))}|include(?:-toplevel)?):(?:\s|$)"),
    included=grammar.included,
    directory=grammar.directory,
    joined=grammar.joined,
)
