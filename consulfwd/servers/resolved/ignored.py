"""What systemd passes over in the files of resolved, and what it takes for more than was meant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from consulfwd.servers.findings import Context, Hit, LintRule
from consulfwd.servers.resolved.grammar import SECTIONS
from consulfwd.servers.resolved.model import COMMENT, SEPARATORS, lists, values
from consulfwd.servers.syntax import SyntaxNode, find

# What is about Consul's names, as systemd spells it; to it that matters.
_SPELLED = {
    one.lower(): one
    for one in ("DNS", "Domains", "DNSSEC", "DNSOverTLS", "FallbackDNS", "DNSDefaultRoute",
                "DefaultRoute", "Resolve", "Network", "Delegate")
}  # fmt: skip
# What these keys are called elsewhere, or by mistake.
_MEANT = {
    **dict.fromkeys(("server", "servers", "nameserver", "nameservers", "dnsserver", "dnsservers"),
                    "DNS"),
    **dict.fromkeys(("domain", "search", "searchdomains", "routingdomains"), "Domains"),
}  # fmt: skip
# Domains of one list; systemd logs "Argument list too long" of each further one.
MOST_DOMAINS = {"resolve": 256, "network": 256, "delegate": 1024}
_OF_FILES = {".network": "network", ".dns-delegate": "delegate"}


def passed_over(ctx: Context) -> Iterator[Hit]:
    """Sections, keys and domains that systemd takes no notice of."""
    for section in find(ctx.nodes, *SECTIONS):
        wanted = _section_of(section)
        for node in (section, *section.body):
            right = _SPELLED.get(node.name) or _MEANT.get(node.name, node.words[0])
            if node.words[0] != right:
                shown = f"[{node.words[0]}]" if node is section else f"{node.words[0]}="
                meant = f"[{right}]" if node is section else f"{right}="
                yield Hit(node, f"{shown} is not {meant}", f"write {meant}")
        if wanted and section.name != wanted and any(section.find("dns", "domains")):
            shown = f"[{_SPELLED[section.name]}] is no section of a file of this name"
            yield Hit(section, shown, f"[{_SPELLED[wanted]}]")
    for sections in lists(ctx.nodes):
        most = MOST_DOMAINS[sections[0].name]
        domains = values(sections, "domains")
        if len(domains) > most:
            what = f"{len(domains)} domains, and {domains[most].text} is the first that is left out"
            mend = (
                "name wider ones: 10.in-addr.arpa holds all below it"
                "\nor have consulfwd answer for all names: DNS=127.0.0.1"
            )
            yield Hit(domains[most].node, what, mend)


def _section_of(section: SyntaxNode) -> str:
    """Return which section systemd reads in a file of this name; nothing where that is unknown."""
    path = PurePath(section.file)
    if path.name == "resolved.conf" or path.parent.name == "resolved.conf.d":
        return "resolve"
    drop_in = path.parent.name.removesuffix(".d") if path.suffix == ".conf" else ""
    return _OF_FILES.get(path.suffix) or _OF_FILES.get(PurePath(drop_in).suffix, "")


def comment(ctx: Context) -> Iterator[Hit]:
    """A comment behind a value, which is part of it."""
    for section in find(ctx.nodes, *SECTIONS):
        for node in section.find("dns", "domains"):
            at = next((n for n, one in enumerate(node.words) if one.startswith(COMMENT)), 0)
            if at:
                key = _SPELLED[node.name]
                kind = "servers" if key == "DNS" else "search domains"
                what = f"{' '.join(node.words[at:])[:60]} is read as {kind}"
                yield Hit(node, what, f"{key}={' '.join(node.words[1:at])}")


def separated(ctx: Context) -> Iterator[Hit]:
    """Domains parted by commas or semicolons, which make one odd name of them."""
    for section in find(ctx.nodes, *SECTIONS):
        for node, word in values((section,), "domains"):
            parts = SEPARATORS.split(word)
            meant = [one for one in parts if one]
            if len(parts) > 1 and any(ctx.domain_of(one.lstrip("~").lower()) for one in meant):
                yield Hit(node, f"{word} is one domain", f"Domains={' '.join(meant)}")


RULES = (
    LintRule(
        "resolved-ignored",
        "error",
        "systemd passes over it with a line in its log; names are not sent as it says",
        passed_over,
    ),
    LintRule(
        "resolved-comment",
        "warning",
        "systemd has comments on lines of their own alone: each word behind a value is one more"
        " server, or one more domain that names of one label are tried with",
        comment,
    ),
    LintRule(
        "resolved-separator",
        "error",
        "systemd has blanks between domains: no name is sent by one with a comma in it",
        separated,
    ),
)
