"""What bites in a drop-in of systemd-resolved, a .network file, or a delegate."""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.servers.findings import Context, Hit, LintRule, WrittenUpstream, ZoneUpstreams
from consulfwd.servers.names import is_address, normal, under
from consulfwd.servers.resolved.grammar import SECTIONS
from consulfwd.servers.rules import number
from consulfwd.servers.syntax import SyntaxNode, find

PORT_SINCE = (246,)
DELEGATE_SINCE = (258,)
_YES = {"yes", "true", "on", "1", "y", "t"}


def _values(section: SyntaxNode, key: str) -> list[tuple[SyntaxNode, str]]:
    """Return the words of a list key; an empty value takes back what was said before."""
    found: list[tuple[SyntaxNode, str]] = []
    for node in section.find(key):
        if len(node.words) == 1:
            found = []
        found += [(node, word) for word in node.words[1:]]
    return found


def _upstream(node: SyntaxNode, text: str) -> WrittenUpstream:
    server = text.partition("#")[0].partition("%")[0]
    address, port = server, ""
    if server.startswith("["):
        address, _, rest = server[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else ""
    elif not is_address(server):
        address, _, port = server.partition(":")
    read = number(port) if port else None
    if not is_address(address) or (port and read is None):
        read = 0
    return WrittenUpstream(node, text, address, read)


def groups(nodes: tuple[SyntaxNode, ...], domains: tuple[str, ...]) -> list[ZoneUpstreams]:
    """Return who gets Consul's names: the servers of each section that routes them."""
    found = []
    for section in find(nodes, *SECTIONS):
        servers = tuple(_upstream(*one) for one in _values(section, "dns"))
        if not servers and not any(section.find("dns")):
            continue  # they may stand in another drop-in
        for node, word in _values(section, "domains"):
            zone = normal(word.lstrip("~"))
            if zone and any(under(zone, domain) for domain in domains):
                found.append(ZoneUpstreams(node, zone, servers))
    return found


def _switched(ctx: Context, key: str, values: set[str]) -> Iterator[SyntaxNode]:
    for section in find(ctx.nodes, *SECTIONS):
        found = section.last(key)
        if found and found.value.lower() in values:
            yield found


def search_domain(ctx: Context) -> Iterator[Hit]:
    """The domain added to names, not only routed."""
    for section in find(ctx.nodes, *SECTIONS):
        if section.name == "delegate":
            continue
        for node, word in _values(section, "domains"):
            if not word.startswith("~") and ctx.domain_of(normal(word)):
                yield Hit(node, f"{word} is a search domain", f"Domains=~{word}")


def port_version(ctx: Context) -> Iterator[Hit]:
    """A port, before resolved knew ports."""
    for section in find(ctx.nodes, *SECTIONS):
        for node, word in _values(section, "dns") if ctx.version < PORT_SINCE else ():
            if _upstream(node, word).port:
                mend = "redirect port 53 of the agent to 8600, or use a resolver in between"
                yield Hit(node, f"{word}: ports need systemd 246", mend)


def dnssec(ctx: Context) -> Iterator[Hit]:
    """Validation on."""
    for node in _switched(ctx, "dnssec", _YES):
        what = f"DNSSEC={node.value} validates Consul's names too"
        mend = "DNSSEC=allow-downgrade or no, or a negative trust anchor for the domain"
        yield Hit(node, what, mend)


def over_tls(ctx: Context) -> Iterator[Hit]:
    """Agents asked over TLS."""
    for node in _switched(ctx, "dnsovertls", _YES):
        what = f"DNSOverTLS={node.value} holds for the agents too"
        yield Hit(node, what, "DNSOverTLS=opportunistic or no")


def delegate_version(ctx: Context) -> Iterator[Hit]:
    """A delegate, before resolved knew them."""
    for section in find(ctx.nodes, "delegate") if ctx.version < DELEGATE_SINCE else ():
        mend = "a drop-in for resolved.conf with [Resolve]"
        yield Hit(section, "delegates need systemd 258", mend)


RULES = (
    LintRule(
        "resolved-search-domain",
        "warning",
        "every name of one label is tried with Consul's domain added",
        search_domain,
    ),
    LintRule("resolved-port", "error", "the address is passed over", port_version),
    LintRule(
        "resolved-dnssec",
        "error",
        "Consul's domain is not signed: the root proves that it does not exist, so its names do"
        " not resolve",
        dnssec,
    ),
    LintRule(
        "resolved-dns-over-tls",
        "error",
        "agents answer DNS in plain UDP and TCP only",
        over_tls,
    ),
    LintRule("resolved-delegate", "error", "the file is not read", delegate_version),
)
