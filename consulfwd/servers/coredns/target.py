"""CoreDNS: its files, checker, reload and versions, as its manual states them."""

from __future__ import annotations

from consulfwd.servers.target import Output, Target

TARGET = Target(
    name="coredns",
    title="CoreDNS",
    outputs=(Output("coredns/Corefile.j2", ("/etc/coredns/Corefile",)),),
    newest=(1, 13),
    oldest=(1, 4),
    reload=(("systemctl", "reload", "coredns"),),
    ask_version=("coredns", "-version"),
    version_pattern=r"CoreDNS-(\d+\.\d+(?:\.\d+)?)",
    whole_needs_recursors=True,
)
