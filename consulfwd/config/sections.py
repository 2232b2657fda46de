"""The sections of the settings: every key's type, default, limits and help text.

Each is stated here and only here, but for what is above all sections, in `settings`, and what
stands in several places, the keys of an agent and the like, in `addresses`. Sections are made of
values as a file spells them, or ready-made; what holds between keys is in `conflicts`.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal, get_args

from consulfwd.config import forms
from consulfwd.config.addresses import (
    ADMIN,
    AGENTS,
    DOMAIN,
    FILE,
    HANDED,
    SOCKET,
    Agent,
    Endpoint,
    Seeds,
    Socket,
)
from consulfwd.config.keys import Section, key
from consulfwd.config.readers import (
    auto_or_switch,
    choice,
    listing,
    mapping,
    number,
    optional,
    section,
    switch,
    text,
)

Network = IPv4Network | IPv6Network
Policy = Literal["ordered", "fastest", "round_robin"]
Auto = Literal["auto"] | bool
WatchSource = Literal["agent", "leader"]
Level = Literal["debug", "info", "warning", "error"]
Format = Literal["text", "json"]

_DATACENTER = text(forms.datacenter_name)
_POLICY = choice(*get_args(Policy))
_NETWORK = text(forms.network, "10.0.0.0/8", Network)
# The least part of the queries that can be asked for.
LEAST_SAMPLE = 0.0001
_SAMPLE = number(float, LEAST_SAMPLE, 1)
_SHOWN = text(forms.shown_name)


class Datacenter(Section):
    """The agents asked first for one datacenter's names."""

    agents: tuple[Agent, ...] = key(AGENTS, "agents of this datacenter, asked first for its names")
    policy: Policy | None = key(
        optional(_POLICY), "its policy, that of `consul.policy` if unset", default=None
    )

    @property
    def from_catalog(self) -> bool:
        """Whether `agents` are only seeds, and the others are taken from Consul's catalog."""
        return isinstance(self.agents, Seeds)


class QualitySettings(Section):
    """What agents say over HTTP of the data they answer from."""

    every: float = key(
        number(float, 0.5, 3_600, off=True),
        "seconds between looks at an agent over HTTP; 0 never looks",
        default=10.0,
    )
    max_last_contact: float = key(
        number(float, 0.1, 3_600),
        "seconds an agent's data may be behind the leader's until others are asked first",
        default=5.0,
    )


class WatchSettings(Section):
    """Watches on Consul's HTTP API: while nothing changes, answers outlive their TTL."""

    enabled: Auto = key(
        auto_or_switch(),
        "whether answers are reused past their TTL until Consul says that something changed; "
        "auto: where HTTP can be asked",
        default="auto",
    )
    max: int = key(number(int, 0, 1_000), "names watched at once; 0 watches none", default=128)
    max_connections: int = key(
        number(int, 8, 200),
        "connections to one agent at most, of the 200 that Consul allows this host",
        default=66,
    )
    max_remote: int = key(
        number(int, 0, 200), "of the watches, so many at one agent off this host", default=8
    )
    settle: float = key(
        number(float, 0.1, 10),
        "seconds after a change of a name in which its answers are not reused",
        default=0.5,
    )
    source: WatchSource = key(
        choice(*get_args(WatchSource)),
        "who tells of changes; leader: soonest, at the cost of Consul's leader",
        default="agent",
    )


class ConsulSettings(Section):
    """What is Consul's: its names and who is asked about them."""

    domain: str = key(DOMAIN, "the domain Consul serves", default="consul")
    alt_domains: tuple[str, ...] = key(
        listing(DOMAIN, 100), "further domains of the same Consul (its `alt_domain`)", default=()
    )
    datacenter: str | None = key(optional(_DATACENTER), "the local datacenter's name", default=None)
    agents: tuple[Agent, ...] = key(
        AGENTS, "Consul agents, with failover between them", default=("127.0.0.1",)
    )
    policy: Policy = key(_POLICY, "which agent is asked first", default="ordered")
    datacenters: dict[str, Datacenter] = key(
        mapping(_DATACENTER, section(Datacenter), 1_000),
        "agents of other datacenters, by datacenter",
        default=None,
    )
    reverse: tuple[Network, ...] = key(
        listing(_NETWORK, 1_000),
        "networks whose PTR names are asked at Consul first, then at the recursors",
        default=(),
    )
    quality: QualitySettings = key(section(QualitySettings), default=None)
    watch: WatchSettings = key(section(WatchSettings), default=None)

    @property
    def from_catalog(self) -> bool:
        """Whether `agents` are only seeds, and the others are taken from Consul's catalog."""
        return isinstance(self.agents, Seeds)


class PublicResolvers(Section):
    """Which servers are public resolvers: they know nothing of this site's private networks."""

    also: tuple[Network, ...] = key(
        listing(_NETWORK, 1_000),
        "where there are public resolvers besides the well-known ones: these are not asked for "
        "the reverse names of private networks",
        default=(),
    )
    never: tuple[Network, ...] = key(
        listing(_NETWORK, 1_000),
        "where there are none, well known or not: these are asked for such names",
        default=(),
    )


class CacheSettings(Section):
    """How much is kept, and how long."""

    size: int = key(number(int, 0, 10_000_000), "answers kept; 0 keeps none", default=10_000)
    min_ttl: int = key(
        number(int, 0, 86_400), "seconds an answer is used at least, whatever its TTL", default=0
    )
    max_ttl: int = key(
        number(int, 0, 604_800),
        "seconds an answer is used at most, whatever its TTL",
        default=86_400,
    )
    max_negative_ttl: int = key(
        number(int, 0, 10_800), "the same for answers that say there is nothing", default=60
    )
    stale_for: int = key(
        number(int, 0, 604_800),
        "seconds an expired answer is kept for when nobody answers; 0 is never",
        default=86_400,
    )


# A recursor may have to ask around the world; programs wait for 5 s, ask again, and are joined.
RECURSOR_TIMES = 2.5


class QuerySettings(Section):
    """The life of one query."""

    deadline: float = key(
        number(float, 0.1, 30),
        "seconds until every client query has its reply; half as long where a stale one is at hand",
        default=2.0,
    )
    recursor_deadline: float | None = key(
        optional(number(float, 0.1, 30)),
        "the same for what recursors are asked while one is well, and nothing stale is at hand; "
        "unset: two and a half times as long",
        default=None,
    )
    mixed_case: bool = key(
        switch(),
        "spell names by chance to servers off this host that repeat it, so that more has to be "
        "guessed to forge a reply",
        default=True,
    )

    @property
    def for_recursors(self) -> float:
        """Return the deadline in seconds for what recursors are asked, in the best case."""
        told = self.recursor_deadline
        return RECURSOR_TIMES * self.deadline if told is None else max(told, self.deadline)


class AccessSettings(Section):
    """Who may ask."""

    allow: tuple[Network, ...] | None = key(
        optional(listing(_NETWORK, 1_000, least=1)),
        "networks that may ask; unset: loopback, and private networks listened on",
        default=None,
    )


class TcpSettings(Section):
    """Limits on clients' TCP connections."""

    max_connections: int = key(
        number(int, 1, 65_535),
        "connections open at once at one address; the longest idle one gives way to a new one",
        default=256,
    )
    max_per_client: int = key(
        number(int, 1, 65_535),
        "the same, from one other host (an IPv4 address, a /64 of IPv6)",
        default=64,
    )
    idle_timeout: float = key(
        number(float, 0.1, 3_600),
        "seconds a quiet connection is kept, if nobody needs its place",
        default=10.0,
    )
    max_pending: int = key(
        number(int, 1, 10_000), "queries in flight on one connection", default=100
    )


class LimitsSettings(Section):
    """What clients may ask over UDP, and how much is asked for names that nobody knows."""

    per_client: int = key(
        number(int, 0, 1_000_000),
        "queries a second of one other host (an IPv4 address, a /64 of IPv6) over UDP; 0 is any"
        " number",
        default=1_000,
    )
    per_network: int = key(
        number(int, 0, 10_000_000),
        "the same of one network (a /24 of IPv4, a /56 of IPv6)",
        default=10_000,
    )
    burst: float = key(
        number(float, 0.1, 60), "how many seconds' worth of that may come at once", default=5.0
    )
    slip: int = key(
        number(int, 0, 100),
        "of queries over that, each how many'th is told to come by TCP, where nothing is limited;"
        " others get no reply; 0 tells none",
        default=1,
    )
    exempt: tuple[Network, ...] = key(
        listing(_NETWORK, 1_000), "networks whose clients are not limited", default=()
    )
    own_host: bool = key(
        switch(),
        "whether this host's programs are limited as others are, each of its addresses a client",
        default=False,
    )
    unknown: int = key(
        number(int, 0, 10_000),
        "questions in flight about names of one zone that had no answer lately, and up to twice as"
        " many in turns of the clients; 0 is any number",
        default=500,
    )


class CookiesSettings(Section):
    """DNS cookies (RFC 7873): what shows that a client is where it says it is."""

    enabled: Auto = key(
        auto_or_switch(),
        "whether clients that send a cookie get one; auto: those off this host",
        default="auto",
    )
    secret_file: Path | None = key(
        optional(HANDED),
        "file with the secrets that cookies are made by, where several servers share an address;"
        " unset: one of our own, replaced daily",
        default=None,
    )


class RebindingSettings(Section):
    """Protection of browsers from outside names that lead to this site's own hosts."""

    protect: bool = key(
        switch(),
        "take private and loopback addresses out of what recursors say of outside names",
        default=False,
    )
    allow: tuple[str, ...] = key(
        listing(DOMAIN, 10_000), "domains whose names may have such addresses", default=()
    )
    allow_networks: tuple[Network, ...] = key(
        listing(_NETWORK, 1_000), "networks whose addresses any name may have", default=()
    )


class AdminSettings(Section):
    """Where a running process can be looked at, and by whom."""

    socket: Socket = key(
        SOCKET,
        "unix socket to look at a running process by; auto: in /run/consulfwd, or a folder of the"
        " user's; false: none",
        default="auto",
    )
    mode: str = key(
        text(forms.socket_mode, '"0660"'), "who may connect there, as chmod has it", default="0660"
    )
    group: str | None = key(
        optional(text(forms.group_name)),
        "group of that socket; unset: that of the process",
        default=None,
    )
    listen: Endpoint | None = key(
        optional(ADMIN), "address on loopback where a browser and Prometheus may look", default=None
    )
    token_file: Path | None = key(
        optional(HANDED),
        "file with the token that gives the same rights there as at the socket",
        default=None,
    )


class LogSettings(Section):
    """What is logged, and how."""

    level: Level = key(choice(*get_args(Level)), "the least that is logged", default="info")
    format: Format = key(choice(*get_args(Format)), "how a line looks", default="text")
    queries: bool = key(
        switch(), "log queries, with their clients and what became of them", default=False
    )


class QueryLogSettings(Section):
    """What a line about a query looks like, and where it goes."""

    file: Path | None = key(
        optional(FILE), "file the lines are added to; unset: the log", default=None
    )
    format: Format = key(
        choice(*get_args(Format)), "how a line in that file looks", default="text"
    )
    sample: float = key(
        _SAMPLE, "which part of the queries gets a line, taken at random", default=1.0
    )


class DnstapSettings(Section):
    """Queries and replies for a collector, as dnstap."""

    socket: Path | None = key(
        optional(FILE), "unix socket of the collector; unset: there is none", default=None
    )
    sample: float = key(
        _SAMPLE, "which part of the queries the collector is told of, taken at random", default=1.0
    )
    identity: str | None = key(
        optional(_SHOWN), "who we say we are; unset: the name of this host", default=None
    )
    version: str | None = key(
        optional(_SHOWN), "which version we say we are; unset: consulfwd and its own", default=None
    )
