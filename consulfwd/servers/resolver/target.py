"""macOS's resolver: its files, checker, reload and versions, as its manual states them."""

from __future__ import annotations

from consulfwd.servers.target import CONSUL, Output, Target

TARGET = Target(
    name="resolver",
    title="macOS",
    outputs=(Output("resolver/consul.j2", ("/etc/resolver/consul",)),),
    newest=(26,),
    oldest=(10,),
    reload=(("dscacheutil", "-flushcache"), ("killall", "-HUP", "mDNSResponder")),
    ask_version=("sw_vers", "-productVersion"),
    asked_at=None,
    # A file is for one domain.
    kinds=frozenset({CONSUL}),
)
