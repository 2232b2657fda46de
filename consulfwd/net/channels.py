"""Every upstream's channels: opened when first needed, swept, and closed when it is gone.

Off the host each query has a socket, and over TCP many have one: how many there may be is decided
here, for agents and for all others apart.
"""

from __future__ import annotations

import asyncio

from consulfwd.core.attempts import Attempt
from consulfwd.core.places import Places
from consulfwd.core.room import Room
from consulfwd.core.upstreams import Upstream
from consulfwd.net.channel import TOO_MANY, Channel, Owner, random_ids
from consulfwd.net.stream import Connection, StreamChannel
from consulfwd.net.upstream import RandomPortUdp, SharedUdp

# Open to agents, and as many to all others: sockets for queries off the host, and connections.
MAX_SOCKETS, MAX_CONNECTIONS = 4096, 512


class Channels:
    """Every upstream's channels, opened when first needed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner) -> None:
        self._loop = loop
        self._owner = owner
        self._datagram: dict[tuple[str, str, int], SharedUdp | RandomPortUdp] = {}
        # By who it is and under which name, not by where: TLS is resumed without verifying.
        self._stream: dict[Upstream, StreamChannel] = {}
        self._direct: dict[Upstream, SharedUdp] = {}
        # Of thousands of upstreams few have anything under way.
        self._busy: set[Channel] = set()
        # What recursors are slow at must not take the sockets that agents may need.
        self._rooms: dict[bool, Room[Attempt]] = {one: Room(1) for one in (True, False)}
        self._lines: dict[bool, Places[Connection]] = {one: Places(1, 1) for one in (True, False)}
        self.use(2 * (MAX_SOCKETS + MAX_CONNECTIONS))

    def use(self, sockets: int) -> None:
        """Have no more than so many open from now on, connections among them."""
        each = max(sockets // 2, 2)
        # Many queries share one.
        lines = min(max(each // 9, 1), MAX_CONNECTIONS)
        for one in (True, False):
            self._rooms[one].size = min(each - lines, MAX_SOCKETS)
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
        room = self._rooms[upstream.is_agent]
        if isinstance(channel, SharedUdp):
            self._direct.setdefault(upstream, channel)
        elif room.full and not self._make_room(room, attempt.sent_at):
            return TOO_MANY
        self._busy.add(channel)
        return channel.send(attempt, tail)

    def _new(self, upstream: Upstream) -> SharedUdp | RandomPortUdp:
        if not upstream.on_host:
            room = self._rooms[upstream.is_agent]
            return RandomPortUdp(upstream, self._loop, self._owner, room)
        return SharedUdp(upstream, self._loop, self._owner)

    def _make_room(self, room: Room[Attempt], now: float) -> bool:
        """Close a socket nobody waits for any more, or else one that gives way."""
        for attempt in room.oldest():
            if attempt.lookup.outcome is not None:
                self._drop(attempt, room)
                return True
        older = room.gives_way(now)
        if older is not None:
            self._drop(older, room)
            self._owner.on_gave_way(older)
        return older is not None

    def _drop(self, attempt: Attempt, room: Room[Attempt]) -> None:
        channel = self._datagram.get(attempt.upstream.key)
        if isinstance(channel, RandomPortUdp):
            channel.drop(attempt)
        room.give_back(attempt)

    def direct(self, upstream: Upstream) -> SharedUdp | None:
        """Return the open shared channel to an upstream on this host, if there is one."""
        return self._direct.get(upstream)

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
