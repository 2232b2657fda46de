"""What the settings may say but hardly mean, worth a warning.

Pure: no file is looked at, and nothing is known of where a value came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from consulfwd.config.addresses import Agent, Seeds
from consulfwd.config.objections import KeyPath, Objection
from consulfwd.config.settings import Settings

# The levels of a log in which there are lines about queries.
LOGGED = ("debug", "info")


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
    mode = int(settings.admin.mode, 8)
    if mode & 0o006:
        yield Objection(
            ("admin", "mode"),
            f"{settings.admin.mode} lets every user of this host drain agents and see names",
            'write "0660", and name a group of those who may',
        )
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
    if settings.log.queries and not settings.querylog.file and settings.log.level not in LOGGED:
        yield Objection(
            ("log", "level"),
            f"lines about queries are not in a log of level {settings.log.level}",
            "write level: info, or name a querylog.file",
            (("log", "queries"),),
        )
    rebinding = settings.rebinding
    if (rebinding.allow or rebinding.allow_networks) and not rebinding.protect:
        yield Objection(
            ("rebinding", "allow" if rebinding.allow else "allow_networks"),
            "is an exception to what is not in force",
            "write protect: true, or take it out",
            (("rebinding", "protect"),),
        )
    for path, agents in settings.agent_lists():
        yield from _tokens_in_clear(path, agents)
        for index, agent in enumerate(agents):
            if agent.http_scheme == "https":
                yield Objection(
                    (*path, index),
                    f"https goes to port {agent.http_port}, where Consul usually speaks http",
                    "add http_port: 8501, or 8500 if that is right",
                    unless=(*path, index, "http_port"),
                )
    if settings.zones:
        # Imported late: few hosts publish zones.
        from consulfwd.config import zone_cautions

        domains = (settings.consul.domain, *settings.consul.alt_domains)
        yield from zone_cautions.cautions(settings.zones, domains)


def _tokens_in_clear(path: KeyPath, agents: tuple[Agent, ...]) -> Iterator[Objection]:
    """Yield the tokens that anybody on the way to an agent off this host can read."""
    for index, agent in enumerate(agents):
        if not agent.has_token or agent.http_scheme == "https":
            continue
        key = "token_file" if agent.token_variable is None else "token_variable"
        where, mend = agent.address, "add http_scheme: https, unless that is this host"
        if agent.http_stays_here:
            if index > 0 or not isinstance(agents, Seeds):
                continue
            # The others are asked with what the first seed has.
            where, mend = "the agents of the catalog", "add http_scheme: https"
        yield Objection(
            (*path, index, key),
            f"the token goes to {where} without TLS: who is on the way can read it",
            mend,
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
