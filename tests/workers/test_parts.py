"""A worker's part of what all may do together, and cookies that each takes of every other."""

from __future__ import annotations

from consulfwd.config import Settings
from consulfwd.core.cookies import SECRET_LASTS, Standing
from consulfwd.dns.cookies import CLIENT_SIZE
from consulfwd.net.clock import Clock
from consulfwd.net.flight import Counters
from consulfwd.net.jar import Jar
from consulfwd.workers.parts import share

ADDRESS, CLIENT = bytes((192, 0, 2, 1)), b"\1" * CLIENT_SIZE


def test_parts_come_to_the_whole_at_least() -> None:
    settings = Settings()
    tcp, limits = settings.tcp, settings.limits
    each = share(settings, 3)
    assert (each.tcp.max_connections, each.tcp.max_per_client) == (86, 22)
    assert (each.limits.per_client, each.limits.per_network) == (334, 3334)
    assert each.limits.unknown == 167
    assert each.limits.burst == limits.burst
    assert each.tcp.max_pending == tcp.max_pending


def test_what_is_unlimited_stays_so_and_nobody_has_nothing() -> None:
    limits = Settings().limits
    few = Settings().replace(limits=limits.replace(per_client=2, per_network=0, unknown=0))
    each = share(few, 8).limits
    assert (each.per_client, each.per_network, each.unknown) == (1, 0, 0)


def test_cookies_of_one_worker_hold_at_another_over_a_replaced_secret() -> None:
    wall = 1_000_000.0
    clock = Clock()
    clock.wall = lambda: wall
    head, one, two = (Jar(clock, Counters()) for _ in range(3))
    told: list[tuple[bytes, ...]] = []
    head.replaced = lambda: told.append(head.secrets)
    head.use("auto")
    for worker in (one, two):
        worker.use("auto", head.secrets)
    cookie = one._cookies.reply(ADDRESS, CLIENT, wall)
    assert cookie is not None
    assert two._cookies.known(ADDRESS, cookie, wall) is Standing.RIGHT
    wall += SECRET_LASTS - 60
    cookie = one._cookies.reply(ADDRESS, CLIENT, wall) or b""
    wall += 60
    for each in (head, one, two):
        each.look()
    # The head alone has a new one, until it tells.
    assert told == [head.secrets]
    assert one.secrets == two.secrets == head.secrets[1:]
    two.use("auto", head.secrets)
    assert two._cookies.known(ADDRESS, cookie, wall) is Standing.RIGHT
