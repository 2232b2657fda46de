"""dnsmasq's files: their grammar, rules and looks."""

from __future__ import annotations

from collections.abc import Sequence

from consulfwd.servers.dnsmasq import grammar, model, rules, written
from consulfwd.servers.dnsmasq.target import TARGET
from consulfwd.servers.kind import END, ServerKind, looks_like
from consulfwd.servers.rules import RULES as ALL_SERVERS


def stanza(zone: str, agents: Sequence[tuple[str, int]]) -> str:
    """Return a zone as dnsmasq.conf has it."""
    return "\n".join(f"server=/{zone}/{address}#{port}" for address, port in agents)


KIND = ServerKind(
    target=TARGET,
    parse=grammar.parse,
    groups=model.groups,
    rules=(*ALL_SERVERS, *rules.RULES),
    spell=lambda address, port: f"server=/DOMAIN/{address}#{port}",
    stanza=stanza,
    together="all-servers",
    looks=looks_like(rf"[a-z][a-z0-9-]*(?:[ \t]*=[^\n]*)?{END}"),
    included=grammar.included,
    joined=written.joined,
    unseen=frozenset({"conf-script"}),
    read_once=True,
)
