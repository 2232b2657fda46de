"""What all services have, joined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from consulfwd.zones.assembly import Assembly
from consulfwd.zones.claims import Claim, Contribution, Objection, Rank
from consulfwd.zones.model import Key, RRset
from tests.zones.made import key_text, records, shown

SERVICE, PART, HOST, ALIAS = Rank.SERVICE, Rank.PART, Rank.HOST, Rank.ALIAS


def claiming(service: str, *claims: tuple[Rank, str, str], ttl: int = 30) -> Contribution:
    made: dict[bytes, Claim] = {}
    for rank, where, data in claims:
        ((key, rrset),) = records({where: data}, ttl).items()
        sets = made[key.name].sets if key.name in made else {}
        made[key.name] = Claim(rank, {**sets, key.type: rrset})
    return Contribution(service, made)


def told(assembly: Assembly) -> list[str]:
    return [str(one) for one in assembly.objections()]


def test_what_changed_is_told() -> None:
    assembly = Assembly()
    first = claiming("web", (SERVICE, "web A", "10.0.0.1"), (PART, "v1.web A", "10.0.0.1"))
    assert sorted(map(key_text, assembly.put(first))) == ["v1.web A", "web A"]
    assert assembly.put(first) == set()
    second = claiming("web", (SERVICE, "web A", "10.0.0.2"), (PART, "v1.web A", "10.0.0.1"))
    assert list(map(key_text, assembly.put(second))) == ["web A"]
    assert sorted(map(key_text, assembly.put(Contribution("web", {})))) == ["v1.web A", "web A"]
    assert assembly.wanted == {}


def test_a_type_that_replaces_another() -> None:
    assembly = Assembly()
    assembly.put(claiming("web", (SERVICE, "web A", "10.0.0.1")))
    changed = assembly.put(claiming("web", (SERVICE, "web CNAME", "x.example.com.")))
    assert sorted(map(key_text, changed)) == ["web A", "web CNAME"]
    assert shown(assembly.wanted) == {"web CNAME": "x.example.com."}


def test_a_services_own_name_comes_before_a_tags() -> None:
    for turn in (1, -1):
        assembly = Assembly()
        both = [
            claiming("b", (PART, "a.b A", "10.0.0.1")),
            claiming("a.b", (SERVICE, "a.b A", "10.0.0.2")),
        ]
        for one in both[::turn]:
            assembly.put(one)
        assert shown(assembly.wanted) == {"a.b A": "10.0.0.2"}
        assert told(assembly) == ["'b': the name a.b.svc.example.com. is that of 'a.b'"]


def test_then_the_first_by_name_has_it_and_the_next_where_that_is_gone() -> None:
    assembly = Assembly()
    assembly.put(claiming("web", (SERVICE, "web A", "10.0.0.1")))
    assembly.put(claiming("Web", (SERVICE, "web AAAA", "2001:db8::1")))
    assert shown(assembly.wanted) == {"web AAAA": "2001:db8::1"}
    assert told(assembly) == ["'web': the name web.svc.example.com. is that of 'Web'"]
    assert set(assembly.services_at(next(iter(assembly.wanted)).name)) == {"web", "Web"}
    assembly.put(Contribution("Web", {}))
    assert shown(assembly.wanted) == {"web A": "10.0.0.1"}
    assert told(assembly) == []


def test_an_alias_is_not_any_services_for_being_called_so() -> None:
    assembly = Assembly()
    assembly.put(claiming("", (ALIAS, "www CNAME", "web.svc.example.com.")))
    assembly.put(claiming("www", (SERVICE, "www A", "10.0.0.1")))
    assert shown(assembly.wanted) == {"www CNAME": "web.svc.example.com."}
    assert told(assembly) == ["'www': the name www.svc.example.com. is that of an alias"]
    assembly.put(Contribution("", {}))
    assert shown(assembly.wanted) == {"www A": "10.0.0.1"}


def test_hosts_are_for_all_and_come_first() -> None:
    assembly = Assembly()
    host = (HOST, "0a000001.addr A", "10.0.0.1")
    assembly.put(claiming("0a000001.addr", (SERVICE, "0a000001.addr A", "10.9.9.9")))
    for one in ("a", "b"):
        assembly.put(claiming(one, host))
    assert shown(assembly.wanted) == {"0a000001.addr A": "10.0.0.1"}
    assert told(assembly) == [
        "'0a000001.addr': the name 0a000001.addr.svc.example.com. is that of an address"
    ]
    assert assembly.put(Contribution("a", {})) == set()
    assert len(assembly.put(Contribution("b", {}))) == 1
    assert shown(assembly.wanted) == {"0a000001.addr A": "10.9.9.9"}


def test_pointers_of_several_services_are_joined() -> None:
    assembly = Assembly()
    where = "1.0.0.10.in-addr.arpa. PTR"
    assembly.put(claiming("a", (HOST, where, "a.example.com."), ttl=30))
    assembly.put(claiming("b", (HOST, where, "b.example.com."), ttl=5))
    ((_, rrset),) = assembly.wanted.items()
    assert rrset.ttl == 5
    assert shown(assembly.wanted) == {where: "a.example.com. b.example.com."}


PTR = "1.0.0.10.in-addr.arpa. PTR"


def pointing(*services: str, most: int = 10_000) -> Assembly:
    assembly = Assembly(most)
    for one in services:
        assembly.put(claiming(one, (HOST, PTR, f"{one}.example.com.")))
    return assembly


def test_an_address_has_no_more_names_than_a_server_takes() -> None:
    for services in ("abc", "cba", "bca"):
        assembly = pointing(*services, most=2)
        assert shown(assembly.wanted) == {PTR: "a.example.com. b.example.com."}
        assert told(assembly) == [
            "1.0.0.10.in-addr.arpa.: 3 services have records there, of which no more than 2 are"
        ]
        assembly.put(Contribution("a", {}))
        assert shown(assembly.wanted) == {PTR: "b.example.com. c.example.com."}
        assert told(assembly) == []


def test_many_services_at_an_address_cost_each_its_own() -> None:
    class Counted(dict[int, RRset]):
        looked = 0

        def items(self) -> Any:
            Counted.looked += 1
            return super().items()

    assembly = Assembly()
    host = claiming("a", (HOST, "0a000001.addr A", "10.0.0.1")).claims
    for number in range(200):
        claims = {one: Claim(claim.rank, Counted(claim.sets)) for one, claim in host.items()}
        assembly.put(Contribution(f"s{number}", claims))
    for number in range(200):
        assembly.put(Contribution(f"s{number}", {}))
    assert not assembly.wanted
    assert Counted.looked < 1_000


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 2)), max_size=15))
def test_names_of_an_address_are_the_same_in_any_order(steps: list[tuple[str, int]]) -> None:
    assembly, last = Assembly(2), {}
    for service, ttl in steps:
        last[service] = Contribution(service, {})
        if ttl:
            named = f"{service}.example.com."
            last[service] = claiming(service, (HOST, PTR, named), ttl=ttl)
        assembly.put(last[service])
    fresh = Assembly(2)
    for service in sorted(last, reverse=True):
        fresh.put(last[service])
    assert assembly.wanted == fresh.wanted
    assert told(assembly) == told(fresh)
    there = sorted(one for one, found in last.items() if found.claims)[:2]
    named = " ".join(f"{one}.example.com." for one in there)
    assert shown(assembly.wanted) == ({PTR: named} if there else {})


def test_objections_of_layout_stay_until_it_has_none() -> None:
    assembly = Assembly()
    assembly.put(Contribution("web", {}, (Objection("x", "y"),)))
    assembly.put(Contribution("app", {}, (Objection("a", "b"),)))
    assert told(assembly) == ["a: b", "x: y"]
    assembly.put(Contribution("app", {}))
    assert told(assembly) == ["x: y"]
    assembly.put(claiming("web", (SERVICE, "web A", "10.0.0.1")))
    assert told(assembly) == []


_NAMES = st.sampled_from(["a", "b", "a.b", "0a000001.addr"])
_CLAIMS = st.dictionaries(
    _NAMES, st.tuples(st.sampled_from([SERVICE, PART, ALIAS]), st.integers(1, 3)), max_size=3
)


def _contribution(service: str, claims: Mapping[str, tuple[Rank, int]]) -> Contribution:
    made = [(rank, f"{name} A", f"10.0.0.{number}") for name, (rank, number) in claims.items()]
    return claiming(service, *made, (HOST, "0a000002.addr A", "10.0.0.2"))


@given(st.lists(st.tuples(st.sampled_from("abc"), _CLAIMS), max_size=12))
def test_any_order_ends_in_the_same(
    steps: list[tuple[str, Mapping[str, tuple[Rank, int]]]],
) -> None:
    assembly = Assembly()
    last: dict[str, Contribution] = {}
    mirror: dict[Key, RRset] = {}
    for service, claims in steps:
        last[service] = _contribution(service, claims)
        for key in assembly.put(last[service]):
            assert mirror.get(key) != assembly.wanted.get(key)
            if key in assembly.wanted:
                mirror[key] = assembly.wanted[key]
            else:
                del mirror[key]
        assert mirror == assembly.wanted
    fresh = Assembly()
    for service in sorted(last, reverse=True):
        fresh.put(last[service])
    assert fresh.wanted == assembly.wanted
    assert told(fresh) == told(assembly)
    for service in last:
        assembly.put(Contribution(service, {}))
    assert not assembly.wanted
    assert not told(assembly)
