"""dnsdist's files: their grammar, rules and looks."""

from __future__ import annotations

from collections.abc import Sequence

from consulfwd.servers.dnsdist import grammar, model, rules
from consulfwd.servers.dnsdist.target import TARGET
from consulfwd.servers.kind import ServerKind, bracketed, looks_like
from consulfwd.servers.rules import RULES as ALL_SERVERS


def stanza(zone: str, agents: Sequence[tuple[str, int]]) -> str:
    """Return a zone as dnsdist.conf has it."""
    lines = [spell(address, port).replace("DOMAIN", zone) for address, port in agents]
    return "\n".join([*lines, f'addAction({{"{zone}."}}, PoolAction("{zone}"))'])


def spell(address: str, port: int) -> str:
    """Return an agent as dnsdist.conf has it."""
    return f'newServer({{address="{bracketed(address, port)}", pool="DOMAIN"}})'


KIND = ServerKind(
    target=TARGET,
    parse=grammar.parse,
    groups=model.groups,
    rules=(*ALL_SERVERS, *rules.RULES),
    spell=spell,
    stanza=stanza,
    looks=looks_like(
        r"(?:newServer|addAction|addResponseAction|setLocal|addLocal|setACL|addACL|addPoolRule"
        r"|setServerPolicy|setPoolServerPolicy|includeDirectory|controlSocket|setSecurityPollSuffix"
        r"|addTLSLocal|addDOHLocal|webserver)\s*[({'\"]|(?:backends|query_rules|binds):[ \t]*$"
    ),
    included=grammar.included,
    only_first=frozenset({"includedirectory"}),
)
