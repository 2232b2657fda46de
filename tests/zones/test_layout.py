"""The records of one service."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.config.zones import SoaSettings, ZoneSettings
from consulfwd.dns import const, names
from consulfwd.zones.claims import Contribution, Group, Member, Rank, told
from consulfwd.zones.layout import LARGEST, MOST_TEXT, Layout, strings
from consulfwd.zones.model import Key, RRset
from consulfwd.zones.naming import Naming, apex_of
from consulfwd.zones.seen import Offer, Seen, Whose
from tests.zones.made import ORIGIN, instance, settings, shown


def laid(name: str, *seen: Seen, **values: Any) -> Contribution:
    """Return what a service has where all its instances are offered."""
    given = settings(**values)
    naming = Naming(given)
    members: dict[Group, list[Member]] = {}
    for one in seen:
        member = Member(one.whose, one.offer)
        for group in naming.groups(one.whose, one.offer):
            members.setdefault(group, []).append(member)
    return Layout(given, naming).of(name, members)


def flat(found: Contribution) -> dict[Key, RRset]:
    return {
        Key(name, rtype): rrset
        for name, claim in found.claims.items()
        for rtype, rrset in claim.sets.items()
    }


def lay(*instances: str, name: str = "web", datacenter: str = "", **values: Any) -> dict[str, str]:
    made = (instance(name, one, datacenter) for one in instances)
    return shown(flat(laid(name, *made, **values)))


def objections(
    *instances: str, name: str = "web", datacenter: str = "", **values: Any
) -> list[str]:
    made = (instance(name, one, datacenter) for one in instances)
    return [str(one) for one in laid(name, *made, **values).objections]


def test_addresses_of_both_families() -> None:
    assert lay("a 10.0.0.1", "b 10.0.0.2", "c 2001:db8::1") == {
        "web A": "10.0.0.1 10.0.0.2",
        "web AAAA": "2001:db8::1",
    }


def test_nobody_is_offered() -> None:
    assert Layout(settings(), Naming(settings())).of("web", {}) == Contribution("web", {})
    assert laid("web", srv=True) == Contribution("web", {})
    none = Layout(settings(), Naming(settings())).of("web", {Group("web"): []})
    assert none == Contribution("web", {})


def test_tags_that_match_have_names() -> None:
    found = lay("a 10.0.0.1 primary v1", "b 10.0.0.2 Replica", tags=["primary", "replica"])
    assert found == {
        "web A": "10.0.0.1 10.0.0.2",
        "primary.web A": "10.0.0.1",
        "replica.web A": "10.0.0.2",
    }


def test_tags_that_differ_in_case_are_one() -> None:
    found = lay("a 10.0.0.1 V1 v1", "b 10.0.0.2 V1", tags=["*"], srv=True)
    assert found == {"web A": "10.0.0.1 10.0.0.2", "v1.web A": "10.0.0.1 10.0.0.2"}


def test_datacenters() -> None:
    assert lay("a 10.0.0.1", datacenter="DC1", datacenter_names=True) == {
        "web A": "10.0.0.1",
        "web.dc1 A": "10.0.0.1",
    }
    assert lay("a 10.0.0.1", datacenter="dc1") == {"web A": "10.0.0.1"}
    assert lay("a 10.0.0.1", datacenter_names=True) == {"web A": "10.0.0.1"}


def test_srv() -> None:
    assert lay("a 10.0.0.1:80 v1", "b 2001:db8::1", "c 10.0.0.1:81", srv=True, tags=["*"]) == {
        "_web._tcp SRV": f"1 1 80 0a000001.addr.{ORIGIN}. 1 1 81 0a000001.addr.{ORIGIN}.",
        "_web._v1 SRV": f"1 1 80 0a000001.addr.{ORIGIN}.",
        "0a000001.addr A": "10.0.0.1",
        "web A": "10.0.0.1",
        "web AAAA": "2001:db8::1",
        "v1.web A": "10.0.0.1",
    }


def test_srv_to_ipv6_and_to_host_names() -> None:
    v6 = Seen(Whose("", "web", "a", "w"), Offer("2001:db8::1", "", 80), instance("w", "a 1").health)
    label = "20010db8000000000000000000000001.addr"
    assert shown(flat(laid("web", v6, srv=True))) == {
        "_web._tcp SRV": f"1 1 80 {label}.{ORIGIN}.",
        f"{label} AAAA": "2001:db8::1",
        "web AAAA": "2001:db8::1",
    }
    assert lay("a db.example.com:80", srv=True) == {
        "_web._tcp SRV": "1 1 80 db.example.com.",
        "web CNAME": "db.example.com.",
    }


@pytest.mark.parametrize(
    ("weight", "said"), [(0, 0), (-1, 0), (1, 1), (65_535, 65_535), (65_536, 65_535)]
)
def test_weights(weight: int, said: int) -> None:
    one = instance("web", "a 10.0.0.1:80")
    weighted = one._replace(offer=Offer("10.0.0.1", "", 80, weight=weight))
    found = shown(flat(laid("web", weighted, srv=True)))
    assert found["_web._tcp SRV"].startswith(f"1 {said} 80 ")


@pytest.mark.parametrize(("port", "fit"), [(1, True), (65_535, True), (65_536, False), (-1, False)])
def test_ports(port: int, fit: bool) -> None:
    one = instance("web", "a 10.0.0.1")._replace(offer=Offer("10.0.0.1", "", port))
    found = laid("web", one, srv=True)
    assert ("_web._tcp SRV" in shown(flat(found))) is fit
    assert [str(each) for each in found.objections] == (
        [] if fit else [f"web-a on a: {port} is no port"]
    )
    assert "web A" in shown(flat(found))


def test_the_tag_tcp_has_no_srv_records_of_its_own() -> None:
    found = lay("a 10.0.0.1:80 tcp", "b 10.0.0.2:80", srv=True, tags=["tcp"])
    assert found["_web._tcp SRV"].count("addr") == 2
    assert found["tcp.web A"] == "10.0.0.1"
    assert objections("a 10.0.0.1:80 tcp", srv=True, tags=["tcp"]) == [
        "'web': SRV records at its tag tcp would be all of its"
    ]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a" * 63, ""),
        ("a" * 64, f"'{'a' * 59}...': '{'a' * 59}...' is no name"),
        ("my_web", "'my_web': 'my_web' is no name"),
        ("*", "'*': '*' is no name"),
        ("a.b", ""),
        ("a..b", "'a..b': '' is no name"),
        (".", "'.': '' is no name"),
        ("-web", "'-web': '-web' is no name"),
        ("b\u00fccher", r"'b\xfccher': 'b\xfccher' is no name"),
        ("\u212aube", r"'\u212aube': '\u212aube' is no name"),
        ("$INCLUDE /etc/passwd", "'$INCLUDE /etc/passwd': '$INCLUDE /etc/passwd' is no name"),
        ('a"\n', "'a\"\\n': 'a\"\\n' is no name"),
    ],
)
def test_names_of_services(name: str, why: str) -> None:
    one = instance("x", "a 10.0.0.1")
    found = laid(name, one._replace(whose=Whose("", name, "a", "i")))
    assert [str(each) for each in found.objections] == ([why] if why else [])
    assert bool(found.claims) is not bool(why)


def test_the_srv_name_of_a_long_service_is_too_long_alone() -> None:
    name = "a" * 63
    assert list(lay("a 10.0.0.1:80", name=name, srv=True)) == [f"{name} A"]
    (why,) = objections("a 10.0.0.1:80", name=name, srv=True)
    assert why.endswith("SRV records: a label is longer than 63 octets")
    assert len(lay("a 10.0.0.1:80", name="a" * 62, srv=True)) == 3


def test_a_bad_tag_costs_its_own_name() -> None:
    assert lay("a 10.0.0.1 x_y v1", tags=["*"]) == {"web A": "10.0.0.1", "v1.web A": "10.0.0.1"}
    both = objections("a 10.0.0.1 x_y a.b", "b 10.0.0.2 x_y", tags=["*"], srv=True)
    assert both == ["'web': 'a.b' is no label of a name", "'web': 'x_y' is no label of a name"]


def test_names_too_long_in_all() -> None:
    name = ".".join(["a" * 63] * 3)
    origin = "o" * 61
    assert lay("a 10.0.0.1", name=name, origin=origin)
    assert not lay("a 10.0.0.1", name=name, origin=origin + "o")
    (why,) = objections("a 10.0.0.1", name=name, origin=origin + "o")
    assert why.endswith("the name is longer than 255 octets")


def test_a_host_name_of_ours_that_is_too_long() -> None:
    v6 = Seen(Whose("", "w", "a", "w"), Offer("2001:db8::1", "", 80), instance("w", "a 1").health)
    for length, fit in ((23, True), (24, False)):
        origin = ".".join(["o" * 63] * 3 + ["o" * length])
        found = laid("w", v6, srv=True, origin=origin)
        assert len(found.claims) == (3 if fit else 1)
        assert [str(one) for one in found.objections] == (
            [] if fit else ["w on a: SRV records: the name is longer than 255 octets"]
        )


def test_one_host_name_is_a_cname() -> None:
    assert lay("a db.example.com", "b DB.example.com.") == {"web CNAME": "db.example.com."}
    assert objections("a db.example.com", "b DB.example.com.") == []


def test_several_host_names_are_one_and_an_objection() -> None:
    assert lay("a y.example.com", "b x.example.com") == {"web CNAME": "x.example.com."}
    assert objections("a y.example.com", "b x.example.com") == [
        "web-a on a: the host name y.example.com. is beside others"
    ]


def test_a_host_name_beside_addresses() -> None:
    assert lay("a x.example.com", "b 10.0.0.1") == {"web A": "10.0.0.1"}
    assert objections("a x.example.com", "b 10.0.0.1") == [
        "web-a on a: the host name x.example.com. is beside others"
    ]


def test_a_host_name_that_is_its_own() -> None:
    assert lay(f"a web.{ORIGIN}") == {}
    assert objections(f"a web.{ORIGIN}") == ["'web': its address is its own name"]


def test_a_bad_address_costs_its_own_instance() -> None:
    assert lay("a 0.0.0.0", "b 10.0.0.1", tags=["*"]) == {"web A": "10.0.0.1"}
    assert objections("a 0.0.0.0 v1", "b 10.0.0.1", tags=["*"]) == [
        "web-a on a: its address is '0.0.0.0': nobody has it"
    ]


def test_texts() -> None:
    one = instance("web", "a 10.0.0.1 v1")
    meta = {"version": "1", "note": 'say "\\\n$INCLUDE \u00e4', "secret": "x"}
    described = one._replace(offer=Offer("10.0.0.1", "", 0, ("v1",), meta))
    found = shown(flat(laid("web", described, txt=["*", "!secret"], tags=["*"])))
    assert found["web TXT"] == (
        '"version=1" "note=say \\"\\\\\\010$INCLUDE \\195\\164"'
    )
    assert "v1.web TXT" not in found
    assert "web TXT" not in shown(flat(laid("web", described)))


def test_long_texts() -> None:
    def made(length: int) -> Contribution:
        one = instance("web", "a 10.0.0.1")
        return laid("web", one._replace(offer=Offer("10.0.0.1", "", 0, (), {"k": "v" * length})),
                    txt=["*"])  # fmt: skip

    fit = made(MOST_TEXT - 2)
    assert [rrset for key, rrset in flat(fit).items() if key.type == const.TXT]
    over = made(MOST_TEXT - 1)
    assert list(shown(flat(over))) == ["web A"]
    assert str(over.objections[0]) == (
        "web-a on a: the text of 'k' is longer than 2048 octets"
    )


def test_no_texts_beside_a_cname() -> None:
    one = instance("web", "a x.example.com")
    offer = Offer("x.example.com", "", 0, (), {"k": "v"})
    found = laid("web", one._replace(offer=offer), txt=["*"])
    assert shown(flat(found)) == {"web CNAME": "x.example.com."}
    assert str(found.objections[0]) == "'web': no TXT records beside a CNAME record"


def test_strings() -> None:
    assert strings(b"") == b"\0"
    assert strings(b"a" * 255) == b"\xff" + b"a" * 255
    assert strings(b"a" * 256) == b"\xff" + b"a" * 255 + b"\1a"


def test_ttls() -> None:
    given = {"ttls": {"web-*": 5, "*-a": 7}, "ttl": 60, "srv": True}
    made = laid("web-a", instance("web-a", "a 10.0.0.1:80"), **given)
    by_name = {names.to_text(key.name): rrset.ttl for key, rrset in flat(made).items()}
    assert by_name == {
        f"web-a.{ORIGIN}.": 5, f"_web-a._tcp.{ORIGIN}.": 5, f"0a000001.addr.{ORIGIN}.": 60
    }  # fmt: skip
    naming = Naming(settings(**given))
    assert [naming.ttl(one) for one in ("web-b", "x-a", "x")] == [5, 7, 60]


def test_an_rrset_fits_a_message() -> None:
    size = len(names.from_text(f"web.{ORIGIN}")) + 10 + 4
    most = LARGEST // size
    each = [f"n{at} 10.{at // 65536}.{at // 256 % 256}.{at % 256}" for at in range(most + 1)]
    assert len(lay(*each[:most])["web A"].split()) == most
    assert objections(*each[:most]) == []
    assert len(lay(*each)["web A"].split()) == most
    assert objections(*each) == [f"'web': 1 of {most + 1} A records do not fit into a message"]


def test_nobody_has_the_name_of_an_address_before_it_is_one() -> None:
    """What SRV records lead to would be his for as long as nothing may be withdrawn."""
    made = [instance("addr", "a 10.6.6.6 0a000001"), instance("addr", "b 10.6.6.7 web")]
    found = laid("addr", *made, tags=["*"], srv=True)
    assert shown(flat(found)).keys() == {"addr A", "web.addr A"}
    assert list(map(str, found.objections)) == ["'addr': 0a000001.addr is the name of an address"]
    assert "0a000001.addr A" in lay("a 10.6.6.6 0a000001", name="addr", tags=["*"])
    assert objections("a 10.6.6.6", name="0a000001.addr", srv=True)


def test_no_more_records_than_a_server_takes() -> None:
    each = [f"n{at} 10.0.0.{at}:80" for at in range(1, 4)]
    given: dict[str, Any] = {"most_records": 2, "srv": True}
    found = lay(*each, **given)
    assert found["web A"] == "10.0.0.1 10.0.0.2"
    assert len(laid("web", *(instance("web", one) for one in each), **given).claims) == 5
    assert objections(*each, **given) == [
        f"'web': 1 of 3 {one} records are more than most_records (2)" for one in ("A", "SRV")
    ]
    assert not objections(*each, most_records=3)


def test_bind_loads_a_zone_as_it_is_by_default() -> None:
    """Its max-records-per-type."""
    assert ZoneSettings(origin=ORIGIN).most_records == 100


def test_a_datacenters_name_comes_before_a_tag_that_is_called_like_a_service() -> None:
    by_datacenter = laid("web", instance("web", "a 10.0.0.1", "dc1"), datacenter_names=True)
    by_tag = laid("dc1", instance("dc1", "b 10.6.6.6 web"), tags=["web"])
    name = names.from_text(f"web.dc1.{ORIGIN}")
    assert by_datacenter.claims[name].rank < by_tag.claims[name].rank


def test_which_services() -> None:
    naming = Naming(settings(services=["web*", "!web-x"], datacenters=["dc1"]))
    assert naming.takes("web", "DC1")
    assert not naming.takes("web", "dc2")
    assert not naming.takes("web-x", "dc1")
    assert Naming(settings()).takes("web", "dc2")
    assert not Naming(settings()).takes("consul", "dc2")


REVERSE = {"origin": "10.in-addr.arpa", "names_in": "svc.example.com"}


def test_pointers() -> None:
    assert lay("a 10.0.0.1:80 v1", "b 11.0.0.1", "c x.example.com", tags=["*"], srv=True,
               **REVERSE) == {"1.0.0.10.in-addr.arpa. PTR": "web.svc.example.com."}  # fmt: skip
    assert lay("a 2001:db8::1", origin="8.b.d.0.1.0.0.2.ip6.arpa", names_in="example.com") == {
        f"1.{'0.' * 23}8.b.d.0.1.0.0.2.ip6.arpa. PTR": "web.example.com."
    }


def test_pointers_that_cannot_be() -> None:
    assert objections("a 10.0.0.1", origin="10.in-addr.arpa") == [
        "'web': names_in must say where the names are that a reverse zone's records have"
    ]
    assert objections("a 10.0.0.1", name="x_y", **REVERSE) == ["'x_y': 'x_y' is no name"]
    assert objections("a 0.0.0.0", **REVERSE)
    long = ".".join(["a" * 63] * 3)
    fit, over = ("n" * length for length in (61, 62))
    assert objections("a 10.0.0.1", name=long, origin="10.in-addr.arpa", names_in=fit) == []
    assert objections("a 10.0.0.1", name=long, origin="10.in-addr.arpa", names_in=over)


def aliases(given: dict[str, str], **values: Any) -> Contribution:
    made = settings(aliases=given, **values)
    return Layout(made, Naming(made)).aliases()


def test_aliases() -> None:
    found = aliases({"www": "web", "a.b": "primary.web"})
    assert shown(flat(found)) == {
        "a.b CNAME": f"primary.web.{ORIGIN}.", "www CNAME": f"web.{ORIGIN}."
    }  # fmt: skip
    assert {claim.rank for claim in found.claims.values()} == {Rank.ALIAS}
    assert not aliases({"www": "web"}, **REVERSE).claims


def test_aliases_that_lead_back() -> None:
    found = aliases({"a": "b", "b": "c", "c": "b", "d": "e"})
    assert [str(one) for one in found.objections] == [
        f"the alias {one!r}: it leads to itself" for one in "abc"
    ]
    assert list(shown(flat(found))) == ["d CNAME"]


def test_an_alias_that_is_too_long() -> None:
    long = ".".join(["a" * 63] * 3)
    found = aliases({long: "web", "www": "web"}, origin="o" * 62)
    assert [one.why for one in found.objections] == ["the name is longer than 255 octets"]
    assert len(found.claims) == 1


def test_what_a_zone_says_of_itself() -> None:
    apex = apex_of(settings(ttl=60))
    origin = names.from_text(ORIGIN)
    assert apex.servers == (origin,)
    assert apex.primary == origin
    assert apex.mail == b"\x0ahostmaster" + origin
    assert apex[2:7] == (300, 60, 604_800, 30, 60)
    soa = SoaSettings(primary="p.example.com", mail="a.b@example.com", refresh=7)
    apex = apex_of(settings(ns=["n1.example.com", "n2.example.com"], soa=soa))
    assert [names.to_text(one) for one in (apex.primary, apex.mail, *apex.servers)] == [
        "p.example.com.", "a\\.b.example.com.", "n1.example.com.", "n2.example.com."
    ]  # fmt: skip
    assert apex.refresh == 7


def test_instances_in_a_line() -> None:
    assert told(Whose("dc1", "web", "n", "i")) == "i on n in dc1"
    assert told(Whose("", "web", "n\n", "i")) == "'i on n\\n'"
    assert told(Whose("", "w", "n" * 194, "i")) == f"i on {'n' * 194}"
    assert told(Whose("", "w", "n" * 195, "i")) == f"'i on {'n' * 54}...'"


@given(st.text(max_size=70), st.text(max_size=70), st.text(max_size=70), st.integers())
def test_whatever_strangers_write(name: str, tag: str, address: str, port: int) -> None:
    offer = Offer(address, "10.0.0.1", port, (tag,), {tag: name}, weight=port)
    one = Seen(Whose(tag, name, address, tag), offer, instance("w", "a 1").health)
    found = laid(name, one, tags=["*"], txt=["*"], srv=True, datacenter_names=True)
    origin = names.from_text(ORIGIN)
    for key, rrset in flat(found).items():
        assert names.is_under(key.name, origin)
        assert key.name == key.name.lower()
        assert len(key.name) <= names.MAX_NAME
        assert all(len(one) <= 63 for one in names.labels_of(key.name))
        assert rrset.data
        assert key.type != const.CNAME or len(rrset.data) == 1
    for each in found.objections:
        assert str(each).isprintable()
        assert str(each).isascii()
        assert len(str(each)) < 400
