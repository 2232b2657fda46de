"""A grid that fails, at any moment and in any way: nothing is lost, and the next round goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from consulfwd.errors import ApplyError
from consulfwd.zones.sinks import infoblox_grid
from consulfwd.zones.sinks.infoblox_http import CONNECTIONS
from tests.zones.infobloxed import MARK, Given, NeverEmpty, Site, fill, foreign, grid, small_pages
from tests.zones.made import ORIGIN
from tests.zones.wapi import PASSWORD, Asked, Fault, Member, always, nth, writing
from tests.zones.wapi_rules import Grid, Object
from tests.zones.wapi_served import serving

WEB = f"web.{ORIGIN}."
BEFORE: Given = {
    "web A": "10.0.0.1 10.0.0.2",
    "old A": "10.0.0.1",
    "_web._tcp SRV": [f"1 1 80 old.{ORIGIN}."],
    "www CNAME": f"old.{ORIGIN}.",
}
AFTER: Given = {
    "web A": "10.0.0.2 10.0.0.3 10.0.0.4",
    "new A": "10.0.0.3",
    "_web._tcp SRV": [f"1 1 80 new.{ORIGIN}."],
    "www CNAME": WEB,
}
KEPT = ("web", "_web._tcp", "www")
KINDS = [
    "cut before", "cut after", "cut page", "500 after", "status 500", "status 401", "status 403",
    "status 429 after 1", "status 503", "redirect", "body [", "body 5",
]  # fmt: skip
# Those after which it is done all the same.
DONE = ("cut after", "cut page", "500 after")


def about(path: str) -> Callable[[Asked], bool]:
    """Return what tells whether a request is about that."""
    return lambda asked: asked.path == path


def after(number: int, kind: str) -> Fault:
    """Return a fault of all that is to be written after so many requests."""
    numbers = count()
    return lambda asked: kind if writing(asked) and next(numbers) >= number else ""


@pytest.fixture
def members() -> Sequence[Member]:
    shared = grid()
    return [Member(shared), Member(shared)]


@pytest.fixture(scope="module")
def served(signed_here: Path) -> Iterator[Sequence[Member]]:
    """Members over TLS."""
    shared = grid()
    both = [Member(shared), Member(shared)]
    with serving(both, signed_here):
        yield both


def begin(members: Sequence[Member], *roles: str) -> Grid:
    """Let members be of a new grid; those without a role are candidates."""
    shared = grid()
    for number, one in enumerate(members):
        one.begin(shared, roles[number] if number < len(roles) else "candidate")
    return shared


@pytest.fixture
def site(members: Sequence[Member], tmp_path: Path, signed_here: Path) -> Iterator[Site]:
    begin(members, "master")
    one = Site(members[:1], tmp_path, signed_here)
    yield one
    one.target.close()


@pytest.fixture
def both(members: Sequence[Member], tmp_path: Path, signed_here: Path) -> Iterator[Site]:
    begin(members, "master")
    one = Site(members, tmp_path, signed_here)
    yield one
    one.target.close()


def prepare(site: Site, made: list[Object]) -> None:
    """Let the grid hold what was made once: what is to be published, and a record of others'."""
    site.grid.watches.clear()
    if not made:
        assert site.rounds(BEFORE) == []
        foreign(site.grid, "record:a", "db", ipv4addr="192.0.2.1")
        made.extend(map(dict, site.grid.objects.values()))
    site.grid.objects = {one["_ref"]: dict(one) for one in made}
    site.members[0].faults = []
    site.members[0].asked.clear()
    NeverEmpty(site.grid, *KEPT)


def test_a_fault_at_each_request_of_a_round_loses_nothing(site: Site) -> None:
    made: list[Object] = []
    prepare(site, made)
    site.round(AFTER)
    number = len(site.members[0].asked)
    assert number > 30
    for kind in KINDS:
        # Each request has some of them, and each of them comes at the beginning, while something
        # is written, and at the end.
        for at in range(KINDS.index(kind) % 4, number, 4):
            prepare(site, made)
            site.members[0].faults = [nth(at, kind)]
            failed = site.rounds(AFTER)
            assert len(failed) <= 1, (kind, at, failed)
            # A password that was once refused is not shown again at once.
            site.clock.now += 3_600


# A grid that says that it did something counts as if it had, until that is verified.
@pytest.mark.parametrize("kind", [one for one in KINDS if one != "body 5"])
def test_a_fault_from_some_write_on_is_gone_through_once_it_ends(site: Site, kind: str) -> None:
    made: list[Object] = []
    for at in (0, 2, 4):
        prepare(site, made)
        base = site.target.read()
        site.members[0].faults = [after(at, kind)]
        acts = site.acts(base, AFTER)
        if kind in DONE:
            # It is looked for, and found.
            site.push(acts, base)
            assert site.left == []
        else:
            with pytest.raises(ApplyError) as told:
                site.push(acts, base)
            assert told.value.where == site.target.where
            assert PASSWORD not in str(told.value)
        site.members[0].faults = []
        site.clock.now += 3_600
        assert site.rounds(AFTER) == []


@pytest.mark.parametrize("kind", ["cut after", "500 after", "cut page", "body ["])
def test_what_was_written_without_a_reply_is_not_written_twice(site: Site, kind: str) -> None:
    site.members[0].faults = [nth(number, kind, writing) for number in range(6)]
    assert site.rounds({"web A": "10.0.0.1 10.0.0.2", "app A": "10.0.0.3"}) == []
    created = [body for method, _, body in site.grid.writes if method == "POST"]
    assert len(created) == 3
    assert site.left == []


def test_a_reply_that_does_not_come_is_waited_for_no_longer_than_the_timeout(
    served: Sequence[Member], tmp_path: Path, signed_here: Path
) -> None:
    begin(served, "master")
    site = Site(served[:1], tmp_path, signed_here, served=True, settings={"timeout": 0.5})
    site.members[0].faults = [nth(0, "hang", writing)]
    start = time.monotonic()
    assert site.rounds({"web A": "10.0.0.1"}) == []
    assert time.monotonic() - start < 20
    site.target.close()


@pytest.mark.parametrize("number", [1, 2])
def test_a_grid_that_is_silent_is_not_waited_for_again_and_again(
    members: Sequence[Member], tmp_path: Path, signed_here: Path, number: int
) -> None:
    """Each silence takes a whole timeout, and a publisher that is to end waits for all of them."""
    begin(members, *["master"] * number)
    site = Site(members[:number], tmp_path, signed_here)
    made: list[Object] = []
    for at in (-1, 0, 1, 3):
        prepare(site, made)
        base = site.target.read()
        site.grid.writes.clear()
        hung: list[Asked] = []

        def silence(asked: Asked, at: int = at, hung: list[Asked] = hung) -> str:
            if len(site.grid.writes) < at:
                return ""
            hung.append(asked)
            return "hang"

        for one in members:
            one.faults = [silence]
        with pytest.raises(ApplyError, match="no reply within"):
            site.target.read() if at < 0 else site.push(site.acts(base, AFTER), base)
        # What is under way at the same time is waited for at the same time.
        assert 2 <= len(hung) <= (2 if at < 0 else 2 * CONNECTIONS)
        for one in members:
            one.faults = []
        assert site.rounds(AFTER) == []
    site.target.close()


@pytest.mark.parametrize("kind", ["status 429 after 60", "status 503 after 60", "cut before"])
def test_a_round_that_fails_takes_its_time_once(both: Site, kind: str) -> None:
    """Whoever stops a publisher waits for that: systemd does so for 90 s."""
    base = both.round(BEFORE)
    for one in both.members:
        one.faults = [after(2, kind)]
    both.clock.slept.clear()
    with pytest.raises(ApplyError, match="cannot be asked"):
        both.push(both.acts(base, AFTER), base)
    assert sum(both.clock.slept) <= 65
    asked = sum(len(one.asked) for one in both.members)
    for one in both.members:
        one.faults = [always(kind)]
    both.clock.slept.clear()
    with pytest.raises(ApplyError, match="cannot be asked"):
        both.target.read()
    assert sum(both.clock.slept) <= 30
    assert sum(len(one.asked) for one in both.members) > asked


@pytest.mark.parametrize("lives", [0, 1, 2, 7])
def test_a_cookie_that_is_too_old_is_made_anew(site: Site, lives: int) -> None:
    site.members[0].cookie_lives = lives
    assert site.rounds(BEFORE) == []
    assert site.rounds(AFTER) == []
    assert site.members[0].logins > 1


def test_the_password_is_shown_once_and_then_the_cookie(site: Site) -> None:
    site.rounds(BEFORE)
    assert site.members[0].logins == 1
    assert [one.shown for one in site.members[0].asked].count("cookie") > 20


def test_a_cookie_is_shown_to_whom_it_came_from_alone(both: Site) -> None:
    first, second = both.members
    assert both.rounds(BEFORE) == []
    first.role, second.role = "member", "master"
    assert both.rounds(AFTER) == []
    # It was shown the password, and what it gave for that from then on.
    shown = [one.shown for one in second.asked]
    assert shown[0].startswith("Basic ")
    assert (second.logins, set(shown[1:])) == (1, {"cookie"})


def test_a_grid_without_cookies_is_shown_the_password(site: Site) -> None:
    site.members[0].gives_cookies = False
    assert site.rounds(BEFORE) == []


def test_a_refused_password_is_told_and_not_shown_again_until_it_is_another(site: Site) -> None:
    site.password_file.write_text("wrong")
    with pytest.raises(ApplyError, match=r"consulfwd or the password is refused.*locked") as told:
        site.target.read()
    assert "wrong" not in str(told.value)
    logins = site.members[0].logins
    with pytest.raises(ApplyError, match="not shown again yet"):
        site.target.read()
    assert site.members[0].logins == logins
    site.clock.now += 300
    with pytest.raises(ApplyError, match="is refused"):
        site.target.read()
    site.password_file.write_text(f"{PASSWORD}\r\n", "utf-8")
    assert site.target.read().ours == {}


@pytest.mark.parametrize("text", ["", "\n", "two\nlines", "x" * 5_000])
def test_a_file_without_a_password_is_told(site: Site, text: str) -> None:
    site.password_file.write_text(text)
    with pytest.raises(ApplyError, match="holds no password"):
        site.target.read()
    site.password_file.unlink()
    with pytest.raises(ApplyError, match="cannot be read"):
        site.target.read()
    assert site.members[0].asked == []


def test_the_password_is_nowhere_to_be_seen(site: Site) -> None:
    site.rounds(BEFORE)
    site.members[0].faults = [always("status 500")]
    with pytest.raises(ApplyError) as told:
        site.target.read()
    error: BaseException | None = told.value
    while error is not None:
        assert PASSWORD not in repr(error) + repr(vars(error))
        error = error.__cause__ or error.__context__
    assert PASSWORD not in repr(site.target) + repr(vars(site.target))


@pytest.mark.parametrize(
    ("ca", "told"), [("stranger.pem", "certificate refused"), ("agent.key", "holds no certificate")]
)
def test_a_certificate_that_is_not_signed_by_ours_ends_it(
    served: Sequence[Member], tmp_path: Path, signed_here: Path, ca: str, told: str
) -> None:
    begin(served, "master")
    settings = {"ca_file": signed_here / ca}
    site = Site(served[:1], tmp_path, signed_here, served=True, settings=settings)
    with pytest.raises(ApplyError, match=rf"{told}.*"):
        site.target.read()
    assert served[0].asked == []
    site.target.close()


def test_the_system_verifies_where_no_authority_is_given(
    served: Sequence[Member], tmp_path: Path, signed_here: Path
) -> None:
    begin(served, "master")
    site = Site(served[:1], tmp_path, signed_here, served=True, settings={"ca_file": None})
    with pytest.raises(ApplyError, match="certificate refused"):
        site.target.read()
    assert served[0].asked == []
    site.target.close()


@pytest.mark.parametrize("role", ["candidate", "member"])
def test_a_grid_master_that_moved_is_found(both: Site, role: str) -> None:
    first, second = both.members
    assert both.rounds(BEFORE) == []
    NeverEmpty(both.grid, *KEPT)
    first.role, second.role = role, "master"
    assert both.rounds(AFTER) == []
    first.asked.clear()
    assert both.rounds(BEFORE) == []
    # It is where it was found from then on.
    assert first.asked == []
    # And back again.
    first.role, second.role = "master", "candidate"
    assert both.rounds(AFTER) == []


@pytest.mark.parametrize("kind", ["cut before", "status 500", "status 503", "hang"])
def test_a_master_that_is_down_is_gone_past(
    members: Sequence[Member], tmp_path: Path, signed_here: Path, kind: str
) -> None:
    begin(members, "master")
    site = Site(members, tmp_path, signed_here, settings={"timeout": 0.5})
    first, second = members
    assert site.rounds(BEFORE) == []
    first.faults = [always(kind)]
    second.role = "master"
    assert site.rounds(AFTER) == []
    # What failed before is no failure any more, once the other one answers.
    assert site.rounds(BEFORE) == []
    site.target.close()


def test_a_master_that_moves_in_the_middle_of_a_list_begins_it_anew(
    both: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pages(both.grid, monkeypatch)
    first, second = both.members
    second.role = "master"
    fill(both.grid, 25)
    first.faults = [always("redirect", lambda asked: "_page_id" in asked.query)]
    assert len(both.target.read().foreign) == 26


def test_nobody_who_is_the_master_is_told(both: Site) -> None:
    for one in both.members:
        one.role = "candidate"
    base = both.target.read()
    with pytest.raises(ApplyError, match=r"not the grid master; .*not the grid master.*candidates"):
        both.push(both.acts(base, BEFORE), base)
    assert both.grid.writes == []


def test_that_nobody_listens_is_told_with_each_url(
    served: Sequence[Member], tmp_path: Path, signed_here: Path
) -> None:
    begin(served, "master")
    urls = ("https://127.0.0.1:1/wapi/v2.11", "https://127.0.0.2:1/wapi/v2.11")
    site = Site(served[:1], tmp_path, signed_here, served=True, settings={"urls": urls})
    with pytest.raises(ApplyError, match=r"0\.1:1\S+ connection refused; \S+0\.2:1\S+ conn"):
        site.target.read()
    assert sum(site.clock.slept) <= 4 * infoblox_grid.LONGEST_PAUSE
    site.target.close()


@pytest.mark.parametrize(("wanted", "slept"), [("2", 2.0), ("7200", infoblox_grid.LONGEST_WAIT)])
def test_a_grid_that_wants_to_be_left_alone_is_within_bounds(
    site: Site, wanted: str, slept: float
) -> None:
    site.members[0].faults = [nth(3, f"status 429 after {wanted}")]
    site.target.read()
    assert site.clock.slept == [slept]
    site.members[0].faults = [nth(0, f"status 429 after {wanted}", writing)]
    assert site.rounds({"web A": "10.0.0.1"}) == []
    assert site.clock.slept[:2] == [slept, slept]
    site.members[0].faults = [always("status 429")]
    with pytest.raises(ApplyError, match="HTTP 429"):
        site.target.read()


def test_an_attribute_that_the_grid_does_not_have_is_told_with_how_to_make_it(site: Site) -> None:
    site.grid.attributes.clear()
    with pytest.raises(ApplyError, match=r"attribute.*Publisher.*Extensible Attributes, type Str"):
        site.target.read()
    site.grid.attributes["Publisher"] = "STRING"
    assert site.rounds(BEFORE) == []


@pytest.mark.parametrize("view", ["default", "nowhere"])
def test_a_zone_that_is_not_there_is_not_empty(
    members: Sequence[Member], tmp_path: Path, signed_here: Path, view: str
) -> None:
    shared = begin(members, "master")
    if view == "default":
        del shared.zones[view, ORIGIN]
        shared.zones[view, "example.org"] = "zone_auth"
    site = Site(members[:1], tmp_path, signed_here, settings={"view": view})
    with pytest.raises(ApplyError, match=r"no authoritative zone svc\.|View nowhere not found"):
        site.target.read()
    site.target.close()


def test_rights_that_are_missing_are_told(site: Site) -> None:
    text = (
        f"Write permission for the resource record type 'SRV' in the zone '{ORIGIN}' is required"
        " for this operation."
    )
    site.grid.forbidden["record:srv"] = text
    base = site.target.read()
    site.push(site.acts(base, BEFORE), base)
    assert [text in one.why for one in site.left] == [True]
    site.grid.forbidden = dict.fromkeys(("record:a", "record:srv", "record:cname"), text)
    base = site.target.read()
    acts = site.acts(base, {f"n{number} A": "10.0.0.1" for number in range(60)})
    site.members[0].asked.clear()
    with pytest.raises(ApplyError, match=r"none of what was tried.*Write permission"):
        site.push(acts, base)
    # It is not about those, so not all of them are tried.
    assert sum(map(writing, site.members[0].asked)) < 30


def test_names_that_are_not_taken_keep_nothing_else_from_its_turn(site: Site) -> None:
    """Whoever registers services may choose names that a grid does not take."""
    site.round({"old A": "10.0.0.1"})
    site.grid.forbidden["record:aaaa"] = "Write permission for that is required"
    wanted = {f"a{number} AAAA": "2001:db8::1" for number in range(60)} | {"zeta A": "10.0.0.2"}
    base = site.target.read()
    site.push(site.acts(base, wanted), base)
    assert "old record:a" not in site.held()
    assert "zeta record:a" not in site.held()
    assert sum("not tried" in one.why for one in site.left) > 30
    base = site.target.read()
    for _ in range(3):
        with suppress(ApplyError):
            site.push(site.acts(base, wanted), base)
    assert "zeta record:a" in site.held()


def test_a_user_who_may_not_use_the_api_is_told(site: Site) -> None:
    site.members[0].faults = [always("status 403")]
    with pytest.raises(ApplyError, match=r"may not use the WAPI.*API access"):
        site.target.read()


def test_a_version_that_the_grid_does_not_have_is_told(
    members: Sequence[Member], tmp_path: Path, signed_here: Path
) -> None:
    begin(members, "master")
    url = "https://127.0.0.1:1/wapi/v2.99"
    site = Site(members[:1], tmp_path, signed_here, settings={"urls": (url,)})
    with pytest.raises(ApplyError, match=r"older than that WAPI.*Version 2\.99 not supported"):
        site.target.read()
    site.target.close()


@pytest.mark.parametrize(
    "body",
    [
        "[]", "null", "{}", '{"result": 5}', '{"result": [5]}', '{"result": [], "next_page_id": 5}',
        '{"result": [], "next_page_id": "again"}', "[" * 100_000, '{"result": [', "",
        '{"result": [' + ",".join(["{}"] * 1_001) + "]}",
    ],
)  # fmt: skip
def test_replies_of_another_form_are_refused(site: Site, body: str) -> None:
    site.rounds(BEFORE)
    site.grid.writes.clear()
    for path in ("record:a", "allrecords", "zone_auth"):
        site.members[0].faults = [always(f"body {body}", about(path))]
        with pytest.raises(ApplyError, match=r"not of the WAPI's form|cannot be asked|no authorit"):
            site.target.read()
    assert site.grid.writes == []


def test_a_reply_without_end_is_not_read_to_it(site: Site) -> None:
    site.members[0].faults = [always("huge", about("allrecords"))]
    with pytest.raises(ApplyError, match="more than 16 MiB"):
        site.target.read()


def test_a_list_that_cannot_be_read_is_not_taken_for_empty(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pages(site.grid, monkeypatch)
    fill(site.grid, 15, extattrs=MARK)
    site.members[0].faults = [always("cut page", lambda asked: "_page_id" in asked.query)]
    with pytest.raises(ApplyError, match="cannot be asked"):
        site.round({})
    assert site.grid.writes == [one for one in site.grid.writes if one[0] == "POST"]
    assert len(site.grid.objects) == 15


def test_requests_are_a_few_at_a_time(site: Site) -> None:
    site.rounds({f"n{number} A": "10.0.0.1" for number in range(40)})
    assert 1 < site.members[0].most_at_once <= 4
