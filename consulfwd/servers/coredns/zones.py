"""What bites in the server blocks of a Corefile: who answers first, what CoreDNS refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from consulfwd.servers.coredns import model
from consulfwd.servers.findings import CONSUL_PORT, DNS_PORT, Context, Hit, LintRule
from consulfwd.servers.names import around, is_address, within
from consulfwd.servers.sending import listed
from consulfwd.servers.syntax import SyntaxNode

NAMES_SINCE = (1, 15)
# {$NAME} and {%NAME%} are words of the environment, __NAME__ is filled in by Kubernetes's
# node-local-dns.
_VARIABLE = re.compile(r"\{[$%]|__[A-Z][A-Z_]*__")


def host_name(ctx: Context) -> Iterator[Hit]:
    """Agents by name, in place of address."""
    for group in ctx.groups:
        for one in group.upstreams:
            if is_address(one.address) or "/" in one.address or one.address.endswith(".conf"):
                continue
            if one.port == 0 or _VARIABLE.search(one.text):
                continue  # `agent-address` says so, or the environment
            port = one.port or (DNS_PORT if ctx.kubernetes else CONSUL_PORT)
            mend = f"forward . {ctx.spelled(group.zone, 'ADDRESS', port)}"
            if one.text.startswith("<"):
                yield Hit(one.node, f"{one.text} is for you to fill in", mend)
            elif ctx.version < NAMES_SINCE:
                yield Hit(one.node, f"{one.text} is a name, and forward takes addresses", mend)
            else:
                what = f"{one.text} is a name, which is looked up once, at the start"
                yield Hit(one.node, what, mend, "CoreDNS does not start while it cannot be found")


def zone_twice(ctx: Context) -> Iterator[Hit]:
    """Two server blocks for one zone and port, with nothing that tells their clients apart."""
    seen: dict[str, SyntaxNode] = {}
    for block in ctx.nodes:
        if not block.body or block.name.startswith("(") or any(block.find("view", "bind")):
            continue
        for word in block.words:
            key = word.rstrip(",").lower().removeprefix("dns://")
            key = f"{model.zone_of(key)}:{key.rpartition(':')[2] if ':' in key else '53'}"
            first = seen.setdefault(key, block)
            if first is not block:
                what = f"{word.rstrip(',')} has a server block already, on line {first.line}"
                yield Hit(block, what, "put both into one block")


_ANSWERING = ("file", "auto", "secondary", "hosts", "template", "kubernetes", "etcd")
# Where the zones of such a plugin begin: behind a file, or class and type.
_ZONES_FROM = {"file": 2, "template": 3}


def answered_here(ctx: Context) -> Iterator[Hit]:
    """Plugins that answer Consul's names before they are forwarded."""
    for block in model.blocks(ctx):
        for node in block.find(*_ANSWERING):
            passing = any(node.find("fallthrough"))
            named = [
                model.zone_of(word)
                for word in node.words[_ZONES_FROM.get(node.name, 1) :]
                if not word.startswith("/")
            ]
            if not named and node.name in {"auto", "secondary"}:
                continue
            about = named or [zone for _, _, zone in model.forwards((block,), ctx.domains)]
            if not passing and any(
                ctx.domain_of(zone) or (zone and within(one, zone))
                for zone in about
                for one in ctx.domains
            ):
                what = f"{node.name} answers names of Consul's before they are forwarded"
                mend = "take it out of this block"
                if node.name in {"hosts", "template", "kubernetes", "etcd"}:
                    mend = f"within {node.name} {{ }}: fallthrough"
                yield Hit(node, what, mend)


def shadowed(ctx: Context) -> Iterator[Hit]:
    """A forward before it, in the same block, takes the same names."""
    for block in ctx.nodes:
        nodes = list(block.find(*model.FORWARDS))
        if len(nodes) < 2:
            continue
        sent: dict[int, list[str]] = {}
        for _, node, zone in islice(model.forwards((block,), ctx.domains), model.MAX_GROUPS):
            sent.setdefault(id(node), []).append(zone)
        taken: dict[str, SyntaxNode] = {}
        for node in nodes:
            for zone in sent.get(id(node), ()):
                before = (taken[one] for one in around(zone) if one in taken)
                earlier = next((one for one in before if not model.excepted(one, zone)), None)
                if earlier is not None:
                    at = earlier.line
                    what = f"{zone} never gets here: {earlier.name} on line {at} takes it"
                    yield Hit(node, what, f"put it before line {at}, or there: except {zone}")
            taken.setdefault(model.zone_of(node.value), node)


def over_tls(ctx: Context) -> Iterator[Hit]:
    """Agents asked over TLS, which they do not speak."""
    for group in ctx.consul_groups():
        asked = [one for one in ctx.agents(group)
                 if one.text.startswith("tls://") and one.port == CONSUL_PORT]  # fmt: skip
        if asked:
            verb = "is" if len(asked) == 1 else "are"
            servers = " ".join(ctx.spelled(group.zone, one.address) for one in asked)
            what = f"{listed([one.text for one in asked])} {verb} asked over TLS"
            yield Hit(group.node, what, f"forward . {servers}")


def other_port(ctx: Context) -> Iterator[Hit]:
    """A server block that listens where agents do."""
    for block in model.blocks(ctx):
        for word in block.words:
            key = word.rstrip(",")
            if ctx.domain_of(model.zone_of(key)) and key.endswith(f":{CONSUL_PORT}"):
                what = f"{key} has CoreDNS listen at port {CONSUL_PORT}, which is the agents'"
                yield Hit(block, what, f"{model.zone_of(key)}:53 {{")


RULES = (
    LintRule("coredns-host-name", "error", "the server refuses the whole file", host_name),
    LintRule("coredns-zone-twice", "error", "the server refuses the whole file", zone_twice),
    LintRule(
        "coredns-answered-here",
        "error",
        "these plugins come before forward, and deny what they do not know: no agent is asked",
        answered_here,
    ),
    LintRule(
        "coredns-shadowed", "error", "the first forward that takes a name is the last one", shadowed
    ),
    LintRule("coredns-tls", "error", "agents answer DNS in plain UDP and TCP only", over_tls),
    LintRule(
        "coredns-listens",
        "warning",
        "the port behind a zone is where CoreDNS itself is asked about it: clients ask at 53",
        other_port,
    ),
)
