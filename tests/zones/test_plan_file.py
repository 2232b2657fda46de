"""Plans as files, and files that are no plans."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consulfwd.dns import const, names
from consulfwd.errors import ApplyError
from consulfwd.zones import plan_file
from consulfwd.zones.claims import Objection
from consulfwd.zones.guards import Kind, Withheld
from consulfwd.zones.model import Act, Key, RRset
from consulfwd.zones.plan import Plan, Totals, allow_command, summary
from consulfwd.zones.target import Base
from tests.zones.made import ORIGIN, records


def act(where: str, before: str | list[str] | None, after: str | list[str] | None) -> Act:
    (key,) = records({where: before or after or ""})
    old, new = (None if one is None else records({where: one})[key] for one in (before, after))
    return Act(key, old, new)


PLAN = Plan(
    zone=ORIGIN, view="internal", target="file /etc/zone", mark="2026112901", catalog="ab" * 32,
    acts=(
        act("_web._tcp SRV", None, ["1 1 80 a.example.com."]),
        act("old A", "10.0.0.9", None),
        act("web A", "10.0.0.1", "10.0.0.1 10.0.0.2"),
        act("web TXT", ['"a=\\"$INCLUDE\\\\\\010"'], ['"b"']),
    ),
    withheld=(Withheld(act("app A", "10.0.0.3", None), Kind.BUDGET, "more than 30 %"),),
    objections=(Objection("'my_web'", "no name"),),
    held=(Objection("a on b", "unhealthy"),),
    before=Totals(3, 3), after=Totals(3, 4),
    vanish=frozenset((act("old A", "10.0.0.9", None).key.name,)),
    appear=frozenset((act("_web._tcp TXT", ['"a"'], None).key.name,)),
    over=2, over_of=("app",),
)  # fmt: skip


def test_there_and_back() -> None:
    text = plan_file.write(PLAN)
    assert plan_file.load(text, "f") == PLAN
    assert plan_file.write(plan_file.load(text, "f")) == text
    made = json.loads(text)
    assert made["acts"][2] == {
        "name": f"web.{ORIGIN}.", "type": "A", "before": {"ttl": 30, "data": ["10.0.0.1"]},
        "after": {"ttl": 30, "data": ["10.0.0.1", "10.0.0.2"]},
    }  # fmt: skip
    assert made["withheld"][0]["kind"] == "budget"
    assert made["command"] == f"consulfwd zone apply {ORIGIN} --allow 2 --view internal"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda one: one.pop("acts"), "f: acts: it is missing"),
        (lambda one: one.update(format=2),
         "f: format: a plan of another version of this program: plan again"),
        (lambda one: one.update(extra=1), "f: all of it: 'extra' is not known here"),
        (lambda one: one.update(zone="Example.com"),
         "f: zone: it is not a whole name in lower case"),
        (lambda one: one.update(zone="a..b"), "f: zone: a name has an empty label"),
        (lambda one: one.update(mark=5), "f: mark: it must be a text"),
        (lambda one: one["acts"][0].update(name="web.example.org."),
         "f: acts[0].name: it is not in the zone"),
        (lambda one: one["acts"][0].update(name="web"),
         "f: acts[0].name: it is not a whole name in lower case"),
        (lambda one: one["acts"][0].update(type="NONE"),
         "f: acts[0].type: no such type is known"),
        (lambda one: one["acts"][0].update(type="SOA"),
         "f: acts[0].type: what a zone says of itself is not in plans"),
        (lambda one: one["acts"][1].update(before=None), "f: acts[1]: it changes nothing"),
        (lambda one: one["acts"][1].update(more=None), "f: acts[1]: 'more' is not known here"),
        (lambda one: one["acts"][1]["before"].update(ttl=2**31),
         "f: acts[1].before.ttl: it must be 0 to 2147483647"),
        (lambda one: one["acts"][1]["before"].update(data=[]),
         "f: acts[1].before.data: no data: such a set is null"),
        (lambda one: one["acts"][2]["after"]["data"].append("10.0.0.256"),
         "f: acts[2].after.data[2]: '10.0.0.256' is no A data"),
        (lambda one: one["acts"].append(one["acts"][0]),
         "f: acts[4]: its name and type were there before"),
        (lambda one: one["acts"][2].update(
            type="CNAME", before=None, after={"ttl": 1, "data": ["a.", "b."]}),
         "f: acts[2].after.data: a CNAME record must be alone"),
        (lambda one: one["withheld"][0].update(kind="x"),
         "f: withheld[0].kind: no such reason is known"),
        (lambda one: one["withheld"][0].update(why="a\n"),
         "f: withheld[0].why: it has letters in it that cannot be shown"),
        (lambda one: one["objections"][0].update(why="a" * 1_001),
         "f: objections[0].why: it is longer than 1000 letters"),
        (lambda one: one["vanish"].append("a."), "f: vanish[1]: no act is about it"),
        (lambda one: one["before"].update(names=-1),
         "f: before.names: it must be 0 to 10000000000"),
        (lambda one: one.update(spends=1), "f: spends: it must be true or false"),
    ],
)  # fmt: skip
def test_what_is_no_plan(change: Callable[[Any], object], why: str) -> None:
    made = json.loads(plan_file.write(PLAN))
    change(made)
    with pytest.raises(ApplyError, match=f"^{re.escape(why)}"):
        plan_file.load(json.dumps(made).encode(), "f")


def test_the_apex_is_not_in_plans() -> None:
    made = json.loads(plan_file.write(PLAN))
    made["acts"] = [
        {"name": f"{ORIGIN}.", "type": "NS", "before": None, "after": {"ttl": 1, "data": ["a."]}}
    ]
    with pytest.raises(ApplyError, match="what a zone says of itself"):
        plan_file.load(json.dumps(made).encode(), "f")


def _nodes(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    pairs: list[tuple[Any, Any]] = []
    if isinstance(value, (dict, list)):
        pairs = list(value.items() if isinstance(value, dict) else enumerate(value))
    for key, one in pairs:
        found += _nodes(one, (*path, key))
    return found


_MADE = json.loads(plan_file.write(PLAN))


@given(
    st.sampled_from(_nodes(_MADE)[1:]),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.just([]) | st.just({}) | st.just([[]]) | st.just({"ttl": 1, "data": "a"}),
)  # fmt: skip
@settings(max_examples=300)
def test_any_value_anywhere(path: tuple[Any, ...], value: Any) -> None:
    made = copy.deepcopy(_MADE)
    at = made
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    try:
        plan = plan_file.load(json.dumps(made).encode(), "f")
    except ApplyError as error:
        assert error.where.startswith("f: ")  # noqa: PT017
        return
    assert plan_file.load(plan_file.write(plan), "f") == plan


_RRSETS = st.builds(
    RRset, st.integers(0, 2**31 - 1), st.frozensets(st.binary(max_size=40), min_size=1, max_size=3)
)
_LABELS = st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=3)


@given(_LABELS, st.sampled_from([1, 12, 15, 16, 28, 33]), st.none() | _RRSETS, _RRSETS)
def test_the_same_acts_exactly(
    labels: list[bytes], rtype: int, before: RRset | None, after: RRset
) -> None:
    name = names.join([*(one.lower() for one in labels), b"example", b"com"])
    acts = () if before == after else (Act(Key(name, rtype), before, after),)
    plan = Plan("example.com", "", "", "", "", acts)
    assert plan_file.load(plan_file.write(plan), "f") == plan


def test_a_plan_for_another_state() -> None:
    base = Base("2026112901", records({"old A": "10.0.0.9"}))
    given_: tuple[Any, ...] = (base, "ab" * 32, ORIGIN, "internal", "file /etc/zone")
    assert PLAN.differs(*given_) == ""

    def why(at: int, value: Any) -> str:
        return PLAN.differs(*[value if at == here else one for here, one in enumerate(given_)])

    assert why(2, "a.b") == f"it is for the zone {ORIGIN}, not a.b"
    assert why(3, "") == "it is for the view internal, not that"
    assert why(4, "x") == "it is for the target file /etc/zone, not x"
    assert why(1, "cd") == "what Consul says of the services is another thing now"
    text = ['"a=\\"$INCLUDE\\\\\\010"']
    ours = records(
        {"old A": "10.0.0.9", "web A": "10.0.0.1", "web TXT": text, "more A": "10.0.0.1"}
    )
    assert why(0, Base("7", ours)) == (
        "the zone was changed meanwhile (2026112901 is 7 now), at names it leaves alone"
    )
    del ours[Key(names.from_text(f"web.{ORIGIN}"), const.A)]
    assert why(0, Base("7", ours)) == (
        f"the zone was changed meanwhile (2026112901 is 7 now), at web.{ORIGIN}."
    )


def test_what_a_target_is_given() -> None:
    base = Base("2026112901", {})
    push = PLAN.push(base, "host", 7, lambda: "no")
    assert push.base is base
    assert push.acts == PLAN.acts
    assert (push.holder, push.number, push.may()) == ("host", 7, "no")
    with pytest.raises(ValueError, match="the plan is for '2026112901', not '1'"):
        PLAN.push(Base("1", {}))


def test_in_a_line() -> None:
    assert summary(PLAN) == "1 name added, 1 name changed, 1 name withdrawn, 1 name withheld"
    assert summary(Plan("a", "", "", "", "")) == "nothing to do"
    assert Plan("a", "", "", "", "").command == ""
    assert allow_command("a.b", "", 3) == "consulfwd zone apply a.b --allow 3"
