"""Names of a zone, read back."""

from __future__ import annotations

from typing import Any

import pytest

from consulfwd.dns import names
from consulfwd.zones.claims import Group
from consulfwd.zones.explaining import Explaining
from consulfwd.zones.model import Act
from consulfwd.zones.naming import Naming
from tests.zones.made import records, settings


def explaining(*services: str, names_in: bytes = b"", **values: Any) -> Explaining:
    made = Explaining(Naming(settings(**values)), names_in)
    for one in services:
        made.add(one)
    return made


def read(where: str, *services: str, data: str = "10.0.0.1", **values: Any) -> list[str]:
    ((key, rrset),) = records({where: data}).items()
    found = explaining(*services, **values).origin(Act(key, rrset, None))
    told = [" ".join((one.service, one.tag, one.datacenter)).rstrip() for one in found.groups]
    return [*told, "host"] if found.host else told


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("web A", ["web", "Web"][::-1]),
        ("other A", []),
        ("v1.web A", ["Web v1", "web v1"]),
        ("web.dc1 A", ["Web  dc1", "web  dc1"]),
        ("a.b A", ["a.b", "b a"]),
        ("x.a.b A", ["a.b x"]),
        ("_web._tcp TXT", ["Web", "web"]),
        ("_web._v1 TXT", ["Web v1", "web v1"]),
        ("_a.b._tcp TXT", ["a.b"]),
        ("_web TXT", []),
        ("0a000001.addr A", ["host"]),
        ("0a00000g.addr A", []),
        ("0a00001.addr A", []),
        (f"{'0' * 32}.addr AAAA", ["host"]),
        ("other.example.com. A", []),
    ],
)
def test_names(where: str, found: list[str]) -> None:
    data = {"TXT": '"x"', "AAAA": "2001:db8::1"}.get(where.split()[1], "10.0.0.1")
    assert read(where, "web", "Web", "a.b", "b", data=data) == found


def test_a_host_that_a_tag_may_be() -> None:
    assert read("0a000001.addr A", "addr") == ["addr 0a000001", "host"]


def test_the_origin_itself_is_nobodys() -> None:
    assert read("svc.example.com. A", "web") == []


def test_pointers_by_what_they_lose() -> None:
    origin = names.from_text("svc.example.com")
    given = {"origin": "10.in-addr.arpa"}
    made = Explaining(Naming(settings(**given)), origin)
    for one in ("web", "app"):
        made.add(one)
    where = "1.0.0.10.in-addr.arpa. PTR"
    ((key, before),) = records({where: "web.svc.example.com. app.svc.example.com."}).items()
    ((_, after),) = records({where: "app.svc.example.com."}).items()
    assert made.origin(Act(key, before, after)).groups == (Group("web"),)
    assert made.origin(Act(key, before, None)).groups == (Group("app"), Group("web"))
    ((key, before),) = records({where: "web.example.com."}).items()
    assert made.origin(Act(key, before, None)).groups == ()


def test_services_come_and_go_by_datacenter() -> None:
    made = explaining("web", "web", "Web")
    ((key, rrset),) = records({"web A": "10.0.0.1"}).items()

    def read_now() -> tuple[str, ...]:
        return tuple(one.service for one in made.origin(Act(key, rrset, None)).groups)

    assert read_now() == ("Web", "web")
    made.remove("web")
    assert read_now() == ("Web", "web")
    made.remove("web")
    assert read_now() == ("Web",)
    made.remove("Web")
    assert read_now() == ()
