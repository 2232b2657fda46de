"""dnsmasq's files: their grammar, rules and looks."""

from __future__ import annotations

from consulfwd.servers.dnsmasq import grammar, rules
from consulfwd.servers.dnsmasq.target import TARGET
from consulfwd.servers.kind import END, ServerKind, looks_like
from consulfwd.servers.rules import RULES as ALL_SERVERS

KIND = ServerKind(
    target=TARGET,
    parse=grammar.parse,
    groups=rules.groups,
    rules=(*ALL_SERVERS, *rules.RULES),
    spell=lambda address, port: f"server=/DOMAIN/{address}#{port}",
    looks=looks_like(rf"[a-z][a-z0-9-]*(?:[ \t]*=[^\n]*)?{END}"),
    included=grammar.included,
)
