"""nftables: its files, checker, reload and versions, as its manual states them."""

from __future__ import annotations

from consulfwd.servers.target import CONSUL, REVERSE, Output, Target

TARGET = Target(
    name="nftables",
    title="nftables",
    outputs=(Output("nftables/consul.nft.j2", ("/etc/nftables.d/consul.nft",)),),
    newest=(1, 1),
    oldest=(0, 6),
    check=("nft", "--check", "--file", "{file}"),
    reload=(("nft", "--file", "{file}"),),
    ask_version=("nft", "--version"),
    version_pattern=r"nftables v(\d+\.\d+(?:\.\d+)?)",
    package="nftables",
    # The one agent gets all names, and knows of no other server.
    kinds=frozenset({CONSUL, REVERSE}),
)
