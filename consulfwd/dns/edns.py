"""EDNS(0) (RFC 6891): the OPT record as bytes, extended errors (RFC 8914).

Knows nothing of messages beyond this one record.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from consulfwd.dns import const
from consulfwd.errors import WireError

_OPT = struct.Struct("!BHHBBHH")
_OPTION = struct.Struct("!HH")
DO = 0x8000
MAX_EDE_TEXT = 120


class Edns(NamedTuple):
    """What the OPT record of a query or reply says; `options` is the raw option data."""

    size: int
    version: int
    do: bool
    extended_rcode: int
    options: bytes

    def option(self, code: int) -> bytes | None:
        """Return the data of the first option with this code, or None."""
        for number, data in read_options(self.options):
            if number == code:
                return data
        return None


def read_opt(rclass: int, ttl: int, rdata: bytes) -> Edns:
    """Return the meaning of an OPT record's class, TTL and data. Raises WireError if malformed."""
    if rdata:
        read_options(rdata)
    return Edns(rclass, (ttl >> 16) & 0xFF, bool(ttl & DO), ttl >> 24, rdata)


def read_options(rdata: bytes) -> list[tuple[int, bytes]]:
    """Return (code, data) of each option. Raises WireError when a length runs past the end."""
    options = []
    position = 0
    while position < len(rdata):
        if position + 4 > len(rdata):
            raise WireError("an EDNS option is cut short", const.FORMERR)
        code, length = _OPTION.unpack_from(rdata, position)
        position += 4 + length
        if position > len(rdata):
            raise WireError("an EDNS option is cut short", const.FORMERR)
        options.append((code, rdata[position - length : position]))
    return options


def build_opt(
    size: int, *, do: bool = False, extended_rcode: int = 0, options: bytes = b""
) -> bytes:
    """Return an OPT record announcing `size` octets; `options` as made by `build_option`."""
    flags = DO if do else 0
    return _OPT.pack(0, const.OPT, size, extended_rcode, 0, flags, len(options)) + options


def build_option(code: int, data: bytes) -> bytes:
    """Return one EDNS option."""
    return _OPTION.pack(code, len(data)) + data


# What a client says to be told how long a connection is kept (RFC 7828 section 3.1).
ASK_KEEPALIVE = build_option(const.KEEPALIVE, b"")


def asks_keepalive(edns: Edns | None) -> bool:
    """Return whether a client asks over TCP how long its connection is kept.

    Raises WireError when it says something instead: that is the server's (RFC 7828 section 3.2.1).
    """
    if edns is None or not edns.options or edns.version:
        return False
    data = edns.option(const.KEEPALIVE)
    if data:
        raise WireError("a client that says how long a connection is kept", const.FORMERR)
    return data is not None


def build_keepalive(seconds: float) -> bytes:
    """Return the option that tells for how long a connection is kept while it is idle."""
    return build_option(const.KEEPALIVE, min(int(seconds * 10), 0xFFFF).to_bytes(2, "big"))


def read_keepalive(edns: Edns | None) -> float | None:
    """Return for how many seconds a server keeps a connection that is idle, None if untold."""
    data = edns.option(const.KEEPALIVE) if edns else None
    return int.from_bytes(data, "big") / 10 if data is not None and len(data) == 2 else None


def build_ede(code: int, text: str = "") -> bytes:
    """Return an extended DNS error option (RFC 8914) with an explanation for people."""
    # Not cut within a character: some readers refuse a whole message for that.
    cut = text.encode(errors="replace")[:MAX_EDE_TEXT].decode(errors="ignore").encode()
    return build_option(const.EDE, struct.pack("!H", code) + cut)


def read_ede(edns: Edns | None) -> tuple[int, str] | None:
    """Return (info code, text) of the extended error in an OPT, or None.

    What could steer a terminal or break a log line is replaced in the text.
    """
    data = edns.option(const.EDE) if edns else None
    if data is None or len(data) < 2:
        return None
    text = data[2:].decode("utf-8", "replace")
    shown = "".join(char if char.isprintable() else "\ufffd" for char in text)
    return int.from_bytes(data[:2], "big"), shown
