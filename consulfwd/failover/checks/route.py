"""Whether this host's own line is cut: asked of the kernel, by rtnetlink(7).

What belongs here: the way to an address, the interface and the gateway on it. Must not know: checks
of any kind. Each question is answered by the kernel itself, in microseconds. Where it may not be
asked, nothing is known, and nothing is what is said.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address

_LINK, _ROUTE, _NEIGHBOUR = 18, 26, 30
_ERROR = 2
_REQUEST = 1
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ROUTE_FORM = struct.Struct("=BBBBBBBBI")
_LINK_FORM = struct.Struct("=BxHiII")
_NEIGHBOUR_FORM = struct.Struct("=BxxxiHBB")
_DST, _OIF, _GATEWAY = 1, 4, 5
# Kinds of routes: to another host; and those that lead nowhere.
_UNICAST, _NOWHERE = 1, {6: "blackhole", 7: "unreachable", 8: "prohibited"}
_UP, _RUNNING = 0x1, 0x40
# Who does not answer: it is being asked for in vain, or was.
_SILENT = 0x01 | 0x20
# What the kernel says of an address it has no way to.
_NO_WAY = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})


class _Refused(OSError):
    """What the kernel answered instead."""


def cut(ip: str) -> str:
    """Return what is wrong with the way from this host to an address, "" if nothing is known to be.

    A gateway that does not answer is on our side, a host on our own network that does not is not.
    """
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
            kernel.settimeout(0.2)
            kernel.bind((0, 0))
            return _cut(kernel, ip)
    except (OSError, struct.error, ValueError):
        return ""


def _cut(kernel: socket.socket, ip: str) -> str:
    plain, _, scope = ip.partition("%")
    address = ip_address(plain)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    more = _attribute(_OIF, struct.pack("=i", socket.if_nametoindex(scope))) if scope else b""
    asked = _ROUTE_FORM.pack(family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    try:
        form, attributes = _ask(
            kernel, _ROUTE, asked, _attribute(_DST, address.packed) + more, _ROUTE_FORM
        )
    except _Refused as refused:
        return "no route from here" if refused.errno in _NO_WAY else ""
    if (kind := form[7]) in _NOWHERE:
        return f"its route from here is {_NOWHERE[kind]}"
    if kind != _UNICAST or _OIF not in attributes:
        return ""
    (index,) = struct.unpack("=i", attributes[_OIF])
    if silent := _interface(kernel, index):
        return silent
    gateway = attributes.get(_GATEWAY)
    if gateway is None or not _silent(kernel, family, index, gateway):
        return ""
    return f"the gateway {ip_address(gateway)} does not answer"


def _interface(kernel: socket.socket, index: int) -> str:
    """Return why an interface carries nothing, "" if it does."""
    form, _ = _ask(kernel, _LINK, _LINK_FORM.pack(0, 0, index, 0, 0), b"", _LINK_FORM)
    name = f"interface {index}"
    with contextlib.suppress(OSError):
        name = socket.if_indextoname(index)
    if not form[3] & _UP:
        return f"{name} is down"
    return "" if form[3] & _RUNNING else f"{name} has no carrier"


def _silent(kernel: socket.socket, family: int, index: int, neighbour: bytes) -> bool:
    try:
        form, _ = _ask(
            kernel,
            _NEIGHBOUR,
            _NEIGHBOUR_FORM.pack(family, index, 0, 0, 0),
            _attribute(_DST, neighbour),
            _NEIGHBOUR_FORM,
        )
    except _Refused:
        # Nobody asked for it yet; or the kernel is older than 5.0, and lists all or nothing.
        return False
    return bool(form[2] & _SILENT)


def _attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def _ask(
    kernel: socket.socket, kind: int, form: bytes, attributes: bytes, answered: struct.Struct
) -> tuple[tuple[int, ...], dict[int, bytes]]:
    """Return the fixed part and the attributes of the one message that answers."""
    body = form + attributes
    kernel.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST, 1, 0) + body)
    reply = kernel.recv(65_536)
    length, said, _, _, _ = _HEADER.unpack_from(reply)
    if said == _ERROR:
        (code,) = struct.unpack_from("=i", reply, _HEADER.size)
        raise _Refused(-code, os.strerror(-code))
    fixed = answered.unpack_from(reply, _HEADER.size)
    return fixed, dict(_attributes(reply[_HEADER.size + answered.size : length]))


def _attributes(octets: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(octets):
        length, kind = _ATTRIBUTE.unpack_from(octets, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind, octets[at + _ATTRIBUTE.size : at + length]
        at += length + -length % 4
