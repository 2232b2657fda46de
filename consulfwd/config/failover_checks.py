"""The sections of the settings about how an address is checked. Each key stands here alone."""

from __future__ import annotations

from consulfwd.config.keys import Section, key
from consulfwd.config.readers import number, optional, section


class TcpCheck(Section):
    """A connection to a port of the address."""

    port: int = key(number(int, 1, 65_535), "the port")


class CheckSettings(Section):
    """How an address is checked: one of these kinds."""

    tcp: TcpCheck | None = key(optional(section(TcpCheck)), default=None)
