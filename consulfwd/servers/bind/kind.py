"""BIND's files: their grammar, rules and looks."""

from __future__ import annotations

from consulfwd.servers.bind import grammar, model, rules
from consulfwd.servers.bind.target import TARGET
from consulfwd.servers.kind import ServerKind, looks_like
from consulfwd.servers.rules import RULES as ALL_SERVERS

KIND = ServerKind(
    target=TARGET,
    parse=grammar.parse,
    groups=model.groups,
    rules=(*ALL_SERVERS, *rules.RULES),
    spell=lambda address, port: f"{address} port {port};",
    looks=looks_like(
        r"(?:options|logging|controls|statistics-channels|managed-keys|trusted-keys)\s*\{"
        r'|(?:zone|view|acl|key|server)\s+"?[^\s";{}:=]+"?(?:\s+\w+)?\s*\{'
        r'|include\s+"[^"\n]*"\s*;'
    ),
    included=grammar.included,
    directory=grammar.directory,
)
