"""What bites in named.conf: validation, limits, leaks, caches. Options by version: bind_options."""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.servers.bind import access
from consulfwd.servers.bind import model as model
from consulfwd.servers.bind.access import RULES as ACCESS
from consulfwd.servers.bind.barred import RULES as BARRED
from consulfwd.servers.bind.model import scopes, zone_name, zone_type, zones
from consulfwd.servers.bind.options import DNSSEC_ENABLE
from consulfwd.servers.bind.options import RULES as OPTIONS
from consulfwd.servers.bind.zones import RULES as ZONES
from consulfwd.servers.findings import CONSUL_PORT, Context, Hit, LintRule
from consulfwd.servers.names import EMPTY_ZONES, is_reverse, private_zone, under
from consulfwd.servers.rules import number
from consulfwd.servers.sending import listed
from consulfwd.servers.syntax import SyntaxNode

DEFAULT_EDNS = 1232  # what cannot do harm off this host, where fragments get lost


def validation(ctx: Context) -> Iterator[Hit]:
    """Validation on, and the domain not excepted."""
    excepted = model.Exceptions()
    anchors = model.anchors(ctx.nodes)
    for scope in scopes(ctx.nodes):
        setting = scope.setting("dnssec-validation")
        value = setting.value.lower() if setting else "auto"
        if setting is None and scope.partial:
            continue
        if setting is None and ctx.version < (9, 14):
            continue  # "yes" without trust anchors, which validates nothing
        if value in {"no", "false", "0"} or (ctx.version < (9, 16) and scope.is_off(DNSSEC_ENABLE)):
            continue
        said = f"dnssec-validation {setting.value}" if setting else "validation is on by default"
        for domain in ctx.domains:
            # Only with "auto" are there anchors that nobody writes.
            if value != "auto" and not any(under(domain, one) for one in anchors):
                continue
            ruling = scope.setting("validate-except")
            if not excepted.cover(ruling, domain) and not (ruling is None and scope.partial):
                mend = f'in the options: validate-except {{ "{domain}"; }};'
                if ctx.version < (9, 14):
                    mend = "dnssec-validation no;"
                yield Hit(setting or scope.node, f"{said}, and {domain} is not excepted", mend)


def clients_per_query(ctx: Context) -> Iterator[Hit]:
    """The limit on clients waiting for one name."""
    lists = access.Lists(ctx.nodes)
    for scope in scopes(ctx.nodes):
        found = scope.setting("clients-per-query")
        if access.closed(scope, lists) or (found is None and scope.partial):
            continue
        if found is None or number(found.value) != 0:
            said = found.value if found else "10, the default"
            mend = "in the options: clients-per-query 0;"
            yield Hit(found or scope.node, f"clients-per-query is {said}", mend)


def is_zero(text: str) -> bool:
    """Is a time none at all, with or without units?"""
    return text[:1].isdigit() and not any(one in "123456789" for one in text)


def ttl_floor(ctx: Context) -> Iterator[Hit]:
    """A least TTL."""
    for scope in scopes(ctx.nodes):
        for name in ("min-cache-ttl", "min-ncache-ttl"):
            found = scope.setting(name)
            if found and not is_zero(found.value):
                what = f"{name} {found.value} keeps answers past their TTL"
                yield Hit(found, what, "take it out")


def max_cache_ttl(ctx: Context) -> Iterator[Hit]:
    """Nothing may be kept, not even what a lookup needs on its way."""
    for scope in scopes(ctx.nodes):
        found = scope.setting("max-cache-ttl")
        if found and is_zero(found.value):
            what = "max-cache-ttl 0 keeps nothing, not even what a lookup needs on its way"
            yield Hit(found, what, "take it out: Consul's TTLs are kept as they are")


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
        if not ctx.domain_of(name):
            continue
        mend = ctx.stanza(name, [("127.0.0.1", CONSUL_PORT)])
        if kind in model.COPIES:
            what = f"{name} is a zone of type {kind}"
            why = "Consul gives no zone transfers: BIND has nothing to answer with"
            yield Hit(zone.last("type") or zone, what, mend, why)
        servers = zone.last("primaries", "masters") if kind == "stub" else None
        if servers and any("port" in one.words for one in (servers, *servers.body)):
            what = f"{name} is a zone of type stub, with a port"
            yield Hit(zone.last("type") or zone, what, mend)


def deny_answer(ctx: Context) -> Iterator[Hit]:
    """Protection against rebinding, without Consul's domain excepted."""
    excepted = model.Exceptions()
    for scope in scopes(ctx.nodes):
        found = scope.setting("deny-answer-addresses")
        for domain in ctx.domains if found and found.body else ():
            if found and not excepted.cover(found, domain):
                what = f"answers with these addresses are refused, under {domain} too"
                mend = f'deny-answer-addresses {{ ... }} except-from {{ "{domain}"; }};'
                yield Hit(found, what, mend)


def empty_zone(ctx: Context) -> Iterator[Hit]:
    """Reverse names that an automatic empty zone answers instead."""
    general: dict[int, set[str]] = {}  # by options: views share them
    for scope in model.scopes_or_file(ctx.nodes):
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
            if zone_type(zone) != model.FORWARD or not forwarders or not forwarders.body:
                continue
            if not is_reverse(name) or not model.is_first(zone):
                continue
            around = private_zone(name)
            inside = [around] if around else [one for one in EMPTY_ZONES if under(one, name)]
            if left := [one for one in inside if one not in disabled]:
                names, plural = listed(left), len(left) > 1
                what = (
                    f"the automatic empty zone{'s' if plural else ''} {names}"
                    f" answer{'' if plural else 's'} instead of the forwarders"
                )
                mend = f'forward only;\nor in the options: disable-empty-zone "{left[0]}";'
                yield Hit(zone.last("forward") or zone, what, mend)


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
        what = f"{listed(list(dict.fromkeys(agents)))}: asked for answers of {size} octets at most"
        mend = (
            "take it out\nor, for an agent on this host:"
            f" server {agents[0]} {{ edns-udp-size 4096; }};"
        )
        yield Hit(node, what, mend)


RULES = (
    *OPTIONS,
    *ZONES,
    *ACCESS,
    *BARRED,
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
        "a stub zone asks for the zone's name servers, and then these on port 53: where they do not"
        " answer there, all names end in SERVFAIL",
        zone_kind,
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
