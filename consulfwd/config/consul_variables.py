"""Consul's own environment variables, as the list of agents they stand for: one agent.

They are a default: taken whole where nobody else gives `consul.agents`, and not at all otherwise,
so that no token goes to an agent it was not meant for. They mean what they mean to Consul's own
command, as far as there is a setting for it; the environment is given as an argument.
https://developer.hashicorp.com/consul/commands#environment-variables
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from consulfwd.config import forms
from consulfwd.config.forms import BadValue
from consulfwd.config.source import UNUSABLE, unusable
from consulfwd.config.tree import Place, PlacedProblem, Scalar, Source, TreeNode
from consulfwd.config.wording import quoted

AGENTS = ("consul", "agents")
_ADDRESS, _SSL = "CONSUL_HTTP_ADDR", "CONSUL_HTTP_SSL"
_TOKEN, _TOKEN_FILE = "CONSUL_HTTP_TOKEN", "CONSUL_HTTP_TOKEN_FILE"
_CERTIFICATE, _KEY = "CONSUL_CLIENT_CERT", "CONSUL_CLIENT_KEY"
_AUTHORITIES, _SERVER_NAME = "CONSUL_CACERT", "CONSUL_TLS_SERVER_NAME"
# Of no effect over http, as for Consul's command.
_TLS = {
    "ca_file": _AUTHORITIES,
    "cert_file": _CERTIFICATE,
    "key_file": _KEY,
    "tls_server_name": _SERVER_NAME,
}
_PATHS = (_AUTHORITIES, _CERTIFICATE, _KEY)
NAMES = (_ADDRESS, _SSL, _TOKEN, _TOKEN_FILE, *_TLS.values())
# As strconv.ParseBool of Go has it.
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


class _PassedOver(NamedTuple):
    """What is done all the same, what to do instead; values that ask for no more than that.

    One for certificates is of no effect over http anyway.
    """

    what: str
    mend: str
    harmless: frozenset[str] = frozenset()
    for_certificates: bool = False


_DEFAULT = frozenset(("default",))
# Those there is no setting for, but which change what Consul's command does.
_PASSED_OVER = {
    "CONSUL_HTTP_AUTH": _PassedOver(
        "Consul is asked without a user and a password", "a token does: CONSUL_HTTP_TOKEN_FILE"
    ),
    "CONSUL_HTTP_SSL_VERIFY": _PassedOver(
        "certificates are always verified",
        "CONSUL_CACERT says who may sign them, CONSUL_TLS_SERVER_NAME for which name they are",
        _TRUE,
        for_certificates=True,
    ),
    "CONSUL_CAPATH": _PassedOver(
        "who may sign certificates is in one file", "CONSUL_CACERT names it", for_certificates=True
    ),
    "CONSUL_NAMESPACE": _PassedOver("the default one is asked about", "unset it", _DEFAULT),
    "CONSUL_PARTITION": _PassedOver("the default one is asked about", "unset it", _DEFAULT),
}

# Key -> the variable it comes from, its value.
_Fields = dict[str, tuple[str, Scalar]]


def from_consul(environ: Mapping[str, str], rank: int) -> Source:
    """Return the tree of Consul's variables; an empty one counts as not set."""
    source = Source(TreeNode({}, _place(rank, NAMES[:1]), ()))
    given = {name: environ[name].strip() for name in NAMES if environ.get(name, "").strip()}
    for name, text in given.items():
        try:
            _look_at(name, text)
        except BadValue as fault:
            mend = f"{fault.mend}; or set consul.agents, which counts instead"
            source.found.append(PlacedProblem(_place(rank, [name]), "", fault.what, mend))
    fields = {} if source.found else _fields(given)
    if fields:
        _put(source.root, fields, rank)
    over_tls = fields.get("http_scheme", ("", ""))[1] == "https"
    for name, one in _PASSED_OVER.items():
        text = environ.get(name, "").strip()
        if text and text not in one.harmless and (over_tls or not one.for_certificates):
            place = _place(rank, [name])
            source.doubted.append(
                PlacedProblem(place, "", f"is not heeded: {one.what}", one.mend)
            )
    return source


def _look_at(name: str, text: str) -> None:
    """Raise BadValue for what cannot be. What a token may be is said by who sends it."""
    if name != _TOKEN and unusable(text):
        raise BadValue(*UNUSABLE)
    if name == _ADDRESS:
        _where(text, secure=False)
    elif name == _SSL and text not in _TRUE | _FALSE:
        raise BadValue(f"{quoted(text)} is not true or false", "write true or false")
    elif name == _TOKEN_FILE:
        forms.absolute_path(forms.no_token(text))
    elif name in _PATHS:
        # A bare name is no credential here: to Consul it is a file where one stands.
        forms.absolute_path(text)


def _fields(given: Mapping[str, str]) -> _Fields:
    """Return the keys of the agent; without any where the variables say nothing of one."""
    fields: _Fields = {}
    secure = given.get(_SSL) in _TRUE
    if secure:
        fields["http_scheme"] = _SSL, "https"
    if _ADDRESS in given:
        where = _where(given[_ADDRESS], secure)
        fields = {key: (_ADDRESS, value) for key, value in where.items()} | fields
        secure = where["http_scheme"] == "https"
    if secure:
        fields |= {key: (name, given[name]) for key, name in _TLS.items() if name in given}
    if _TOKEN_FILE in given:
        fields["token_file"] = _TOKEN_FILE, given[_TOKEN_FILE]
    elif _TOKEN in given:
        # The token itself is in no settings: who sends it looks there.
        fields["token_variable"] = _TOKEN, _TOKEN
    return fields


def _where(text: str, secure: bool) -> dict[str, Scalar]:
    """Return the keys that an address of Consul's gives; over TLS if `secure`, or if it says so."""
    scheme, marked, rest = text.partition("://")
    scheme, rest = (scheme.lower(), rest) if marked else ("", text)
    if "@" in rest:
        # Not quoted: it may hold a password.
        raise BadValue("holds a user, or a password", "write host:port")
    if scheme == "unix":
        socket = forms.absolute_path(rest)
        over = "https" if secure else "http"
        return {"address": "127.0.0.1", "http_socket": socket, "http_scheme": over}
    if scheme not in ("", "http", "https"):
        ways = "write host:port, http://host:port, https://host:port or unix:///path"
        raise BadValue(f"{quoted(scheme + '://')} is not how Consul is asked", ways)
    place, _, path = rest.partition("/")
    if path.strip("/"):
        raise BadValue("has a path", "Consul is asked at the root: write host:port")
    # In a URL the mark before an interface is written so (RFC 6874 section 2).
    host, port = forms.host_port(place.replace("%25", "%") if marked else place)
    over = "https" if secure or scheme == "https" else "http"
    # Without a port Consul's command goes where browsers go.
    usual = 443 if over == "https" else 80
    return {
        "address": forms.upstream_address(host),
        "http_port": usual if port is None else forms.port_number(port),
        "http_scheme": over,
    }


def _place(rank: int, names: list[str] | tuple[str, ...]) -> Place:
    line = (*NAMES, *_PASSED_OVER).index(names[0])
    return Place(rank, line, 0, f"environment {', '.join(names)}")


def _put(root: TreeNode, fields: _Fields, rank: int) -> None:
    """Put the list of that one agent into the tree."""
    by = {name for name, _ in fields.values()}
    place = _place(rank, [name for name in NAMES if name in by])
    entry = (*AGENTS, 0)
    nodes = {
        key: TreeNode(value, _place(rank, [name]), (*entry, key))
        for key, (name, value) in fields.items()
    }
    # The agent of this host, as for Consul's command.
    nodes.setdefault("address", TreeNode("127.0.0.1", place, (*entry, "address")))
    agents = TreeNode([TreeNode(dict(nodes), place, entry)], place, AGENTS)
    root.content = {AGENTS[0]: TreeNode({AGENTS[1]: agents}, place, AGENTS[:1])}
