"""From a request to jobs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from consulfwd.apply.jobs import nothing_to_verify
from consulfwd.config import Settings
from consulfwd.errors import UsageError
from consulfwd.generate.model import NameServer
from consulfwd.generate.requests import Request, jobs, usual_place
from consulfwd.servers.target import Version
from consulfwd.servers.targets import TARGETS

DC2: dict[str, Any] = {
    "consul": {"agents": ["10.0.0.1"], "datacenters": {"dc2": {"agents": ["10.2.0.1"]}}}
}


def request(server: str = "bind", **fields: Any) -> Request:
    target = TARGETS[server]
    return Request(target, Settings(**DC2), target.newest, **fields)


def test_files_that_come_into_force_together_are_verified_once() -> None:
    asked = request(options=frozenset({"named_conf"}), asked_at=NameServer("127.0.0.1"))
    made = jobs(asked)
    assert len(made) == 2
    assert len({job.verify for job in made}) == 1
    assert made[0].verify is not nothing_to_verify
    for change in ({"reload": False}, {"asked_at": None}):
        unasked = jobs(dataclasses.replace(asked, **change))
        assert {job.verify for job in unasked} == {nothing_to_verify}


def test_the_catalog_is_asked_about_no_datacenter_whose_agents_are_not_named() -> None:
    assert request("bind").followed.consul.datacenters == {}
    assert request("unbound", to="consulfwd").followed.consul.datacenters == {}
    assert list(request("unbound").followed.consul.datacenters) == ["dc2"]
    (job,) = jobs(request("bind"), {"": [NameServer("10.0.0.7", 8600)]})
    assert "10.0.0.7 port 8600;" in job.files[0].text


@pytest.mark.parametrize("one", ['"', "'", "\\", "\n", "\r", "\x85", "\u2028", "\0"])
def test_no_path_ends_quotes_or_a_line(one: str) -> None:
    with pytest.raises(UsageError, match="no path with quotes"):
        jobs(request(dest=Path(f"/etc/bind/a{one}b")))


def test_a_path_with_blanks() -> None:
    (job,) = jobs(request(dest=Path("/etc/my bind/consul.conf")))
    assert 'include "/etc/my bind/consul.conf";' in job.files[0].text


def test_powerdns_4_is_told_where_its_zones_are() -> None:
    asked = Request(TARGETS["pdns-recursor"], Settings(**DC2), (4, 8), dest=Path("/srv/my.zones"))
    zones, settings = jobs(asked)
    assert [path.name for path in (zones.files[0].path, settings.files[0].path)] == [
        "my.zones",
        "consul.conf",
    ]
    assert "forward-zones-file=/srv/my.zones\n" in settings.files[0].text
    # One without the other would not do.
    assert zones.reload == settings.reload != ()


def test_what_bind_was_told_of_the_zones_before_is_forgotten() -> None:
    def reload(consul: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
        given: dict[str, Any] = {"consul": {"agents": ["10.0.0.1"], **consul}}
        (job,) = jobs(Request(TARGETS["bind"], Settings(**given), (9, 18)))
        return job.reload

    several = {"alt_domains": ["sd.example"], "reverse": ["10.0.0.0/15"]}
    zones = ("consul", "sd.example", "0.10.in-addr.arpa", "1.10.in-addr.arpa")
    flushed = [("rndc", "flushtree", zone) for zone in zones]
    assert reload(several) == (("rndc", "reconfig"), *flushed)
    assert reload({"reverse": ["10.0.0.0/9"]}) == (("rndc", "reconfig"), ("rndc", "flush"))


@pytest.mark.parametrize(
    ("server", "version", "options"),
    [("pdns-recursor", (4, 8), ()), ("bind", (9, 18), ("named_conf",))],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_file_does_not_take_the_place_of_the_one_that_includes_it(
    tmp_path: Path, server: str, version: Version, options: tuple[str, ...]
) -> None:
    target = TARGETS[server]
    asked = Request(target, Settings(**DC2), version, options=frozenset(options))
    first, second = target.files(version, asked.options)
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    place = folder / "main.conf"
    target = dataclasses.replace(
        target, outputs=(first, dataclasses.replace(second, places=(str(place),)))
    )
    for dest in (place, link / "main.conf", folder / ".." / "folder" / "main.conf"):
        with pytest.raises(UsageError, match=r"main\.conf is where another of the files"):
            jobs(dataclasses.replace(asked, target=target, dest=dest))
    made = jobs(dataclasses.replace(asked, target=target, dest=folder / "other.conf"))
    assert [job.files[0].path.name for job in made] == ["other.conf", "main.conf"]
    with pytest.raises(UsageError, match="name another file with --dest"):
        jobs(dataclasses.replace(asked, dest=usual_place(second)))
