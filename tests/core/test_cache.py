"""The cache at the boundaries of its times: a moment before, and a moment after."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest

from consulfwd.core.cache import (
    LARGE,
    LARGE_NEGATIVE_SHARE,
    LARGE_SHARE,
    NEGATIVE_SHARE,
    STALE_TTL,
    Cache,
    Limits,
)
from consulfwd.core.hot import HotTable
from consulfwd.dns import const
from consulfwd.dns.message import Message, assemble_message
from consulfwd.dns.names import from_text
from consulfwd.dns.records import build_record
from tests.core.play import NAME, QUESTION, answer, denial, failure, query

NOW = 1000.0
KEY = b"\3key\0\0\1\0\1" + bytes(5)
JUST = 0.001


def kept(message: Message, **limits: int) -> Cache:
    """Return a cache that got this message at NOW."""
    cache = Cache(Limits(**limits))
    cache.put(KEY, message, NOW, "A")
    return cache


# Message, limits -> for how long it is fresh, and how long it may be served stale after that.
LASTS: dict[str, tuple[Message, dict[str, int], int, int]] = {
    "as the TTL says": (answer(ttl=300), {}, 300, 86_400),
    "TTL 0": (answer(ttl=0), {}, 0, 86_400),
    "below the minimum": (answer(ttl=5), {"min_ttl": 30}, 30, 86_400),
    "TTL 0 and a minimum": (answer(ttl=0), {"min_ttl": 1}, 1, 86_400),
    "above the maximum": (answer(ttl=86_401), {"max_ttl": 600}, 600, 86_400),
    "never stale": (answer(ttl=300), {"stale_for": 0}, 300, 0),
    "no such name, SOA TTL": (denial(ttl=20, minimum=50), {}, 20, 0),
    "no such name, SOA minimum": (denial(ttl=50, minimum=20), {}, 20, 0),
    "no such name, Consul": (denial(ttl=0, minimum=0), {}, 0, 0),
    "no such name, ceiling": (denial(ttl=900, minimum=900), {}, 60, 0),
    "no data, ceiling": (denial(const.NOERROR, ttl=900, minimum=9), {"max_negative_ttl": 5}, 5, 0),
    "no such name, above the minimum": (denial(ttl=9, minimum=9), {"min_ttl": 30}, 9, 0),
    "an error": (failure(const.SERVFAIL), {"min_ttl": 30}, 0, 0),
}


@pytest.mark.parametrize("what", LASTS)
def test_how_long_it_lasts(what: str) -> None:
    message, limits, fresh_for, stale_for = LASTS[what]
    cache = kept(message, **limits)
    entry = cache.get(KEY)
    ends, gone = NOW + fresh_for, NOW + fresh_for + stale_for
    assert cache.fresh(KEY, max(ends - JUST, NOW)) is (entry if fresh_for else None)
    assert cache.fresh(KEY, ends) is None
    assert cache.fresh(KEY, ends + JUST) is None
    assert cache.stale(KEY, max(gone - JUST, NOW)) is (entry if fresh_for + stale_for else None)
    assert cache.stale(KEY, gone) is None
    assert cache.stale(KEY, gone + JUST) is None


BESIDE = b"beside"


def stale_beside(message: Message, other: Message, after: float, **limits: int) -> bool:
    """Return whether a message of NOW is usable beside another of 100 s later, `after` that."""
    cache = kept(message, **limits)
    cache.put(BESIDE, other, NOW + 100, "A")
    return cache.stale(KEY, NOW + 100 + after, BESIDE) is not None


def test_no_data_is_stale_beside_the_other_familys_addresses() -> None:
    nodata = denial(const.NOERROR, ttl=20, minimum=20)
    assert stale_beside(nodata, answer(), 0)
    # It ends with what is older of the two, itself here.
    assert stale_beside(nodata, answer(), 520 - JUST, stale_for=600)
    assert not stale_beside(nodata, answer(), 520, stale_for=600)
    assert not stale_beside(nodata, answer(), 0, stale_for=0)
    cache = kept(answer(), stale_for=600)
    cache.put(BESIDE, nodata, NOW + 100, "A")
    assert cache.stale(BESIDE, NOW + 600 - JUST, KEY) is not None
    assert cache.stale(BESIDE, NOW + 600, KEY) is None


def test_what_is_not_stale_beside_anything() -> None:
    nodata, nothing = denial(const.NOERROR), denial()
    assert not stale_beside(nothing, answer(), 1)
    assert not stale_beside(nodata, nothing, 1)
    assert not stale_beside(nodata, nodata, 1)
    assert not stale_beside(failure(const.SERVFAIL), answer(), 1)
    cache = kept(nodata)
    assert cache.stale(KEY, NOW + 1, BESIDE) is None
    assert cache.stale(KEY, NOW + 1) is None


def test_a_time_of_its_own_does_not_change_how_long_it_may_be_stale() -> None:
    cache = Cache(Limits())
    cache.put(KEY, answer(ttl=300), NOW, "A", ttl=60)
    assert cache.fresh(KEY, NOW + 60 - JUST) is not None
    assert cache.fresh(KEY, NOW + 60) is None
    assert cache.stale(KEY, NOW + 300 + 86_400 - JUST) is not None


def ttls(body: bytes, message: Message) -> list[int]:
    return [struct.unpack_from("!I", body, at)[0] for at in message.ttls]


@pytest.mark.parametrize(
    ("ttl", "limits", "age", "shown"),
    [
        (300, {}, 0, 300),
        (300, {}, 0.999, 300),
        (300, {}, 1, 299),
        (300, {}, 299.9, 1),
        (86_400, {"max_ttl": 600}, 10, 590),
        (5, {"min_ttl": 30}, 10, 20),
    ],
)
def test_ttls_count_down(ttl: int, limits: dict[str, int], age: float, shown: int) -> None:
    message = answer(2, ttl=ttl)
    cache = kept(message, **limits)
    entry = cache.fresh(KEY, NOW + age)
    assert entry is not None
    assert ttls(cache.body(entry, NOW + age), message) == [shown, shown]


@pytest.mark.parametrize(("ttl", "shown"), [(300, STALE_TTL), (5, 5), (0, 0)])
def test_stale_answers_have_a_short_ttl(ttl: int, shown: int) -> None:
    message = answer(ttl=ttl)
    cache = kept(message)
    entry = cache.stale(KEY, NOW + 3600)
    assert entry is not None
    assert ttls(cache.stale_body(entry), message) == [shown]


def test_negative_answers_are_shown_with_their_ceiling() -> None:
    message = denial(ttl=900, minimum=900)
    cache = kept(message, max_negative_ttl=60)
    entry = cache.fresh(KEY, NOW + 20)
    assert entry is not None
    assert ttls(cache.body(entry, NOW + 20), message) == [40]


def test_a_denial_is_shown_no_longer_than_it_is_kept() -> None:
    message = denial(ttl=50, minimum=30)
    cache = kept(message, max_negative_ttl=60)
    entry = cache.fresh(KEY, NOW + 20)
    assert entry is not None
    assert ttls(cache.body(entry, NOW + 20), message) == [10]


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        *((answer(ttl=900), 600), (answer(ttl=2), 30)),
        *((denial(ttl=900, minimum=900), 60), (denial(ttl=900, minimum=59), 59)),
        *((denial(ttl=7, minimum=9), 7), (denial(ttl=900, minimum=0), 0)),
    ],
)
def test_the_first_client_is_told_the_limits_ttls_too(message: Message, shown: int) -> None:
    cache = Cache(Limits(min_ttl=30, max_ttl=600, max_negative_ttl=60))
    cache.clamp(message)
    assert ttls(message.body, message) == [shown]


def keys(cache: Cache) -> str:
    return "".join(key for key in "abcdef" if cache.get(key.encode()))


def test_the_least_recently_used_goes_first() -> None:
    cache = Cache(Limits(size=3))
    for key in "abc":
        cache.put(key.encode(), answer(ttl=300), NOW, "A")
    cache.fresh(b"a", NOW + 1)
    cache.put(b"d", answer(ttl=300), NOW + 1, "A")
    assert keys(cache) == "acd"
    cache.put(b"c", answer(ttl=300), NOW + 2, "A")
    cache.put(b"e", answer(ttl=300), NOW + 2, "A")
    assert keys(cache) == "cde"
    assert len(cache) == 3


@pytest.mark.parametrize("how", ["put", "refreshed"])
def test_large_answers_are_few(how: str) -> None:
    big = answer(count=LARGE // 16 + 1)
    cache = Cache(Limits(size=4 * LARGE_SHARE))
    for number in range(20):
        key = bytes((1, number)) + b"\0"
        cache.put(b"\1s\0" + key, answer(), NOW, "A")
        if how == "refreshed":
            entry = cache.put(key, answer(), NOW, "A")
            cache.refresh(key, entry, big, NOW, "A", 60, 60)
        else:
            cache.put(key, big, NOW, "A")
    large = [key for key, entry in cache.entries.items() if len(entry.message.body) > LARGE]
    assert large == [bytes((1, number)) + b"\0" for number in range(16, 20)]
    assert len(cache) == 24


def test_what_is_large_no_more_leaves_the_large_their_room() -> None:
    big = answer(count=LARGE // 16 + 1)
    cache = Cache(Limits(size=2 * LARGE_SHARE))
    entry = cache.put(b"a", big, NOW, "A")
    cache.put(b"b", big, NOW, "A")
    cache.refresh(b"a", entry, answer(), NOW, "A", 60, 60)
    cache.put(b"b", answer(), NOW, "A")
    for key in "cd":
        cache.put(key.encode(), big, NOW, "A")
    assert keys(cache) == "abcd"


def named(prefix: str, count: int, qtype: int = const.A) -> list[bytes]:
    """Return the keys of questions for this type of names that differ."""
    rest = qtype.to_bytes(2, "big") + b"\0\1" + bytes(5)
    return [from_text(f"{prefix}{number}") + rest for number in range(count)]


@pytest.mark.parametrize("rcode", [const.NXDOMAIN, const.NOERROR])
def test_made_up_names_push_out_none_that_exists(rcode: int) -> None:
    cache = Cache(Limits(size=40))
    exist, made_up = named("yes", 30), named("no", 1000)
    for key in exist:
        cache.put(key, answer(), NOW, "A")
    for key in made_up:
        cache.put(key, denial(rcode), NOW, "A")
    assert list(cache.entries) == exist + made_up[-40 // NEGATIVE_SHARE :]


def alias_to_nothing(soa: bool = True) -> Message:
    """Return an alias without records of the type asked: with a SOA that says so, or without."""
    alias = build_record(NAME, const.CNAME, 300, from_text("nowhere.example"))
    rdata = b"\0\0" + bytes(16) + (86_400).to_bytes(4, "big")
    said = [build_record(from_text("example"), const.SOA, 86_400, rdata)] if soa else []
    return assemble_message(QUESTION, ([alias], said, []), flags=0)


def large_denial() -> Message:
    """Return NXDOMAIN of more octets than an answer may have to be one of many."""
    rdata = b"\0\0" + bytes(16) + (86_400).to_bytes(4, "big")
    soa = build_record(from_text("example"), const.SOA, 86_400, rdata)
    beside = build_record(from_text("example"), const.TXT, 86_400, bytes((255,)) * LARGE)
    message = assemble_message(
        QUESTION, ([], [soa, beside], []), flags=0, rcode=const.NXDOMAIN
    )
    assert len(message.body) > LARGE
    return message


# What made-up names may get; each of them must leave what exists alone.
MADE_UP: dict[str, list[Message]] = {
    "no such name": [denial()],
    "no such name, for long": [denial(ttl=86_400, minimum=86_400)],
    "no data": [denial(const.NOERROR, ttl=3600, minimum=3600)],
    "large denials": [large_denial()],
    "an alias to nothing": [alias_to_nothing()],
    "an alias to nothing, without a SOA": [alias_to_nothing(soa=False)],
    "an error": [failure(const.SERVFAIL)],
}
MADE_UP["all of them"] = [message for messages in MADE_UP.values() for message in messages]


@pytest.mark.parametrize(
    ("what", "flood"), [(what, 40_000 if what == "all of them" else 10_000) for what in MADE_UP]
)
def test_a_flood_of_made_up_names_leaves_a_day_of_stale_answers(what: str, flood: int) -> None:
    cache = Cache(Limits(size=4000, stale_for=86_400))
    exist, big = named("yes", 2000), named("big", 20)
    families = named("yes", 980, const.AAAA)
    for key in exist:
        # TTL 0, as Consul's: kept for the times when nobody answers, and for nothing else.
        cache.put(key, answer(ttl=0), NOW, "A")
    for key in families:
        cache.put(key, denial(const.NOERROR, ttl=0, minimum=0), NOW, "A")
    for key in big:
        cache.put(key, answer(count=LARGE // 16 + 1), NOW, "A")
    messages = MADE_UP[what]
    later = NOW + 86_400 - JUST
    for number, key in enumerate(named("no", flood)):
        at = NOW + number * 86_399 / flood
        cache.put(key, messages[number % len(messages)], at, "A")
    for key in [*exist, *big]:
        assert cache.stale(key, later) is not None
    for key, sibling in zip(families, exist[: len(families)], strict=True):
        assert cache.stale(key, later, sibling) is not None
    assert len(cache) <= 4000
    kept = len(cache) - len(exist) - len(families) - len(big)
    assert kept <= 4000 // NEGATIVE_SHARE


def test_no_data_is_a_denial_again_without_the_other_familys_addresses() -> None:
    cache = Cache(Limits(size=40))
    v4, v6 = named("yes", 10), named("yes", 10, const.AAAA)
    for one, other in zip(v4, v6, strict=True):
        cache.put(one, answer(), NOW, "A")
        cache.put(other, denial(const.NOERROR), NOW, "A")
    for key in v4[:5]:
        cache.drop(key)
    for key in named("no", 10):
        cache.put(key, denial(), NOW, "A")
    assert [key in cache.entries for key in v6] == [False] * 5 + [True] * 5
    # Those that cannot be given any more are in nobody's way.
    for key in v6[5:]:
        cache.put(key, denial(const.NOERROR), NOW + 1, "A")
    for key in named("nor", 10):
        cache.put(key, denial(), NOW + 86_400, "A")
    assert [key in cache.entries for key in v6] == [False] * 10


def test_large_denials_are_fewer_than_large_answers_and_beside_them() -> None:
    cache = Cache(Limits(size=2 * LARGE_NEGATIVE_SHARE))
    big = answer(count=LARGE // 16 + 1)
    for key in named("big", 8):
        cache.put(key, big, NOW, "A")
    *_, exists, old, new = made_up = named("no", 101)
    for key in made_up[:-1]:
        cache.put(key, large_denial(), NOW, "A")
    assert list(cache.entries) == [*named("big", 8), exists, old]
    entry = cache.get(exists)
    assert entry is not None
    cache.refresh(exists, entry, answer(), NOW, "A", 60, 60)
    cache.put(new, large_denial(), NOW, "A")
    assert old in cache.entries
    cache.take(Limits(size=LARGE_NEGATIVE_SHARE))
    assert [key in cache.entries for key in (exists, old, new)] == [True, False, True]


def test_a_denial_in_use_outlasts_made_up_names() -> None:
    cache = Cache(Limits(size=40))
    cache.put(KEY, denial(ttl=60, minimum=60), NOW, "A")
    for key in named("no", 100):
        cache.put(key, denial(), NOW, "A")
        assert cache.fresh(KEY, NOW + 1) is not None


@pytest.mark.parametrize("how", ["put", "refreshed", "dropped", "taken less of"])
def test_what_is_denied_no_more_leaves_denials_their_room(how: str) -> None:
    cache = Cache(Limits(size=40))
    for key in named("was", 10):
        entry = cache.put(key, denial(), NOW, "A")
        if how == "put":
            cache.put(key, answer(), NOW, "A")
        elif how == "refreshed":
            cache.refresh(key, entry, answer(), NOW, "A", 60, 60)
        elif how == "dropped":
            cache.drop(key)
    if how == "taken less of":
        cache.take(Limits(size=4))
        assert list(cache.entries) == named("was", 10)[-1:]
        cache.take(Limits(size=48))
    stays = len(cache)
    for key in named("no", 10):
        cache.put(key, denial(), NOW, "A")
    assert len(cache) == stays + 10


LATER = named("later", 7)


def ready(cache: Cache, table: HotTable, key: bytes, message: Message) -> None:
    """Keep an answer, and have it ready in a hot table."""
    entry = cache.put(key, message, NOW, "A")
    made = table.make(query(), message, 4096, message.body, random.Random(1))
    table.put(key, key, entry, 0, made, NOW)


@pytest.mark.parametrize(
    ("message", "how"),
    [
        (answer(ttl=300), lambda cache: cache.put(KEY, answer(), NOW, "A")),
        (
            answer(ttl=300),
            lambda cache: cache.refresh(KEY, cache.entries[KEY], answer(), NOW, "A", 300, 600),
        ),
        (answer(ttl=300), lambda cache: cache.drop(KEY)),
        (answer(ttl=300), lambda cache: cache.clear()),
        (answer(ttl=300), lambda cache: cache.take(Limits(size=1))),
        (answer(ttl=300), lambda cache: [cache.put(key, answer(), NOW, "A") for key in LATER]),
        (denial(ttl=9, minimum=9), lambda cache: cache.put(LATER[0], denial(), NOW, "A")),
        (
            answer(count=LARGE // 16 + 1),
            lambda cache: cache.put(LATER[0], answer(count=LARGE // 16 + 1), NOW, "A"),
        ),
    ],
    ids=[
        "replaced", "refreshed", "dropped", "cleared", "less room", "pushed out", "denials",
        "large ones",
    ],
)
def test_hot_tables_give_nothing_that_is_kept_no_more(
    message: Message, how: Callable[[Cache], object]
) -> None:
    cache, table = Cache(Limits(size=7)), HotTable()
    ready(cache, table, KEY, message)
    ready(cache, table, b"other", answer(ttl=300))
    how(cache)
    kept = cache.get(KEY)
    assert kept is None or kept.hot is None
    assert KEY not in table.answers
    assert (b"other" in table.answers) is (cache.get(b"other") is not None)


def test_other_limits_are_for_what_is_kept_too() -> None:
    cache = Cache(Limits(size=5, max_ttl=300, stale_for=1000))
    for key in "abcde":
        cache.put(key.encode(), answer(ttl=300), NOW, "A")
    cache.take(Limits(size=3, max_ttl=100, stale_for=50))
    assert keys(cache) == "cde"
    assert cache.fresh(b"c", NOW + 100 - JUST) is not None
    assert cache.fresh(b"c", NOW + 100) is None
    assert cache.stale(b"c", NOW + 150 - JUST) is not None
    assert cache.stale(b"c", NOW + 150) is None
    # What ended early does not begin again.
    cache.entries[b"d"].expires_at = NOW
    cache.take(Limits(size=3, max_ttl=300, stale_for=50))
    assert cache.fresh(b"d", NOW) is None


def test_looking_at_what_is_not_fresh_does_not_count_as_use() -> None:
    cache = Cache(Limits(size=2))
    cache.put(b"a", answer(ttl=0), NOW, "A")
    cache.put(b"b", answer(ttl=300), NOW, "A")
    assert cache.fresh(b"a", NOW + 1) is None
    assert cache.stale(b"a", NOW + 1) is not None
    cache.put(b"c", answer(ttl=300), NOW + 1, "A")
    assert keys(cache) == "bc"


def test_refreshing_is_like_a_new_answer() -> None:
    cache = Cache(Limits(size=2))
    entry = cache.put(b"a", answer(ttl=0), NOW, "A")
    cache.put(b"b", answer(ttl=0), NOW, "A")
    message = answer(2, ttl=10)
    cache.refresh(b"a", entry, message, NOW + 5, "B", *cache.lasts(message))
    assert cache.fresh(b"a", NOW + 15 - JUST) is entry
    assert cache.fresh(b"a", NOW + 15) is None
    assert cache.stale(b"a", NOW + 15 + 86_400 - JUST) is entry
    assert cache.stale(b"a", NOW + 15 + 86_400) is None
    assert (entry.message, entry.source) == (message, "B")
    cache.put(b"c", answer(ttl=0), NOW + 6, "A")
    assert keys(cache) == "ac"


def test_forgetting() -> None:
    cache = Cache(Limits())
    for key in "ab":
        cache.put(key.encode(), answer(ttl=300), NOW, "A")
    cache.drop(b"a")
    cache.drop(b"never there")
    assert keys(cache) == "b"
    cache.clear()
    assert len(cache) == 0


def test_what_is_given_stale_is_not_the_first_to_go() -> None:
    cache = Cache(Limits(size=3))
    for number, key in enumerate((b"a", b"b", b"c")):
        cache.put(key, answer(), float(number), "A")
    cache.used(b"a")
    cache.used(b"gone")
    cache.put(b"d", answer(), 9.0, "A")
    assert list(cache.entries) == [b"c", b"a", b"d"]
