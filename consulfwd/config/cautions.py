"""What the settings may say but hardly mean, worth a warning.

Pure: no file is looked at, and nothing is known of where a value came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from consulfwd.config.objections import Objection
from consulfwd.config.settings import Settings


def cautions(settings: Settings) -> Iterator[Objection]:
    """Yield what is allowed but hardly meant."""
    for index, network in enumerate(settings.access.allow or ()):
        if network.prefixlen == 0:
            yield Objection(
                ("access", "allow", index),
                f"{network} lets the whole Internet ask",
                "name your own networks unless a firewall does",
            )
    yield from _shut_out(settings)
    watch = settings.consul.watch
    if watch.enabled is True and watch.max == 0:
        yield Objection(
            ("consul", "watch", "max"),
            "no name can be watched, though watch.enabled is true",
            "raise it, or write enabled: false",
            (("consul", "watch", "enabled"),),
        )
    if watch.enabled is True and settings.cache.size == 0:
        yield Objection(
            ("cache", "size"),
            "nothing is kept that could be reused, though consul.watch.enabled is true",
            "raise it, or write enabled: false there",
            (("consul", "watch", "enabled"),),
        )
    for path, agents in settings.agent_lists():
        for index, agent in enumerate(agents):
            if agent.http_scheme == "https":
                yield Objection(
                    (*path, index),
                    f"https goes to port {agent.http_port}, where Consul usually speaks http",
                    "add http_port: 8501, or 8500 if that is right",
                    unless=(*path, index, "http_port"),
                )


def _shut_out(settings: Settings) -> Iterator[Objection]:
    allowed = settings.access.allow
    if allowed is None:
        return
    for endpoint in settings.listen:
        address = ip_address(endpoint.host.partition("%")[0])
        loopback = ip_address("::1" if address.version == 6 else "127.0.0.1")
        if address.is_unspecified or address.is_loopback:
            asks_from = loopback if address.is_unspecified else address
            if not any(asks_from in network for network in allowed):
                yield Objection(
                    ("access", "allow"),
                    f"this host itself may not ask at {endpoint}: {asks_from} is not in the list",
                    "add 127.0.0.0/8 and ::1 unless that is meant",
                    (("listen",),),
                )
                return
