"""A zone in a grid that is pushed to often: the whole zone is read now and then, names always."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from consulfwd.errors import ApplyError
from tests.zones.infobloxed import Given, Site, fill, foreign, foreign_keys, grid
from tests.zones.made import ORIGIN, key_text, records
from tests.zones.test_infoblox import WANTED
from tests.zones.wapi import Member, always, writing


@pytest.fixture
def often(tmp_path: Path, signed_here: Path) -> Iterator[Site]:
    """A site that reads the whole zone once a minute at most."""
    one = Site([Member(grid())], tmp_path, signed_here, settings={"reread": 60.0})
    yield one
    one.target.close()


def whole(site: Site) -> int:
    """Return how often the zone was read from beginning to end since this was asked last."""
    (member,) = site.members
    found = sum(one.path == "allrecords" for one in member.asked)
    member.asked.clear()
    return found


def test_a_push_soon_after_another_costs_no_more_than_its_names(
    often: Site, tmp_path: Path
) -> None:
    fill(often.grid, 200)
    often.round(WANTED)
    assert whole(often) == 1
    steps: list[Given] = [
        {**WANTED, "web A": "10.0.0.1"},
        {**WANTED, "new A": "10.0.0.9", "www CNAME": f"new.{ORIGIN}."},
        {"www A": "10.0.0.1", "new A": "10.0.0.9 10.0.0.8"},
        {},
        {"web A": "10.0.0.1"},
    ]
    for wanted in steps:
        base = often.round(wanted)
        assert base.ours == records(wanted)
        assert len(often.members[0].asked) < 30
        assert whole(often) == 0
        # It is the same as for whoever reads it now.
        other = Site(often.members, tmp_path, often.certificates)
        assert other.target.read() == base
        other.target.close()
        assert whole(often) == 1
    often.clock.now += 60
    assert often.target.read() == base
    assert whole(often) == 1


def test_what_others_did_meanwhile_is_seen_at_the_names_and_then_at_all(often: Site) -> None:
    base = often.round({"web A": "10.0.0.1", "app A": "10.0.0.2"})
    foreign(often.grid, "record:a", "web", ipv4addr="192.0.2.1")
    whole(often)
    assert often.target.read() is base
    acts = often.acts(base, {"web A": "10.0.0.3", "app A": "10.0.0.4"})
    often.push(acts, base)
    assert [key_text(one.act.key) for one in often.left] == ["web A"]
    assert whole(often) == 0
    # It is not as was thought: all of it is read, soon as it may be.
    assert "web A" in foreign_keys(often.target.read())
    assert whole(often) == 1


@pytest.mark.parametrize("kind", ["status 500", "cut before"])
def test_after_a_push_that_failed_the_whole_zone_is_read(often: Site, kind: str) -> None:
    base = often.round({"web A": "10.0.0.1"})
    often.members[0].faults = [always(kind, writing)]
    with pytest.raises(ApplyError):
        often.push(often.acts(base, {"web A": "10.0.0.2"}), base)
    often.members[0].faults = []
    whole(often)
    assert often.round({"web A": "10.0.0.2"}).ours == records({"web A": "10.0.0.2"})
    assert whole(often) == 1


def test_ttls_that_differ_are_mended_and_then_all_is_read(often: Site) -> None:
    wanted = {"web A": "10.0.0.1 10.0.0.2"}
    often.round(wanted)
    next(iter(often.grid.objects.values()))["ttl"] = 99
    often.clock.now += 60
    whole(often)
    assert often.round(wanted).ours == records(wanted)
    # What each of them had is not known of a set.
    assert whole(often) == 2


def test_what_a_grid_has_to_bear(often: Site) -> None:
    """The figures of the document."""

    def asked() -> tuple[int, int]:
        (member,) = often.members
        found = len(member.asked), sum(map(writing, member.asked))
        member.asked.clear()
        return found

    text = (Path(__file__).parents[2] / "docs/publish-targets-infoblox.md").read_text()
    base = often.round({"web A": "10.0.0.1 10.0.0.2"})
    often.clock.now += 60
    asked()
    often.target.read()
    assert asked() == (12, 0)
    assert "| 12, one more for each 1,000 records" in text
    often.push(often.acts(base, {"web A": "10.0.0.1"}), base)
    assert asked() == (3, 1)
    assert "| 3: look at the name, write, read back |" in text
    wanted: Given = {"web A": "10.0.0.1", **{f"n{one} A": "10.0.0.1" for one in range(100)}}
    base = often.target.read()
    often.push(often.acts(base, wanted), base)
    number, writes = asked()
    assert (number - 12, writes) == (200, 100)
    assert "| about 2,000, half of them writes |" in text
