"""What a rule is, what it is given, and what it finds.

Pure: what the agents said and which version the server has are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from consulfwd.servers.names import consul_question, is_address, under
from consulfwd.servers.syntax import SyntaxNode
from consulfwd.servers.target import Version

Severity = Literal["error", "warning"]

CONSUL_PORT = 8600
DNS_PORT = 53


class Finding(NamedTuple):
    """One thing that will bite: where, which rule, how bad, what, why, and the mend."""

    file: str
    line: int
    code: str
    severity: Severity
    what: str
    why: str
    mend: str


class Hit(NamedTuple):
    """What a rule says of one statement; the rest of the finding is the rule's own."""

    node: SyntaxNode
    what: str
    mend: str


class AgentReply(NamedTuple):
    """How an agent replied. `problem` is empty for an answer; `silent` for no reply at all."""

    problem: str = ""
    silent: bool = False
    recursion: bool = True
    ttl: int = 0


class WrittenUpstream(NamedTuple):
    """A server names are sent to. `port` is None where none is written (0 where it is no port)."""

    node: SyntaxNode
    text: str
    address: str
    port: int | None

    @property
    def endpoint(self) -> tuple[str, int]:
        """Address and port, that of DNS where none is written."""
        return self.address, DNS_PORT if self.port is None else self.port


class ZoneUpstreams(NamedTuple):
    """The servers of one zone. `zone` is a name without its last dot."""

    node: SyntaxNode
    zone: str
    upstreams: tuple[WrittenUpstream, ...]


@dataclass(frozen=True)
class Context:
    """What the rules look at.

    `nodes` are the statements of the file with all it includes, `groups` who gets Consul's names
    and the reverse names. `domains` are Consul's, `version` is the server's. `own` are the
    addresses and ports consulfwd listens on. `replies` are by address, port and name asked, and
    empty for those that were not asked. `spell` writes an agent as the server's file would.
    """

    nodes: tuple[SyntaxNode, ...]
    groups: tuple[ZoneUpstreams, ...]
    domains: tuple[str, ...]
    version: Version
    own: frozenset[tuple[str, int]]
    replies: Mapping[tuple[str, int, str], AgentReply]
    spell: Callable[[str, int], str]

    def domain_of(self, zone: str) -> str | None:
        """Return Consul's domain that a zone is, or lies in."""
        return next((domain for domain in self.domains if under(zone, domain)), None)

    def consul_groups(self) -> Iterable[ZoneUpstreams]:
        """Return the groups of zones that are Consul's."""
        return (group for group in self.groups if self.domain_of(group.zone))

    def agents(self, group: ZoneUpstreams) -> tuple[WrittenUpstream, ...]:
        """Return the servers of a group that are not consulfwd itself."""
        return tuple(one for one in group.upstreams if one.endpoint not in self.own)

    def reply(self, group: ZoneUpstreams, agent: WrittenUpstream) -> AgentReply | None:
        """Return what the server said to a question of the group's zone, if it was asked."""
        domain = self.domain_of(group.zone)
        if domain is None:
            return None
        address, port = agent.endpoint
        return self.replies.get((address, port, consul_question(group.zone, domain)))


def questions(
    groups: Iterable[ZoneUpstreams], domains: Iterable[str]
) -> list[tuple[str, int, str]]:
    """Return whom to ask what, each once, in order: address, port, name."""
    known = tuple(domains)
    found: dict[tuple[str, int, str], None] = {}
    for group in groups:
        domain = next((one for one in known if under(group.zone, one)), None)
        for one in group.upstreams if domain is not None else ():
            if is_address(one.address) and one.port != 0:
                assert domain is not None
                address, port = one.endpoint
                found[address, port, consul_question(group.zone, domain)] = None
    return list(found)


@dataclass(frozen=True)
class LintRule:
    """A code, how bad it is, why it bites, and the function that finds it."""

    code: str
    severity: Severity
    why: str
    check: Callable[[Context], Iterable[Hit]]


def run(rules: Iterable[LintRule], context: Context) -> list[Finding]:
    """Return what the rules find, each thing once."""
    found: dict[Finding, None] = {}
    for rule in rules:
        for node, what, mend in rule.check(context):
            place = (node.file, node.line, rule.code, rule.severity)
            found[Finding(*place, what, rule.why, mend)] = None
    return list(found)
