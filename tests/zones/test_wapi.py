"""The grid of the tests is as strict as a real one."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.zones.infobloxed import MARK, fill, foreign, grid
from tests.zones.made import ORIGIN
from tests.zones.wapi import PASSWORD, USER, Member
from tests.zones.wapi_rules import Grid, Object, Refused
from tests.zones.wapi_served import serving

WEB = f"web.{ORIGIN}"


def a(**given: Any) -> Object:
    return {"name": WEB, "ipv4addr": "10.0.0.1", **given}


@pytest.mark.parametrize(
    ("kind", "given", "text"),
    [
        ("record:a", a(tll=30), "Unknown argument/field: 'tll'"),
        ("record:a", a(zone=ORIGIN), "Unknown argument/field: 'zone'"),
        ("record:a", {"name": WEB}, "field for create missing: ipv4addr"),
        ("record:a", a(ipv4addr="10.0.0.256"), "Invalid value"),
        ("record:a", a(name=f"{WEB}."), "Invalid domain name"),
        ("record:a", a(name="web.example.org"), "A parent was not found"),
        ("record:a", a(view="nowhere"), "View nowhere not found"),
        ("record:a", a(extattrs={"Site": {"value": "x"}}), "Unknown extensible attribute: Site"),
        ("record:a", a(extattrs={"Publisher": "x"}), "Invalid value for field: extattrs"),
        ("record:ptr", {"ptrdname": WEB}, "field for create missing: ipv4addr"),
        ("record:txt", {"name": WEB, "text": "x" * 256}, "Invalid value for field: text"),
        ("record:spf", a(), "Unknown object type"),
        ("zone_auth", {"fqdn": "x"}, "Unknown object type"),
    ],
)
def test_what_is_wrong_is_refused(kind: str, given: Object, text: str) -> None:
    site = grid()
    with pytest.raises(Refused, match=text) as told:
        site.create(kind, given)
    assert told.value.body.keys() == {"Error", "code", "text"}
    assert site.objects == {}


def test_a_ttl_without_its_flag_is_not_in_force() -> None:
    site = grid()
    ref = site.create("record:a", a(ttl=30))
    assert "ttl" not in site.objects[ref]
    ref = site.change(ref, {"ttl": 60, "use_ttl": True})
    assert site.objects[ref]["ttl"] == 60


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("record:a", a()), ("record:a", a(comment="again"))),
        (("record:a", a()), ("record:cname", {"name": WEB, "canonical": "x.example.com"})),
        (("record:cname", {"name": WEB, "canonical": "x.example.com"}), ("record:a", a())),
    ],
)
def test_doubles_and_what_stands_beside_an_alias_are_refused(
    first: tuple[str, Object], second: tuple[str, Object]
) -> None:
    site = grid()
    site.create(*first)
    with pytest.raises(Refused, match=f"The record '{WEB}' already exists"):
        site.create(*second)


def test_a_reference_is_another_one_once_its_data_changed() -> None:
    site = grid()
    ref = site.create("record:a", a())
    again = site.change(ref, {"ipv4addr": "10.0.0.2"})
    assert again != ref
    with pytest.raises(Refused, match="not found") as told:
        site.change(ref, {})
    assert told.value.status == 404
    with pytest.raises(Refused, match="not found"):
        site.delete(ref)
    with pytest.raises(Refused, match="Invalid reference") as told:
        site.delete(f"record:a/nonsense!:{WEB}/default")
    assert told.value.status == 400
    with pytest.raises(Refused, match="not writable: view"):
        site.change(again, {"view": "other"})
    site.delete(again)
    assert site.objects == {}


def test_a_text_comes_back_without_the_quotes_that_it_does_not_need() -> None:
    site = grid()
    one = foreign(site, "record:txt", "web", text='"a" "b c" d')
    assert one["text"] == 'a "b c" d'


@pytest.fixture(scope="module")
def member(signed_here: Path) -> Iterator[Member]:
    one = Member(grid())
    with serving([one], signed_here):
        yield one


class Asks:
    """Asks a member as anybody would."""

    def __init__(self, member: Member, certificates: Path) -> None:
        self._member = member
        self._context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))

    def __call__(self, path: str, params: dict[str, str], **headers: str) -> tuple[int, Any]:
        login = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        shown = headers or {"Authorization": f"Basic {login}"}
        url = f"{self._member.url}/{path}?{urlencode(params)}"
        try:
            request = urllib.request.Request(url, headers=shown)
            with urllib.request.urlopen(request, context=self._context) as reply:
                self.cookie = reply.headers.get("Set-Cookie", "").partition(";")[0]
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            body = error.read()
            return error.code, json.loads(body)["text"] if body[:1] == b"{" else body.decode()


@pytest.fixture
def ask(member: Member, signed_here: Path) -> Asks:
    member.begin(grid())
    return Asks(member, signed_here)


PAGED = {"_paging": "1", "_return_as_object": "1", "_max_results": "10"}


@pytest.mark.parametrize(
    ("path", "params", "text"),
    [
        ("record:a", {"nmae": WEB}, "Unknown argument/field: 'nmae'"),
        ("record:a", {"ttl": "30"}, "Unknown argument/field: 'ttl'"),
        ("record:a", {"_return_field": "ttl"}, "Unknown argument/field: '_return_field'"),
        ("record:a", {"_return_fields+": "tll"}, "Unknown argument/field: 'tll'"),
        ("record:a", {"_return_fields": "name", "_return_fields+": "ttl"}, "not used together"),
        ("record:a", {"*Site": "x"}, "Unknown extensible attribute: Site"),
        ("record:a", {"_paging": "1"}, "_paging needs"),
        ("record:a", {"_page_id": "x", **PAGED}, "Invalid value for _page_id"),
        ("record:a", {}, "Result set too large"),
        ("allrecords", {}, "field for search missing: zone"),
        ("record:naptr2", {}, "Unknown object type"),
    ],
)
def test_questions_that_are_wrong_are_refused(
    ask: Asks, member: Member, path: str, params: dict[str, str], text: str
) -> None:
    member.grid.limit = 10
    fill(member.grid, 11)
    status, told = ask(path, params)
    assert (status, text in told) == (400, True), told


def test_a_list_comes_in_pages(ask: Asks, member: Member) -> None:
    member.grid.limit = 10
    fill(member.grid, 25)
    found = []
    page: dict[str, str] = {}
    while True:
        status, reply = ask("record:a", {"zone": ORIGIN, **PAGED, **page})
        assert status == 200
        found += reply["result"]
        if "next_page_id" not in reply:
            break
        page = {"_page_id": reply["next_page_id"]}
    assert len({one["_ref"] for one in found}) == 25
    assert found[0].keys() == {"_ref", "name", "ipv4addr", "view"}
    status, told = ask("record:a", {"view": "default", **PAGED, **page})
    assert (status, "Invalid value for _page_id" in told) == (400, True)


def test_strangers_are_refused_and_cookies_get_too_old(ask: Asks, member: Member) -> None:
    member.cookie_lives = 2
    assert ask("record:a", {}, Authorization="Basic eDp5")[0] == 401
    assert ask("record:a", {})[0] == 200
    cookie = ask.cookie
    assert cookie.startswith('ibapauth="')
    shown = [ask("record:a", {}, Cookie=cookie)[0] for _ in range(3)]
    assert shown == [200, 200, 401]
    assert ask("record:a", {}, Cookie="ibapauth=made-up")[0] == 401


def test_hosts_and_what_is_not_supported_are_among_all_records(ask: Asks, member: Member) -> None:
    site: Grid = member.grid
    foreign(site, "record:host", "db", ipv4addrs=[{"ipv4addr": "192.0.2.1"}])
    foreign(site, "record:caa", "", ca_flag=0, ca_tag="issue", ca_value="x")
    foreign(site, "record:a", "web", ipv4addr="10.0.0.1", extattrs=MARK)
    status, found = ask("allrecords", {"zone": ORIGIN})
    assert status == 200
    assert sorted((one["name"], one["type"]) for one in found) == [
        ("", "UNSUPPORTED"), ("", "record:ns"), ("db", "record:host_ipv4addr"), ("web", "record:a"),
    ]  # fmt: skip
