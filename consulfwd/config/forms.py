"""What one value of the configuration may look like as text: addresses, ports, networks, names.

Here stands how a text is read and what is said when it cannot be. Pure: nothing here knows of
files, lines, the environment or the settings the values end up in.
"""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any

from consulfwd.config.wording import described, quoted

DNS_PORT = 53
DNS_OVER_TLS_PORT = 853
ADMIN_PORT = 5380

# Sets rather than regular expressions: those cost milliseconds of every start to compile.
_LABEL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")
_USER = _LABEL | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ.@")
_DIGITS = frozenset("0123456789")
_VARIABLE = _DIGITS | frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_IPV4 = _DIGITS | {"."}
_IPV6 = _IPV4 | frozenset("abcdefABCDEF:")
_HEX = _DIGITS | frozenset("abcdefABCDEF-")
# Letters of a UUID, which tokens are.
_TOKEN = 36
_LONGEST_LABEL = 63
_LONGEST_NAME = 253
_LONGEST_USER = 64
_LONGEST_INTERFACE = 15


class BadValue(ValueError):
    """A value that cannot be used: `what` is wrong, how to `mend` it."""

    def __init__(self, what: str, mend: str = "") -> None:
        self.what = what
        self.mend = mend
        super().__init__(f"{what} ({mend})" if mend else what)


def text_of(value: object, example: str = "") -> str:
    """Return `value` if it is text, else raise BadValue, with the `example` if there is one."""
    if not isinstance(value, str):
        mend = f"such as {example}" if example else "put it in quotes"
        raise BadValue(f"must be text, not {described(value)}", mend)
    return value


def _address(text: str) -> IPv4Address | IPv6Address:
    if text.lower() == "localhost":
        return IPv4Address("127.0.0.1")
    plain, scoped, scope = text.partition("%")
    try:
        address = ip_address(plain)
    except ValueError:
        raise _not_an_address(plain) from None
    local = isinstance(address, IPv6Address) and address.is_link_local
    if local and not scoped:
        raise BadValue(
            f"the link-local address {quoted(text)} lacks its interface",
            f"such as {address}%eth0",
        )
    if scoped and not local:
        raise BadValue(
            f"{quoted(text)} names an interface, which only IPv6 link-local addresses do",
            f"write {address}",
        )
    if scoped and not _is_interface(scope):
        raise BadValue(
            f"{quoted(text)} does not name an interface behind the %",
            f"such as {address}%eth0, or its number",
        )
    return ip_address(text)


def _is_interface(name: str) -> bool:
    plain = name.isascii() and name.isprintable() and not set(name) & set(" /:%")
    some = bool(name.strip("0")) and name not in (".", "..")
    return plain and some and len(name) <= _LONGEST_INTERFACE


def _looks_numeric(host: str) -> bool:
    return bool(host) and (_IPV4.issuperset(host) or (":" in host and _IPV6.issuperset(host)))


def _not_an_address(text: str) -> BadValue:
    if not text:
        return BadValue("an address is missing", "write an IP address, such as 10.0.0.11")
    host, mark, port = text.partition("#") if "#" in text else text.partition("@")
    if mark and _looks_numeric(host) and port and _DIGITS.issuperset(port):
        right = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return BadValue(f"{quoted(text)} is not an IP address", f"the port is written {right}")
    if "://" in text:
        return BadValue(
            f"{quoted(text)} cannot be used as an address",
            "write an IP address, or tls://ADDRESS#NAME for a recursor",
        )
    if "/" in text:
        return BadValue(
            f"{quoted(text)} is not an IP address", "a single address, without a prefix"
        )
    if _looks_numeric(text):
        return BadValue(f"{quoted(text)} is not an IP address", "such as 10.0.0.11 or 2001:db8::11")
    return BadValue(
        f"{quoted(text)} is not an IP address",
        "a resolver cannot look up names it needs itself: write the address, such as 10.0.0.11",
    )


def listen_address(text: str) -> str:
    """Return the canonical form of an address to listen on; 0.0.0.0 and :: mean all."""
    address = _address(text)
    if address.is_multicast:
        raise BadValue(
            f"{quoted(text)} is a multicast address", "listen on an address of this host"
        )
    return str(address)


def upstream_address(text: str) -> str:
    """Return the canonical form of an address queries can be sent to."""
    address = _address(text)
    if address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255":
        raise BadValue(f"{quoted(text)} is not the address of one host", "such as 10.0.0.11")
    return str(address)


def port_number(text: str, lowest: int = 1) -> int:
    """Return the port `text` names, between `lowest` and 65535."""
    digits = 0 < len(text) <= 5 and _DIGITS.issuperset(text)
    if not digits or not lowest <= int(text) <= 65535:
        raise BadValue(f"{quoted(text)} is not a port", f"a number from {lowest} to 65535")
    return int(text)


def host_port(text: str) -> tuple[str, str | None]:
    """Split "host", "host:port", "[v6]:port" or a bare IPv6 address into host and port."""
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise BadValue(f"{quoted(text)} is not an address", "such as [2001:db8::11]:53")
        return host, rest[1:] if rest else None
    if text.count(":") == 1 and "://" not in text:
        host, _, port = text.partition(":")
        return host, port
    return text, None


def endpoint(text: str) -> dict[str, Any]:
    """Return the fields of an Endpoint; port 53 unless given, 0 for any free one."""
    host, port = host_port(text)
    return {
        "host": listen_address(host),
        "port": DNS_PORT if port is None else port_number(port, lowest=0),
    }


def admin_endpoint(text: str) -> dict[str, Any]:
    """Return the fields of the Endpoint of the admin server; port 5380 unless given."""
    host, port = host_port(text)
    return {
        "host": listen_address(host),
        "port": ADMIN_PORT if port is None else port_number(port, lowest=0),
    }


def agent(text: str) -> dict[str, Any]:
    """Return the fields of an Agent that "host" or "host:dns_port" gives."""
    host, port = host_port(text)
    fields: dict[str, Any] = {"address": upstream_address(host)}
    if port is not None:
        fields["dns_port"] = port_number(port)
    return fields


def agent_address(text: str) -> str:
    """Return the address of an agent's mapping, where the port has a key of its own."""
    host, port = host_port(text)
    if port is not None:
        raise BadValue(
            f"{quoted(text)} holds a port", f"write address: {host} and dns_port: {port}"
        )
    return upstream_address(host)


def recursor(text: str) -> dict[str, Any]:
    """Return the fields of a Recursor: "address[:port]" or "tls://address[:port]#name"."""
    scheme, has_scheme, rest = text.partition("://")
    if not has_scheme:
        host, port = host_port(text)
        return {
            "address": upstream_address(host),
            "port": DNS_PORT if port is None else port_number(port),
            "transport": "udp",
        }
    if scheme.lower() != "tls":
        raise BadValue(
            f"{quoted(scheme + '://')} is not a transport consulfwd knows",
            "write a bare address for UDP and TCP, or tls://ADDRESS#NAME",
        )
    where, _, name = rest.partition("#")
    host, port = host_port(where)
    address = upstream_address(host)
    if not name:
        raise BadValue(
            f"{quoted(text)} does not say which name its certificate must carry",
            f"add it after a #, such as {text.rstrip('#')}#dns.example",
        )
    return {
        "address": address,
        "port": DNS_OVER_TLS_PORT if port is None else port_number(port),
        "transport": "tls",
        "tls_name": domain_name(name),
    }


def network(text: str) -> IPv4Network | IPv6Network:
    """Return the network "address/prefix" names; a bare address is /32 or /128."""
    if text.lower() == "localhost":
        text = "127.0.0.1"
    address, slash, prefix = text.partition("/")
    try:
        if "%" in text or (slash and not _DIGITS.issuperset(prefix)):
            raise ValueError
        found = ip_network(text, strict=False)
    except ValueError:
        raise BadValue(
            f"{quoted(text)} is not a network", "such as 10.0.0.0/8 or fd00::/8"
        ) from None
    if found.network_address != ip_address(address):
        raise BadValue(f"{quoted(text)} has bits set behind its prefix", f"write {found}")
    return found


def domain_name(text: str) -> str:
    """Return a domain name in lower case without its final dot (RFC 1035 section 2.3.4)."""
    name = text.lower().removesuffix(".")
    if not name:
        raise BadValue(f"{quoted(text)} is not a domain name", "it needs one label at least")
    if not name.isascii():
        raise BadValue(
            f"{quoted(text)} has letters outside ASCII", "write it in its xn-- form (IDNA)"
        )
    for label in name.split("."):
        if not label:
            raise BadValue(f"{quoted(text)} has an empty label", "two dots follow each other")
        if len(label) > _LONGEST_LABEL:
            what = f"{quoted(text)} has a label of {len(label)} letters"
            raise BadValue(what, f"{_LONGEST_LABEL} at most")
        if not _LABEL.issuperset(label) or label[0] == "-" or label[-1] == "-":
            raise BadValue(
                f"{quoted(text)} has the label {quoted(label)}",
                "letters, digits, _ and inner hyphens are allowed",
            )
    if len(name) > _LONGEST_NAME:
        raise BadValue(f"{quoted(text)} is {len(name)} letters long", f"{_LONGEST_NAME} at most")
    return name


def datacenter_name(text: str) -> str:
    """Return a datacenter's name as Consul has it: one label in lower case."""
    name = text.lower()
    if not 0 < len(name) <= _LONGEST_LABEL or not _LABEL.issuperset(name):
        raise BadValue(
            f"{quoted(text)} is not the name of a datacenter", "letters, digits, _ and -"
        )
    return name


def user_name(text: str) -> str:
    """Return `text` if it can be the name (or number) of a system user."""
    named = text.removesuffix("$")
    if not 0 < len(named) <= _LONGEST_USER or not _USER.issuperset(named) or named[0] in "-.@":
        raise BadValue(f"{quoted(text)} is not the name of a user", "such as consulfwd")
    return text


def shown_name(text: str) -> str:
    """Return `text` if it is one that others can be shown as a name."""
    if not 0 < len(text) <= _LONGEST_NAME or not text.isprintable():
        raise BadValue(f"{quoted(text)} is no name", f"1 to {_LONGEST_NAME} letters that show")
    return text


def group_name(text: str) -> str:
    """Return `text` if it can be the name (or number) of a system group."""
    try:
        return user_name(text)
    except BadValue:
        raise BadValue(f"{quoted(text)} is not the name of a group", "such as adm") from None


def socket_mode(text: str) -> str:
    """Return the mode of a socket, in four octal digits; its owner may connect in any case."""
    digits = text.removeprefix("0o").zfill(4)
    if len(digits) != 4 or not set(digits) <= set("01234567") or int(digits, 8) & ~0o666:
        raise BadValue(f"{quoted(text)} is not the mode of a socket", 'such as "0660" or "0600"')
    if int(digits, 8) & 0o600 != 0o600:
        raise BadValue(f"{quoted(text)} keeps its owner out", "begin with 06")
    return digits


def no_token(text: str) -> str:
    """Return `text` unless it looks as Consul's tokens do: that must not get into a message."""
    if len(text) == _TOKEN and text.count("-") == 4 and _HEX.issuperset(text):
        raise BadValue(
            "looks like a token itself, which is not shown here",
            "write it into a file that only its readers may read, and the file's path here",
        )
    return text


def file_or_credential(text: str) -> str:
    """Return `text` if it is an absolute path, or the bare name of a credential (systemd's)."""
    no_token(text)
    if "/" in text or text in ("", ".", ".."):
        return absolute_path(text)
    return text


def variable_name(text: str) -> str:
    """Return `text` if it can be the name of an environment variable."""
    no_token(text)
    if not text or not _VARIABLE.issuperset(text) or text[0] in _DIGITS:
        raise BadValue(f"{quoted(text)} is not the name of a variable", "such as CONSUL_HTTP_TOKEN")
    return text


def absolute_path(text: str) -> str:
    """Return `text` if it is an absolute path."""
    if not text.startswith("/"):
        raise BadValue(
            f"{quoted(text)} is not an absolute path",
            "a service has no folder of its own: start it with /",
        )
    return text
