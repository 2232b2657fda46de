"""The addresses a configuration names: to listen on, of agents, of recursors; lists of them.

Each with its keys and how it is written. Where such a list may stand is in `sections`, what a
single address may look like in `forms`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, get_args

from consulfwd.config import forms
from consulfwd.config.keys import TEXT, Objections, Reader, Section, key, keys_of, read_section
from consulfwd.config.objections import KeyPath, Objection
from consulfwd.config.readers import choice, listing, number, optional, section, switch, text
from consulfwd.config.wording import described, quoted

Scheme = Literal["http", "https"]
Transport = Literal["udp", "tls"]

_PORT = number(int, 1, 65535)
FILE = text(lambda path: Path(forms.absolute_path(path)), "/etc/x", Path)
DOMAIN = text(forms.domain_name)
HANDED = text(lambda path: Path(forms.file_or_credential(path)), "/etc/x", Path)


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Endpoint(Section):
    """An address and port to listen on, for UDP and TCP; port 0 is any free one."""

    host: str = key(text(forms.listen_address))
    port: int = key(number(int, 0, 65535))

    def __str__(self) -> str:
        return _written(self.host, self.port)


ENDPOINT = text(lambda one: Endpoint(**forms.endpoint(one)), "127.0.0.1:53", Endpoint)


ADMIN = text(lambda one: Endpoint(**forms.admin_endpoint(one)), "127.0.0.1:5380", Endpoint)

# False is none at all.
Socket = Path | Literal["auto", False]


def _read_socket(value: object, path: KeyPath, objections: Objections) -> object:
    if value is False or value in ("auto", "off", "false"):
        return "auto" if value == "auto" else False
    if not isinstance(value, str | Path):
        mend = 'such as auto, false or "/run/consulfwd/serve.sock"'
        objections.add(path, f"must be a path, not {described(value)}", mend)
        return None
    return FILE.read(value, path, objections)


SOCKET = Reader(
    _read_socket, "text", "auto, false, a path", shape={"anyOf": [TEXT, {"const": False}]}
)


class Agent(Section):
    """A Consul agent: where its DNS and HTTP interfaces are, and what its HTTP one asks for."""

    address: str = key(text(forms.agent_address), "IP address of the agent")
    dns_port: int = key(_PORT, "its DNS port, UDP and TCP", default=8600)
    http_port: int = key(_PORT, "its HTTP port", default=8500)
    http_scheme: Scheme = key(choice(*get_args(Scheme)), "how HTTP is spoken", default="http")
    http_socket: Path | None = key(
        optional(FILE), "unix socket of its HTTP, asked instead of the port", default=None
    )
    ca_file: Path | None = key(
        optional(HANDED), "certificates that may sign the agent's (PEM)", default=None
    )
    cert_file: Path | None = key(
        optional(HANDED), "certificate shown to the agent (PEM)", default=None
    )
    key_file: Path | None = key(
        optional(HANDED), "private key of `cert_file`, if that does not hold it", default=None
    )
    tls_server_name: str | None = key(
        optional(DOMAIN), "name in the agent's certificate, if not its address", default=None
    )
    token_file: Path | None = key(
        optional(HANDED), "file that holds the ACL token for HTTP", default=None
    )
    token_variable: str | None = key(
        optional(text(forms.variable_name)),
        "environment variable that holds it instead",
        default=None,
    )

    @property
    def name(self) -> str:
        """How the agent is called in messages: its address and DNS port."""
        return _written(self.address, self.dns_port)

    @property
    def http_place(self) -> str:
        """Where its HTTP is, for messages."""
        return f"port {self.http_port}" if self.http_socket is None else f"{self.http_socket}"

    @property
    def http_stays_here(self) -> bool:
        """Whether what it is asked over HTTP does not leave this host, by its address."""
        address = ip_address(self.address.partition("%")[0])
        return self.http_socket is not None or address.is_loopback

    @property
    def has_token(self) -> bool:
        """Whether what it tells over HTTP depends on the rights of a token."""
        return self.token_file is not None or self.token_variable is not None

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield what HTTP needs that is in files, with its key."""
        for name in ("ca_file", "cert_file", "key_file", "token_file"):
            if (file := getattr(self, name)) is not None:
                yield name, file


_AGENT_TEXT = text(lambda one: Agent(**forms.agent(one)), "10.0.0.11")
_AGENT_KEYS = section(Agent)


def _read_agent(value: object, path: KeyPath, objections: Objections) -> object:
    reader = _AGENT_KEYS if isinstance(value, dict | Agent) else _AGENT_TEXT
    return reader.read(value, path, objections)


class Seeds(tuple[Agent, ...]):
    """Agents to begin with: the others are found in Consul's catalog, by asking these."""

    __slots__ = ()

    # Which agents are asked is another setting than the same agents and no others.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seeds) and super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = tuple.__hash__


_AGENT = Reader(_read_agent, shape={"anyOf": [TEXT, {"$ref": Agent}]})
_AGENT_LIST = listing(_AGENT, 100, least=1)


class FromCatalog(Section):
    """The other form a list of agents may have in a file."""

    from_catalog: bool = key(switch(), "true: the other agents are taken from Consul's catalog")
    seeds: tuple[Agent, ...] = key(
        listing(_AGENT, 100, least=1, needed=True), "agents to begin with"
    )


def _read_agents(value: object, path: KeyPath, objections: Objections) -> object:
    # Nothing in it may mean that what was there is taken out for being wrong.
    if isinstance(value, dict) and (not value or value.keys() & keys_of(FromCatalog).keys()):
        # As a dictionary: where something is wrong, a key may be missing.
        read = vars(read_section(FromCatalog, value, path, objections))
        seeds = read.get("seeds") or ()
        return Seeds(seeds) if read.get("from_catalog") else seeds
    if isinstance(value, dict):
        mend = "put it in brackets: [...], or write {from_catalog: true, seeds: [...]}"
        objections.add(path, "must be a list, not a mapping", mend)
        return ()
    agents = _AGENT_LIST.read(value, path, objections)
    return Seeds(agents) if isinstance(value, Seeds) else agents


AGENTS = _AGENT_LIST._replace(
    read=_read_agents, shape={"anyOf": [_AGENT_LIST.shape, {"$ref": FromCatalog}]}
)


class Recursor(Section):
    """A server for names outside Consul, over UDP and TCP or over TLS (RFC 7858)."""

    address: str = key(text(forms.upstream_address))
    port: int = key(_PORT, default=forms.DNS_PORT)
    transport: Transport = key(choice(*get_args(Transport)), default="udp")
    tls_name: str | None = key(optional(DOMAIN), default=None)

    @property
    def name(self) -> str:
        """How the recursor is called in messages, and written in the configuration."""
        if self.transport == "udp":
            return _written(self.address, self.port)
        if self.port != forms.DNS_OVER_TLS_PORT:
            return f"tls://{_written(self.address, self.port)}#{self.tls_name}"
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"tls://{host}#{self.tls_name}"

    def contradictions(self) -> Iterable[Objection]:
        if (self.transport == "tls") != (self.tls_name is not None):
            what = "tls_name and the transport tls go together"
            yield Objection(("tls_name",), what, "give both or none")


def _recursor(written: str) -> Recursor:
    return Recursor(**forms.recursor(written))


def _recursor_not_auto(written: str) -> Recursor:
    if written == "auto":
        raise forms.BadValue("auto stands alone", "take it out, or write recursors: auto")
    return _recursor(written)


def _read_recursors(value: object, path: KeyPath, objections: Objections) -> object:
    if value is None or value == "auto" or value == ["auto"]:
        return None
    if isinstance(value, str):
        what = f"must be auto or a list, not {quoted(value)}"
        objections.add(path, what, f"write [{value}]")
        return None
    return _RECURSORS_NOT_AUTO.read(value, path, objections)


RECURSORS = listing(text(_recursor, "9.9.9.9", Recursor), 100, least=1)
_RECURSORS_NOT_AUTO = listing(text(_recursor_not_auto, "9.9.9.9", Recursor), 100, least=1)
RECURSORS_OR_AUTO = RECURSORS._replace(
    read=_read_recursors, shape={"anyOf": [{"enum": ["auto", None]}, RECURSORS.shape]}
)
