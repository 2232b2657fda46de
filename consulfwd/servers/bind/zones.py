"""What bites in the zones and views of named.conf: who answers instead of agents, and for whom.

What belongs here: zones that are twice, shadowed, out of reach, or not in a view. What is set for
all of them is in `rules`.
"""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.servers.bind import model
from consulfwd.servers.bind.access import Lists, closed
from consulfwd.servers.bind.model import Scope, scopes, zone_name, zone_type
from consulfwd.servers.findings import CONSUL_PORT, Context, Hit, LintRule
from consulfwd.servers.names import around, is_reverse
from consulfwd.servers.sending import endpoints, listed
from consulfwd.servers.syntax import SyntaxNode, find

LOCAL = model.PRIMARY | model.COPIES


def local_zone(ctx: Context) -> Iterator[Hit]:
    """Zones BIND answers by itself: Consul's own, parts of them, and what they lie in."""
    for scope in model.scopes_or_file(ctx.nodes):
        own = [(zone_name(zone), zone) for zone in scope.zones if zone_type(zone) in LOCAL]
        held = {name for name, _ in own}
        for name, zone in own:
            if zone_type(zone) in model.PRIMARY and ctx.domain_of(name):
                what = f"{name} is answered from a file of BIND's own, and no agent is asked"
                mend = f"take the zone out, and have instead: {ctx.stanza(name, [_AGENT])}"
                if name != ctx.domain_of(name):
                    mend = f"take the zone out, and let agents have all of {ctx.domain_of(name)}"
                yield Hit(zone, what, mend)
        for zone in scope.zones if own else ():
            name = zone_name(zone)
            asks = zone_type(zone) in {model.FORWARD, *model.ASKING}
            if not asks or not (ctx.domain_of(name) or is_reverse(name)):
                continue
            above = next((one for one in around(name) if one != name and one in held), None)
            if above:
                what = f"{name} is not asked for: BIND has the zone {above} itself, which it is in"
                mend = f"in the zone {above}, a delegation: {name}. IN NS localhost."
                yield Hit(zone, what, mend)
            elif above is not None:
                kind = next(zone_type(one) for root, one in own if root == above)
                what = f"{name} is not asked for: BIND has the root zone itself ({kind})"
                yield Hit(zone, what, "take the zone . out, or have it on a server of its own")


_AGENT = ("127.0.0.1", CONSUL_PORT)


def outside_views(ctx: Context) -> Iterator[Hit]:
    """Zones beside views."""
    outside = [zone for zone in find(ctx.nodes, "zone") if zone.body]
    if not outside or not any(find(ctx.nodes, "view")):
        return
    names = listed(list(dict.fromkeys(zone_name(zone) or "the root" for zone in outside)))
    view = next(find(ctx.nodes, "view")).value or "NAME"
    for zone in outside:
        stands = f"{names} {'stand' if len(outside) > 1 else 'stands'} outside the views"
        mend = f'into each view whose clients ask for it: view "{view}" {{ ... include "FILE"; }};'
        yield Hit(zone, stands, mend)


def twice(ctx: Context) -> Iterator[Hit]:
    """A zone that is there already, in the same view."""
    for scope in model.scopes_or_file(ctx.nodes):
        seen: dict[tuple[str, str], SyntaxNode] = {}
        for zone in scope.zones:
            kind = zone.words[2].lower() if len(zone.words) > 2 else "in"
            first = seen.setdefault((zone_name(zone), kind), zone)
            if first is not zone:
                where = f"on line {first.line}"
                if first.file != zone.file:
                    where = f"in {first.file}:{first.line}"
                what = f"the zone {zone_name(zone)} is there twice, first {where}"
                yield Hit(zone, what, "take one of the two out")


def _has(ctx: Context, scope: Scope, domain: str) -> bool:
    return any(
        zone_name(zone) == domain and (zone.last("in-view") or zone_type(zone))
        for zone in scope.zones
    )


def view_without(ctx: Context) -> Iterator[Hit]:
    """Views whose clients are resolved for, but not for Consul's names."""
    views = scopes(ctx.nodes) if any(find(ctx.nodes, "view")) else []
    lists = Lists(ctx.nodes)
    for domain in ctx.domains:
        having = [one for one in views if _has(ctx, one, domain)]
        asked = [
            server
            for group in ctx.consul_groups()
            if group.zone == domain
            for server in group.upstreams
        ]
        for scope in views if having else ():
            if any(scope is one for one in having) or closed(scope, lists):
                continue
            if lists.nobody(scope.node.last("match-clients")):
                continue
            other = having[0].node.value
            what = f"clients of view {scope.node.value} are not given {domain}, as those of {other}"
            mend = f"in this view: {ctx.stanza(domain, endpoints(asked) or [_AGENT])}"
            yield Hit(scope.node, what, mend)


def view_shadowed(ctx: Context) -> Iterator[Hit]:
    """Views behind one that takes every client."""
    lists = Lists(ctx.nodes)
    taking: SyntaxNode | None = None
    for scope in scopes(ctx.nodes) if any(find(ctx.nodes, "view")) else ():
        view = scope.node
        if taking is not None:
            what = f"view {view.value} is never used: {taking.value} before it takes every client"
            yield Hit(view, what, f"put it before view {taking.value}")
        elif not view.last("match-recursive-only") and all(
            lists.all_without_exception(view.last(one))
            for one in ("match-clients", "match-destinations")
        ):
            taking = view


def below(ctx: Context) -> Iterator[Hit]:
    """Zones below the domain, whose denials have the SOA of the domain."""
    whole = {group.zone for group in ctx.groups}
    for zone in model.zones(ctx.nodes):
        name = zone_name(zone)
        domain = ctx.domain_of(name)
        if zone_type(zone) != model.FORWARD or domain is None or domain == name:
            continue
        forwarders = zone.last("forwarders")
        if not forwarders or not forwarders.body:
            continue
        what = f"{name} is forwarded as a zone of its own; Consul answers with the SOA of {domain}"
        mend = f"one zone for all, instead: {ctx.stanza(domain, [_AGENT])}"
        if domain in whole:
            mend = f"take it out: agents of {domain} ask those of other datacenters themselves"
        yield Hit(zone, what, mend)


_REFUSED = "the server refuses the whole file"

RULES = (
    LintRule(
        "bind-local-zone",
        "error",
        "BIND answers names in a zone of its own by itself: those it has not are denied, unless the"
        " zone delegates them",
        local_zone,
    ),
    LintRule("bind-zone-outside-views", "error", _REFUSED, outside_views),
    LintRule("bind-zone-twice", "error", _REFUSED, twice),
    LintRule(
        "bind-view-without-zone",
        "error",
        "zones are those of a client's view alone: Consul's names are asked at the root, leak to"
        " there, and are denied",
        view_without,
    ),
    LintRule(
        "bind-view-shadowed",
        "warning",
        "the first view that a client matches is its view: nobody gets to the zones of this one",
        view_shadowed,
    ),
    LintRule(
        "bind-zone-below",
        "error",
        "BIND takes no SOA from above the zone it forwards: that a name has no address of one"
        " family (AAAA of an IPv4 service) ends in SERVFAIL, and programs fail",
        below,
    ),
)
