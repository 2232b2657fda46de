"""Domain names as wire-format bytes (RFC 1035 section 3.1), and their text and reverse forms.

Everywhere inside consulfwd a name is its uncompressed wire form, folded to lower case, so that
comparing and hashing are plain byte operations. This module must not know about messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from consulfwd.errors import WireError

ROOT = b"\0"
MAX_NAME = 255
MAX_LABEL = 63
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_*+/=:@!%^~")


def from_text(text: str) -> bytes:
    """Return the wire form of a name in presentation format (spelling kept; escapes read).

    A missing final dot is supplied. Raises WireError for an empty label, a label over 63 or a
    name over 255 octets, a bad escape, or a character outside ASCII.
    """
    if text in ("", "."):
        return ROOT
    if text.isascii() and "\\" not in text:
        labels = text.encode().removesuffix(b".").split(b".")
    else:
        labels = _escaped(text)
    wire = join(labels)
    if len(wire) > MAX_NAME:
        raise WireError(f"the name {text[:40]!r}... is longer than {MAX_NAME} octets")
    return wire


def _escaped(text: str) -> list[bytes]:
    """The labels of a name with escapes, or with characters that none may have."""
    labels: list[bytes] = []
    label = bytearray()
    position = 0
    while position < len(text):
        char = text[position]
        position += 1
        if char == ".":
            labels.append(bytes(label))
            label.clear()
            continue
        if char == "\\":
            digits = text[position : position + 3]
            if len(digits) == 3 and digits.isascii() and digits.isdigit() and int(digits) < 256:
                label.append(int(digits))
                position += 3
                continue
            if position >= len(text) or text[position].isdigit():
                raise WireError(f"bad escape in the name {text!r}")
            char = text[position]
            position += 1
        if not char.isascii():
            raise WireError(f"the name {text!r} has a character outside ASCII")
        label.append(ord(char))
    if label:
        labels.append(bytes(label))
    return labels


def join(labels: list[bytes]) -> bytes:
    """Return the wire form of `labels`. Raises WireError for an empty or overlong label."""
    for label in labels:
        if not label:
            raise WireError("a name has an empty label")
        if len(label) > MAX_LABEL:
            raise WireError(f"a label is longer than {MAX_LABEL} octets")
    return b"".join(bytes((len(label),)) + label for label in labels) + ROOT


def labels_of(name: bytes) -> list[bytes]:
    """Return the labels of an uncompressed wire name, leftmost first, the root left out."""
    labels = []
    position = 0
    while length := name[position]:
        labels.append(name[position + 1 : position + 1 + length])
        position += 1 + length
    return labels


def to_text(name: bytes) -> str:
    """Return the presentation form of a wire name, always with the final dot."""
    if name == ROOT:
        return "."
    return "".join(_label_text(label) + "." for label in labels_of(name))


def _label_text(label: bytes) -> str:
    parts = []
    for octet in label:
        if octet in _PLAIN:
            parts.append(chr(octet))
        elif 0x20 < octet < 0x7F:
            parts.append("\\" + chr(octet))
        else:
            parts.append(f"\\{octet:03d}")
    return "".join(parts)


def suffixes(name: bytes) -> Iterator[bytes]:
    """Yield the name itself, then each of its parents, the root last."""
    position = 0
    while length := name[position]:
        yield name[position:]
        position += 1 + length
    yield ROOT


def is_under(name: bytes, zone: bytes) -> bool:
    """Return whether `name` is `zone` or below it; both folded wire names."""
    return name.endswith(zone) and zone in suffixes(name)


def reverse_name(address: IPv4Address | IPv6Address) -> bytes:
    """Return the name a PTR query for `address` asks (RFC 1035 section 3.5, RFC 3596)."""
    return from_text(address.reverse_pointer)


def reverse_address(name: bytes) -> IPv4Address | IPv6Address | None:
    """Return the address a folded reverse name stands for, or None when it is none (or a zone)."""
    labels = [label.decode("latin-1") for label in labels_of(name)]
    try:
        if labels[-2:] == ["in-addr", "arpa"] and len(labels) == 6:
            return IPv4Address(".".join(reversed(labels[:4])))
        if labels[-2:] == ["ip6", "arpa"] and len(labels) == 34:
            nibbles = "".join(reversed(labels[:32]))
            # Not int(): it would take signs and underscores too.
            return IPv6Address(bytes.fromhex(nibbles)) if len(nibbles) == 32 else None
    except ValueError:
        return None
    return None


def reverse_zones(network: IPv4Network | IPv6Network) -> list[bytes]:
    """Return the zones on label boundaries that together cover exactly `network`.

    IPv4 boundaries are octets, IPv6 ones nibbles: a /12 of IPv4 gives sixteen zones. A network
    longer than the last boundary gives one name per address.
    """
    # By hand, since some hundred are made at each start.
    if network.version == 4:
        width, written, tail = 8, "%d", b"\x07in-addr\x04arpa\0"
    else:
        width, written, tail = 4, "%x", b"\x03ip6\x04arpa\0"
    length = -(-network.prefixlen // width) * width
    first = int(network.network_address) >> (network.max_prefixlen - length)
    mask = (1 << width) - 1
    zones = []
    for number in range(first, first + (1 << length - network.prefixlen)):
        labels = [written % (number >> shift & mask) for shift in range(0, length, width)]
        zones.append(b"".join(bytes((len(one),)) + one.encode() for one in labels) + tail)
    return zones
