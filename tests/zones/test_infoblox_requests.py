"""What is written so that a grid holds what is wanted, and in which order."""

from __future__ import annotations

import pytest

from consulfwd.zones.model import Act, Key, difference
from consulfwd.zones.sinks.infoblox_objects import KINDS, Held, Marking
from consulfwd.zones.sinks.infoblox_requests import InTheWay, Phase, Request, phases, requests
from tests.zones.infobloxed import Given
from tests.zones.made import ORIGIN, key_text, records

MARKING = Marking("default", "Publisher", "consulfwd")


def acts(before: Given, after: Given, ttl: int = 30) -> list[Act]:
    return difference(records(before), records(after, ttl))


def there(given: Given, *, ours: bool = True, ttl: int = 30) -> dict[Key, list[Held]]:
    """Return objects whose references are their kind and data."""
    return {
        key: [Held(f"{KINDS[key.type].name}/{data.hex()}", key, data, ttl, ours)
              for data in sorted(rrset.data)]
        for key, rrset in records(given).items()
    }  # fmt: skip


def told(found: list[Request]) -> list[str]:
    """Return requests as "PUT record:a/0a000001 10.0.0.2 30"."""
    shown = []
    for method, path, body in found:
        fields = body or {}
        values = [str(fields[one]) for one in ("ipv4addr", "canonical", "ttl") if one in fields]
        shown.append(" ".join([method, path, *values]))
    return shown


def todo(phase: Phase, before: Given, after: Given, now: Given, ttl: int = 30) -> list[str]:
    group = tuple(acts(before, after, ttl))
    return told(requests(phase, group, there(now), MARKING))


@pytest.mark.parametrize(
    ("before", "after", "now", "additions"),
    [
        ({}, {"web A": "10.0.0.1"}, {}, ["POST record:a 10.0.0.1 30"]),
        (
            {"web A": "10.0.0.1"},
            {"web A": "10.0.0.2"},
            {"web A": "10.0.0.1"},
            ["PUT record:a/0a000001 10.0.0.2 30"],
        ),
        (
            {"web A": "10.0.0.1 10.0.0.2"},
            {"web A": "10.0.0.3 10.0.0.4 10.0.0.5"},
            {"web A": "10.0.0.1 10.0.0.2"},
            [
                "PUT record:a/0a000001 10.0.0.3 30",
                "PUT record:a/0a000002 10.0.0.4 30",
                "POST record:a 10.0.0.5 30",
            ],
        ),
        # What was done before the process ended is not done again.
        (
            {"web A": "10.0.0.1"},
            {"web A": "10.0.0.2 10.0.0.3"},
            {"web A": "10.0.0.2"},
            ["POST record:a 10.0.0.3 30"],
        ),
        ({"web A": "10.0.0.1"}, {"web A": "10.0.0.2"}, {"web A": "10.0.0.2"}, []),
        ({"web A": "10.0.0.1"}, {}, {"web A": "10.0.0.1"}, []),
    ],
)
def test_what_is_added_is_what_is_missing(
    before: Given, after: Given, now: Given, additions: list[str]
) -> None:
    assert todo(Phase.ADD, before, after, now) == additions


@pytest.mark.parametrize(
    ("before", "after", "now", "removals"),
    [
        (
            {"web A": "10.0.0.1 10.0.0.2"},
            {"web A": "10.0.0.2"},
            {"web A": "10.0.0.1 10.0.0.2"},
            ["DELETE record:a/0a000001"],
        ),
        ({"web A": "10.0.0.1"}, {}, {"web A": "10.0.0.1"}, ["DELETE record:a/0a000001"]),
        ({"web A": "10.0.0.1"}, {}, {}, []),
        ({"web A": "10.0.0.1"}, {"web A": "10.0.0.2"}, {"web A": "10.0.0.2"}, []),
    ],
)
def test_what_is_removed_is_what_is_too_many(
    before: Given, after: Given, now: Given, removals: list[str]
) -> None:
    assert todo(Phase.REMOVE, before, after, now) == removals


def test_nothing_is_removed_before_what_comes_is_there() -> None:
    with pytest.raises(InTheWay, match="nothing is removed"):
        todo(Phase.REMOVE, {"web A": "10.0.0.1"}, {"web A": "10.0.0.2"}, {"web A": "10.0.0.1"})


def test_another_ttl_is_put_on_the_reference_and_nothing_else() -> None:
    given = {"web A": "10.0.0.1 10.0.0.2"}
    group = tuple(acts(given, given, 60))
    found = requests(Phase.ADD, group, there(given), MARKING)
    assert [(one.method, one.body) for one in found] == [
        ("PUT", {"ttl": 60, "use_ttl": True}),
        ("PUT", {"ttl": 60, "use_ttl": True}),
    ]
    assert todo(Phase.REMOVE, given, given, given, 60) == []


@pytest.mark.parametrize(
    ("now", "ours", "why"),
    [
        ({"web A": "10.0.0.1 10.9.9.9"}, True, "A 10.9.9.9 is there, which was not when"),
        ({"web A": "10.0.0.1"}, False, "A 10.0.0.1 is there, which is not ours"),
    ],
)
def test_what_nobody_planned_to_find_is_left_alone(now: Given, ours: bool, why: str) -> None:
    group = tuple(acts({"web A": "10.0.0.1"}, {"web A": "10.0.0.2"}))
    for phase in Phase:
        with pytest.raises(InTheWay, match=why):
            requests(phase, group, there(now, ours=ours), MARKING)


def order(before: Given, after: Given) -> list[tuple[str, list[str]]]:
    return [
        (phase.value, sorted(key_text(act.key) for group in groups for act in group))
        for phase, groups in phases(acts(before, after))
    ]


def test_what_comes_goes_first_and_names_before_what_leads_to_them() -> None:
    target = f"web.{ORIGIN}."
    old = f"old.{ORIGIN}."
    before = {"old A": "10.0.0.1", "_web._tcp SRV": [f"1 1 80 {old}"], "www CNAME": old}
    after = {"web A": "10.0.0.2", "_web._tcp SRV": [f"1 1 80 {target}"], "www CNAME": target}
    assert order(before, after) == [
        ("add", ["web A"]),
        ("add", ["_web._tcp SRV", "www CNAME"]),
        ("remove", ["_web._tcp SRV", "www CNAME"]),
        ("remove", ["old A"]),
    ]


def test_nothing_is_looked_for_twice_where_there_is_nothing_to_do() -> None:
    assert order({"web A": "10.0.0.1 10.0.0.2"}, {"web A": "10.0.0.2"}) == [("remove", ["web A"])]
    assert order({"web A": "10.0.0.2"}, {"web A": "10.0.0.1 10.0.0.2"}) == [("add", ["web A"])]


@pytest.mark.parametrize("back", [False, True])
def test_a_name_becomes_an_alias_in_one_go(back: bool) -> None:
    target = f"web.{ORIGIN}."
    before: Given = {"www A": "10.0.0.1 10.0.0.2", "www TXT": ['"x"']}
    after: Given = {"www CNAME": target}
    if back:
        before, after = after, before
    ((phase, (group,)),) = phases(acts(before, after))
    assert phase is Phase.SWITCH
    found = [one.method for one in requests(phase, group, there(before), MARKING)]
    assert found == ["DELETE"] * (1 if back else 3) + ["POST"] * (3 if back else 1)
