"""systemd-resolved's files: their grammar, rules and looks."""

from __future__ import annotations

from collections.abc import Sequence

from consulfwd.servers.kind import ServerKind, bracketed, looks_like
from consulfwd.servers.resolved import grammar, model, rules
from consulfwd.servers.resolved.target import TARGET
from consulfwd.servers.rules import RULES as ALL_SERVERS


def stanza(zone: str, agents: Sequence[tuple[str, int]]) -> str:
    """Return a zone as a drop-in of resolved.conf has it."""
    servers = " ".join(bracketed(*one) for one in agents)
    return f"[Resolve]\nDNS={servers}\nDomains=~{zone}"


KIND = ServerKind(
    target=TARGET,
    parse=grammar.parse,
    groups=model.groups,
    rules=(*ALL_SERVERS, *rules.RULES),
    spell=lambda address, port: f"DNS={bracketed(address, port)}",
    stanza=stanza,
    beside=True,
    looks=looks_like(r"\[(?:[Rr]esolve|[Nn]etwork|[Dd]elegate)\][ \t]*$"),
)
