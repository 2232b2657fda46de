"""Every upstream's channels: opened when first needed, swept, and closed when it is gone.

Off the host a socket has one query at a time, and over TCP many: how many there may be is decided
here, for agents and for all others apart.
"""

from __future__ import annotations

import asyncio

from consulfwd.core.attempts import Attempt
from consulfwd.core.places import Places
from consulfwd.core.upstreams import Upstream
from consulfwd.net.channel import Channel, Owner, random_ids
from consulfwd.net.pool import PortPool
from consulfwd.net.ports import Ports
from consulfwd.net.stream import Connection, StreamChannel
from consulfwd.net.upstream import SharedUdp

# Open to agents, and as many to all others: sockets for queries off the host, and connections.
MAX_SOCKETS, MAX_CONNECTIONS = 4096, 512


class Channels:
    """Every upstream's channels, opened when first needed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner) -> None:
        self._loop = loop
        self._owner = owner
        self._datagram: dict[tuple[str, str, int], SharedUdp | PortPool] = {}
        # By who it is and under which name, not by where: TLS is resumed without verifying.
        self._stream: dict[Upstream, StreamChannel] = {}
        self._direct: dict[Upstream, SharedUdp] = {}
        # Apart: of these there may be thousands, and they have nothing to flush.
        self._pools: dict[Upstream, PortPool] = {}
        # Of thousands of upstreams few have anything under way.
        self._busy: set[Channel] = set()
        # What recursors are slow at must not take the sockets that agents may need.
        self._ports = {one: Ports() for one in (True, False)}
        self._lines: dict[bool, Places[Connection]] = {one: Places(1, 1) for one in (True, False)}
        self._mixed_case = True
        self.use(2 * (MAX_SOCKETS + MAX_CONNECTIONS))

    def spell(self, *, mixed_case: bool) -> None:
        """Have names be spelled by chance where servers off the host repeat that, or not."""
        self._mixed_case = mixed_case
        for channel in self._datagram.values():
            if isinstance(channel, PortPool):
                channel.speller.on = mixed_case

    def use(self, sockets: int) -> None:
        """Have no more than so many open from now on, connections among them."""
        each = max(sockets // 2, 2)
        # Many queries share one.
        lines = min(max(each // 9, 1), MAX_CONNECTIONS)
        for one in (True, False):
            self._ports[one].room.size = min(each - lines, MAX_SOCKETS)
            self._lines[one].most = self._lines[one].most_each = lines

    def send(self, attempt: Attempt, tail: bytes) -> str | None:
        """Send an attempt's query (without ID); return why that was impossible, or None."""
        upstream = attempt.upstream
        if attempt.stream:
            stream = self._stream.get(upstream)
            if stream is None:
                lines = self._lines[upstream.is_agent]
                stream = self._stream[upstream] = StreamChannel(
                    upstream, self._loop, self._owner, random_ids(), lines
                )
            self._busy.add(stream)
            return stream.send(attempt, tail)
        channel = self._datagram.get(upstream.key)
        if channel is None:
            channel = self._datagram[upstream.key] = self._new(upstream)
        if isinstance(channel, SharedUdp):
            self._direct.setdefault(upstream, channel)
            self._busy.add(channel)
        else:
            self._pools.setdefault(upstream, channel)
        return channel.send(attempt, tail)

    def _new(self, upstream: Upstream) -> SharedUdp | PortPool:
        if not upstream.on_host:
            ports = self._ports[upstream.is_agent]
            pool = PortPool(upstream, self._loop, self._owner, ports, self._busy.add)
            pool.speller.on = self._mixed_case
            return pool
        return SharedUdp(upstream, self._loop, self._owner)

    def direct(self, upstream: Upstream) -> SharedUdp | PortPool | None:
        """Return the open channel to an upstream by which queries can be relayed, if any."""
        return self._direct.get(upstream) or self._pools.get(upstream)

    def flush(self) -> None:
        """Send the queries collected meanwhile."""
        # What cannot be sent is asked elsewhere, which may open another channel meanwhile.
        for channel in tuple(self._direct.values()):
            channel.flush()

    def sweep(self, now: float) -> None:
        """Forget attempts that will not be answered any more; close idle streams."""
        for channel in tuple(self._busy):
            if not channel.sweep(now):
                self._busy.discard(channel)

    def retain(self, keys: set[tuple[str, str, int]]) -> None:
        """Close the channels of upstreams that are not used any more."""
        self._direct = {one: way for one, way in self._direct.items() if one.key in keys}
        self._pools = {one: way for one, way in self._pools.items() if one.key in keys}
        gone: list[Channel] = [self._datagram.pop(key) for key in set(self._datagram) - keys]
        last = {one.key: one for one in self._stream}
        for one in tuple(self._stream):
            if one.key not in keys or last[one.key] is not one:
                gone.append(self._stream.pop(one))
        for channel in gone:
            self._busy.discard(channel)
            channel.close()

    def close(self) -> None:
        """Let go of every socket."""
        self.retain(set())
