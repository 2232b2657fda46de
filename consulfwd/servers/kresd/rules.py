"""What bites in kresd.conf."""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.servers import lua
from consulfwd.servers.findings import CONSUL_PORT, Context, Hit, LintRule
from consulfwd.servers.kresd import model
from consulfwd.servers.kresd.model import Policy, called
from consulfwd.servers.kresd.names import FORWARDS, RULE_FORWARD, SENDING, STUB, TLS
from consulfwd.servers.names import around, is_reverse, normal
from consulfwd.servers.rules import number
from consulfwd.servers.sending import listed

# What a server of version 6 is told of names whose answers are not signed.
UNSIGNED = "{authoritative: true, dnssec: false}"
_VIEWS = """\
views:
  - {subnets: [0.0.0.0/0, '::/0'], answer: refused}
  - {subnets: [127.0.0.0/8, 10.0.0.0/8], answer: allow}"""
_NO = frozenset({"false", "no", "off"})
_ANYWHERE = frozenset({"0.0.0.0", "::", "*"})
# A file with one of these is the main one, as far as anybody can tell.
_MAIN = ("net.listen", "cache.size", "cache.open", "user")


def _about(ctx: Context, policy: Policy) -> list[str]:
    """The zones of Consul's, and the reverse ones, that a policy sends somewhere."""
    if policy.name not in FORWARDS | {STUB}:
        return []
    return [one for one in policy.zones if ctx.domain_of(one) or is_reverse(one)]


def _sending(ctx: Context) -> Iterator[tuple[Policy, str]]:
    """Yield the policies that send names of Consul's, with each zone."""
    for policy in model.policies(ctx.nodes):
        for zone in policy.zones if policy.name in SENDING else ():
            if ctx.domain_of(zone) is not None:
                yield policy, zone


def validation(ctx: Context) -> Iterator[Hit]:
    """Forwarded so that answers are validated, and the domain not excepted."""
    excepted, removed = (
        {
            normal(text)
            for call in called(ctx.nodes, f"trust_anchors.{name}")
            for argument in call.body[:1]
            for text in lua.texts(argument)
        }
        for name in ("set_insecure", "remove")
    )
    for policy, zone in _sending(ctx):
        if policy.name == STUB or "" in removed or any(one in excepted for one in around(zone)):
            continue
        if policy.name == RULE_FORWARD:
            if model.options(policy).get("dnssec", "true").lower() not in _NO:
                what = f"forward validates the answers for {zone}"
                yield Hit(policy.node, what, f"options: {UNSIGNED}")
            continue
        short = policy.name.removeprefix("policy.")
        servers = ", ".join(f"'{one.text}'" for one in model.servers(policy))
        suffix = f"policy.suffix(policy.STUB({{{servers}}}), policy.todnames({{'{zone}.'}}))"
        mend = f"policy.add({suffix})"
        yield Hit(policy.node, f"{short} validates the answers for {zone}", mend)


def over_tls(ctx: Context) -> Iterator[Hit]:
    """Agents asked over TLS, which they do not speak."""
    for policy, zone in _sending(ctx):
        secured = policy.name == TLS or model.options(policy).get("transport") == "tls"
        asked = [one.text for one in model.servers(policy) if one.port == CONSUL_PORT]
        if secured and asked:
            verb = "is" if len(asked) == 1 else "are"
            mend = "policy.STUB in place of it" if policy.name == TLS else "take transport out"
            yield Hit(policy.node, f"{zone}: {listed(asked)} {verb} asked over TLS", mend)


def _flagged(ctx: Context, flag: str) -> set[str]:
    """Return the zones whose names have a flag."""
    return {
        zone
        for policy in model.policies(ctx.nodes)
        if policy.name == "policy.FLAGS"
        and any(flag in lua.texts(argument) for argument in policy.action.body)
        for zone in policy.zones
    }


def _flags(flag: str, zone: str) -> str:
    return f"policy.add(policy.suffix(policy.FLAGS({{'{flag}'}}), policy.todnames({{'{zone}.'}})))"


def rebinding(ctx: Context) -> Iterator[Hit]:
    """Private addresses refused in answers."""
    loaded = any(
        text.split()[0] == "rebinding"
        for call in called(ctx.nodes, "modules.load", "modules")
        for argument in call.body[:1]
        for text in lua.texts(argument)
        if text.strip()
    )
    spared = _flagged(ctx, "ALLOW_LOCAL") if loaded else set()
    for group in ctx.consul_groups() if loaded else ():
        if not any(one in spared for one in around(group.zone)):
            what = f"module rebinding refuses answers for {group.zone} that have private addresses"
            yield Hit(group.node, what, _flags("ALLOW_LOCAL", group.zone))


def shadowed(ctx: Context) -> Iterator[Hit]:
    """A policy before it takes the same names."""
    taken: dict[str, Policy] = {}
    for policy in model.policies(ctx.nodes):
        for zone in _about(ctx, policy):
            earlier = next((taken[one] for one in around(zone) if one in taken), None)
            if earlier is not None:
                short = earlier.name.removeprefix("policy.")
                what = f"{zone} never gets here: {short} on line {earlier.node.line} takes it"
                yield Hit(policy.node, what, f"put it before line {earlier.node.line}")
        for zone in policy.zones if policy.ends else ():
            taken.setdefault(zone, policy)


def ttl_floor(ctx: Context) -> Iterator[Hit]:
    """Answers are kept for a while, unless the names are not cached."""
    least = next(reversed(list(called(ctx.nodes, "cache.min_ttl"))), None)
    value = number(next(iter(lua.texts(least.body[0])), "")) if least and least.body else None
    if value == 0 or not any(called(ctx.nodes, *_MAIN)):
        return
    uncached = _flagged(ctx, "NO_CACHE")
    for group in ctx.consul_groups():
        if not any(one in uncached for one in around(group.zone)):
            kept = "5" if value is None else value
            what = f"answers for {group.zone} are kept for {kept} s at least, those of TTL 0 too"
            mend = _flags("NO_CACHE", group.zone)
            yield Hit(group.node, what, "cache:\n  ttl-min: 0s" if _yaml(ctx) else mend)


def _yaml(ctx: Context) -> bool:
    return ctx.file.endswith((".yml", ".yaml"))


def open_to_all(ctx: Context) -> Iterator[Hit]:
    """Anybody may ask, as nobody is kept out by default."""
    if any(call.words[0].startswith("view") for call in ctx.nodes if call.words):
        return
    for call in called(ctx.nodes, "net.listen"):
        for text in lua.texts(call.body[0]) if call.body else ():
            if text in _ANYWHERE:
                what = f"net.listen('{text}') answers anybody"
                mend = (
                    "modules.load('view')"
                    "\nview:addr('10.0.0.0/8', policy.all(policy.PASS))"
                    "\nview:addr('0.0.0.0/0', policy.all(policy.REFUSE))"
                )
                yield Hit(call, what, _VIEWS if _yaml(ctx) else mend)


RULES = (
    LintRule(
        "kresd-validation",
        "error",
        "Consul's domain is not signed: the root proves that it does not exist, so its answers"
        " count as forged and end in SERVFAIL; STUB validates nothing",
        validation,
    ),
    LintRule("kresd-tls", "error", "agents answer DNS in plain UDP and TCP only", over_tls),
    LintRule(
        "kresd-rebinding",
        "error",
        "services have private addresses: their names are REFUSED",
        rebinding,
    ),
    LintRule(
        "kresd-shadowed", "error", "the first policy that takes a name is the last one", shadowed
    ),
    LintRule(
        "kresd-ttl-floor",
        "warning",
        "instances that are gone stay in answers that long, new ones stay out",
        ttl_floor,
    ),
    LintRule(
        "kresd-open",
        "warning",
        "the server takes part in attacks, and tells strangers about your services",
        open_to_all,
    ),
)
