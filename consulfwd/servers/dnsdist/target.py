"""dnsdist: its files, checker, reload and versions, as its manual states them."""

from __future__ import annotations

from consulfwd.servers.target import Output, Target

TARGET = Target(
    name="dnsdist",
    title="dnsdist",
    outputs=(
        Output(
            "dnsdist/consul.conf.j2",
            ("/etc/dnsdist/conf.d/consul.conf", "/usr/local/etc/dnsdist/conf.d/consul.conf"),
        ),
    ),
    newest=(1, 9),
    oldest=(1, 3),
    check=("dnsdist", "--check-config", "--config={file}"),
    whole=("dnsdist", "--check-config"),
    # It reads its configuration once.
    reload=(("systemctl", "try-restart", "dnsdist"),),
    ask_version=("dnsdist", "--version"),
    version_pattern=r"dnsdist (\d+\.\d+(?:\.\d+)?)",
    package="dnsdist",
)
