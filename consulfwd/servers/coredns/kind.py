"""CoreDNS's files: their grammar, rules and looks."""

from __future__ import annotations

from consulfwd.servers.coredns import grammar, rules
from consulfwd.servers.coredns.target import TARGET
from consulfwd.servers.kind import END, ServerKind, bracketed, looks_like
from consulfwd.servers.rules import RULES as ALL_SERVERS

KIND = ServerKind(
    target=TARGET,
    parse=grammar.parse,
    groups=rules.groups,
    rules=(*ALL_SERVERS, *rules.RULES),
    spell=bracketed,
    looks=looks_like(rf"[^\s#{{}};]+(?:[ \t]+[^\s#{{}};]+)*[ \t]*\{{{END}|import[ \t]+\S+{END}"),
    included=grammar.included,
)
