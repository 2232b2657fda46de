"""What tells which service to look at, as Consul says it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.consul.facts import Fact, FactKind
from consulfwd.consul.hints import STATES, Checked, checks, counts, differing

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["Node", "ServiceName", "CheckID", "Name", "InstanceCount", "x"]), inner
    ),
    max_leaves=20,
)


def check(node: str, service: str = "", name: str = "serfHealth", **more: Any) -> dict[str, Any]:
    return {"Node": node, "ServiceName": service, "CheckID": name, "Status": "critical", **more}


def test_whose_checks_are_bad_whatever_they_print() -> None:
    one = checks([check("n2"), check("n1", "web", "web-1", Output="a")])
    assert one == (Checked("n1", "web", "web-1"), Checked("n2", "", "serfHealth"))
    assert checks([check("n1", "web", "web-1", Output="b"), check("n2")]) == one
    assert checks(None) == ()


def test_nothing_of_it_is_waited_for_to_be_confirmed() -> None:
    """That no check is bad any more is no list that became empty."""
    for state in STATES:
        fact = Fact(FactKind.CHECKS, state)
        assert fact.path == f"/v1/health/state/{state}"
        some, none = fact.reading([check("n1")]), fact.reading([])
        assert (some.size, none.size, len(some.members), len(none.members)) == (1, 1, 0, 0)
        assert some != none
        assert fact.hints


def counted(name: str, number: int, **more: Any) -> dict[str, Any]:
    return {"Name": name, "InstanceCount": number, **more}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ([counted("web", 3), counted("db", 2)], []),
        ([counted("db", 2), counted("web", 3)], []),
        ([counted("web", 2), counted("db", 2)], ["web"]),
        ([counted("web", 3)], ["db"]),
        ([counted("web", 3), counted("db", 2), counted("new", 1)], ["new"]),
        ([counted("web", 3, ChecksPassing=1), counted("db", 2)], ["web"]),
        ([counted("web", 3, Nodes=["n1"]), counted("db", 2)], ["web"]),
        # Whatever else is said of it.
        ([counted("web", 3, Tags=["a"]), counted("db", 2)], []),
        # Of another cluster, by the same name.
        ([counted("web", 3), counted("web", 1), counted("db", 2)], ["web"]),
        ([{"Name": ["web"]}, counted("web", 3), counted("db", 2)], []),
    ],
)
def test_which_services_have_other_instances(after: Any, expected: list[str]) -> None:
    before = counts([counted("web", 3), counted("db", 2)])
    assert sorted(differing(before, counts(after))) == expected


@pytest.mark.parametrize("read", [checks, counts])
@given(parsed=JSON)
def test_whatever_is_said_is_read_or_refused(read: Any, parsed: object) -> None:
    with suppress(ValueError):
        assert len(read(parsed)) <= len(parsed or ())  # type: ignore[arg-type]
