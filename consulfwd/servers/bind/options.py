"""Options of BIND that are gone, are going, or have not come yet, by version.

Read off the grammars of the branches 9.11 to 9.20, where an option is marked as obsolete or
ancient; `named-checkconf` refuses the latter.
"""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.servers.bind import model as model
from consulfwd.servers.findings import CONSUL_PORT, Context, Hit, LintRule
from consulfwd.servers.syntax import SyntaxNode
from consulfwd.servers.target import Version


def _named(*lines: str) -> frozenset[str]:
    return frozenset(name for line in lines for name in line.split())


# version -> options the file is refused for from then on
REMOVED: dict[Version, frozenset[str]] = {
    (9, 14): _named(
        "deallocate-on-exit fake-iquery fetch-glue has-old-clients host-statistics",
        "host-statistics-max maintain-ixfr-base max-ixfr-log-size min-roots multiple-cnames",
        "named-xfer rfc2308-type1 serial-queries statistics-interval topology treat-cr-as-space",
        "use-id-pool",
    ),
    (9, 18): _named(
        "acache-cleaning-interval acache-enable additional-from-auth additional-from-cache",
        "allow-v6-synthesis cache-file cleaning-interval dnssec-enable dnssec-lookaside",
        "filter-aaaa filter-aaaa-on-v4 filter-aaaa-on-v6 geoip-use-ecs lwres max-acache-size",
        "nosit-udp-size queryport-pool-ports queryport-pool-updateinterval request-sit",
        "sit-secret use-ixfr use-queryport-pool",
    ),
    (9, 20): _named(
        "alt-transfer-source alt-transfer-source-v6 auto-dnssec coresize datasize delegation-only",
        "dscp files glue-cache lock-file random-device reserved-sockets",
        "resolver-nonbackoff-tries resolver-retry-interval root-delegation-only stacksize",
        "suppress-initial-notify tkey-dhkey use-alt-transfer-source",
    ),
}
# version -> options that do nothing from then on, or are told to go
OBSOLETE: dict[Version, frozenset[str]] = {
    (9, 16): _named(
        "auto-dnssec cleaning-interval dnssec-enable dnssec-lookaside managed-keys",
        "trusted-keys",
    ),
    (9, 18): _named(
        "alt-transfer-source alt-transfer-source-v6 avoid-v4-udp-ports avoid-v6-udp-ports",
        "coresize datasize delegation-only dialup dnssec-must-be-secure files glue-cache",
        "heartbeat-interval random-device reserved-sockets root-delegation-only stacksize",
        "suppress-initial-notify tkey-dhkey use-alt-transfer-source use-v4-udp-ports",
        "use-v6-udp-ports",
    ),
    (9, 20): frozenset(("sortlist",)),
}
DNSSEC_ENABLE = "dnssec-enable"


def _statements(ctx: Context) -> Iterator[SyntaxNode]:
    """The statements that may hold options: at the top, in options, views and zones."""
    blocks = {"options", "view", "zone", "server"}
    todo = list(ctx.nodes)
    while todo:
        node = todo.pop()
        yield node
        if node.name in blocks:
            todo += node.body


def since(table: dict[Version, frozenset[str]], name: str, version: Version) -> str:
    """Return the version from which a name is in the table, if that is not later, or nothing."""
    for first, names in table.items():
        if name in names and first <= version:
            return ".".join(map(str, first))
    return ""


def dnssec_enable(ctx: Context) -> Iterator[Hit]:
    """The option of widely copied examples."""
    for node in _statements(ctx):
        if node.name == DNSSEC_ENABLE and since(REMOVED, node.name, ctx.version):
            what = "BIND 9.18 and later do not start with dnssec-enable"
            mend = f'take it out; validate-except {{ "{ctx.domains[0]}"; }}; is what is meant'
            yield Hit(node, what, mend)


def removed(ctx: Context) -> Iterator[Hit]:
    """Other options BIND does not start with."""
    for node in _statements(ctx):
        if node.name != DNSSEC_ENABLE and (first := since(REMOVED, node.name, ctx.version)):
            yield Hit(node, f"BIND {first} and later do not start with {node.name}", "take it out")


def obsolete(ctx: Context) -> Iterator[Hit]:
    """Options that have no effect, or will be gone."""
    for node in _statements(ctx):
        if since(REMOVED, node.name, ctx.version):
            continue
        if first := since(OBSOLETE, node.name, ctx.version):
            yield Hit(node, f"{node.name} is obsolete since BIND {first}", "take it out")
        going = (9, 18) <= ctx.version < (9, 20)
        if going and node.name == "type" and node.value.lower() == "delegation-only":
            yield Hit(node, "type delegation-only is obsolete since BIND 9.18", "take it out")


def delegation_only(ctx: Context) -> Iterator[Hit]:
    """A type of zone that is gone."""
    for zone in model.zones(ctx.nodes):
        if model.zone_type(zone) == "delegation-only" and ctx.version >= (9, 20):
            what = "BIND 9.20 and later do not start with type delegation-only"
            yield Hit(zone.last("type") or zone, what, "take the zone out")


def forwarders_tls(ctx: Context) -> Iterator[Hit]:
    """Forwarders over TLS before BIND could."""
    if ctx.version >= (9, 20):
        return
    for node in _statements(ctx):
        if node.name == "forwarders":
            for one in (node, *node.body):
                if "tls" in one.words[1:]:
                    yield Hit(one, "forwarders with tls need BIND 9.20", "take tls out")


def agents_tls(ctx: Context) -> Iterator[Hit]:
    """Agents asked over TLS."""
    if ctx.version < (9, 20):
        return
    for group in ctx.consul_groups():
        for agent in group.upstreams:
            said = next((one for one in (agent.node, group.node) if "tls" in one.words[1:]), None)
            if said is not None and agent.port == CONSUL_PORT:
                yield Hit(said, f"agents of {group.zone} are asked over TLS", "take tls out")
                break


def validate_except(ctx: Context) -> Iterator[Hit]:
    """An option older versions do not know."""
    for node in _statements(ctx):
        if node.name == "validate-except" and ctx.version < (9, 14):
            mend = "take it out; dnssec-validation no; instead"
            yield Hit(node, "validate-except needs BIND 9.14", mend)


_REFUSED = "the server refuses the whole file"

RULES = (
    LintRule("bind-dnssec-enable", "error", _REFUSED, dnssec_enable),
    LintRule("bind-removed-option", "error", _REFUSED, removed),
    LintRule("bind-obsolete-option", "warning", "a later version refuses the whole file", obsolete),
    LintRule("bind-delegation-only", "error", _REFUSED, delegation_only),
    LintRule("bind-forwarders-tls", "error", _REFUSED, forwarders_tls),
    LintRule("bind-validate-except", "error", _REFUSED, validate_except),
    LintRule("bind-tls", "error", "agents answer DNS in plain UDP and TCP only", agents_tls),
)
