"""unbound: its files, checker, reload and versions, as its manual states them."""

from __future__ import annotations

from consulfwd.servers.target import Output, Target

TARGET = Target(
    name="unbound",
    title="unbound",
    outputs=(
        Output(
            "unbound/consul.conf.j2",
            (
                "/etc/unbound/unbound.conf.d/consul.conf",
                "/etc/unbound/conf.d/consul.conf",
                "/usr/local/etc/unbound/conf.d/consul.conf",
            ),
        ),
    ),
    newest=(1, 24),
    oldest=(1, 4),
    check=("unbound-checkconf", "{file}"),
    whole=("unbound-checkconf",),
    reload=(("systemctl", "reload", "unbound"),),
    ask_version=("unbound", "-V"),
    version_pattern=r"Version (\d+\.\d+(?:\.\d+)?)",
    package="unbound",
)
