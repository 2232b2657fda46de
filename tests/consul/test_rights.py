"""What is asked to tell what is hidden from what is gone."""

from __future__ import annotations

import pytest

from consulfwd.consul.facts import Fact, FactKind
from consulfwd.consul.rights import MOST, can_tell, paths, refused
from consulfwd.errors import ConsulError

NODE, SERVICE = "/v1/coordinate/node/", "/v1/config/service-defaults/"


@pytest.mark.parametrize(
    ("fact", "gone", "asked"),
    [
        (
            Fact(FactKind.SERVICE, "we b"),
            {("n2", "a"), ("n1", "b"), ("n1", "c")},
            [f"{SERVICE}we%20b", f"{NODE}n1", f"{NODE}n2"],
        ),
        (Fact(FactKind.SERVICES), {"web", "d/b"}, [f"{SERVICE}d%2Fb", f"{SERVICE}web"]),
        (Fact(FactKind.NODES), {"n1"}, [f"{NODE}n1"]),
        (Fact(FactKind.NODE, "n 1"), {""}, [f"{NODE}n%201"]),
        (Fact(FactKind.KEYS, "a/"), {"a/b c"}, ["/v1/kv/a/b%20c"]),
    ],
)
def test_what_is_asked(fact: Fact, gone: set[object], asked: list[str]) -> None:
    assert can_tell(fact)
    assert paths(fact, gone) == asked


@pytest.mark.parametrize(
    "kind", [FactKind.KEY, FactKind.SESSION, FactKind.DATACENTERS, FactKind.PEERS]
)
def test_of_what_there_is_nothing_to_ask(kind: FactKind) -> None:
    assert not can_tell(Fact(kind, "x"))


def test_no_more_than_is_asked_in_a_moment() -> None:
    many = {(f"n{number}", "web") for number in range(1000)}
    assert len(paths(Fact(FactKind.SERVICE, "web"), many)) == MOST + 1
    assert len(paths(Fact(FactKind.SERVICES), {str(number) for number in range(1000)})) == MOST


def test_what_an_answer_says() -> None:
    assert refused(ConsulError("a", 403, "rpc error making call: Permission denied"))
    assert refused(ConsulError("a", 403, "ACL not found"))
    # Coordinates may be turned off.
    assert not refused(ConsulError("a", 401, "Coordinate support disabled"))
    assert not refused(ConsulError("a", 400, "no"))
    # So may be paths, by the agent itself or a proxy before it.
    assert not refused(ConsulError("a", 403, "Endpoint is blocked by agent configuration"))
    assert not refused(ConsulError("a", 403, "<html>Forbidden</html>"))
    for status in (0, 429, 500, 503):
        with pytest.raises(ConsulError, match="no"):
            refused(ConsulError("a", status, "no"))
