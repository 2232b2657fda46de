"""systemd-resolved's files: their grammar, rules and looks."""

from __future__ import annotations

from consulfwd.servers.kind import ServerKind, bracketed, looks_like
from consulfwd.servers.resolved import grammar, rules
from consulfwd.servers.resolved.target import TARGET
from consulfwd.servers.rules import RULES as ALL_SERVERS

KIND = ServerKind(
    target=TARGET,
    parse=grammar.parse,
    groups=rules.groups,
    rules=(*ALL_SERVERS, *rules.RULES),
    spell=lambda address, port: f"DNS={bracketed(address, port)}",
    looks=looks_like(r"\[(?:Resolve|Network|Delegate)\][ \t]*$"),
)
