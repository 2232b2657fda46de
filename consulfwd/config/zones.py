"""The sections of the settings about zones: what is in one, how it may change, where it goes.

Each key stands here and only here. What holds between them is in `conflicts`.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal, get_args

from consulfwd.config import forms, zone_forms
from consulfwd.config.addresses import DOMAIN, ENDPOINT, FILE, HANDED, Endpoint
from consulfwd.config.keys import Section, key
from consulfwd.config.readers import (
    choice,
    listing,
    mapping,
    number,
    optional,
    section,
    switch,
    text,
)

AddressOf = Literal["service", "node"]
OnWarning = Literal["publish", "withdraw"]
Last = Literal["keep", "remove"]
Ownership = Literal["zone", "subtree", "registry"]
Algorithm = Literal["hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224", "hmac-sha1"]

_GLOBS = listing(text(zone_forms.glob, "web-*"), 1_000)
_TTL = number(int, 0, 604_800)
_SECONDS = number(float, 0, 86_400)
_COMMAND = listing(text(zone_forms.word, "rndc"), 100)
_TIMES = number(int, 1, 2_419_200)


class SoaSettings(Section):
    """What the SOA record says (RFC 1035 section 3.3.13, RFC 2308)."""

    primary: str | None = key(
        optional(DOMAIN), "name of the primary server; unset: the first of `ns`", default=None
    )
    mail: str | None = key(
        optional(text(zone_forms.mail_box, "hostmaster.example.com")),
        "who looks after the zone; unset: hostmaster at the origin",
        default=None,
    )
    refresh: int = key(_TIMES, "seconds between looks of secondaries", default=300)
    retry: int = key(_TIMES, "seconds until they look again where none answered", default=60)
    expire: int = key(_TIMES, "seconds they answer without", default=604_800)
    minimum: int = key(_TTL, "TTL of answers that say there is nothing", default=30)


class BudgetSettings(Section):
    """How much may be withdrawn, whatever the number of rounds."""

    percent: float = key(
        number(float, 0, 100), "of the names, and of the addresses, in one hour", default=30.0
    )
    least: int = key(
        number(int, 0, 1_000_000), "of so few names or addresses, all may go", default=10
    )
    hour: float = key(number(float, 60, 86_400), "its length in seconds", default=3_600.0)


class DampingSettings(Section):
    """When instances that come and go are held as they were (in the way of RFC 2439)."""

    enabled: bool = key(switch(), "whether they are", default=False)
    withdrawal: int = key(number(int, 0, 20_000), "penalty for each withdrawal", default=1_000)
    alteration: int = key(number(int, 0, 20_000), "penalty for other changes", default=500)
    suppress: int = key(number(int, 1, 20_000), "from this penalty on it is held", default=6_000)
    reuse: int = key(number(int, 1, 20_000), "until it is no more than this", default=750)
    half_life: float = key(
        number(float, 1, 86_400), "seconds in which a penalty becomes half", default=900.0
    )
    longest: float = key(
        number(float, 1, 604_800), "seconds it is held at most", default=3_600.0
    )


class FileTarget(Section):
    """The zone as a file of a server on this host."""

    path: Path = key(FILE, "where it is written")
    check: tuple[str, ...] | None = key(
        optional(_COMMAND),
        "what reads it before; {file} and {origin} are put in; unset: a checker that is installed",
        default=None,
    )
    reload: tuple[str, ...] = key(_COMMAND, "what makes the server read it", default=())
    server: Endpoint | None = key(
        optional(ENDPOINT), "where the server answers: the serial is asked for there", default=None
    )


class UpdateTarget(Section):
    """A zone of a server that takes updates (RFC 2136)."""

    servers: tuple[Endpoint, ...] = key(
        listing(ENDPOINT, 20, least=1), "its primaries, tried in order"
    )
    key_name: str | None = key(optional(DOMAIN), "name of the TSIG key", default=None)
    key_file: Path | None = key(
        optional(HANDED), "file that holds its secret in base64, or a key of BIND's", default=None
    )
    algorithm: Algorithm = key(choice(*get_args(Algorithm)), "of the key", default="hmac-sha256")
    ownership: Ownership = key(
        choice(*get_args(Ownership)),
        "what is ours: the whole zone, the names below `subtree`, or those a TXT record marks",
        default="zone",
    )
    subtree: str | None = key(
        optional(DOMAIN), "the name below which all is ours, if `ownership` says so", default=None
    )
    owner: str = key(
        text(zone_forms.owner_name, "consulfwd"), "who is named in TXT records", default="consulfwd"
    )
    timeout: float = key(number(float, 0.5, 60), "seconds for one message", default=5.0)


class InfobloxTarget(Section):
    """Records in an Infoblox grid, by its WAPI."""

    urls: tuple[str, ...] = key(
        listing(text(zone_forms.https_url, "https://grid.example.com/wapi/v2.11"), 10, least=1),
        "where its WAPI is, with the version; tried in order",
    )
    user: str = key(text(zone_forms.owner_name, "consulfwd"), "who asks")
    password_file: Path = key(HANDED, "file that holds the password")
    ca_file: Path | None = key(
        optional(HANDED), "certificates that may sign the grid's (PEM)", default=None
    )
    view: str = key(text(zone_forms.owner_name, "default"), "the DNS view", default="default")
    attribute: str = key(
        text(zone_forms.owner_name, "Publisher"),
        "extensible attribute that marks what is ours",
        default="Publisher",
    )
    owner: str = key(
        text(zone_forms.owner_name, "consulfwd"), "its value on what is ours", default="consulfwd"
    )
    timeout: float = key(number(float, 0.5, 120), "seconds for one request", default=30.0)
    reread: float = key(
        number(float, 0, 3_600),
        "seconds after which a push reads the whole zone again; until then the names it changes",
        default=60.0,
    )


class PrimaryTarget(Section):
    """The zone served by `consulfwd zone serve` and `zone watch` to secondaries."""

    listen: tuple[Endpoint, ...] = key(
        listing(ENDPOINT, 20, least=1), "where transfers are given (AXFR, IXFR)"
    )
    notify: tuple[Endpoint, ...] = key(
        listing(ENDPOINT, 100), "secondaries told of each change (RFC 1996)", default=()
    )
    key_name: str | None = key(optional(DOMAIN), "name of the TSIG key", default=None)
    key_file: Path | None = key(optional(HANDED), "file that holds its secret", default=None)
    algorithm: Algorithm = key(choice(*get_args(Algorithm)), "of the key", default="hmac-sha256")
    unsigned: bool = key(
        switch(), "whether whoever is in `allow` gets the zone without a key", default=False
    )
    allow: tuple[IPv4Network | IPv6Network, ...] = key(
        listing(text(forms.network, "10.0.0.0/8", IPv4Network | IPv6Network), 1_000),
        "networks that may ask; none: loopback, and those in `notify`",
        default=(),
    )


class TargetSettings(Section):
    """One place the zone goes to: one of these kinds."""

    file: FileTarget | None = key(optional(section(FileTarget)), default=None)
    rfc2136: UpdateTarget | None = key(optional(section(UpdateTarget)), default=None)
    infoblox: InfobloxTarget | None = key(optional(section(InfobloxTarget)), default=None)
    primary: PrimaryTarget | None = key(optional(section(PrimaryTarget)), default=None)


class ZoneLockSettings(Section):
    """The lock in Consul's KV store that makes one of several publishers the one that writes."""

    enabled: bool = key(switch(), "whether there is one", default=True)
    prefix: str | None = key(
        optional(text(zone_forms.kv_prefix, "consulfwd/zones/svc.example.com")),
        "the key prefix; unset: consulfwd/zones/ORIGIN",
        default=None,
    )
    ttl: float = key(number(float, 10, 86_400), "seconds a session lives unrenewed", default=15.0)
    lock_delay: float = key(
        number(float, 0, 60), "seconds Consul keeps it from others after a loss", default=15.0
    )
    retry: float = key(number(float, 1, 600), "seconds between tries to get it", default=20.0)


class ZoneSettings(Section):
    """A zone of healthy services."""

    origin: str = key(DOMAIN, "the zone's name; a reverse one holds PTR records")
    view: str | None = key(
        optional(text(zone_forms.owner_name, "internal")),
        "tells apart zones of the same name for several networks",
        default=None,
    )
    services: tuple[str, ...] = key(
        _GLOBS, "names of services, by glob; !GLOB takes out", default=("*", "!consul")
    )
    tags: tuple[str, ...] = key(
        _GLOBS, "tags that have names of their own, by glob (TAG.SERVICE)", default=()
    )
    datacenters: tuple[str, ...] = key(
        listing(text(forms.datacenter_name), 1_000),
        "datacenters whose instances are in it; none: the agents' own",
        default=(),
    )
    datacenter_names: bool = key(
        switch(), "whether SERVICE.DATACENTER is a name, too", default=False
    )
    address: AddressOf = key(
        choice(*get_args(AddressOf)),
        "whose address: the service's if it has one, or always its node's",
        default="service",
    )
    tagged: tuple[str, ...] = key(
        listing(text(zone_forms.owner_name, "wan_ipv4"), 10),
        "tags of the addresses taken, the first there is (lan_ipv4, wan, ...); none: plain ones",
        default=(),
    )
    srv: bool = key(
        switch(), "whether there are SRV records (_SERVICE._tcp, _SERVICE._TAG)", default=True
    )
    txt: tuple[str, ...] = key(
        _GLOBS, "keys of the instances' metadata that are in TXT records, by glob", default=()
    )
    # BIND's max-records-per-type: more at one name, and it takes nothing of the zone.
    most_records: int = key(
        number(int, 1, 10_000),
        "records of one type at a name; a zone with more than 100 BIND does not load by default",
        default=100,
    )
    aliases: dict[str, str] = key(
        mapping(text(zone_forms.alias, "www"), text(zone_forms.alias, "web"), 10_000),
        "CNAME records, by name below the origin: the name they stand for, below it too",
        default=None,
    )
    failover: tuple[str, ...] = key(
        listing(DOMAIN, 10_000),
        "names of `failover` that are in it, each with the addresses that health gives it",
        default=(),
    )
    names_in: str | None = key(
        optional(DOMAIN), "of a reverse zone: the zone whose names its records have", default=None
    )
    warning: OnWarning = key(
        choice(*get_args(OnWarning)), "what becomes of instances with warnings", default="publish"
    )
    last: Last = key(
        choice(*get_args(Last)),
        "whether the last instance of a service stays while it is only unhealthy",
        default="keep",
    )
    ttl: int = key(_TTL, "TTL of records in seconds", default=30)
    ttls: dict[str, int] = key(
        mapping(text(zone_forms.glob, "web-*"), _TTL, 1_000), "TTLs by service's glob", default=None
    )
    ns: tuple[str, ...] = key(
        listing(DOMAIN, 20), "names of its servers (NS); none: that of the origin", default=()
    )
    soa: SoaSettings = key(section(SoaSettings), default=None)
    quiescence: float = key(
        number(float, 0, 60), "seconds without a change before it is published", default=1.0
    )
    interval: float = key(_SECONDS, "seconds between two pushes at least", default=5.0)
    removal_delay: float = key(
        _SECONDS,
        "seconds an instance must be unhealthy before it goes; at once: gone, in maintenance",
        default=5.0,
    )
    max_age: float = key(
        number(float, 1, 86_400),
        "seconds since it was proved after which nothing is withdrawn by it",
        default=300.0,
    )
    budget: BudgetSettings = key(section(BudgetSettings), default=None)
    damping: DampingSettings = key(section(DampingSettings), default=None)
    lock: ZoneLockSettings = key(section(ZoneLockSettings), default=None)
    targets: tuple[TargetSettings, ...] = key(
        listing(section(TargetSettings), 20), "where it goes; none: it is only shown", default=()
    )
