"""What bites in the zones of unbound.conf: who answers instead of the agents, and what is lost.

Local zones answer before anybody is asked, and there are some by default.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from consulfwd.servers.findings import Context, Hit, LintRule
from consulfwd.servers.names import (
    EMPTY_ZONES,
    around,
    is_reverse,
    normal,
    private_zone,
    under,
    within,
)
from consulfwd.servers.sending import listed
from consulfwd.servers.syntax import SyntaxNode, find, word_set
from consulfwd.servers.unbound import model

# Types of local zones that let what has no data of their own be resolved.
_PASSING = word_set(
    "nodefault transparent typetransparent inform always_transparent ipset noview"
)
# Zones unbound has besides the private reverse ones, which nobody is asked about.
_SPECIAL = ("test", "invalid", "onion", "home.arpa")


def _local_zones(ctx: Context) -> Iterator[tuple[str, str, SyntaxNode]]:
    """Yield name, type and statement of the local zones that are written, those of views too."""
    for section in find(ctx.nodes, "server", "view"):
        for node in section.find("local-zone"):
            if len(node.words) > 2:
                yield normal(node.value), node.words[2].lower(), node


def local_zone(ctx: Context) -> Iterator[Hit]:
    """Names answered by a zone that is there by default."""
    if model.has_server(ctx) is None:
        return
    written = {name: (kind, node) for name, kind, node in _local_zones(ctx)}
    passing = {name for name, (kind, _) in written.items() if kind in _PASSING}
    unblocked = model.yes(model.last(ctx, "unblock-lan-zones"))
    for group in ctx.groups:
        own = next((written[one] for one in around(group.zone) if one in written), None)
        if is_reverse(group.zone) and own is not None and own[0] not in _PASSING:
            kind, node = own
            what = f"all under {group.zone} is answered here: local-zone {node.value} is {kind}"
            yield Hit(node, what, f'local-zone: "{group.zone}." transparent')
            continue
        if is_reverse(group.zone):
            hit = None if unblocked else _reverse(group.zone, passing)
        else:
            zone = next((one for one in _SPECIAL if within(group.zone, one)), None)
            hit = _default(group.zone, zone, passing)
        if hit is not None:
            yield Hit(group.node, *hit)


def _default(name: str, zone: str | None, passing: set[str]) -> tuple[str, str] | None:
    """Return what and mend where a default zone answers for all of a zone."""
    if zone is None or any(under(name, one) and under(one, zone) for one in passing):
        return None
    what = f"the default local zone {zone} answers instead of the forwarders"
    return what, f'in server: local-zone: "{zone}." nodefault'


def _reverse(name: str, passing: set[str]) -> tuple[str, str] | None:
    if private := private_zone(name):
        return _default(name, private, passing)
    inside = [one for one in EMPTY_ZONES if under(one, name) and one not in passing]
    if not inside:
        return None
    verb = "zones {} answer" if len(inside) > 1 else "zone {} answers"
    what = f"the default local {verb.format(listed(inside))} instead of the forwarders"
    nodefaults = "\n".join(f'or in server: local-zone: "{one}." nodefault' for one in inside[:1])
    return what, f"in server: unblock-lan-zones: yes\n{nodefaults}"


def answered_here(ctx: Context) -> Iterator[Hit]:
    """Local and authoritative zones for Consul's domain, above it, or below."""
    for domain in ctx.domains:
        written = list(_local_zones(ctx))
        # What is nearest around the domain holds for it, the last of one name.
        above = [one for one in written if under(domain, one[0])]
        nearest = max(above, key=lambda one: one[0].count(".") + bool(one[0]), default=None)
        ruling = [one for one in written if one[0] != domain and within(one[0], domain)]
        if nearest is not None:
            ruling.append([one for one in above if one[0] == nearest[0]][-1])
        for name, kind, node in ruling:
            if kind not in _PASSING:
                where = f"all under {domain}" if under(domain, name) else f"all under {name}"
                what = f"{where} is answered here: local-zone {name or '.'} is {kind}"
                yield Hit(node, what, f'local-zone: "{domain}." transparent')
        yield from _written_out(ctx, domain, written)
        for section in find(ctx.nodes, "auth-zone"):
            named, off = section.last("name"), section.last("for-downstream")
            name = normal(named.value) if named else "."
            near = under(domain, name) or within(name, domain)
            if near and not (off and off.value.lower() == "no"):
                what = f"{name or 'the root'} is an auth-zone: what it has not is denied here"
                mend = "take it out, or for-downstream: no"
                yield Hit(section, what, mend)


def _written_out(
    ctx: Context, domain: str, zones: Iterable[tuple[str, str, SyntaxNode]]
) -> Iterator[Hit]:
    """Names under the domain that have data of their own, in zones that let others pass."""
    kinds = {name: kind for name, kind, _ in zones}
    found: dict[str, list[SyntaxNode]] = {}
    for section in find(ctx.nodes, "server", "view"):
        for node in section.find("local-data"):
            name = normal(node.value.partition(" ")[0])
            if not within(name, domain):
                continue
            kind = next((kinds[one] for one in around(name) if one in kinds), "transparent")
            if kind in _PASSING and kind != "always_transparent":
                found.setdefault(name, []).append(node)
    if found:
        names = listed(list(found))
        what = f"answered here from local-data, whatever agents know of it: {names}"
        for nodes in found.values():
            for node in nodes:
                yield Hit(node, what, "take it out")


def twice(ctx: Context) -> Iterator[Hit]:
    """Zones of one name, of which one counts: the last forward-zone (run with unbound 1.17)."""
    found: dict[str, list[SyntaxNode]] = {}
    for section, name in model.zones(ctx.nodes):
        if ctx.domain_of(name) or is_reverse(name):
            found.setdefault(name, []).append(section)
    for name, sections in found.items():
        forwards = [one for one in sections if one.name == "forward-zone"]
        holding = (forwards or sections)[-1]
        for section in sections:
            if section is not holding:
                where = f"{holding.name} on line {holding.line}"
                if holding.file != section.file:
                    where = f"{holding.name} of {holding.file}:{holding.line}"
                what = f"this {section.name} for {name or '.'} is passed over: the {where} holds"
                yield Hit(section, what, "put the servers of both into one forward-zone")


RULES = (
    LintRule(
        "unbound-local-zone",
        "error",
        "unbound answers what nobody in the public DNS knows (private reverse names, test, invalid)"
        " itself with NXDOMAIN, unless told otherwise",
        local_zone,
    ),
    LintRule(
        "unbound-answered-here",
        "error",
        "local and authoritative zones come before forward zones: no agent is asked",
        answered_here,
    ),
    LintRule(
        "unbound-zone-twice",
        "error",
        "only one zone of a name counts: the agents of the other are never asked",
        twice,
    ),
)
