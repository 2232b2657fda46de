"""Whom dnsmasq answers, and how it chooses among servers: what holds for all names."""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.servers.findings import Context, Hit, LintRule
from consulfwd.servers.names import is_address, is_public
from consulfwd.servers.rules import number
from consulfwd.servers.sending import listed
from consulfwd.servers.syntax import SyntaxNode, find, last, word_set

_ANYWHERE = frozenset({"0.0.0.0", "::", "*"})
# Each of these says where dnsmasq is to answer.
_PLACES = ("interface", "listen-address", "except-interface", "auth-server", "local-service")
# A file with one of these is the main one, as far as anybody can tell.
_MAIN = word_set(
    "no-resolv resolv-file conf-dir conf-file user group port bind-interfaces bind-dynamic",
    "no-hosts addn-hosts cache-size no-daemon pid-file dhcp-range no-poll",
)


def one_at_a_time(ctx: Context) -> Iterator[Hit]:
    """Several agents, of which one is asked at a time."""
    if ctx.generated or ctx.says("all-servers") or not ctx.complete:
        return
    strict = last(ctx.nodes, "strict-order")
    for group in ctx.consul_groups():
        asked = (one for one in ctx.agents(group) if is_address(one.address))
        # To ask all at once would not mend it: a public resolver denies sooner than agents answer.
        agents = list(dict.fromkeys(one.text for one in asked if not is_public(one.address)))
        if len(agents) < 2:
            continue
        what = f"one of the agents is asked at a time ({listed(agents)})"
        mend = "all-servers"
        if strict:
            what = f"one of the agents is asked at a time, always {agents[0]} first (strict-order)"
            mend = "all-servers\nand take strict-order out"
        yield Hit(strict or group.node, what, mend)


def open_to_all(ctx: Context) -> Iterator[Hit]:
    """Anybody may ask: by an address that is any, or because nothing is said."""
    for node in find(ctx.nodes, "listen-address", "interface"):
        written = [one.strip() for one in node.value.split(",")]
        anywhere = next((one for one in written if one in _ANYWHERE), None)
        if anywhere is None:
            continue
        if node.name == "interface" or last(ctx.nodes, "bind-interfaces"):
            what = f"{node.name}={anywhere} answers anybody: local-service does not hold with it"
            yield Hit(node, what, "listen-address=127.0.0.1 (and addresses of your own network)")
        elif len(written) == 1 and not _others(ctx, node):
            what = f"listen-address={anywhere} alone: nobody is answered"
            mend = "listen-address=127.0.0.1 (and addresses of your own network)"
            why = "without bind-interfaces, queries are taken for the addresses in the list alone"
            yield Hit(node, what, mend, why)
    main = next((node for node in ctx.nodes if node.name in _MAIN), None)
    # In a folder of parts, what is missing stands in the file it belongs to.
    part = "dnsmasq.d/" in ctx.file or ctx.generated
    if main and ctx.complete and not part and not ctx.says(*_PLACES):
        what = "nothing says whom to answer: anybody is, unless it is started with --local-service"
        yield Hit(main, what, "local-service\nor: interface=lo")


def _others(ctx: Context, node: SyntaxNode) -> bool:
    places = find(ctx.nodes, "listen-address", "interface")
    return any(one is not node and one.value not in _ANYWHERE for one in places)


def no_dns(ctx: Context) -> Iterator[Hit]:
    """The DNS side is off."""
    found = last(ctx.nodes, "port")
    if found and number(found.value) == 0 and any(ctx.consul_groups()):
        yield Hit(found, "port=0 turns DNS off", "take it out")


RULES = (
    LintRule(
        "dnsmasq-one-at-a-time",
        "warning",
        "while that one hangs, queries wait for it until their client asks again: who asks once"
        " gets no answer, however many agents there are",
        one_at_a_time,
    ),
    LintRule(
        "dnsmasq-open",
        "warning",
        "the server takes part in attacks, and tells strangers about your services",
        open_to_all,
    ),
    LintRule("dnsmasq-no-dns", "error", "no name at all is answered", no_dns),
)
