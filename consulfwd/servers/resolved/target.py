"""systemd-resolved: its files, checker, reload and versions, as its manual states them."""

from __future__ import annotations

from consulfwd.servers.target import Output, Target

TARGET = Target(
    name="resolved",
    title="systemd-resolved",
    outputs=(
        Output(
            "resolved/consul.conf.j2",
            ("/etc/systemd/resolved.conf.d/consul.conf",),
            max_version=(257,),
        ),
        Output(
            "resolved/consul.dns-delegate.j2",
            ("/etc/systemd/dns-delegate.d/consul.dns-delegate",),
            min_version=(258,),
        ),
    ),
    newest=(258,),
    oldest=(229,),
    whole=("systemd-analyze", "cat-config", "systemd/resolved.conf"),
    # Older ones cannot reload.
    reload=(("systemctl", "reload-or-restart", "systemd-resolved"),),
    ask_version=("systemctl", "--version"),
    version_pattern=r"systemd (\d+)",
    package="systemd",
    asked_at="127.0.0.53",
)
