"""What bites in unbound.conf."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from consulfwd.servers.findings import CONSUL_PORT, Context, Hit, LintRule
from consulfwd.servers.names import is_address, normal, under
from consulfwd.servers.rules import number
from consulfwd.servers.syntax import SyntaxNode
from consulfwd.servers.unbound import model as model
from consulfwd.servers.unbound.access import RULES as ACCESS
from consulfwd.servers.unbound.barred import RULES as BARRED
from consulfwd.servers.unbound.zones import RULES as ZONES

DISCARD_SINCE = (1, 20)
LONG_DISCARD_MS = 3_000
DEFAULT_EDNS = 1232
WHOLE_MESSAGE = 65_535
_ANCHORS = (
    "auto-trust-anchor-file",
    "trust-anchor-file",
    "trust-anchor",
    "trusted-keys-file",
)


def validation(ctx: Context) -> Iterator[Hit]:
    """Validation on, and the domain not excepted."""
    modules = model.last(ctx, "module-config")
    if modules and "validator" not in modules.value.split():
        return
    if model.yes(model.last(ctx, "val-permissive-mode")):
        return  # forged answers are given to clients all the same
    anchors = list(model.server(ctx, *_ANCHORS))
    insecure = [normal(node.value) for node in model.server(ctx, "domain-insecure")]
    if not insecure and model.partial(ctx):
        return
    for domain in ctx.domains:
        anchor = next((one for one in anchors if under(domain, _anchored(one))), None)
        if anchor is not None and not any(under(domain, one) for one in insecure):
            what = f"answers are validated, and {domain} is not excepted"
            yield Hit(anchor, what, f'in server: domain-insecure: "{domain}"')


def _anchored(node: SyntaxNode) -> str:
    """Return the name trust is anchored at: the root, where that stands in a file."""
    return normal(node.value.partition(" ")[0]) if node.name == "trust-anchor" else ""


def localhost(ctx: Context) -> Iterator[Hit]:
    """Agents on loopback, which unbound does not ask."""
    section = model.has_server(ctx)
    allowed = model.last(ctx, "do-not-query-localhost")
    if section is None or (allowed and allowed.value.lower() == "no"):
        return
    if allowed is None and model.partial(ctx):
        return
    for group in ctx.groups:
        for one in group.upstreams:
            if is_address(one.address) and ip_address(one.address).is_loopback:
                what = f"{one.text} is never asked: do-not-query-localhost is on"
                yield Hit(one.node, what, "in server: do-not-query-localhost: no")


def private_address(ctx: Context) -> Iterator[Hit]:
    """Private addresses taken out of answers."""
    found = next(model.server(ctx, "private-address"), None)
    domains = [normal(node.value) for node in model.server(ctx, "private-domain")]
    if not domains and model.partial(ctx):
        return
    for domain in ctx.domains if found else ():
        if found and not any(under(domain, one) for one in domains):
            what = f"these addresses are taken out of answers, under {domain} too"
            yield Hit(found, what, f'in server: private-domain: "{domain}"')


def ttl_floor(ctx: Context) -> Iterator[Hit]:
    """A least TTL."""
    for name in ("cache-min-ttl", "cache-min-negative-ttl"):
        found = model.last(ctx, name)
        if found and number(found.value) != 0:
            yield Hit(found, f"{name}: {found.value} keeps answers past their TTL", f"{name}: 0")


def discard_timeout(ctx: Context) -> Iterator[Hit]:
    """Answers that come late are thrown away."""
    section, found = model.has_server(ctx), model.last(ctx, "discard-timeout")
    if section is None or (found is None and ctx.version < DISCARD_SINCE):
        return
    if found is None and model.partial(ctx):
        return
    time_ms = number(found.value) if found else 1900
    if time_ms is not None and 0 < time_ms < LONG_DISCARD_MS:
        what = f"answers that took more than {time_ms} ms are not sent"
        mend = "in server: discard-timeout: 4800"
        yield Hit(found or section, what + ("" if found else " (default)"), mend)


def forward_first(ctx: Context) -> Iterator[Hit]:
    """Consul's names looked up elsewhere when the agents fail."""
    for section, name in model.zones(ctx.nodes):
        found = section.last("forward-first", "stub-first")
        if ctx.domain_of(name) and found and model.yes(found):
            yield Hit(found, f"{name} has {found.name}: yes", f"{found.name}: no")


def stub_zone(ctx: Context) -> Iterator[Hit]:
    """A stub zone, whose names are asked label by label."""
    minimised = model.last(ctx, "qname-minimisation")
    for section, name in model.zones(ctx.nodes):
        if section.name != "stub-zone" or not ctx.domain_of(name):
            continue
        if minimised is None or model.yes(minimised):
            what = f"{name} is a stub zone, and names are sent label by label"
            yield Hit(section, what, "make it a forward-zone with forward-addr")


def stub_prime(ctx: Context) -> Iterator[Hit]:
    """A stub zone that asks for the name servers first."""
    for section, name in model.zones(ctx.nodes):
        found = section.last("stub-prime")
        if ctx.domain_of(name) and found and model.yes(found):
            what = f"{name} asks the agents for name servers, and those on port 53"
            yield Hit(found, what, "stub-prime: no")


def tls(ctx: Context) -> Iterator[Hit]:
    """Agents asked over TLS."""
    everywhere = model.last(ctx, "tls-upstream", "ssl-upstream")
    names = ("forward-tls-upstream", "forward-ssl-upstream", "stub-tls-upstream")
    for section, name in model.zones(ctx.nodes):
        found = section.last(*names, "stub-ssl-upstream")
        ruling = found or everywhere
        agents = section.find("forward-addr", "stub-addr")
        on_port = [one for one in agents if model.upstream(one).port == CONSUL_PORT]
        if ctx.domain_of(name) and on_port and ruling and model.yes(ruling):
            mend = "forward-tls-upstream: no in this zone"
            yield Hit(ruling, f"{name} is asked over TLS", mend)


def serve_expired(ctx: Context) -> Iterator[Hit]:
    """Expired answers before fresh ones."""
    found, wait = model.last(ctx, "serve-expired"), model.last(ctx, "serve-expired-client-timeout")
    at_once = number(wait.value) == 0 if wait else ctx.version < (1, 23)
    if found and model.yes(found) and at_once:
        what = "expired answers are given before the agents are asked"
        yield Hit(wait or found, what, "serve-expired-client-timeout: 1800")


def silent_cutting(ctx: Context) -> Iterator[Hit]:
    """Agents asked over UDP with less room for answers than by default."""
    found = model.last(ctx, "edns-buffer-size")
    size = number(found.value) if found else None
    if found is None or model.yes(model.last(ctx, "tcp-upstream")):
        return
    for group in ctx.consul_groups():
        over_tcp = group.node.last("forward-tcp-upstream", "stub-tcp-upstream")
        if size is None or size >= DEFAULT_EDNS or model.yes(over_tcp) or not ctx.agents(group):
            continue
        what = f"agents of {group.zone} are asked for answers of {size} octets at most"
        yield Hit(found, what, "take it out, or forward-tcp-upstream: yes in this zone")


def message_size(ctx: Context) -> Iterator[Hit]:
    """Long answers do not fit."""
    found = model.last(ctx, "msg-buffer-size")
    size = number(found.value) if found else None
    if found and size is not None and size < WHOLE_MESSAGE:
        what = f"answers of more than {size} octets end in SERVFAIL"
        yield Hit(found, what, "take it out (65552 is the default)")


def obsolete(ctx: Context) -> Iterator[Hit]:
    """Options without effect."""
    for node in model.server(ctx, "dlv-anchor", "dlv-anchor-file"):
        yield Hit(node, f"{node.name} has no effect any more", "take it out")


RULES = (
    LintRule(
        "unbound-validation",
        "error",
        "Consul's domain is not signed: the root proves that it does not exist, so its answers"
        " count as forged and end in SERVFAIL",
        validation,
    ),
    LintRule(
        "unbound-do-not-query-localhost",
        "error",
        "unbound asks nobody on this host unless told to: Consul's names end in SERVFAIL where no"
        " other agent answers",
        localhost,
    ),
    LintRule(
        "unbound-private-address",
        "error",
        "services have private addresses: their answers arrive empty",
        private_address,
    ),
    LintRule(
        "unbound-ttl-floor",
        "warning",
        "instances that are gone stay in answers that long, new ones stay out",
        ttl_floor,
    ),
    LintRule(
        "unbound-discard-timeout",
        "warning",
        "when an agent hangs, the answer of the next one comes late: clients then get none at all",
        discard_timeout,
    ),
    LintRule(
        "unbound-forward-first",
        "error",
        "when the agents fail, Consul's names are asked at the root: they leak, and NXDOMAIN is"
        " kept for hours",
        forward_first,
    ),
    LintRule(
        "unbound-stub-zone",
        "warning",
        "each name costs a question more, such as service.consul, that agents deny; with"
        " qname-minimisation-strict no name resolves",
        stub_zone,
    ),
    LintRule("unbound-stub-prime", "error", "Consul does not answer on port 53", stub_prime),
    LintRule("unbound-tls", "error", "agents answer DNS in plain UDP and TCP only", tls),
    *ZONES,
    *ACCESS,
    *BARRED,
    LintRule(
        "unbound-serve-expired",
        "warning",
        "clients get instances that are gone although the agents are well",
        serve_expired,
    ),
    LintRule(
        "unbound-silent-cutting",
        "warning",
        "agents leave out the instances that do not fit and do not say so, unless"
        " enable_truncate is set there",
        silent_cutting,
    ),
    LintRule("unbound-message-size", "warning", "large services stop resolving", message_size),
    LintRule("unbound-obsolete-option", "warning", "later versions may refuse the file", obsolete),
)
