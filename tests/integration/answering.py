"""An agent that has the same address for every name, asked over UDP; tests make it odd."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import dns.message
import dns.rrset

ADDRESS = "10.0.0.7"

Reply = Callable[[dns.message.Message], "dns.message.Message | None"]


def with_the_address(query: dns.message.Message) -> dns.message.Message:
    """Return a reply that has the address, whatever the type asked for."""
    reply = dns.message.make_response(query, recursion_available=True)
    reply.answer.append(dns.rrset.from_text(query.question[0].name, 0, "IN", "A", ADDRESS))
    return reply


class AnsweringAgent:
    """It sends what `reply` makes of each query, if that is anything, until it is closed."""

    def __init__(self, sock: socket.socket, reply: Reply = with_the_address) -> None:
        self._sock = sock
        self._reply = reply
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            wire, peer = self._sock.recvfrom(4096)
            if not wire:
                return
            reply = self._reply(dns.message.from_wire(wire))
            if reply is not None:
                self._sock.sendto(reply.to_wire(), peer)

    def close(self) -> None:
        """End it, and wait for that."""
        self._sock.sendto(b"", self._sock.getsockname())
        self._thread.join()
        self._sock.close()


def bound(address: str, port: int) -> socket.socket:
    """Return a socket at an IPv4 address."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))
    return sock
