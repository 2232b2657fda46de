"""What a rule is, what it is given, and what it finds.

Pure: what the agents said and which version the server has are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from consulfwd.servers.names import consul_question, is_address, under
from consulfwd.servers.syntax import SyntaxNode
from consulfwd.servers.target import Version

Severity = Literal["error", "warning"]

CONSUL_PORT = 8600
DNS_PORT = 53


class Place(NamedTuple):
    """A line of a file."""

    file: str
    line: int


class Finding(NamedTuple):
    """One thing that will bite: where, which rule, how bad, what, why, and the mend.

    `also` are the other places of the same cause. A mend may have several lines.
    """

    file: str
    line: int
    code: str
    severity: Severity
    what: str
    why: str
    mend: str
    also: tuple[Place, ...] = ()


class Hit(NamedTuple):
    """What a rule says of one statement; the rest of the finding is the rule's own.

    `why` is said instead of the rule's where that does not hold for every case of it.
    """

    node: SyntaxNode
    what: str
    mend: str
    why: str = ""


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


def _described(zone: str, agents: Sequence[tuple[str, int]]) -> str:
    servers = " and ".join(f"{address} port {port}" for address, port in agents)
    return f"send {zone or 'all names'} to {servers}"


@dataclass(frozen=True)
class Context:
    """What the rules look at.

    `nodes` are the statements of the file with all it includes, `groups` who gets Consul's names
    and the reverse names. `domains` are Consul's, `version` is the server's. `own` are the
    addresses and ports consulfwd listens on. `replies` are by address, port and name asked, and
    empty for those that were not asked. `spell` writes an agent as the server's file would (with
    DOMAIN for the zone, where the agent's line names it), `stanza` a zone with its agents.

    `forwarded` is who gets any name at all, the root being the empty zone; `elsewhere` who gets
    Consul's names by other files that were given with this one, `told` the names of the statements
    in these. `file` is the one that was given,
    `complete` whether all it includes was read, `generated` whether consulfwd wrote it,
    `kubernetes` whether it is for a cluster, where servers have addresses of services. `together`
    is the option that has all agents of a zone asked at once.
    """

    nodes: tuple[SyntaxNode, ...]
    groups: tuple[ZoneUpstreams, ...]
    domains: tuple[str, ...]
    version: Version
    own: frozenset[tuple[str, int]]
    replies: Mapping[tuple[str, int, str], AgentReply]
    spell: Callable[[str, int], str]
    stanza: Callable[[str, Sequence[tuple[str, int]]], str] = _described
    forwarded: tuple[ZoneUpstreams, ...] = ()
    elsewhere: tuple[ZoneUpstreams, ...] = ()
    told: frozenset[str] = frozenset()
    file: str = ""
    complete: bool = True
    generated: bool = False
    kubernetes: bool = False
    together: str = ""

    @property
    def start(self) -> SyntaxNode:
        """The place of what is missing from the file as a whole: its first statement.

        Of a folder, it is that of its first file.
        """
        for node in self.nodes:
            if node.file == self.file or node.file.startswith(f"{self.file}/") or self.file == ".":
                return node
        return SyntaxNode(self.file, 1, ())

    def says(self, *names: str) -> bool:
        """Has this file, or one that was given with it, a statement of one of the names?"""
        return any(node.name in names for node in self.nodes) or not self.told.isdisjoint(names)

    def spelled(self, zone: str, address: str, port: int = CONSUL_PORT) -> str:
        """Return an agent of a zone as the server's file has it."""
        return self.spell(address, port).replace("DOMAIN", zone)

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
            if is_address(one.address) and 0 <= one.endpoint[1] < 65_536 and one.port != 0:
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
    """Return what the rules find, each cause once, with all its places."""
    found: dict[tuple[LintRule, str, str, str], dict[Place, None]] = {}
    for rule in rules:
        for node, what, mend, why in rule.check(context):
            places = found.setdefault((rule, what, why or rule.why, mend), {})
            places[Place(node.file, node.line)] = None
    return [
        Finding(*first, rule.code, rule.severity, what, why, mend, tuple(more))
        for (rule, what, why, mend), (first, *more) in found.items()
    ]
