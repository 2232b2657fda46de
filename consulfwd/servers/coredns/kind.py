"""CoreDNS's files: their grammar, rules and looks."""

from __future__ import annotations

from collections.abc import Sequence

from consulfwd.servers.coredns import grammar, model, rules
from consulfwd.servers.coredns.target import TARGET
from consulfwd.servers.kind import END, ServerKind, bracketed, looks_like
from consulfwd.servers.rules import RULES as ALL_SERVERS


def stanza(zone: str, agents: Sequence[tuple[str, int]]) -> str:
    """Return a zone as a Corefile has it."""
    servers = " ".join(bracketed(*one) for one in agents)
    return f"{zone}:53 {{\n    errors\n    forward . {servers}\n}}"


# A block may be on one line, which CoreDNS refuses, and says little about.
_ONE_LINE = r"\{[ \t]+(?:forward|proxy|errors|cache|log|health|file|import|hosts|bind)\b[^;\n]*\}"

KIND = ServerKind(
    target=TARGET,
    parse=grammar.parse,
    groups=model.groups,
    rules=(*ALL_SERVERS, *rules.RULES),
    spell=bracketed,
    stanza=stanza,
    looks=looks_like(
        rf"[^\s#{{}};]+(?:[ \t]+[^\s#{{}};]+)*[ \t]*(?:\{{|{_ONE_LINE}){END}|import[ \t]+\S+{END}"
    ),
    included=grammar.included,
    from_file=True,
)
