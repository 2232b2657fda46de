"""PowerDNS Recursor's files: their grammars, rules and looks."""

from __future__ import annotations

from collections.abc import Sequence

from consulfwd.servers.kind import ServerKind, bracketed, looks_like
from consulfwd.servers.pdns_recursor import grammar, rules
from consulfwd.servers.pdns_recursor.target import TARGET
from consulfwd.servers.rules import RULES as ALL_SERVERS


def stanza(zone: str, agents: Sequence[tuple[str, int]]) -> str:
    """Return a zone as recursor.conf has it; recursor.yml has the same in its own form."""
    servers = ";".join(bracketed(*one) for one in agents)
    listed = ", ".join(f"'{bracketed(*one)}'" for one in agents)
    return (
        f"forward-zones-recurse={zone}={servers}"
        "\nor, in recursor.yml, in the list forward_zones of recursor:"
        f"\n- {{zone: {zone}, recurse: true, forwarders: [{listed}]}}"
    )


KIND = ServerKind(
    target=TARGET,
    parse=grammar.parse,
    groups=rules.groups,
    rules=(*ALL_SERVERS, *rules.RULES),
    spell=bracketed,
    stanza=stanza,
    looks=looks_like(
        r"(?:forward-zones(?:-recurse|-file)?|auth-zones|allow-from|local-address|lua-config-file"
        r"|hint-file|serve-rfc1918|packetcache-\w+(?:-ttl)?|dont-throttle-\w+|dont-query"
        r"|minimum-ttl-override|max-negative-ttl)\s*\+?="
        r"|\+[\w.-]+\s*=\s*[\[\da-fA-F]|(?:recursor|incoming|outgoing|recordcache|packetcache):\s*$"
        r"|addNTA\s*\(|forwarders:"
    ),
    included=grammar.included,
    only_first=frozenset({"include-dir"}),
)
