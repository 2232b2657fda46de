"""Notes of queries, as a listener hands them over."""

from __future__ import annotations

import socket
from typing import Literal

from consulfwd.dns import const, replies
from consulfwd.dns.wire import read_query
from consulfwd.net.noting import Kind, Noted
from tests.net.messages import question

AT = 1_796_005_000.25


def noted(
    name: str = "web.service.consul",
    qtype: str = "A",
    *,
    kind: Kind = "agent",
    server: str = "dc1-a",
    data: bytes = b"",
    reply: bytes | None = None,
    transport: Literal["udp", "tcp"] = "udp",
    client: tuple[str, int] = ("10.0.0.7", 4711),
    ede: tuple[int, str] | None = None,
) -> Noted:
    """A query that was answered after 1.5 ms."""
    data = data or question(name, qtype)
    one = Noted(data, client, ("127.0.0.1", 53), transport, AT, 100.0)
    one.kind, one.server, one.ede, one.took = kind, server, ede, 0.0015
    one.reply = replies.refuse(data, const.REFUSED, read_query(data)) if reply is None else reply
    return one


def packed(address: str) -> bytes:
    """An address as octets."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.inet_pton(family, address)
