"""What bites in recursor.conf, recursor.yml, and files of zones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from consulfwd.servers.findings import Context, Hit, LintRule, WrittenUpstream, ZoneUpstreams
from consulfwd.servers.names import (
    EMPTY_ZONES,
    is_address,
    is_reverse,
    normal,
    private_zone,
    under,
    within,
)
from consulfwd.servers.pdns_recursor.grammar import AUTH, FORWARD, NTA
from consulfwd.servers.rules import number
from consulfwd.servers.sending import listed
from consulfwd.servers.syntax import SyntaxNode, find, last

YAML_SINCE = (5,)
VALIDATING_SINCE = (4, 5)
SHORT_S = 5
MAX_NETWORKS = 200
_NO = frozenset({"no", "off", "false", "0"})
_ANYBODY = frozenset({"0.0.0.0/0", "::/0"})
# A file with one of these is the main one, as far as anybody can tell.
_MAIN = ("local-address", "local-port", "allow-from", "setuid", "setgid", "config-dir", "quiet",
         "dnssec", "threads", "daemon", "hint-file")  # fmt: skip


def _upstream(node: SyntaxNode, text: str) -> WrittenUpstream:
    if is_address(text):
        return WrittenUpstream(node, text, text, None)
    address, _, port = text.rpartition(":")
    if text.startswith("[") and text.endswith("]"):
        return WrittenUpstream(node, text, text[1:-1], None)
    plain, read = address.strip("[]"), number(port)
    return WrittenUpstream(node, text, plain, read if is_address(plain) and read else 0)


def groups(nodes: tuple[SyntaxNode, ...], domains: tuple[str, ...]) -> list[ZoneUpstreams]:
    """Return who gets Consul's names and the reverse names."""
    found = []
    for node in find(nodes, FORWARD):
        zone = normal(node.value)
        upstreams = tuple(_upstream(node, text) for text in node.words[2:])
        if any(under(zone, domain) for domain in domains) or (is_reverse(zone) and upstreams):
            found.append(ZoneUpstreams(node, zone, upstreams))
    return found


def _yaml(ctx: Context) -> bool:
    """Is the file YAML, by its name, or else by the version?"""
    if ctx.file.endswith(".conf"):
        return False
    return ctx.version >= YAML_SINCE or ctx.file.endswith((".yml", ".yaml"))


def spell_setting(ctx: Context, name: str, *values: str) -> str:
    """Return a setting as the files of this version have it."""
    if not _yaml(ctx):
        return f"{name}={','.join(values)}"
    section, key = _SECTIONS[name]
    value = values[0] if len(values) == 1 and name not in _LISTED else f"[{', '.join(values)}]"
    return f"{section}:\n  {key}: {value}"


_SECTIONS = {
    "dont-throttle-netmasks": ("outgoing", "dont_throttle_netmasks"),
    "packetcache-servfail-ttl": ("packetcache", "servfail_ttl"),
    "allow-from": ("incoming", "allow_from"),
    "serve-rfc1918": ("recursor", "serve_rfc1918"),
    "minimum-ttl-override": ("recursor", "minimum_ttl_override"),
}
_LISTED = frozenset({"dont-throttle-netmasks", "allow-from"})


def _main(ctx: Context) -> SyntaxNode | None:
    """Return the statement that tells the main file: what is missing from that is known."""
    return next(find(ctx.nodes, *_MAIN), None) if ctx.complete else None


def validation(ctx: Context) -> Iterator[Hit]:
    """Validation on, and the domain not excepted."""
    found = last(ctx.nodes, "dnssec")
    main = _main(ctx)
    value = found.value.lower() if found else "process"
    if found is None and (main is None or ctx.version < VALIDATING_SINCE):
        return
    if value in {"off", "process-no-validate"} or not ctx.complete:
        return
    excepted = [normal(node.value) for node in find(ctx.nodes, NTA)]
    whose = "all clients" if value == "validate" else "clients that ask for it (DO or AD)"
    for domain in ctx.domains:
        if any(under(domain, one) for one in excepted):
            continue
        said = f"dnssec={value}" if found else "dnssec=process, the default,"
        what = f"{said} validates {domain} for {whose}"
        mend = f'in the file of lua-config-file: addNTA("{domain}", "not in the public DNS")'
        if _yaml(ctx) and not (5,) <= ctx.version < (5, 1):
            mend = (
                f"dnssec:\n  negative_trustanchors:\n    - name: {domain}"
                '\n      reason: "not in the public DNS"'
            )
        node = found or main
        assert node is not None
        yield Hit(node, what, mend)


def throttling(ctx: Context) -> Iterator[Hit]:
    """Agents left out for a minute after an outage."""
    fails = last(ctx.nodes, "server-down-max-fails")
    if _main(ctx) is None or (fails and number(fails.value) == 0):
        return
    spared = _networks(ctx, "dont-throttle-netmasks")
    for group in ctx.consul_groups():
        agents = [one.address for one in ctx.agents(group) if is_address(one.address)]
        left = [one for one in dict.fromkeys(agents) if not _covered(one, spared)]
        if left:
            what = f"{listed(left)} may be left out for a minute after an outage"
            yield Hit(group.node, what, spell_setting(ctx, "dont-throttle-netmasks", *left))


def _networks(ctx: Context, name: str) -> list[IPv4Network | IPv6Network]:
    """Return the networks of a setting, as far as they are ones."""
    found = []
    for word in [word for node in find(ctx.nodes, name) for word in node.words[1:]][:MAX_NETWORKS]:
        with suppress(ValueError):
            found.append(ip_network(word, strict=False))
    return found


def _covered(address: str, networks: list[IPv4Network | IPv6Network]) -> bool:
    plain = ip_address(address)
    return any(plain in one for one in networks)


def servfail_kept(ctx: Context) -> Iterator[Hit]:
    """Failures that outlive their cause."""
    found, main = last(ctx.nodes, "packetcache-servfail-ttl"), _main(ctx)
    off = last(ctx.nodes, "disable-packetcache")
    if (found is None and main is None) or (off and off.value.lower() not in _NO):
        return
    if (found and (number(found.value) or 0) <= SHORT_S) or not any(ctx.consul_groups()):
        return
    node = found or next(iter(ctx.consul_groups())).node
    kept = f"{found.value} s" if found else "60 s (20 s in newer ones), the default"
    what = f"a name that could not be resolved stays so for {kept}"
    yield Hit(node, what, spell_setting(ctx, "packetcache-servfail-ttl", "0"))


def ttl_floor(ctx: Context) -> Iterator[Hit]:
    """A least TTL above the default."""
    found = last(ctx.nodes, "minimum-ttl-override")
    least = number(found.value) if found else None
    if found and least is not None and least > 1:
        what = f"answers are kept for {least} s at least, those of TTL 0 too"
        yield Hit(found, what, spell_setting(ctx, "minimum-ttl-override", "0"))


def open_to_all(ctx: Context) -> Iterator[Hit]:
    """Anybody may ask."""
    for node in find(ctx.nodes, "allow-from"):
        anybody = next((one for one in node.words[1:] if one in _ANYBODY), None)
        if anybody or len(node.words) == 1:
            said = anybody or "nothing"
            what = f"allow-from has {said}: anybody is answered"
            yield Hit(node, what, spell_setting(ctx, "allow-from", "127.0.0.0/8", "10.0.0.0/8"))


def zone_twice(ctx: Context) -> Iterator[Hit]:
    """Zones of one name, of which the last counts (run with 4.8)."""
    found: dict[str, list[SyntaxNode]] = {}
    for node in find(ctx.nodes, FORWARD):
        zone = normal(node.value)
        if ctx.domain_of(zone) or is_reverse(zone):
            found.setdefault(zone, []).append(node)
    for zone, nodes in found.items():
        for node in nodes[:-1]:
            servers = "; ".join(nodes[-1].words[2:5])
            what = f"{zone} is there again later, with {servers}: this one is passed over"
            yield Hit(node, what, "put the servers of both into one zone")


def local_zone(ctx: Context) -> Iterator[Hit]:
    """Zones answered by the recursor itself: of its own files, and private reverse ones."""
    forwarded = {normal(node.value) for node in find(ctx.nodes, FORWARD)}
    for node in find(ctx.nodes, AUTH):
        zone = normal(node.value)
        if zone in forwarded:
            continue
        if any(within(zone, one) for one in ctx.domains):
            what = f"{zone} is answered from a file, and no agent is asked"
            yield Hit(node, what, "take it out")
    switch = last(ctx.nodes, "serve-rfc1918")
    if switch and switch.value.lower() in _NO:
        return
    for group in ctx.groups:
        if is_reverse(group.zone) and private_zone(group.zone) is None:
            inside = [one for one in _OWN if under(one, group.zone) and one not in forwarded]
            if inside:
                verb = "are" if len(inside) > 1 else "is"
                what = f"{listed(inside)} {verb} answered here, not by who gets {group.zone}"
                yield Hit(group.node, what, spell_setting(ctx, "serve-rfc1918", "no"))


# Those of RFC 1918 alone.
_OWN = tuple(one for one in EMPTY_ZONES if one.endswith(("10.in-addr.arpa", "168.192.in-addr.arpa"))
             or one.endswith(".172.in-addr.arpa"))  # fmt: skip

RULES = (
    LintRule(
        "pdns-validation",
        "error",
        "Consul's domain is not signed: the root proves that it does not exist, so its answers"
        " count as forged and end in SERVFAIL",
        validation,
    ),
    LintRule(
        "pdns-throttling",
        "warning",
        "who did not answer 64 times in a row is not asked for 60 s: after an outage of all agents"
        " names end in SERVFAIL for as long, though agents are back",
        throttling,
    ),
    LintRule(
        "pdns-servfail-kept",
        "warning",
        "clients get SERVFAIL for that long after agents are back",
        servfail_kept,
    ),
    LintRule(
        "pdns-ttl-floor",
        "warning",
        "instances that are gone stay in answers that long, new ones stay out",
        ttl_floor,
    ),
    LintRule(
        "pdns-open",
        "warning",
        "the server takes part in attacks, and tells strangers about your services",
        open_to_all,
    ),
    LintRule(
        "pdns-zone-twice", "error", "of zones of one name the last one counts alone", zone_twice
    ),
    LintRule(
        "pdns-local-zone",
        "error",
        "zones the recursor has itself come before those it forwards, where they are nearer",
        local_zone,
    ),
)
