"""What values in the settings of checks may look like: URLs, headers, statuses, what is sought.

Pure, as `forms` is, and for `failover_checks` alone.
"""

from __future__ import annotations

from consulfwd.config import forms
from consulfwd.config.forms import BadValue
from consulfwd.config.keys import Objections, Reader
from consulfwd.config.objections import KeyPath
from consulfwd.config.wording import described, quoted
from consulfwd.dns import const

_URL = "such as https://www.example.com/health"
_TOKEN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!#$%&'*+^`|~")
# What a request says by itself, and what would show a secret to whoever sees the settings.
_NOT_OURS = {"host": "write host", "connection": "", "content-length": "", "transfer-encoding": ""}
_NOT_OURS |= {"accept-encoding": "", "expect": "", "te": "", "upgrade": ""}
_SECRET = frozenset({"authorization", "cookie", "proxy-authorization"})
_LONGEST = 1_024


def url(written: str) -> str:
    """Return a URL of HTTP or HTTPS whose host is a name or an address."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(written)
        port = parts.port
    except ValueError:
        raise BadValue(f"{quoted(written)} is not a URL", _URL) from None
    plain = written.isascii() and written.isprintable() and " " not in written
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or not plain:
        raise BadValue(f"{quoted(written)} is not a URL of HTTP", _URL)
    if parts.username is not None or parts.fragment or len(written) > _LONGEST:
        raise BadValue(f"{quoted(written)} has more in it than a check can ask for", _URL)
    if ":" not in parts.hostname:
        forms.domain_name(parts.hostname)
    return written


def _status(value: object, path: KeyPath, objections: Objections) -> object:
    """Read 200 or "200-299"; returns text."""
    written = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    least, ranged, most = written.partition("-")
    most = most if ranged else least
    fit = all(len(one) == 3 and one.isascii() and one.isdigit() for one in (least, most))
    if not fit or not 100 <= int(least) <= int(most) <= 599:
        said = quoted(value) if isinstance(value, str) else described(value)
        objections.add(path, f"{said} is not a status of HTTP", 'such as 200 or "200-299"')
        return ""
    return written


STATUS = Reader(
    _status,
    shape={"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 100, "maximum": 599}]},
)


def header(name: str) -> str:
    """Return the name of a header that a check may send."""
    if not name or len(name) > 64 or not _TOKEN.issuperset(name):
        raise BadValue(f"{quoted(name)} is not the name of a header", "such as X-Probe")
    if name.lower() in _SECRET:
        what = f"{quoted(name)} would show a secret to whoever sees the settings"
        raise BadValue(what, "have the page that is asked for need none")
    if name.lower() in _NOT_OURS:
        raise BadValue(
            f"{quoted(name)} is said by the check itself", _NOT_OURS[name.lower()] or "take it out"
        )
    return name


def header_value(written: str) -> str:
    """Return the value of a header: nothing that could end its line."""
    if not written.isascii() or not written.isprintable() or len(written) > _LONGEST:
        raise BadValue(f"{quoted(written)} is not a header's value", "letters of ASCII that show")
    return written.strip()


def host(written: str) -> str:
    """Return what a Host header may say: a name or an address, with a port or without."""
    name, port = forms.host_port(written)
    if port is not None:
        forms.port_number(port)
    forms.upstream_address(name) if ":" in name else forms.domain_name(name)
    return written


def sought(written: str) -> str:
    """Return a text that is sent, or looked for in what comes."""
    if not written or len(written.encode()) > _LONGEST:
        raise BadValue("a text that is looked for", f"1 to {_LONGEST} octets")
    return written


def record_type(written: str) -> str:
    """Return the mnemonic of a record type (RFC 3597: TYPE<n>)."""
    if const.type_number(written) is None:
        raise BadValue(f"{quoted(written)} is not a type of records", "such as A, AAAA or SOA")
    return written.upper()


def rcode(written: str) -> str:
    """Return the mnemonic of a response code."""
    if written.upper() not in const.RCODES.values():
        raise BadValue(f"{quoted(written)} is not a response code", "such as NOERROR or NXDOMAIN")
    return written.upper()
