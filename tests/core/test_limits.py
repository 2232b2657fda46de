"""Token buckets of clients and networks: at the boundary, one before and one after."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_network

import pytest

from consulfwd.core import limits
from consulfwd.core.access import packed
from consulfwd.core.limits import Buckets, Limiter, Rules, one_client

START = 1_000_000.25
CLIENT, NEIGHBOUR, OTHER = (packed(f"10.0.{one}") for one in ("0.1", "0.2", "1.1"))


def passed(limiter: Limiter, address: bytes, count: int, now: float = START) -> int:
    return sum(not limiter.over(address, now) for _ in range(count))


def limiter(*own: str, **rules: object) -> Limiter:
    made = Limiter()
    made.use(Rules(**rules), own)  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize(("rate", "burst"), [(1, 1), (7, 35), (1000, 5000), (3, 1)])
def test_so_many_at_once_and_one_more_each_interval(rate: int, burst: int) -> None:
    buckets = Buckets(rate, burst, 10)
    assert [buckets.take(b"a", START) for _ in range(burst + 1)] == [True] * burst + [False]
    assert buckets.take(b"b", START)
    # A hundredth of an interval around when the next token is there: half of one is for rounding.
    assert not buckets.take(b"a", START + 0.49 / rate)
    assert buckets.take(b"a", START + 1.01 / rate)
    assert not buckets.take(b"a", START + 1.01 / rate)
    later = START + 1.01 / rate + burst / rate
    assert [buckets.take(b"a", later) for _ in range(burst + 1)] == [True] * burst + [False]


def test_what_is_over_does_not_keep_a_client_out() -> None:
    one = limiter(per_client=10, burst=1.0)
    got = sum(passed(one, CLIENT, 10, START + tenth / 10) for tenth in range(100))
    assert got == 10 + 99


def test_the_table_is_bounded_and_who_has_a_place_keeps_it() -> None:
    buckets = Buckets(10, 10, 50, most=100)
    assert [buckets.take(b"honest", START) for _ in range(3)] == [True] * 3
    # Made-up addresses fill it in no time; all who find no place share a bucket.
    taken = [buckets.take(b"%d" % number, START) for number in range(1000)]
    assert taken == [True] * (99 + 50) + [False] * (1000 - 99 - 50)
    assert len(buckets) == 100
    assert all(buckets.take(b"honest", START) for _ in range(7))
    assert not buckets.take(b"honest", START)
    # Those who asked once are forgotten a moment later, and not before it pays to look.
    assert buckets.take(b"new", START + limits.SWEEP_EVERY - 0.001)
    assert len(buckets) == 100
    assert buckets.take(b"new", START + limits.SWEEP_EVERY + 0.01)
    assert len(buckets) == 2
    assert not buckets.take(b"honest", START + 0.04)


def test_a_full_table_of_those_who_go_on_is_not_searched_all_the_time() -> None:
    buckets = Buckets(1, 100, 1, most=10)
    for number in range(10):
        for _ in range(50):
            buckets.take(b"%d" % number, START)
    assert [buckets.take(b"x", START + 1 + 0.001 * turn) for turn in range(3)] == [True] + 2 * [
        False
    ]
    assert len(buckets) == 10


def test_a_network_has_its_own_limit() -> None:
    one = limiter(per_client=10, per_network=15, burst=1.0)
    assert passed(one, CLIENT, 20) == 10
    # What one client was refused is not taken from its neighbours.
    assert passed(one, NEIGHBOUR, 20) == 5
    assert passed(one, OTHER, 20) == 10
    assert one.over_in_all == 10 + 15 + 10
    assert one.last == OTHER


@pytest.mark.parametrize(
    ("address", "same", "near", "far"),
    [
        ("10.0.0.1", "10.0.0.1", "10.0.0.255", "10.0.1.0"),
        ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:ff::1", "2001:db8:0:100::1"),
        # On a link each neighbour is a client, and nobody answers for the others.
        ("fe80::1", "fe80::1", "fe80::2", "fe80::2"),
    ],
)
def test_who_is_counted_together(address: str, same: str, near: str, far: str) -> None:
    one = limiter(per_client=10, per_network=15, burst=1.0)
    assert passed(one, packed(address), 10) == 10
    assert passed(one, packed(same), 1) == 0
    assert passed(one, packed(near), 10) == (10 if near == far else 5)
    assert one_client(packed(address)) == one_client(packed(same)) != one_client(packed(near))
    if far != near:
        assert passed(one, packed(far), 10) == 10


def test_who_is_never_limited() -> None:
    one = limiter(
        "10.0.0.1", "fe80::5%eth0", per_client=1, burst=1.0, exempt=(ip_network("10.0.1.0/24"),)
    )
    for free in ("127.0.0.1", "127.1.2.3", "::1", "10.0.0.1", "fe80::5", "10.0.1.77"):
        assert passed(one, packed(free), 100) == 100
    assert passed(one, NEIGHBOUR, 100) == 1
    assert (one.on, one.own_host) == (True, False)


def test_this_host_is_limited_where_that_is_asked_for() -> None:
    one = limiter("10.0.0.1", per_client=1, burst=1.0, own_host=True)
    here = ("127.0.0.1", "127.0.0.2", "10.0.0.1")
    assert [passed(one, packed(own), 9) for own in here] == [1] * 3
    assert one.own_host


@pytest.mark.parametrize(("client", "network", "on"), [(0, 0, False), (5, 0, True), (0, 5, True)])
def test_what_is_off_limits_nobody(client: int, network: int, on: bool) -> None:
    one = limiter(per_client=client, per_network=network, burst=1.0)
    assert one.on is on
    assert passed(one, CLIENT, 100) == (5 if on else 100)
    assert not limiter(own_host=True).own_host


def test_the_same_rules_again_fill_no_bucket_and_others_do() -> None:
    one = limiter(per_client=5, burst=1.0)
    assert passed(one, CLIENT, 9) == 5
    one.use(Rules(per_client=5, burst=1.0), ["10.0.0.9"])
    assert passed(one, CLIENT, 9) == 0
    one.use(Rules(per_client=6, burst=1.0))
    assert passed(one, CLIENT, 9) == 6
    # An address of this host that is so no longer is a client like others.
    one.use(Rules(per_client=6, burst=1.0), ["10.0.0.2"])
    assert passed(one, NEIGHBOUR, 9) == 9
    one.use(Rules(per_client=6, burst=1.0))
    assert passed(one, NEIGHBOUR, 9) == 0


@pytest.mark.parametrize(("slip", "told"), [(0, 0), (1, 12), (2, 6), (5, 2)])
def test_each_so_manyth_is_told(slip: int, told: int) -> None:
    one = limiter(per_client=1, burst=1.0, slip=slip)
    one.over(CLIENT, START)
    assert sum(one.over(CLIENT, START) and one.slips() for _ in range(12)) == told


def test_strangers_are_told_now_and_then() -> None:
    one = Limiter()
    assert sum(one.may_be_told(CLIENT, START) for _ in range(50)) == limits.STRANGERS_AT_ONCE
    assert sum(one.may_be_told(OTHER, START) for _ in range(5)) == 5


def test_addresses_that_are_known_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_KNOWN", 10)
    one = limiter(per_client=1, burst=1.0, exempt=(ip_network("10.0.0.0/8"),))
    for number in range(100):
        assert passed(one, ip_address(f"10.0.0.{number}").packed, 3) == 3
        assert passed(one, ip_address(f"192.0.2.{number}").packed, 3) == 1
        assert max(len(one._free), len(one._not_free)) <= 10


def test_any_order_gives_a_client_what_is_its_and_no_more() -> None:
    rng = random.Random(7)
    one = limiter(per_client=20, burst=0.5)
    now, got, began = START, 0, START
    for _ in range(5000):
        now += rng.choice((0.0, 0.001, 0.01, 0.2))
        got += not one.over(CLIENT, now)
        assert got <= 10.5 + 20 * (now - began) + 1
