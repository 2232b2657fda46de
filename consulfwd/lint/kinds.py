"""The servers whose files are looked at, and which of them a file is for. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from consulfwd.servers.bind import kind as bind
from consulfwd.servers.coredns import kind as coredns
from consulfwd.servers.dnsmasq import kind as dnsmasq
from consulfwd.servers.findings import LintRule
from consulfwd.servers.kind import ServerKind
from consulfwd.servers.resolved import kind as resolved
from consulfwd.servers.unbound import kind as unbound

# The order is that in which they are told apart.
SERVERS: Mapping[str, ServerKind] = {
    one.target.name: one
    for one in (resolved.KIND, unbound.KIND, bind.KIND, dnsmasq.KIND, coredns.KIND)
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
