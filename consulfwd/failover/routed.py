"""Whether this host has a route to anywhere, by what the kernel tells."""

from __future__ import annotations

from pathlib import Path

_V4, _V6 = Path("/proc/net/route"), Path("/proc/net/ipv6_route")
# What leads nowhere (RTF_REJECT).
_REJECT = 0x0200


def has_route(v4: Path = _V4, v6: Path = _V6) -> bool:
    """Return whether anything but the host itself can be reached; True where nobody knows."""
    try:
        # Interface, destination, gateway, flags; below a line of titles.
        rows = [line.split() for line in v4.read_text().splitlines()[1:]]
        if any(row[0] != "lo" and not int(row[3], 16) & _REJECT for row in rows):
            return True
        # Destination, its length, ..., flags, interface; link-local ones lead nowhere further.
        more = [line.split() for line in v6.read_text().splitlines()] if v6.exists() else []
        return any(
            row[9] != "lo" and not int(row[8], 16) & _REJECT and not _is_of_link(row[0])
            for row in more
        )
    except (OSError, IndexError, ValueError):
        return True


def _is_of_link(destination: str) -> bool:
    """Return whether a destination is of a link alone: fe80::/10, or multicast."""
    return destination[:3] in ("fe8", "fe9", "fea", "feb") or destination.startswith("ff")
