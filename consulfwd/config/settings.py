"""The settings: every key's type, default, limits and help text, each stated here and only here.

The models take their values as text (as a file spells them) or ready-made. What holds between
keys is in `checks`; where values come from, and what a user is told, is in `load`. Nothing here
reads a file, the environment or the network.
"""

from collections.abc import Callable, Iterable, Iterator
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_network,
)
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)
from pydantic.fields import FieldInfo

from consulfwd.config import checks, values
from consulfwd.config.values import Fault, text_of

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Interface = IPv4Interface | IPv6Interface
Policy = Literal["ordered", "fastest", "round_robin"]

LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
PRIVATE: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
        *("fc00::/7", "fe80::/10"),
    )
)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _reader(parse: Callable[[str], object], example: str, made: type) -> BeforeValidator:
    """Return a validator that reads text and lets through what is `made` already."""

    def read(value: object) -> object:
        return value if isinstance(value, made) else parse(text_of(value, example))

    return BeforeValidator(read)


# A section whose keys are all commented out reads as nothing in YAML.
_SECTION = BeforeValidator(lambda value: {} if value is None else value)

ListenAddress = Annotated[str, AfterValidator(values.listen_address)]
UpstreamAddress = Annotated[str, AfterValidator(values.upstream_address)]
AgentAddress = Annotated[str, AfterValidator(values.agent_address)]
DomainName = Annotated[str, AfterValidator(values.domain_name)]
DatacenterName = Annotated[str, AfterValidator(values.datacenter_name)]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
File = Annotated[Path, _reader(lambda text: Path(values.absolute_path(text)), "/etc/x", Path)]
Cidr = Annotated[Network, _reader(values.network, "10.0.0.0/8", IPv4Network | IPv6Network)]
Seconds = Annotated[int, Field(strict=True)]


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Endpoint(_Model):
    """An address and port to listen on, for UDP and TCP; port 0 is any free one."""

    host: ListenAddress
    port: Annotated[int, Field(ge=0, le=65535, strict=True)]

    def __str__(self) -> str:
        return _written(self.host, self.port)


class Agent(_Model):
    """A Consul agent: where its DNS and HTTP interfaces are, and what its HTTP one asks for."""

    address: AgentAddress = Field(description="IP address of the agent")
    dns_port: Port = Field(default=8600, description="its DNS port, UDP and TCP")
    http_port: Port = Field(default=8500, description="its HTTP port")
    http_scheme: Literal["http", "https"] = Field(default="http", description="how HTTP is spoken")
    ca_file: File | None = Field(
        default=None, description="certificates that may sign the agent's (PEM)"
    )
    token_file: File | None = Field(
        default=None, description="file that holds the ACL token for HTTP"
    )

    @property
    def name(self) -> str:
        """How the agent is called in messages: its address and DNS port."""
        return _written(self.address, self.dns_port)


class Recursor(_Model):
    """A server for names outside Consul, over UDP and TCP or over TLS (RFC 7858)."""

    address: UpstreamAddress
    port: Port = values.DNS_PORT
    transport: Literal["udp", "tls"] = "udp"
    tls_name: DomainName | None = None

    @property
    def name(self) -> str:
        """How the recursor is called in messages, and written in the configuration."""
        if self.transport == "udp":
            return _written(self.address, self.port)
        if self.port != values.DNS_OVER_TLS_PORT:
            return f"tls://{_written(self.address, self.port)}#{self.tls_name}"
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"tls://{host}#{self.tls_name}"

    @model_validator(mode="after")
    def _named(self) -> "Recursor":
        if (self.transport == "tls") != (self.tls_name is not None):
            raise Fault("tls_name and the transport tls go together")
        return self


def _read_agent(value: object) -> object:
    if isinstance(value, dict | Agent):
        return value
    return values.agent(text_of(value, "10.0.0.11"))


def _read_recursors(value: object) -> object:
    if value is None or value == "auto" or value == ["auto"]:
        return None
    if isinstance(value, str):
        raise Fault(f"must be auto or a list, not {values.quoted(value)}", f"write [{value}]")
    if isinstance(value, list) and "auto" in value:
        where = value.index("auto")
        raise Fault("auto stands alone", "take it out, or write recursors: auto", (where,))
    return value


_Agent = Annotated[Agent, BeforeValidator(_read_agent)]
_Recursor = Annotated[Recursor, _reader(values.recursor, "9.9.9.9", Recursor)]
_Endpoint = Annotated[Endpoint, _reader(values.endpoint, "127.0.0.1:53", Endpoint)]
Endpoints = Annotated[tuple[_Endpoint, ...], Field(min_length=1, max_length=100)]
Agents = Annotated[tuple[_Agent, ...], Field(min_length=1, max_length=100)]
Recursors = Annotated[tuple[_Recursor, ...], Field(min_length=1, max_length=100)]
Domains = Annotated[tuple[DomainName, ...], Field(max_length=100)]
Networks = Annotated[tuple[Cidr, ...], Field(max_length=1_000)]


class Datacenter(_Model):
    """The agents asked first for one datacenter's names."""

    agents: Agents = Field(description="agents of this datacenter, asked first for its names")
    policy: Policy | None = Field(
        default=None, description="its policy, that of `consul.policy` if unset"
    )


class Consul(_Model):
    """What is Consul's: its names and who is asked about them."""

    domain: DomainName = Field(default="consul", description="the domain Consul serves")
    alt_domains: Domains = Field(
        default=(), description="further domains of the same Consul (its `alt_domain`)"
    )
    datacenter: DatacenterName | None = Field(
        default=None, description="the local datacenter's name"
    )
    agents: Agents = Field(
        default_factory=lambda: (Agent(address="127.0.0.1"),),
        description="Consul agents, with failover between them",
    )
    policy: Policy = Field(default="ordered", description="which agent is asked first")
    datacenters: Annotated[
        dict[DatacenterName, Annotated[Datacenter, _SECTION]], _SECTION, Field(max_length=1_000)
    ] = Field(default={}, description="agents of other datacenters, by datacenter")
    reverse: Networks = Field(
        default=(),
        description="networks whose PTR names are asked at Consul first, then at the recursors",
    )


class Cache(_Model):
    """How much is kept, and how long."""

    size: Annotated[int, Field(ge=0, le=10_000_000, strict=True)] = Field(
        default=10_000, description="answers kept; 0 keeps none"
    )
    min_ttl: Annotated[Seconds, Field(ge=0, le=86_400)] = Field(
        default=0, description="seconds an answer is used at least, whatever its TTL"
    )
    max_ttl: Annotated[Seconds, Field(ge=0, le=604_800)] = Field(
        default=86_400, description="seconds an answer is used at most, whatever its TTL"
    )
    max_negative_ttl: Annotated[Seconds, Field(ge=0, le=10_800)] = Field(
        default=60, description="the same for answers that say there is nothing"
    )
    stale_for: Annotated[Seconds, Field(ge=0, le=604_800)] = Field(
        default=86_400,
        description="seconds an expired answer is kept for when nobody answers; 0 is never",
    )


class Query(_Model):
    """The life of one query."""

    deadline: Annotated[float, Field(ge=0.1, le=30, strict=True)] = Field(
        default=2.0, description="seconds until every client query has its reply"
    )


class Access(_Model):
    """Who may ask."""

    allow: Annotated[Networks, Field(min_length=1)] | None = Field(
        default=None,
        description="networks that may ask; unset: loopback, and private networks listened on",
    )


class Tcp(_Model):
    """Limits on clients' TCP connections."""

    max_connections: Annotated[int, Field(ge=1, le=65_535, strict=True)] = Field(
        default=256, description="connections open at once"
    )
    max_per_client: Annotated[int, Field(ge=1, le=65_535, strict=True)] = Field(
        default=64, description="the same, from one address"
    )
    idle_timeout: Annotated[float, Field(ge=0.1, le=3_600, strict=True)] = Field(
        default=10.0, description="seconds a quiet connection is kept"
    )
    max_pending: Annotated[int, Field(ge=1, le=10_000, strict=True)] = Field(
        default=100, description="queries in flight on one connection"
    )


class Log(_Model):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="the least that is logged"
    )
    format: Literal["text", "json"] = Field(default="text", description="how a line looks")
    queries: Annotated[bool, Field(strict=True)] = Field(
        default=False, description="log every query, with its client"
    )


class Settings(_Model):
    """Everything consulfwd can be told. `Settings()` is the defaults."""

    listen: Endpoints = Field(
        default_factory=lambda: (Endpoint(host="127.0.0.1", port=values.DNS_PORT),),
        description="addresses to listen on, UDP and TCP on each; port 0 is any free one",
    )
    consul: Annotated[Consul, _SECTION] = Field(default_factory=Consul)
    recursors: Annotated[Recursors | None, BeforeValidator(_read_recursors)] = Field(
        default=None, description="servers for all other names; `auto` takes those of `resolv_conf`"
    )
    resolv_conf: File = Field(
        default=Path("/etc/resolv.conf"), description="where `recursors: auto` finds them, followed"
    )
    forward: Annotated[dict[DomainName, Recursors], _SECTION, Field(max_length=10_000)] = Field(
        default={}, description="servers for single domains, by domain"
    )
    cache: Annotated[Cache, _SECTION] = Field(default_factory=Cache)
    query: Annotated[Query, _SECTION] = Field(default_factory=Query)
    access: Annotated[Access, _SECTION] = Field(default_factory=Access)
    tcp: Annotated[Tcp, _SECTION] = Field(default_factory=Tcp)
    log: Annotated[Log, _SECTION] = Field(default_factory=Log)
    user: Annotated[str, AfterValidator(values.user_name)] | None = Field(
        default=None,
        description="user to become once the addresses are bound, when started as root",
    )

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> "Settings":
        # `load` looks for contradictions itself, once all its sources are joined.
        if info.context != "part" and (found := list(checks.conflicts(self))):
            raise Fault("; ".join(str(finding) for finding in found))
        return self

    def allowed_networks(self, interfaces: Iterable[Interface] = ()) -> tuple[Network, ...]:
        """Return the networks whose clients are answered.

        That is `access.allow` if given. Else loopback, and for each private address listened on
        (RFC 1918, RFC 4193, link-local) the address itself and the network of the interface
        that has it; 0.0.0.0 and :: stand for the addresses of all `interfaces` of their family.
        """
        if self.access.allow is not None:
            return self.access.allow
        allowed = dict.fromkeys(LOOPBACK)
        known = list(interfaces)
        for endpoint in self.listen:
            address = _unscoped(endpoint.host)
            if _is_private(address):
                allowed[ip_network(address)] = None
            for interface in known:
                here = _unscoped(str(interface.ip))
                same_family = here.version == address.version
                if (here == address or (address.is_unspecified and same_family)) and _is_private(
                    here
                ):
                    length = interface.network.prefixlen
                    allowed[ip_network(f"{here}/{length}", strict=False)] = None
        return tuple(allowed)


def _unscoped(text: str) -> Address:
    return ip_address(text.partition("%")[0])


def _is_private(address: Address) -> bool:
    return any(address in network for network in PRIVATE)


def is_model(kind: Any) -> TypeGuard[type[BaseModel]]:
    """Return whether a key's type is a model (in Python 3.10 `tuple[int]` is a type as well)."""
    return isinstance(kind, type) and not get_args(kind) and issubclass(kind, BaseModel)


def leaves(
    model: type[BaseModel] = Settings, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Yield every key below `model` that holds a value of its own, as path and field."""
    for name, field in model.model_fields.items():
        section = field.annotation
        if is_model(section):
            yield from leaves(section, (*path, name))
        else:
            yield (*path, name), field
