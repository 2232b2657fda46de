"""A UDP listener at every address of the host: what it takes to reply from the right one."""

from __future__ import annotations

import logging
import socket
import struct
from typing import Any

from consulfwd.core.access import packed
from consulfwd.net import mmsg
from consulfwd.net.udp_base import BaseListener

log = logging.getLogger("consulfwd.udp")

DRAIN = 64
# So many times in a row there was more to read.
FULL = 8
Ancillary = list[tuple[int, int, bytes]]


class WildcardListener(BaseListener):
    """A socket bound to every address: each reply leaves from the address its query came to."""

    def _prepare(self) -> None:
        sock = self._sock
        self._full = 0
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_PKTINFO", 8), 1)

    def _readable(self) -> None:
        if self._clock.now() >= self.warmth.good_until:
            self.warmth.overdue()
        receive = self._sock.recvmsg
        ready = self.hot.answers.get
        observer = self.observer
        limits, now = self._limits(), self._clock.now()
        try:
            for _ in range(DRAIN):
                data, ancillary, _, address = receive(mmsg.SLOT + mmsg.SPILL, 256)
                peer = (_reply_from(ancillary), address)
                if limits and self._is_over(data, peer, packed(address[0]), now):
                    continue
                if observer is not None and observer.take(1):
                    self._note(data, peer, address[:2])
                    continue
                variant = ready(data[2:])
                if variant is not None and address[0] in self.access.seen:
                    self._counters.hot += 1
                    self._counters.queries += 1
                    self.send(data[:2] + variant(), peer)
                else:
                    self.query(data, peer, address[0])
            self._full += 1
            if self._full >= FULL:
                self._behind(now)
        except BlockingIOError:
            self._full = 0
        except OSError as error:
            log.debug("UDP: %s", error)

    def _is_over(self, data: bytes, peer: Any, address: bytes, now: float) -> bool:
        """Return whether a query is too many of its client's; that is told then."""
        limiter = self.access.limiter
        over = limiter.over(address, now)
        if not over and now < self.pressed_until and self._is_new(data[2:]):
            over = limiter.over_new(address, now)
        return over and self._too_many(data, peer, address)

    def address(self, peer: Any) -> bytes:
        return packed(peer[1][0])

    def send(self, reply: bytes, peer: Any) -> None:
        ancillary, address = peer
        try:
            self._sock.sendmsg([reply], ancillary, 0, address)
        except OSError as error:
            log.debug("UDP reply not sent: %s", error)


def _reply_from(ancillary: Ancillary) -> Ancillary:
    """Return the control data that sends a reply from the address a query came to."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and len(data) >= 12:
            # struct in_pktinfo: interface, local address, destination; the kernel sends from the
            # second, and chooses the interface by its routes when the first is 0.
            _, local, _ = struct.unpack("=I4s4s", data[:12])
            return [(level, kind, struct.pack("=I4s4s", 0, local, b"\0\0\0\0"))]
        if level == socket.IPPROTO_IPV6 and len(data) >= 20:
            return [(level, kind, data)]
    return []
