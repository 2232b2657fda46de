"""A worker's part of what all workers may do together. Pure.

The kernel gives each worker about as many of a client's queries and connections as any other, as
it goes by ports, and programs ask from many. So a part each of a limit comes to that limit.
"""

from __future__ import annotations

from consulfwd.config import Settings


def share(settings: Settings, count: int) -> Settings:
    """Return the settings of each of so many workers.

    What is unlimited stays so, and of what is not nobody's part is nothing.
    """

    def part(most: int) -> int:
        return -(-most // count)

    tcp, limits = settings.tcp, settings.limits
    return settings.replace(
        tcp=tcp.replace(
            max_connections=part(tcp.max_connections), max_per_client=part(tcp.max_per_client)
        ),
        limits=limits.replace(
            per_client=part(limits.per_client),
            per_network=part(limits.per_network),
            unknown=part(limits.unknown),
        ),
    )
