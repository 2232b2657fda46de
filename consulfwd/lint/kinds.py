"""The servers whose files are looked at, and which of them a file is for. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from consulfwd.servers.bind import kind as bind
from consulfwd.servers.coredns import kind as coredns
from consulfwd.servers.dnsdist import kind as dnsdist
from consulfwd.servers.dnsmasq import kind as dnsmasq
from consulfwd.servers.findings import LintRule
from consulfwd.servers.kind import ServerKind
from consulfwd.servers.kresd import kind as kresd
from consulfwd.servers.pdns_recursor import kind as pdns_recursor
from consulfwd.servers.resolved import kind as resolved
from consulfwd.servers.unbound import kind as unbound

# The order is that in which they are told apart: dnsmasq's looks are those of many.
SERVERS: Mapping[str, ServerKind] = {
    one.target.name: one
    for one in (
        resolved.KIND,
        unbound.KIND,
        pdns_recursor.KIND,
        kresd.KIND,
        dnsdist.KIND,
        coredns.KIND,
        bind.KIND,
        dnsmasq.KIND,
    )
}

# NSD and Knot DNS have a section `server:`, too.
AUTHORITATIVE = re.compile(r"^zone:[ \t]*(?:#.*)?$", re.MULTILINE)
# In a Corefile, `view`, `acl` and `key` begin blocks as well, but no line ends in a semicolon.
_ENDED = re.compile(r";[ \t]*(?:(?://|#|/\*)[^\n]*)?$", re.MULTILINE)
_BINDS_OWN = re.compile(
    r'^[ \t]*(?:(?:options|logging|controls)\s*\{|zone\s+"?[^\s";{}:=]+"?(?:\s+\w+)?\s*\{)',
    re.MULTILINE | re.IGNORECASE,
)


def guess(text: str) -> str | None:
    """Return the name of the server a file is for, by what stands in it, or None."""
    is_bind = SERVERS["bind"].looks.search(text) and (
        _ENDED.search(text) or _BINDS_OWN.search(text)
    )
    for name, one in SERVERS.items():
        if name == "unbound" and AUTHORITATIVE.search(text):
            continue
        # A block like a Corefile's may hold lines like dnsmasq's options, not the other way round.
        found = is_bind if name == "bind" else one.looks.search(text)
        if found and not (name == "coredns" and is_bind):
            return name
    return None


def codes() -> dict[str, LintRule]:
    """Return every rule by its code."""
    return {rule.code: rule for server in SERVERS.values() for rule in server.rules}
