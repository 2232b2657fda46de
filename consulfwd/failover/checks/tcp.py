"""A connection to a port of an address; what is sent on it, and what is expected.

What belongs here: that, and nothing of what a protocol is about.
"""

from __future__ import annotations

from consulfwd.config.failover_checks import TcpCheck
from consulfwd.failover.checks.connecting import connected
from consulfwd.failover.checks.looking import Progress, Wrong
from consulfwd.failover.checks.sought import Sought
from consulfwd.failover.model import Address


class TcpLook:
    """Connects, sends, reads until what is sought was there."""

    def __init__(self, settings: TcpCheck) -> None:
        self._port = settings.port
        self._send = (settings.send or "").encode()
        self._sought = Sought(settings.contains, settings.matches)

    async def look(self, address: Address, progress: Progress) -> str:
        """Return how far it came."""
        async with connected(str(address.ip), self._port, progress) as stream:
            if self._send:
                progress.at("sending")
                await stream.send(self._send)
            if not self._sought:
                return "connected"
            progress.at("waiting for what is sought")
            looking = self._sought.begin()
            ended = False
            while looking.missing and not looking.full and not ended:
                octets = await stream.receive()
                ended = not octets
                await looking.feed(octets)
            if ended:
                looking.end()
            if looking.missing:
                where = "what came" if ended else "the first 64 KB that came"
                raise Wrong(f"connected, but without {looking.missing} in {where}")
            return "connected, and what is sought is there"
