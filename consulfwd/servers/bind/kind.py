"""BIND's files: their grammar, rules and looks."""

from __future__ import annotations

from collections.abc import Sequence

from consulfwd.servers.bind import grammar, model, rules, written
from consulfwd.servers.bind.target import TARGET
from consulfwd.servers.kind import ServerKind, looks_like
from consulfwd.servers.rules import RULES as ALL_SERVERS


def stanza(zone: str, agents: Sequence[tuple[str, int]]) -> str:
    """Return a zone as named.conf has it."""
    servers = " ".join(f"{address} port {port};" for address, port in agents)
    return f'zone "{zone}" {{ type forward; forward only; forwarders {{ {servers} }}; }};'


KIND = ServerKind(
    target=TARGET,
    parse=grammar.parse,
    groups=model.groups,
    rules=(*ALL_SERVERS, *rules.RULES),
    spell=lambda address, port: f"{address} port {port};",
    stanza=stanza,
    looks=looks_like(
        r"(?i:(?:options|logging|controls|statistics-channels|managed-keys|trusted-keys)\s*\{"
        r'|(?:zone|view|acl|key|server)\s+"?[^\s";{}:=]+"?(?:\s+\w+)?\s*\{'
        r'|include\s+"[^"\n]*"\s*;)'
    ),
    included=grammar.included,
    directory=grammar.directory,
    joined=written.joined,
    unseen=frozenset({"dyndb"}),  # FreeIPA has its forward zones in LDAP
)
