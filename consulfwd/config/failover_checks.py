"""The sections of the settings about how an address of a failover record is checked.

Each key stands here and only here; what holds between them is in `conflicts`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from consulfwd.config import failover_check_forms as check_forms
from consulfwd.config import forms, zone_forms
from consulfwd.config.addresses import DOMAIN, HANDED
from consulfwd.config.keys import Section, key
from consulfwd.config.objections import KeyPath, Objection
from consulfwd.config.patterns import pattern
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
from consulfwd.config.wording import quoted

Method = Literal["GET", "HEAD"]
Exchange = Literal["udp", "tcp"]
About = Literal["address", "service"]
OnWarningCheck = Literal["ok", "fail"]

KINDS = ("http", "tcp", "dns", "command", "consul")

_PORT = number(int, 1, 65535)
_SOUGHT = optional(text(check_forms.sought, "pool: in service"))
_PATTERN = optional(text(pattern, "status: *(ok|green)"))


class HttpCheck(Section):
    """A page is asked for over HTTP/1.1, at the address that is checked."""

    url: str = key(
        text(check_forms.url, "https://www.example.com/health"),
        "what is asked for; its host is what the request, SNI and the certificate name,"
        " and is not looked up",
    )
    method: Method = key(
        choice(*get_args(Method)), "HEAD: only the status is of interest", default="GET"
    )
    host: str | None = key(
        optional(text(check_forms.host, "www.example.com")),
        "header Host, if it is not that of `url`",
        default=None,
    )
    headers: dict[str, str] = key(
        mapping(text(check_forms.header, "X-Probe"), text(check_forms.header_value, "yes"), 20),
        "more headers",
        default=None,
    )
    status: tuple[str, ...] = key(
        listing(check_forms.STATUS, 50, least=1), "statuses that are right", default=("200-299",)
    )
    contains: str | None = key(
        _SOUGHT, "text that must be in the first 64 KB of the page", default=None
    )
    matches: str | None = key(_PATTERN, "pattern that must be in them", default=None)
    redirects: int = key(
        number(int, 0, 5), "how many are followed, to the same host only", default=0
    )
    server_name: str | None = key(
        optional(DOMAIN), "name in SNI and the certificate, if not the host", default=None
    )
    verify: bool = key(switch(), "whether the certificate is verified", default=True)
    ca_file: Path | None = key(
        optional(HANDED), "certificates that may sign it (PEM); unset: the system's", default=None
    )


class TcpCheck(Section):
    """A connection is made; something may be sent, something be expected."""

    port: int = key(_PORT, "where it is made")
    send: str | None = key(
        optional(text(check_forms.sought, '"PING\\r\\n"')),
        "what is sent once it is made",
        default=None,
    )
    contains: str | None = key(
        _SOUGHT, "text that must be in the first 64 KB that come", default=None
    )
    matches: str | None = key(_PATTERN, "pattern that must be in them", default=None)


class DnsCheck(Section):
    """A question is put to a DNS server at the address."""

    name: str = key(DOMAIN, "the name that is asked for")
    type: str = key(text(check_forms.record_type, "A"), "the type of its records", default="A")
    port: int = key(_PORT, "where the server answers", default=forms.DNS_PORT)
    transport: Exchange = key(
        choice(*get_args(Exchange)), "udp goes on over TCP where an answer is cut", default="udp"
    )
    rcode: str = key(
        text(check_forms.rcode, "NOERROR"), "the response code that is right", default="NOERROR"
    )
    values: tuple[str, ...] = key(
        listing(text(check_forms.sought, "192.0.2.10"), 100),
        "data one of which must be in the answer; none: with NOERROR, any record will do",
        default=(),
    )


class CommandCheck(Section):
    """A command is run, without a shell."""

    argv: tuple[str, ...] = key(
        listing(text(zone_forms.word, "/usr/lib/nagios/plugins/check_http"), 100, least=1),
        "its words; {address} and {name} (the record's) are put in",
    )
    ok: tuple[int, ...] = key(
        listing(number(int, 0, 255), 50, least=1), "exit codes that are OK", default=(0,)
    )
    fail: tuple[int, ...] = key(
        listing(number(int, 0, 255), 256),
        "exit codes that are FAIL; all others are ERROR, which changes nothing",
        default=(1, 2),
    )


class ConsulCheck(Section):
    """Consul is asked how a service is."""

    service: str = key(text(zone_forms.owner_name, "web"), "its name")
    about: About = key(
        choice(*get_args(About)),
        "the instances at the address that is checked, or the service wherever it is",
        default="address",
    )
    tag: str | None = key(
        optional(text(zone_forms.owner_name, "primary")),
        "of instances with this tag only",
        default=None,
    )
    datacenter: str | None = key(
        optional(text(forms.datacenter_name, "dc2")), "where; unset: the agents' own", default=None
    )
    least: int = key(number(int, 1, 10_000), "how many must be healthy", default=1)
    warning: OnWarningCheck = key(
        choice(*get_args(OnWarningCheck)), "what instances with warnings count as", default="ok"
    )


class CheckSettings(Section):
    """How an address is checked: one of these kinds."""

    http: HttpCheck | None = key(optional(section(HttpCheck)), default=None)
    tcp: TcpCheck | None = key(optional(section(TcpCheck)), default=None)
    dns: DnsCheck | None = key(optional(section(DnsCheck)), default=None)
    command: CommandCheck | None = key(optional(section(CommandCheck)), default=None)
    consul: ConsulCheck | None = key(optional(section(ConsulCheck)), default=None)

    @property
    def kind(self) -> str:
        """Which of them it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    def files(self) -> Iterator[tuple[KeyPath, Path]]:
        """Yield the files it needs, each with the path of its key."""
        if self.http is not None and self.http.ca_file is not None:
            yield ("http", "ca_file"), self.http.ca_file


def conflicts(path: KeyPath, check: CheckSettings) -> Iterator[Objection]:
    """Yield what makes a check at `path` unusable, though each value by itself may be."""
    given = [kind for kind in KINDS if getattr(check, kind) is not None]
    if len(given) != 1:
        said = "is of no kind" if not given else f"is of several kinds: {', '.join(given)}"
        yield Objection(path, said, f"write one of {', '.join(KINDS)}")
    if (http := check.http) is not None:
        yield from _of_http((*path, "http"), http)
    if (command := check.command) is not None:
        for number_, code in enumerate(command.fail):
            if code in command.ok:
                where = (*path, "command", "fail", number_)
                yield Objection(where, f"{code} is OK already", "take it out of one of them")
    if (asked := check.dns) is not None and asked.values and asked.rcode != "NOERROR":
        what = f"an answer of {asked.rcode} has no data"
        yield Objection((*path, "dns", "values"), what, "take values out, or rcode")


def _of_http(path: KeyPath, http: HttpCheck) -> Iterator[Objection]:
    for name in ("contains", "matches"):
        if http.method == "HEAD" and getattr(http, name) is not None:
            what = "there is no page to look into: method is HEAD"
            yield Objection((*path, name), what, "write method: GET")
    # With redirects it may come to HTTPS all the same.
    if http.url.startswith("http:") and not http.redirects:
        for name in ("ca_file", "server_name"):
            if getattr(http, name) is not None:
                what = f"{quoted(http.url)} is not asked for over TLS"
                yield Objection((*path, name), what, "write https, or take it out")
    if not http.verify and http.ca_file is not None:
        what = "verify is false: whoever signed the certificate makes no difference"
        yield Objection((*path, "ca_file"), what, "take one of them out")
