"""What must hold between keys, and what is allowed but worth a warning.

Each finding names the key at fault by its path from the root of the settings. Pure: no file is
looked at, and nothing is known of where a value came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from consulfwd.config.servers import Agent, Recursor
    from consulfwd.config.settings import Settings

Path = tuple[str | int, ...]

_LOOPBACKS = ("127.", "::1")


class Finding(NamedTuple):
    """What is wrong at `path` and how to mend it.

    `also` are other keys that take part in it; if the key `unless` is given, it is meant so.
    """

    path: Path
    what: str
    mend: str
    also: tuple[Path, ...] = ()
    unless: Path | None = None


def dotted(path: Path) -> str:
    """Return a path as messages show it: `consul.agents[1].ca_file`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def agent_lists(settings: Settings) -> Iterator[tuple[Path, tuple[Agent, ...]]]:
    """Yield every list of agents with its path."""
    yield ("consul", "agents"), settings.consul.agents
    for name, datacenter in settings.consul.datacenters.items():
        yield ("consul", "datacenters", name, "agents"), datacenter.agents


def recursor_lists(settings: Settings) -> Iterator[tuple[Path, tuple[Recursor, ...]]]:
    """Yield every list of recursors with its path."""
    yield ("recursors",), settings.recursors or ()
    for zone, recursors in settings.forward.items():
        yield ("forward", zone), recursors


def conflicts(settings: Settings) -> Iterator[Finding]:
    """Yield what makes the settings unusable as a whole."""
    yield from _duplicates(settings)
    yield from _domains(settings)
    yield from _loops(settings)
    if settings.cache.min_ttl > settings.cache.max_ttl:
        yield Finding(
            ("cache", "min_ttl"),
            f"{settings.cache.min_ttl} is more than max_ttl, {settings.cache.max_ttl}",
            "lower min_ttl or raise max_ttl",
            (("cache", "max_ttl"),),
        )
    for path, agents in agent_lists(settings):
        for index, agent in enumerate(agents):
            if agent.ca_file is not None and agent.http_scheme == "http":
                yield Finding(
                    (*path, index, "ca_file"),
                    "certificates are of no use over http",
                    "add http_scheme: https, or take ca_file out",
                    ((*path, index, "http_scheme"),),
                )


def cautions(settings: Settings) -> Iterator[Finding]:
    """Yield what is allowed but hardly meant."""
    for index, network in enumerate(settings.access.allow or ()):
        if network.prefixlen == 0:
            yield Finding(
                ("access", "allow", index),
                f"{network} lets the whole Internet ask",
                "name your own networks unless a firewall does",
            )
    yield from _shut_out(settings)
    watch = settings.consul.watch
    if watch.enabled is True and watch.max == 0:
        yield Finding(
            ("consul", "watch", "max"),
            "no name can be watched, though watch.enabled is true",
            "raise it, or write enabled: false",
            (("consul", "watch", "enabled"),),
        )
    for path, agents in agent_lists(settings):
        for index, agent in enumerate(agents):
            if agent.http_scheme == "https":
                yield Finding(
                    (*path, index),
                    f"https goes to port {agent.http_port}, where Consul usually speaks http",
                    "add http_port: 8501, or 8500 if that is right",
                    unless=(*path, index, "http_port"),
                )


def _shut_out(settings: Settings) -> Iterator[Finding]:
    allowed = settings.access.allow
    if allowed is None:
        return
    for endpoint in settings.listen:
        address = ip_address(endpoint.host.partition("%")[0])
        loopback = ip_address(_LOOPBACKS[1] if address.version == 6 else _LOOPBACKS[0] + "0.0.1")
        if address.is_unspecified or address.is_loopback:
            asks_from = loopback if address.is_unspecified else address
            if not any(asks_from in network for network in allowed):
                yield Finding(
                    ("access", "allow"),
                    f"this host itself may not ask at {endpoint}: {asks_from} is not in the list",
                    "add 127.0.0.0/8 and ::1 unless that is meant",
                    (("listen",),),
                )
                return


def _duplicates(settings: Settings) -> Iterator[Finding]:
    # Port 0 is a new port each time, so two of them are not the same endpoint.
    yield from _repeated(("listen",), [str(one) if one.port else None for one in settings.listen])
    for path, agents in agent_lists(settings):
        yield from _repeated(path, [agent.name for agent in agents])
    for path, recursors in recursor_lists(settings):
        yield from _repeated(path, [recursor.name for recursor in recursors])
    yield from _repeated(("consul", "reverse"), map(str, settings.consul.reverse))
    yield from _repeated(("access", "allow"), map(str, settings.access.allow or ()))


def _repeated(path: Path, names: Iterable[str | None]) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name is None:
            continue
        if name in first:
            yield Finding(
                (*path, index),
                f"{name} is in the list already",
                "take one of them out",
                ((*path, first[name]),),
            )
        else:
            first[name] = index


def _domains(settings: Settings) -> Iterator[Finding]:
    consul = settings.consul
    own: dict[str, Path] = {consul.domain: ("consul", "domain")}
    for index, name in enumerate(consul.alt_domains):
        path = ("consul", "alt_domains", index)
        if name in own:
            yield Finding(
                path, f"{name} is a Consul domain already", "take one of them out", (own[name],)
            )
        own.setdefault(name, path)
    for zone in settings.forward:
        labels = zone.split(".")
        for start in range(len(labels)):
            domain = ".".join(labels[start:])
            if domain in own:
                yield Finding(
                    ("forward", zone),
                    f"{zone} belongs to the Consul domain {domain}",
                    "names of Consul never go to other servers: take it out",
                    (own[domain],),
                )


def _loops(settings: Settings) -> Iterator[Finding]:
    own = {(one.host, one.port) for one in settings.listen}
    # A server on all addresses of a family is also found on that family's loopback.
    everywhere = {(":" in host, port) for host, port in own if host in ("0.0.0.0", "::")}

    def is_own(host: str, port: int) -> bool:
        on_loopback = host.startswith(_LOOPBACKS[0]) or host == _LOOPBACKS[1]
        return (host, port) in own or (on_loopback and (":" in host, port) in everywhere)

    def finding(path: Path, name: str) -> Finding:
        return Finding(
            path,
            f"{name} is an address consulfwd listens on: it would ask itself",
            "name another server or another port",
            (("listen",),),
        )

    for path, recursors in recursor_lists(settings):
        for index, recursor in enumerate(recursors):
            if recursor.transport == "udp" and is_own(recursor.address, recursor.port):
                yield finding((*path, index), recursor.name)
    for path, agents in agent_lists(settings):
        for index, agent in enumerate(agents):
            if is_own(agent.address, agent.dns_port):
                yield finding((*path, index), agent.name)
