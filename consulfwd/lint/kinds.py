"""The servers whose files are looked at: grammar, rules, version, and how they are told apart.

Pure. One entry of `SERVERS` is all there is to say of a server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from consulfwd.lint.findings import LintRule, ZoneUpstreams
from consulfwd.lint.grammars import bind, corefile, dnsmasq, resolved, unbound
from consulfwd.lint.rules import bind as bind_rules
from consulfwd.lint.rules import bind_model, common, unbound_model
from consulfwd.lint.rules import coredns as coredns_rules
from consulfwd.lint.rules import dnsmasq as dnsmasq_rules
from consulfwd.lint.rules import resolved as resolved_rules
from consulfwd.lint.rules import unbound as unbound_rules
from consulfwd.lint.syntax import SyntaxNode
from consulfwd.render.targets import TARGETS, Target


def _same(nodes: Iterable[SyntaxNode]) -> list[SyntaxNode]:
    return list(nodes)


def _nowhere(_: list[SyntaxNode]) -> str | None:
    return None


def _nothing(_: SyntaxNode) -> str | None:
    return None


@dataclass(frozen=True)
class ServerKind:
    """All about one kind of server.

    `target` is what is known of its name and versions. `looks` is what its files have at the start
    of a line.
    `included`, `directory` and `joined` serve reading: what a statement includes, where relative
    names start from, and the last step to a tree.
    """

    target: Target
    parse: Callable[[str, str], list[SyntaxNode]]
    groups: Callable[[tuple[SyntaxNode, ...], tuple[str, ...]], list[ZoneUpstreams]]
    rules: tuple[LintRule, ...]
    spell: Callable[[str, int], str]
    looks: re.Pattern[str]
    included: Callable[[SyntaxNode], str | None] = _nothing
    directory: Callable[[list[SyntaxNode]], str | None] = _nowhere
    joined: Callable[[Iterable[SyntaxNode]], list[SyntaxNode]] = field(default=_same)

    @property
    def title(self) -> str:
        """What people call it."""
        return self.target.title


def _bracketed(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


# Blanks and a comment may end a line.
_END = r"[ \t]*(?:#[^\n]*)?$"


def _looks(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"^[ \t]*(?:{pattern})", re.MULTILINE)


# The order is that in which they are told apart.
SERVERS: Mapping[str, ServerKind] = {
    "resolved": ServerKind(
        target=TARGETS["resolved"],
        parse=resolved.parse,
        groups=resolved_rules.groups,
        rules=(*common.RULES, *resolved_rules.RULES),
        spell=lambda address, port: f"DNS={_bracketed(address, port)}",
        looks=_looks(r"\[(?:Resolve|Network|Delegate)\][ \t]*$"),
    ),
    "unbound": ServerKind(
        target=TARGETS["unbound"],
        parse=unbound.parse,
        groups=unbound_model.groups,
        rules=(*common.RULES, *unbound_rules.RULES),
        spell=lambda address, port: f"forward-addr: {address}@{port}",
        looks=_looks(rf"(?:{'|'.join(sorted(unbound.SECTIONS))}|include(?:-toplevel)?):(?:\s|$)"),
        included=unbound.included,
        directory=unbound.directory,
        joined=unbound.joined,
    ),
    "bind": ServerKind(
        target=TARGETS["bind"],
        parse=bind.parse,
        groups=bind_model.groups,
        rules=(*common.RULES, *bind_rules.RULES),
        spell=lambda address, port: f"{address} port {port};",
        looks=_looks(
            r"(?:options|logging|controls|statistics-channels|managed-keys|trusted-keys)\s*\{"
            r'|(?:zone|view|acl|key|server)\s+"?[^\s";{}:=]+"?(?:\s+\w+)?\s*\{'
            r'|include\s+"[^"\n]*"\s*;'
        ),
        included=bind.included,
        directory=bind.directory,
    ),
    "dnsmasq": ServerKind(
        target=TARGETS["dnsmasq"],
        parse=dnsmasq.parse,
        groups=dnsmasq_rules.groups,
        rules=(*common.RULES, *dnsmasq_rules.RULES),
        spell=lambda address, port: f"server=/DOMAIN/{address}#{port}",
        looks=_looks(rf"[a-z][a-z0-9-]*(?:[ \t]*=[^\n]*)?{_END}"),
        included=dnsmasq.included,
    ),
    "coredns": ServerKind(
        target=TARGETS["coredns"],
        parse=corefile.parse,
        groups=coredns_rules.groups,
        rules=(*common.RULES, *coredns_rules.RULES),
        spell=_bracketed,
        looks=_looks(rf"[^\s#{{}};]+(?:[ \t]+[^\s#{{}};]+)*[ \t]*\{{{_END}|import[ \t]+\S+{_END}"),
        included=corefile.included,
    ),
}


def guess(text: str) -> str | None:
    """Return the name of the server a file is for, by what stands in it, or None."""
    # A block like a Corefile's may hold lines like dnsmasq's options, not the other way round.
    if SERVERS["coredns"].looks.search(text) and not SERVERS["bind"].looks.search(text):
        return "coredns"
    return next((name for name, one in SERVERS.items() if one.looks.search(text)), None)


def codes() -> dict[str, LintRule]:
    """Return every rule by its code."""
    return {rule.code: rule for server in SERVERS.values() for rule in server.rules}
