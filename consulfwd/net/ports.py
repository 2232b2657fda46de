"""Connected sockets to servers off the host: each at a random port, lent to one query at a time.

The kernel draws the port (RFC 6056) when a socket is connected, and takes nothing but what comes
from the server's address. How long a port is used, and how many sockets there may be to all servers
of one kind, is decided here; what comes by them is `pool`'s.
"""

from __future__ import annotations

import socket
from typing import Protocol

from consulfwd.core.attempts import Attempt
from consulfwd.core.room import Room
from consulfwd.core.upstreams import Upstream
from consulfwd.net.scopes import family, socket_address
from consulfwd.net.waiter import Waiter

# A query is sent from one of so many ports at least, where so many were sent within LIFE.
PORTS = 32
# A port is given up after so many queries and seconds: whoever finds it out has little of it.
USES, LIFE = 64, 5.0
# Of all sockets one in so many may be at hand and lent to nobody.
IDLE_SHARE = 4


class Lender(Protocol):
    """Whose a port is."""

    def drop(self, port: Port) -> None:
        """Close it; what it was lent to is told nothing."""

    def give_way(self, port: Port) -> None:
        """Close it; what it was lent to had to give way."""

    def spare(self) -> None:
        """Close one of those at hand, which there are."""


class Port:
    """A socket, and what it is lent to: `item`, sent with the ID `ident`; None while it is idle.

    `past` are the IDs of what was answered by it before, one behind the other; `spent` says that it
    is not lent again. `spelled` is the name asked for as it was sent and as it is kept, where that
    differs, and whether it was sure to be repeated; `again` says that it went in small letters
    since in mixed ones there was no reply.
    """

    __slots__ = (
        "again", "ends_at", "ident", "item", "lender", "past", "sock", "spelled", "spent",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, lender: Lender, now: float) -> None:
        self.sock = sock
        self.lender = lender
        self.ends_at = now + LIFE
        self.item: Attempt | Waiter | None = None
        self.ident = b""
        self.past = b""
        self.spent = self.again = False
        self.spelled: tuple[bytes, bytes, bool] | None = None

    def worn(self, now: float) -> bool:
        """Return whether another query should leave from another port."""
        return self.spent or now >= self.ends_at or len(self.past) >= 2 * USES


class Ports:
    """The sockets there are to all servers of one kind: lent ones, and `at_hand` idle ones.

    `room` says how many in all. `keepers` are whose the idle ones are.
    """

    __slots__ = ("at_hand", "keepers", "room")

    def __init__(self) -> None:
        self.room: Room[Port] = Room(1)
        self.at_hand = 0
        self.keepers: dict[Lender, None] = {}

    def __len__(self) -> int:
        return len(self.room) + self.at_hand

    @property
    def full(self) -> bool:
        """Return whether one has to be closed before another is opened."""
        return len(self.room) + self.at_hand >= self.room.size

    @property
    def enough(self) -> bool:
        """Return whether one that comes back is to be closed: so many are at hand."""
        return self.at_hand >= max(self.room.size // IDLE_SHARE, 1)

    def make_room(self, now: float) -> bool:
        """Close an idle one, one nobody waits for any more, or else one that gives way."""
        for lender in self.keepers:
            lender.spare()
            return True
        for port in self.room.oldest():
            if isinstance(port.item, Attempt) and port.item.lookup.outcome is not None:
                port.lender.drop(port)
                return True
        older = self.room.gives_way(now)
        if older is not None:
            older.lender.give_way(older)
        return older is not None


def connected(upstream: Upstream) -> socket.socket:
    """Return a socket that is connected to a server, at a port of the kernel's choice.

    Raises OSError.
    """
    address = upstream.address
    sock = socket.socket(family(address), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.connect(socket_address(address, upstream.port))
    except OSError:
        sock.close()
        raise
    return sock
