"""A plan as messages: what each requires, in which order, how much of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from consulfwd.dns import const, names
from consulfwd.zones.model import Act, Key, Records, RRset, difference
from consulfwd.zones.sinks.updates import ROOM, Batch, TooLarge, batches, collapsed, inverse, undone
from tests.zones.made import ORIGIN, key_text, records, set_text

Given = Mapping[str, str | Iterable[str]]


def grouped(acts: list[Act]) -> list[list[Act]]:
    groups: dict[bytes, list[Act]] = {}
    for act in acts:
        groups.setdefault(act.key.name, []).append(act)
    return list(groups.values())


def made(before: Records, after: Records) -> list[Batch]:
    names_before = {key.name for key in before}
    return batches(grouped(difference(before, after)), names_before.__contains__)


def told(before: Given, after: Given, ttl: int = 30) -> list[str]:
    """One message in words."""
    (batch,) = made(records(before), records(after, ttl))
    found = []
    for name, kind, data in batch.requires:
        short = names.to_text(name).removesuffix(f".{ORIGIN}.")
        if kind == const.ANY:
            found.append(f"no {short}")
        elif data is None:
            found.append(f"no {key_text(Key(name, kind))}")
        else:
            key = Key(name, kind)
            found.append(f"{key_text(key)} is {set_text(key, RRset(0, data))}")
    for name, kind, one, seconds in batch.orders:
        key = Key(name, kind)
        text = set_text(key, RRset(0, frozenset({one}))) if one else "all"
        sign = "-" if seconds is None else f"+{seconds}"
        found.append(f"{sign} {key_text(key)} {text}")
    return found


def test_a_new_name() -> None:
    assert told({}, {"web A": "10.0.0.1 10.0.0.2"}) == [
        "no web", "+30 web A 10.0.0.1", "+30 web A 10.0.0.2",
    ]  # fmt: skip


def test_another_address_comes_before_the_old_one_goes() -> None:
    assert told({"web A": "10.0.0.1 10.0.0.2"}, {"web A": "10.0.0.2 10.0.0.3"}) == [
        "web A is 10.0.0.1 10.0.0.2", "no web CNAME", "+30 web A 10.0.0.3", "- web A 10.0.0.1",
    ]  # fmt: skip


def test_another_ttl_is_for_the_whole_set() -> None:
    assert told({"web A": "10.0.0.1 10.0.0.2"}, {"web A": "10.0.0.2"}, ttl=60) == [
        "web A is 10.0.0.1 10.0.0.2", "no web CNAME",
        "- web A all", "+60 web A 10.0.0.2",
    ]  # fmt: skip


def test_another_type_at_a_name() -> None:
    assert told({"web A": "10.0.0.1"}, {"web A": "10.0.0.1", "web AAAA": "2001:db8::1"}) == [
        "no web AAAA", "no web CNAME", "+30 web AAAA 2001:db8::1",
    ]  # fmt: skip


def test_an_alias_takes_the_place_of_addresses_in_one_message() -> None:
    assert told({"web A": "10.0.0.1"}, {"web CNAME": ["db.svc.example.com."]}) == [
        "web A is 10.0.0.1", "no web CNAME",
        "- web A 10.0.0.1", "+30 web CNAME db.svc.example.com.",
    ]  # fmt: skip
    assert told({"web CNAME": ["db.svc.example.com."]}, {"web A": "10.0.0.1"}) == [
        "no web A", "web CNAME is db.svc.example.com.",
        "- web CNAME db.svc.example.com.", "+30 web A 10.0.0.1",
    ]  # fmt: skip


def test_a_name_that_goes() -> None:
    assert told({"web A": "10.0.0.1"}, {}) == ["web A is 10.0.0.1", "- web A 10.0.0.1"]


def test_what_comes_is_before_what_goes_and_what_is_led_to_is_there() -> None:
    before: Given = {
        "_old._tcp SRV": ["1 1 80 a.addr.svc.example.com."], "a.addr A": "10.0.0.1",
        "_web._tcp SRV": ["1 1 80 b.addr.svc.example.com."], "b.addr A": "10.0.0.2",
    }  # fmt: skip
    after: Given = {
        "_new._tcp SRV": ["1 1 80 c.addr.svc.example.com."], "c.addr A": "10.0.0.3",
        "_web._tcp SRV": ["1 1 80 d.addr.svc.example.com."], "d.addr A": "10.0.0.4",
    }  # fmt: skip
    (batch,) = made(records(before), records(after))
    assert [key_text(act.key) for act in batch.acts] == [
        "c.addr A", "d.addr A", "_new._tcp SRV",
        "_web._tcp SRV",
        "_old._tcp SRV", "a.addr A", "b.addr A",
    ]  # fmt: skip


def addresses(number: int, name: str = "web") -> dict[Key, RRset]:
    data = frozenset(bytes((10, 0, one >> 8, one & 255)) for one in range(number))
    return {Key(names.from_text(f"{name}.{ORIGIN}"), const.A): RRset(30, data)}


def test_many_names_are_several_messages_each_below_the_limit() -> None:
    after = records({f"web{number} A": "10.0.0.1 10.0.0.2" for number in range(3_000)})
    found = made({}, after)
    assert 3 <= len(found) <= 10
    assert all(batch.size <= ROOM for batch in found)
    assert all(batch.size > ROOM * 0.9 for batch in found[:-1])
    assert len({act.key for batch in found for act in batch.acts}) == 3_000


@pytest.mark.parametrize(("old", "new"), [(0, 3_000), (3_000, 0), (10, 3_000), (3_000, 10)])
def test_a_set_too_large_for_a_message_changes_bit_by_bit(old: int, new: int) -> None:
    before, after = addresses(old) if old else {}, addresses(new) if new else {}
    found = made(before, after)
    assert len(found) > 1
    now: Records = before
    for batch in found:
        assert batch.size <= ROOM
        (act,) = batch.acts
        assert now.get(act.key) == act.before
        assert act.after is not None or batch is found[-1]
        now = {} if act.after is None else {act.key: act.after}
    assert now == after
    (all_in_one,) = collapsed([act for batch in found for act in batch.acts])
    assert (all_in_one.before, all_in_one.after) == (
        before.get(all_in_one.key), after.get(all_in_one.key),
    )  # fmt: skip


def test_a_large_set_takes_the_place_of_another_type_without_a_gap() -> None:
    six = records({"web AAAA": "2001:db8::1"})
    found = made(six, addresses(3_000))
    assert key_text(found[-1].acts[0].key) == "web AAAA"
    found = made(addresses(3_000), six)
    assert key_text(found[0].acts[0].key) == "web AAAA"


def test_another_ttl_for_a_large_set_is_one_message_or_none() -> None:
    before = addresses(1_200)
    (batch,) = made(before, {key: RRset(60, rrset.data) for key, rrset in before.items()})
    assert batch.size <= ROOM
    before = addresses(3_000)
    with pytest.raises(TooLarge):
        made(before, {key: RRset(60, rrset.data) for key, rrset in before.items()})


def test_what_can_be_done_in_no_way_is_refused() -> None:
    alias = records({"web CNAME": ["db.svc.example.com."]})
    with pytest.raises(TooLarge):
        made(alias, addresses(3_000))


def test_what_is_undone() -> None:
    before = records({"web A": "10.0.0.1"})
    after = records({"web A": "10.0.0.2", "db A": "10.0.0.3"})
    acts = difference(before, after)
    assert undone(acts, after) == []
    assert undone(acts, before) == [act.key for act in acts]
    assert undone(inverse(acts), before) == []
