"""Who needs whom, followed to the end: by example, against a slow way, within bounds."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consulfwd.audit import graph
from consulfwd.audit.site import Limits, Need, Site
from tests.audit.sites import instance, keys, node, report, service, site

A, B, C, D = (node(name, f"10.{n}.0.1", f"r{n}") for n, name in enumerate("abcd", 1))
NAMES = "pqrstu"
NODES = (A, B, C)
sites = st.builds(
    lambda places, needs: site(
        *(service(name, *(NODES[n] for n in sorted(on))) for name, on in places.items()),
        needs=needs,
        nodes=NODES,
    ),
    st.dictionaries(
        st.sampled_from(NAMES), st.sets(st.integers(0, 2), min_size=0, max_size=2), min_size=1
    ),
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=12),
)


def reached(start: str, needs: set[tuple[str, str]]) -> set[str]:
    """All that one needs, by going on until nothing is new."""
    found = {start}
    while more := {b for a, b in needs if a in found} - found:
        found |= more
    return found


def test_the_dashboard_that_needs_one_crowd() -> None:
    found = site(
        service("dashboard", A, B),
        service("crowd", C),
        needs=[("dashboard", "crowd")],
        nodes=(A, B, C),
    )
    assert keys(found) == ["one-instance:crowd", "hidden-dependency:dashboard -> crowd"]
    made = report(found)
    hidden = made.findings[1]
    assert hidden.what == "dashboard, though on several nodes, falls with crowd, which falls with c"
    (crowd,) = [one for one in made.falls if one.kind == "node"]
    assert crowd == graph.Fall("node", "10.3.0.1", "c", ("crowd",), ("dashboard",))


def test_a_second_crowd_mends_it() -> None:
    needs = [("dashboard", "crowd")]
    assert keys(site(service("dashboard", A, B), service("crowd", C, A), needs=needs)) == []
    same = [instance(C, id="1"), instance(C, id="2")]
    found = keys(site(service("dashboard", A, B), service("crowd", *same), needs=needs))
    assert "hidden-dependency:dashboard -> crowd" in found


def test_it_is_followed_to_the_end_through_what_is_sound_and_what_is_not_known() -> None:
    chain = ["dashboard", "portal", "elsewhere", "directory", "crowd"]
    found = site(
        service("dashboard", A, B),
        service("portal", B, C),
        service("directory", A, C),
        service("crowd", C),
        needs=list(itertools.pairwise(chain)),
    )
    assert "hidden-dependency:dashboard -> crowd" in keys(found)
    assert "unknown-dependency:elsewhere" in keys(found)
    (one,) = [each for each in report(found).findings if each.subject == "dashboard -> crowd"]
    assert "(dashboard -> portal -> elsewhere -> directory -> crowd)" in one.what


@pytest.mark.parametrize(("between", "shown"), [(6, 8), (7, 8)])
def test_a_long_way_is_shortened_in_its_middle(between: int, shown: int) -> None:
    names = [f"s{n}" for n in range(between + 1)]
    services = [*(service(one, A, B) for one in names), service("end", C)]
    found = site(*services, needs=list(itertools.pairwise([*names, "end"])))
    (one,) = [each for each in report(found).findings if each.subject == "s0 -> end"]
    way = one.what.partition("(")[2].strip(")").split(" -> ")
    assert len(way) == shown
    assert way[-1] == "end"
    assert ("..." in way) == (between + 2 > shown)


def test_racks_are_hidden_needs_too() -> None:
    other = node("e", "10.9.0.1", "r3")
    needs = [("dashboard", "crowd")]
    found = site(service("dashboard", A, B), service("crowd", C, other), needs=needs)
    assert "hidden-dependency:dashboard -> crowd" in keys(found)
    # In that rack itself it has a finding of its own.
    both = site(service("dashboard", C, other), service("crowd", C, other), needs=needs)
    assert keys(both) == ["one-rack:crowd", "one-rack:dashboard"]


def test_one_that_is_down_takes_along_what_needs_it() -> None:
    down = instance(C, healthy=False)
    found = site(service("web", A, B), service("db", down), needs=[("web", "db")])
    assert keys(found) == ["none-healthy:db", "hidden-dependency:web -> db"]


def test_circles() -> None:
    pairs = [("p", "q"), ("q", "r"), ("r", "p"), ("s", "p"), ("t", "t")]
    found = site(*(service(name, A, B) for name in "pqrst"), needs=pairs)
    assert keys(found) == ["circle:p <-> q <-> r"]


@given(sites)
@settings(max_examples=150, deadline=None)
def test_what_falls_is_what_a_slow_way_finds(found: Site) -> None:
    needs = {(one.source, one.target) for one in found.needs}
    made = report(found)
    for place in NODES:
        here = {
            name
            for name, one in found.services.items()
            if {each.node.name for each in one.healthy} == {place.name}
        }
        all_ = {name for name in NAMES if reached(name, needs) & here}
        said = [one for one in made.falls if (one.kind, one.label) == ("node", place.name)]
        assert {name for one in said for name in one.direct} == here
        assert {name for one in said for name in (*one.direct, *one.through)} == all_
    hosts = {n: {i.node.name for i in one.healthy} for n, one in found.services.items()}
    single, down = ({n for n, one in hosts.items() if len(one) == count} for count in (1, 0))
    expected = {
        f"{name} -> {root}"
        for name in found.services.keys() - single - down
        for root in (single | down) & reached(name, needs)
    }
    assert {one.subject for one in made.findings if one.id == "hidden-dependency"} == expected
    groups = {frozenset(one) for one in graph.circles(graph.graph(found.needs))}
    assert groups == {
        frozenset(same)
        for name in NAMES
        if len(same := {o for o in reached(name, needs) if name in reached(o, needs)}) > 1
    }


@given(sites, st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_the_order_is_the_same_however_consul_lists_it(found: Site, rng: object) -> None:
    turned = Site(
        datacenter=found.datacenter,
        services=dict(reversed(list(found.services.items()))),
        selected=found.selected,
        needs=tuple(reversed(found.needs)),
        nodes=tuple(reversed(found.nodes)),
        servers=found.servers,
        leader=found.leader,
        resolver=found.resolver,
    )
    assert (report(turned).findings, report(turned).falls) == (
        report(found).findings,
        report(found).falls,
    )


def test_ten_thousand_in_a_circle_take_no_longer_than_a_moment() -> None:
    count = 10_000
    services = [
        service(f"s{n}", *((A,) if n % 2 else (B, C))) for n in range(count)
    ]
    needs = [(f"s{n}", f"s{(n + 1) % count}") for n in range(count)]
    needs += [(f"s{n}", f"s{n * 7 % count}") for n in range(count)]
    begin = time.process_time()
    made = report(site(*services, needs=needs))
    assert time.process_time() - begin < 10.0
    # Bounded in work and in what is told; that it is not all is said.
    assert len([one for one in made.findings if one.id == "hidden-dependency"]) <= graph.MOST
    assert len(graph.circles(graph.graph(Need(a, b, "") for a, b in needs))) == 1


def test_work_that_is_over_is_told() -> None:
    found = site(service("a", A), service("b", A, B), needs=[("b", "a")])
    work = graph.Work(0)
    assert graph.falls(found, graph.graph(found.needs), Limits(), work)[0].through == ()
    assert work.over
