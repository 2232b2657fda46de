"""What bites in a drop-in of systemd-resolved, a .network file, or a delegate."""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.servers.findings import Context, Hit, LintRule
from consulfwd.servers.names import normal
from consulfwd.servers.resolved.grammar import SECTIONS
from consulfwd.servers.resolved.ignored import RULES as IGNORED
from consulfwd.servers.resolved.model import Word, lists, upstream, values, within
from consulfwd.servers.sending import is_agent, listed
from consulfwd.servers.syntax import SyntaxNode, find, last

PORT_SINCE = (246,)
DELEGATE_SINCE = (258,)
_YES = {"yes", "true", "on", "1", "y", "t"}


def _switched(ctx: Context, key: str, wanted: set[str]) -> Iterator[SyntaxNode]:
    for sections in lists(ctx.nodes):
        # Of several files the last one's holds.
        found = last([node for section in sections for node in section.body], key)
        if found and found.value.lower() in wanted:
            yield found


def search_domain(ctx: Context) -> Iterator[Hit]:
    """The domain added to names, not only routed."""
    for section in find(ctx.nodes, *SECTIONS):
        if section.name == "delegate":
            continue
        for node, word in values((section,), "domains"):
            if not word.startswith("~") and ctx.domain_of(normal(word)):
                yield Hit(node, f"{word} is a search domain", f"Domains=~{word}")


def port_version(ctx: Context) -> Iterator[Hit]:
    """A port, before resolved knew ports."""
    for section in find(ctx.nodes, *SECTIONS):
        for node, word in values((section,), "dns") if ctx.version < PORT_SINCE else ():
            if upstream(node, word).port:
                mend = "redirect port 53 of the agent to 8600, or use a resolver in between"
                yield Hit(node, f"{word}: ports need systemd 246", mend)


def _agents(ctx: Context) -> set[tuple[str, int]]:
    return {one.endpoint for group in ctx.consul_groups() for one in group.upstreams}


def all_names(ctx: Context) -> Iterator[Hit]:
    """Agents among the servers for all names, as all in [Resolve] are."""
    if ctx.generated or ctx.version < PORT_SINCE:
        return
    routed = {id(group.node) for group in ctx.consul_groups()}
    for sections in lists(ctx.nodes):
        if not any(id(node) in routed for section in sections for node in section.body):
            continue
        agents = [one for one in values(sections, "dns") if _is_agent(ctx, one)]
        if sections[0].name == "resolve":
            for section in sections:
                named = within(agents, section)
                if named:
                    yield _asked_all(named, _alone(ctx, " ".join(one.text for one in named)))
        elif agents and (switch := _default_route(sections)):
            mend = f"take {switch.text} out"
            yield _asked_all([Word(switch.node, one.text) for one in agents], mend,
                             f"{switch.text} has them asked about all names: agents without"
                             " `recursors` refuse what is not Consul's")  # fmt: skip


def _asked_all(agents: list[Word], mend: str, why: str = "") -> Hit:
    verb = "are" if len(agents) > 1 else "is"
    what = f"{listed([one.text for one in agents])} {verb} asked about all names"
    return Hit(agents[0].node, what, mend, why)


def _default_route(sections: tuple[SyntaxNode, ...]) -> Word | None:
    """Return what has the servers of a link, or a delegate, asked about all names."""
    for section in sections:
        found = section.last("dnsdefaultroute", "defaultroute")
        if found and found.value.lower() in _YES:
            return Word(found, f"{found.words[0]}={found.value}")
    for node, word in values(sections, "domains"):
        if word.startswith("~") and not normal(word.lstrip("~")):
            return Word(node, word)
    return None


def _alone(ctx: Context, servers: str) -> str:
    """Return what has agents asked about Consul's names alone."""
    if ctx.version >= DELEGATE_SINCE:
        return (
            "instead of both lines, in /etc/systemd/dns-delegate.d/consul.dns-delegate:\n"
            f"[Delegate]\nDNS={servers}\nDomains={' '.join(ctx.domains)}"
        )
    return (
        "give the agents `recursors`, or have consulfwd answer for all names: DNS=127.0.0.1"
        "\n(systemd 258 has delegates, which are for some names alone)"
    )


def _is_agent(ctx: Context, word: Word) -> bool:
    return is_agent(ctx, one := upstream(*word)) and one.endpoint not in ctx.own


def shared_list(ctx: Context) -> Iterator[Hit]:
    """Servers of other files and sections, which are in one list with the agents."""
    sections = list(find(ctx.nodes, "resolve"))
    agents = _agents(ctx)
    # What a later file takes back is in no list.
    kept = values(sections, "dns")
    for section in sections if ctx.version >= PORT_SINCE else ():
        servers = within(kept, section)
        others = [one for one in servers if upstream(*one).endpoint not in agents]
        if not others or len(others) < len(servers) or not agents:
            continue
        words = [one.text for one in others]
        what = f"{listed(words)} may be asked about Consul's names, as agents about all others"
        elsewhere = f"[Network]\nDNS={' '.join(words)}"
        mend = f"in the .network file of their link, and not here:\n{elsewhere}"
        yield Hit(others[0].node, what, mend)


def dnssec(ctx: Context) -> Iterator[Hit]:
    """Validation on."""
    for node in _switched(ctx, "dnssec", _YES):
        what = f"DNSSEC={node.value} validates Consul's names too"
        mend = (
            "DNSSEC=allow-downgrade\nor, in /etc/dnssec-trust-anchors.d/consul.negative, a line:"
            f" {ctx.domains[0]}"
        )
        yield Hit(node, what, mend)


def over_tls(ctx: Context) -> Iterator[Hit]:
    """Agents asked over TLS."""
    for node in _switched(ctx, "dnsovertls", _YES):
        what = f"DNSOverTLS={node.value} holds for the agents too"
        yield Hit(node, what, "DNSOverTLS=opportunistic")


def delegate_version(ctx: Context) -> Iterator[Hit]:
    """A delegate, before resolved knew them."""
    for section in find(ctx.nodes, "delegate") if ctx.version < DELEGATE_SINCE else ():
        mend = "the same lines below [Resolve], in /etc/systemd/resolved.conf.d/consul.conf"
        yield Hit(section, "delegates need systemd 258", mend)


RULES = (
    *IGNORED,
    LintRule(
        "resolved-search-domain",
        "warning",
        "every name of one label is tried with Consul's domain added",
        search_domain,
    ),
    LintRule(
        "resolved-all-names",
        "warning",
        "servers in [Resolve] are for all names, whatever Domains= says: agents without `recursors`"
        " refuse what is not Consul's, and lookups wait for them (reverse names, too)",
        all_names,
    ),
    LintRule(
        "resolved-shared-list",
        "error",
        "resolved joins the DNS= of all its files into one list, and stays with the server that"
        " answered last: one that does not know Consul's names denies them",
        shared_list,
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
