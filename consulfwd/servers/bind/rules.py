"""What bites in named.conf: validation, limits, leaks, caches. Options by version: bind_options."""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.servers.bind import model as model
from consulfwd.servers.bind.model import Scope, scopes, zone_name, zone_type, zones
from consulfwd.servers.bind.options import RULES as OPTIONS
from consulfwd.servers.findings import Context, Hit, LintRule
from consulfwd.servers.names import is_reverse, private_zone
from consulfwd.servers.rules import number
from consulfwd.servers.syntax import SyntaxNode, find

DEFAULT_EDNS = 1232  # what cannot do harm off this host, where fragments get lost


def validation(ctx: Context) -> Iterator[Hit]:
    """Validation on, and the domain not excepted."""
    excepted = model.Exceptions()
    for scope in scopes(ctx.nodes):
        setting = scope.setting("dnssec-validation")
        if setting is None and ctx.version < (9, 14):
            continue  # "yes" without trust anchors, which validates nothing
        if setting is not None and setting.value.lower() in {"no", "false", "0"}:
            continue
        said = f"dnssec-validation {setting.value}" if setting else "validation is on by default"
        for domain in ctx.domains:
            if not excepted.cover(scope.setting("validate-except"), domain):
                mend = f'validate-except {{ "{domain}"; }}; in the options'
                if ctx.version < (9, 14):
                    mend = "dnssec-validation no; (validate-except came with 9.14)"
                yield Hit(setting or scope.node, f"{said}, and {domain} is not excepted", mend)


def clients_per_query(ctx: Context) -> Iterator[Hit]:
    """The limit on clients waiting for one name."""
    for scope in scopes(ctx.nodes):
        found = scope.setting("clients-per-query")
        if found is None or number(found.value) != 0:
            said = found.value if found else "10, the default"
            yield Hit(found or scope.node, f"clients-per-query is {said}", "clients-per-query 0;")


def ttl_floor(ctx: Context) -> Iterator[Hit]:
    """A least TTL."""
    for scope in scopes(ctx.nodes):
        for name in ("min-cache-ttl", "min-ncache-ttl"):
            found = scope.setting(name)
            if found and found.value.rstrip("smhdwSMHDW") != "0":
                what = f"{name} {found.value} keeps answers past their TTL"
                yield Hit(found, what, "take it out")


def max_cache_ttl(ctx: Context) -> Iterator[Hit]:
    """Nothing may be kept, not even what a lookup needs on its way."""
    for scope in scopes(ctx.nodes):
        found = scope.setting("max-cache-ttl")
        if found and number(found.value) == 0:
            yield Hit(found, "max-cache-ttl 0", "take it out: Consul's TTLs are kept as they are")


def stale_first(ctx: Context) -> Iterator[Hit]:
    """Expired answers before fresh ones."""
    for scope in scopes(ctx.nodes):
        found = scope.setting("stale-answer-client-timeout")
        on = scope.setting("stale-answer-enable")
        if found and number(found.value) == 0 and on and not scope.is_off("stale-answer-enable"):
            what = "expired answers are given before the agents are asked"
            yield Hit(found, what, "stale-answer-client-timeout off;")


def forward_first(ctx: Context) -> Iterator[Hit]:
    """Consul's names looked up elsewhere when the agents fail."""
    for zone in zones(ctx.nodes):
        name = zone_name(zone)
        forwarders = zone.last("forwarders")
        if zone_type(zone) != model.FORWARD or not ctx.domain_of(name) or not forwarders:
            continue
        if model.is_first(zone) and forwarders.body:
            found = zone.last("forward")
            said = "forward first" if found else "no forward only (first is the default)"
            yield Hit(found or zone, f"{name} has {said}", "forward only;")


def zone_kind(ctx: Context) -> Iterator[Hit]:
    """Consul's domain as a zone that asks for what Consul does not give."""
    for zone in zones(ctx.nodes):
        kind, name = zone_type(zone), zone_name(zone)
        if kind in {"stub", "static-stub", "secondary", "slave"} and ctx.domain_of(name):
            what = f"{name} is a zone of type {kind}"
            mend = "type forward; forward only; forwarders { ADDRESS port 8600; };"
            yield Hit(zone.last("type") or zone, what, mend)


def recursion_off(ctx: Context) -> Iterator[Hit]:
    """Forward zones in a server that does not recurse."""
    for scope in scopes(ctx.nodes):
        found = scope.setting("recursion")
        if found and scope.is_off("recursion") and model.to_agents(ctx, scope):
            mend = "recursion yes; and allow-recursion with your own networks"
            yield Hit(found, "recursion is off, so nothing is forwarded", mend)


def open_recursion(ctx: Context) -> Iterator[Hit]:
    """Anybody may ask for recursion."""
    lists = {node.value.lower(): node for node in find(ctx.nodes, "acl")}
    open_ones: dict[int, bool] = {}  # by statement: views share that of the options
    for scope in scopes(ctx.nodes):
        found = None if scope.is_off("recursion") else model.who_may_recurse(scope)
        if found and id(found) not in open_ones:
            open_ones[id(found)] = model.everyone(found, lists)
        if found and open_ones[id(found)]:
            what = f"{found.words[0]} lets anybody resolve through this server"
            yield Hit(found, what, "allow-recursion { localhost; localnets; };")


def deny_answer(ctx: Context) -> Iterator[Hit]:
    """Protection against rebinding, without Consul's domain excepted."""
    excepted = model.Exceptions()
    for scope in scopes(ctx.nodes):
        found = scope.setting("deny-answer-addresses")
        for domain in ctx.domains if found and found.body else ():
            if found and not excepted.cover(found, domain):
                what = f"answers with these addresses are refused, under {domain} too"
                yield Hit(found, what, f'except-from {{ "{domain}"; }}')


def empty_zone(ctx: Context) -> Iterator[Hit]:
    """Reverse names that an automatic empty zone answers instead."""
    general: dict[int, set[str]] = {}  # by options: views share them
    for scope in _scopes_or_file(ctx):
        disabled = model.names_of(scope.node, "disable-empty-zone")
        if behind := scope.behind:
            if id(behind) not in general:
                general[id(behind)] = model.names_of(behind, "disable-empty-zone")
            disabled = disabled | general[id(behind)] if disabled else general[id(behind)]
        if scope.is_off("empty-zones-enable"):
            continue
        for zone in scope.zones:
            name = zone_name(zone)
            forwarders = zone.last("forwarders")
            empty = private_zone(name) if is_reverse(name) else None
            if zone_type(zone) != model.FORWARD or not forwarders or not forwarders.body:
                continue
            if empty and empty not in disabled and model.is_first(zone):
                what = f"the automatic empty zone {empty} answers instead of the forwarders"
                mend = f'forward only; or disable-empty-zone "{empty}"; in the options'
                yield Hit(zone.last("forward") or zone, what, mend)


def _scopes_or_file(ctx: Context) -> list[Scope]:
    """The scopes; of a file that has none, its zones all the same."""
    found = scopes(ctx.nodes)
    return found or [Scope(SyntaxNode("", 0, ()), {}, tuple(find(ctx.nodes, "zone")))]


def silent_cutting(ctx: Context) -> Iterator[Hit]:
    """Agents asked over UDP with less room for answers than by default."""
    general = next((found.setting("edns-udp-size") for found in scopes(ctx.nodes)), None)
    peers = model.peers(ctx.nodes)
    small: dict[tuple[str, int, int], tuple[SyntaxNode, list[str]]] = {}
    for group in ctx.consul_groups():
        for agent in ctx.agents(group):
            tcp = peers.get((agent.address, "tcp-only"))
            if agent.port == 0 or (tcp and tcp.value.lower() in {"yes", "true", "1"}):
                continue
            edns = peers.get((agent.address, "edns"))
            own = peers.get((agent.address, "edns-udp-size")) or general
            size = number(own.value) if own else DEFAULT_EDNS
            if edns and edns.value.lower() in {"no", "false", "0"}:
                own, size = edns, 512
            if size is not None and size < DEFAULT_EDNS:
                node = own or group.node
                place = node.file, node.line, size
                small.setdefault(place, (node, []))[1].append(agent.address)
    for (_, _, size), (node, agents) in small.items():
        what = f"{', '.join(dict.fromkeys(agents))}: asked for answers of {size} octets at most"
        mend = (
            f"take it out; for an agent on this host, server {agents[0]} {{ edns-udp-size 4096; }};"
        )
        yield Hit(node, what, mend)


RULES = (
    *OPTIONS,
    LintRule(
        "bind-validation",
        "error",
        "Consul's domain is not signed: the root proves that it does not exist, so its answers"
        " count as forged and end in SERVFAIL",
        validation,
    ),
    LintRule(
        "bind-clients-per-query",
        "warning",
        "Consul's TTL is 0, so a busy name has many clients waiting; those above the limit get"
        " no answer",
        clients_per_query,
    ),
    LintRule(
        "bind-ttl-floor",
        "warning",
        "instances that are gone stay in answers that long, new ones stay out",
        ttl_floor,
    ),
    LintRule(
        "bind-max-cache-ttl", "error", "lookups may end in SERVFAIL for all names", max_cache_ttl
    ),
    LintRule(
        "bind-stale-first",
        "warning",
        "clients get instances that are gone although the agents are well",
        stale_first,
    ),
    LintRule(
        "bind-forward-first",
        "error",
        "when the agents fail, Consul's names are asked at the root: they leak, and NXDOMAIN is"
        " kept for hours",
        forward_first,
    ),
    LintRule(
        "bind-zone-type",
        "error",
        "Consul gives no zone transfers, and these types cannot ask on port 8600",
        zone_kind,
    ),
    LintRule(
        "bind-recursion-off", "error", "BIND forwards for recursive clients only", recursion_off
    ),
    LintRule(
        "bind-open-recursion",
        "warning",
        "the server takes part in attacks, and tells strangers about your services",
        open_recursion,
    ),
    LintRule(
        "bind-deny-answer",
        "error",
        "services have private addresses: their answers end in SERVFAIL",
        deny_answer,
    ),
    LintRule(
        "bind-empty-zone",
        "error",
        "BIND answers private reverse zones itself with NXDOMAIN, unless all is forwarded",
        empty_zone,
    ),
    LintRule(
        "bind-silent-cutting",
        "warning",
        "agents leave out the instances that do not fit and do not say so, unless"
        " enable_truncate is set there",
        silent_cutting,
    ),
)
