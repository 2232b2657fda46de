"""What bites in dnsdist.conf."""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.servers import lua
from consulfwd.servers.dnsdist import model
from consulfwd.servers.dnsdist.model import Rule, called
from consulfwd.servers.findings import CONSUL_PORT, Context, Hit, LintRule
from consulfwd.servers.names import around, is_reverse
from consulfwd.servers.rules import number

# By default.
FAILURES_KEPT_S = 60
SHORT_S = 5
_ANYBODY = frozenset({"0.0.0.0/0", "::/0"})


def _yaml(ctx: Context) -> bool:
    return ctx.file.endswith((".yml", ".yaml"))


def shadowed(ctx: Context) -> Iterator[Hit]:
    """A rule before it takes the same names."""
    taken: dict[str, Rule] = {}
    for rule in model.rules(ctx.nodes):
        for zone in rule.zones if rule.pool is not None else ():
            if not (ctx.domain_of(zone) or is_reverse(zone)):
                continue
            earlier = next((taken[one] for one in around(zone) if one in taken), None)
            if earlier is not None:
                what = f"{zone} never gets here: the rule on line {earlier.node.line} takes it"
                yield Hit(rule.node, what, f"put it before line {earlier.node.line}")
        exact = rule.node.body[0].words[:1] == ("QNameRule",)
        for zone in rule.zones if rule.ends and not exact else ():
            taken.setdefault(zone, rule)


def health_check(ctx: Context) -> Iterator[Hit]:
    """Agents looked at by a name that is not Consul's."""
    asked = {one.endpoint for group in ctx.consul_groups() for one in ctx.agents(group)}
    domain = ctx.domains[0]
    for server in model.servers(ctx.nodes):
        named = lua.field(server.table, "checkName")
        mode = lua.field(server.table, "healthCheckMode")
        looked = mode is None or mode.words[1].lower() == "auto"
        if server.upstream.endpoint not in asked or server.upstream.port == 0 or not looked:
            continue
        if named is None and lua.field(server.table, "checkFunction") is None:
            what = "agents are looked at by a.root-servers.net, the default"
            mend = f'checkName = "consul.service.{domain}.", mustResolve = true'
            if _yaml(ctx):
                mend = f"health_checks: {{qname: consul.service.{domain}., must_resolve: true}}"
            yield Hit(server.node, what, mend)


def open_to_all(ctx: Context) -> Iterator[Hit]:
    """Anybody may ask."""
    for call in called(ctx.nodes, "setACL", "addACL"):
        networks = lua.texts(call.body[0]) if call.body else []
        anybody = next((one for one in networks if one in _ANYBODY), None)
        if anybody:
            what = f"{'acl' if _yaml(ctx) else call.words[0]} lets anybody in ({anybody})"
            yaml = "acl: [127.0.0.0/8, 10.0.0.0/8]"
            mend = yaml if _yaml(ctx) else "setACL({'127.0.0.0/8', '10.0.0.0/8'})"
            yield Hit(call, what, mend)
        elif call.words[0] == "setACL" and call.body and call.body[0].words == (lua.TABLE,):
            added = any(called(ctx.nodes, "addACL"))
            if not call.body[0].body and not added and any(ctx.consul_groups()):
                why = "dnsdist drops queries of whom it does not know, without an answer"
                mend = "setACL({'127.0.0.0/8', '10.0.0.0/8'})"
                yield Hit(call, "setACL lets nobody in", mend, why)


def exact_name(ctx: Context) -> Iterator[Hit]:
    """A rule for the domain's own name, which nobody asks for."""
    for rule in called(ctx.nodes, "addAction"):
        given = rule.body[0] if rule.body else rule
        if given.words[:1] == ("QNameRule",) and given.body:
            for text in lua.texts(given.body[0]):
                domain = text.rstrip(".").lower()
                if domain in ctx.domains:
                    what = f"QNameRule takes {domain} itself, and no name below it"
                    yield Hit(rule, what, f'addAction({{"{domain}."}}, ...)')


def over_tls(ctx: Context) -> Iterator[Hit]:
    """Agents asked over TLS, which they do not speak."""
    asked = {one.endpoint for group in ctx.consul_groups() for one in ctx.agents(group)}
    for server in model.servers(ctx.nodes):
        secured = lua.field(server.table, "tls") or lua.field(server.table, "dohPath")
        if secured and server.upstream.endpoint in asked and server.upstream.port == CONSUL_PORT:
            what = f"{server.upstream.text} is asked over TLS"
            yield Hit(server.node, what, f"take {secured.words[0]} out")


def failures_kept(ctx: Context) -> Iterator[Hit]:
    """A cache of agents' answers, which keeps their failures too."""
    pools = {rule.pool for rule in model.rules(ctx.nodes)
             if any(ctx.domain_of(one) for one in rule.zones)}  # fmt: skip
    for pool, call in zip(ctx.nodes, ctx.nodes[1:], strict=False):
        if pool.words != ("getPool",) or call.words[-1:] != ("setCache",) or not pool.body:
            continue
        name = next(iter(lua.texts(pool.body[0])), None)
        cache = call.body[0] if call.body else call
        if name not in pools or cache.words != ("newPacketCache",):
            continue
        fields = [one for one in (lua.field(part, "temporaryFailureTTL") for part in cache.body)
                  if one is not None]  # fmt: skip
        kept = number(fields[0].words[1]) if fields else FAILURES_KEPT_S
        if kept is not None and kept > SHORT_S:
            what = f"the cache of pool {name} keeps SERVFAIL and REFUSED for {kept} s"
            mend = "newPacketCache(10000, {temporaryFailureTTL=1})"
            yield Hit(call, what, "temporary_failure_ttl: 1" if _yaml(ctx) else mend)


RULES = (
    LintRule("dnsdist-shadowed", "error", "the first rule that takes a name is the last", shadowed),
    LintRule(
        "dnsdist-health-check",
        "warning",
        "one that has lost Consul's servers counts as up, one whose recursors are gone as down",
        health_check,
    ),
    LintRule(
        "dnsdist-access",
        "warning",
        "the server takes part in attacks, and tells strangers about your services",
        open_to_all,
    ),
    LintRule("dnsdist-exact-name", "error", "no name of Consul's gets to the agents", exact_name),
    LintRule("dnsdist-tls", "error", "agents answer DNS in plain UDP and TCP only", over_tls),
    LintRule(
        "dnsdist-failures-kept",
        "warning",
        "clients get these for that long after agents are back",
        failures_kept,
    ),
)
