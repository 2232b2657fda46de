"""Knot Resolver's files: their grammar, rules and looks."""

from __future__ import annotations

from collections.abc import Sequence

from consulfwd.servers.kind import ServerKind, looks_like
from consulfwd.servers.kresd import grammar, model, rules
from consulfwd.servers.kresd.rules import UNSIGNED
from consulfwd.servers.kresd.target import TARGET
from consulfwd.servers.rules import RULES as ALL_SERVERS


def stanza(zone: str, agents: Sequence[tuple[str, int]]) -> str:
    """Return a zone as kresd.conf has it."""
    servers = ", ".join(f"'{address}@{port}'" for address, port in agents)
    listed = ", ".join(f"{address}@{port}" for address, port in agents)
    return (
        f"policy.add(policy.suffix(policy.STUB({{{servers}}}), policy.todnames({{'{zone}.'}})))"
        f"\nor, in YAML of version 6, below forward:"
        f"\n- {{subtree: {zone}, servers: [{listed}], options: {UNSIGNED}}}"
    )


KIND = ServerKind(
    target=TARGET,
    parse=grammar.parse,
    groups=model.groups,
    rules=(*ALL_SERVERS, *rules.RULES),
    spell=lambda address, port: f"'{address}@{port}'",
    stanza=stanza,
    looks=looks_like(
        r"(?:policy\.add|net\.listen|modules\.load|view:addr|trust_anchors\.\w+|cache\.\w+"
        r"|hints\.\w+)\s*[({'\"]|(?:modules|net)\s*=\s*\{|cache\.size\s*="
        r"|-[ \t]+subtree:|(?:forward|lua|local-data|rundir):[ \t]*(?:/\S*)?$"
    ),
    included=grammar.included,
)
