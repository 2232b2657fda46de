"""What must hold between keys, each rule given the sections and lists it is about.

Each objection names the key at fault by its path from the root of the settings, where all rules
are put together. Pure: no file is looked at, and nothing is known of where a value came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path

from consulfwd.config.addresses import Agent, Endpoint, Recursor
from consulfwd.config.objections import KeyPath, Objection
from consulfwd.config.sections import (
    AccessSettings,
    AdminSettings,
    CacheSettings,
    ConsulSettings,
    LimitsSettings,
    PublicResolvers,
    RebindingSettings,
)

AgentLists = Sequence[tuple[KeyPath, tuple[Agent, ...]]]
# Of an address of a unix socket (octets); unix(7).
_LONGEST_SOCKET = 107
RecursorLists = Sequence[tuple[KeyPath, tuple[Recursor, ...]]]


def repeated_endpoints(listen: Sequence[Endpoint]) -> Iterator[Objection]:
    """Yield the endpoints to listen on that are in the list already."""
    # Port 0 is a new port each time, so two of them are not the same endpoint.
    return _repeated(("listen",), [str(one) if one.port else None for one in listen])


def repeated_names(
    lists: Iterable[tuple[KeyPath, tuple[Agent | Recursor, ...]]],
) -> Iterator[Objection]:
    """Yield the agents and recursors that are in their list already."""
    for path, servers in lists:
        yield from _repeated(path, [server.name for server in servers])


def repeated_networks(
    consul: ConsulSettings, access: AccessSettings, public: PublicResolvers
) -> Iterator[Objection]:
    """Yield the networks that are in their list already."""
    yield from _repeated(("consul", "reverse"), map(str, consul.reverse))
    yield from _repeated(("access", "allow"), map(str, access.allow or ()))
    yield from _repeated(("public_resolvers", "also"), map(str, public.also))
    yield from _repeated(("public_resolvers", "never"), map(str, public.never))


def excepted_networks(public: PublicResolvers) -> Iterator[Objection]:
    """Yield the networks of public resolvers where there are said to be none."""
    for index, network in enumerate(public.also):
        for number, other in enumerate(public.never):
            if network.version == other.version and network.subnet_of(other):  # type: ignore[arg-type]
                yield Objection(
                    ("public_resolvers", "also", index),
                    f"{network} lies in {other}, where no resolver is public",
                    "take one of them out",
                    (("public_resolvers", "never", number),),
                )
                break


def repeated_exceptions(rebinding: RebindingSettings) -> Iterator[Objection]:
    """Yield the domains and networks that may be private and are in their list already."""
    yield from _repeated(("rebinding", "allow"), rebinding.allow)
    yield from _repeated(("rebinding", "allow_networks"), map(str, rebinding.allow_networks))


def limited_by_more(limits: LimitsSettings) -> Iterator[Objection]:
    """Yield what limits say twice, or that all clients of a network may ask less than one."""
    yield from _repeated(("limits", "exempt"), map(str, limits.exempt))
    if 0 < limits.per_network < limits.per_client:
        yield Objection(
            ("limits", "per_network"),
            f"{limits.per_network} is less than per_client, {limits.per_client}",
            "lower per_client or raise per_network",
            (("limits", "per_client"),),
        )


def _repeated(path: KeyPath, names: Iterable[str | None]) -> Iterator[Objection]:
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name is None:
            continue
        if name in first:
            yield Objection(
                (*path, index),
                f"{name} is in the list already",
                "take one of them out",
                ((*path, first[name]),),
            )
        else:
            first[name] = index


def shared_domains(consul: ConsulSettings, forward: Iterable[str]) -> Iterator[Objection]:
    """Yield the domains that are Consul's twice, and those of Consul's in `forward`."""
    own: dict[str, KeyPath] = {consul.domain: ("consul", "domain")}
    for index, name in enumerate(consul.alt_domains):
        path = ("consul", "alt_domains", index)
        if name in own:
            yield Objection(
                path, f"{name} is a Consul domain already", "take one of them out", (own[name],)
            )
        own.setdefault(name, path)
    for zone in forward:
        labels = zone.split(".")
        for start in range(len(labels)):
            domain = ".".join(labels[start:])
            if domain in own:
                yield Objection(
                    ("forward", zone),
                    f"{zone} belongs to the Consul domain {domain}",
                    "names of Consul never go to other servers: take it out",
                    (own[domain],),
                )


def itself_asked(
    listen: Sequence[Endpoint], agents: AgentLists, recursors: RecursorLists
) -> Iterator[Objection]:
    """Yield the agents and recursors that are this server itself."""
    own = {(one.host, one.port) for one in listen}
    # A server on all addresses of a family is also found on that family's loopback.
    everywhere = {(":" in host, port) for host, port in own if host in ("0.0.0.0", "::")}

    def is_own(host: str, port: int) -> bool:
        on_loopback = host.startswith("127.") or host == "::1"
        return (host, port) in own or (on_loopback and (":" in host, port) in everywhere)

    def objection(path: KeyPath, name: str) -> Objection:
        return Objection(
            path,
            f"{name} is an address consulfwd listens on: it would ask itself",
            "name another server or another port",
            (("listen",),),
        )

    for path, listed in recursors:
        for index, recursor in enumerate(listed):
            if recursor.transport == "udp" and is_own(recursor.address, recursor.port):
                yield objection((*path, index), recursor.name)
    for path, asked in agents:
        for index, agent in enumerate(asked):
            if is_own(agent.address, agent.dns_port):
                yield objection((*path, index), agent.name)


def crossed_limits(cache: CacheSettings) -> Iterator[Objection]:
    """Yield that the least TTL is above the most."""
    if cache.min_ttl > cache.max_ttl:
        yield Objection(
            ("cache", "min_ttl"),
            f"{cache.min_ttl} is more than max_ttl, {cache.max_ttl}",
            "lower min_ttl or raise max_ttl",
            (("cache", "max_ttl"),),
        )


def ways_over_http(lists: AgentLists) -> Iterator[Objection]:
    """Yield what of an agent's keys for HTTP does not go together."""
    for path, agents in lists:
        for index, agent in enumerate(agents):
            yield from _way_over_http((*path, index), agent)


def _way_over_http(path: KeyPath, agent: Agent) -> Iterator[Objection]:
    scheme = (*path, "http_scheme")
    for name in ("ca_file", "cert_file", "key_file", "tls_server_name"):
        if getattr(agent, name) is not None and agent.http_scheme == "http":
            mend = f"add http_scheme: https, or take {name} out"
            yield Objection(
                (*path, name), "certificates are of no use over http", mend, (scheme,)
            )
    if agent.http_socket is not None and agent.http_scheme == "https":
        mend = "take http_scheme out, or http_socket"
        yield Objection((*path, "http_socket"), "a unix socket has no TLS", mend, (scheme,))
    if agent.key_file is not None and agent.cert_file is None:
        mend = "add cert_file, or take key_file out"
        yield Objection((*path, "key_file"), "a key is of no use without its certificate", mend)
    if agent.token_file is not None and agent.token_variable is not None:
        mend = "take one of them out"
        other = ((*path, "token_file"),)
        yield Objection((*path, "token_variable"), "token_file holds the token", mend, other)


def open_to_others(admin: AdminSettings, listen: Sequence[Endpoint]) -> Iterator[Objection]:
    """Yield what of the admin server's keys cannot be: it shows this host alone what runs."""
    path = ("admin", "listen")
    at = admin.listen
    if at is not None and not ip_address(at.host.partition("%")[0]).is_loopback:
        yield Objection(
            path,
            f"{at.host} is not a loopback address: what runs here would be shown to the network",
            "listen on 127.0.0.1 or [::1], and have a web server that knows its users in front",
        )
    elif at is not None and at.port and any(str(at) == str(one) for one in listen):
        what, mend = f"DNS is served at {at} already", "take another port, such as 5380"
        yield Objection(path, what, mend, (("listen",),))
    if at is None and admin.token_file is not None:
        yield Objection(
            ("admin", "token_file"),
            "a token is of no use without listen: who may connect to the socket needs none",
            'add listen: "127.0.0.1:5380", or take token_file out',
        )
    if isinstance(admin.socket, Path) and len(bytes(admin.socket)) > _LONGEST_SOCKET:
        yield Objection(
            ("admin", "socket"),
            f"is longer than a socket's path may be, {_LONGEST_SOCKET} octets",
            "take a shorter one, such as /run/consulfwd/serve.sock",
        )
