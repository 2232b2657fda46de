"""`consulfwd zone` between real Consul and a grid over TLS: what is written, and what never is.

The grid is a stand-in as strict as a real one (`tests.zones.wapi`). Each of its two views has a
zone of the same name: what is written to either is counted, request by request.
"""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from consulfwd.dev.child import Child, Guard
from consulfwd.dev.real import RealCluster, Registration
from tests.consul import certificates
from tests.integration.conftest import NEWEST
from tests.integration.places import addresses
from tests.zones.infobloxed import foreign, held
from tests.zones.made import ORIGIN
from tests.zones.wapi import PASSWORD, USER, Member, nth, writing
from tests.zones.wapi_rules import Grid
from tests.zones.wapi_served import serving

NETWORK = 79
VIEWS = ("inside", "outside")
INSTANCES = [
    Registration("node1", "dashboard", address="10.1.0.1", port=3000, service_id="dashboard-1"),
    Registration("node2", "dashboard", address="10.1.0.2", port=3000, service_id="dashboard-2"),
    Registration("node3", "crowd", address="10.1.0.3", port=8095, service_id="crowd-1"),
]
INSIDE = {"dashboard record:a": ["10.1.0.1", "10.1.0.2"], "crowd record:a": ["10.1.0.3"]}
OUTSIDE = {
    "dashboard record:a": ["10.1.0.1", "10.1.0.2"],
    "0a010001.addr record:a": ["10.1.0.1"],
    "0a010002.addr record:a": ["10.1.0.2"],
    "_dashboard._tcp record:srv": [f"0a01000{one}.addr.{ORIGIN}" for one in (1, 2)],
}
pytestmark = [pytest.mark.timeout(200), NEWEST]


class Site:
    """A grid, a Consul server, and what is asked of consulfwd."""

    def __init__(self, folder: Path, cluster: RealCluster, member: Member) -> None:
        self.folder = folder
        self.cluster = cluster
        self.member = member
        self.said: list[str] = []
        (folder / "password").write_text(f"{PASSWORD}\n")
        self.file = self.settings("one")

    def settings(self, name: str, *, wrong: bool = False) -> Path:
        """Write settings; `wrong` are one view's authority, and the other one's password."""
        agent = self.cluster.servers[0]
        state = self.folder / "states" / name
        state.mkdir(parents=True, exist_ok=True)

        def zone(view: str, more: str, ca: str, password: str) -> str:
            # Where all of it is read in each round that can be counted.
            reread = "reread: 0," if view == "inside" else ""
            return f"""
  - origin: {ORIGIN}
    view: {view}
    {more}
    interval: 0.5
    quiescence: 0.3
    removal_delay: 0
    lock: {{lock_delay: 0, retry: 1}}
    targets:
      - infoblox: {{urls: ["{self.member.url}"], user: {USER}, view: {view}, timeout: 5, {reread}
          password_file: {self.folder}/{password}, ca_file: {self.folder}/{ca}}}"""

        file = self.folder / f"{name}.yml"
        file.write_text(
            f"""
consul: {{agents: [{{address: {agent.address}, dns_port: {agent.dns_port},
    http_port: {agent.http_port}}}]}}
zones_state: {state}
zones:{zone("inside", "srv: false", "stranger.pem" if wrong else "ca.pem", "password")}
{zone("outside", "services: [dashboard]", "ca.pem", "wrong" if wrong else "password")}
"""
        )
        return file

    def run(self, *words: str, file: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "consulfwd.cli.main", "zone", *words]
        ran = subprocess.run(
            [*command, "-c", str(file or self.file)], capture_output=True, text=True, check=False
        )
        self.said += [ran.stdout, ran.stderr]
        return ran

    def publisher(self, name: str, guard: Guard) -> Child:
        # What is left open is an error of the first; the other one starts often.
        strict = ["-X", "dev", "-W", "error"] if name == "one" else []
        command = [sys.executable, *strict, "-m", "consulfwd.cli.main", "zone", "watch"]
        words = ["--interval", "0.1", "--log-level", "debug", "-c", str(self.settings(name))]
        return Child(name, [*command, *words], self.folder / f"{name}.log", guard)

    def holds(self) -> list[dict[str, list[str]]]:
        return [held(self.member.grid, view) for view in VIEWS]

    def looks(self) -> int:
        """How often the inner zone was looked at from beginning to end."""
        return sum(
            (one.path, one.query.get("view")) == ("allrecords", "inside")
            for one in list(self.member.asked)
        )

    def writes(self) -> list[str]:
        """What was written since this was asked the last time: "POST record:a", sorted."""
        found = [
            f"{method} {path.partition('/')[0]}" for method, path, _ in self.member.grid.writes
        ]
        self.member.grid.writes.clear()
        return sorted(found)


@pytest.fixture(scope="module")
def site(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("infoblox")
    grid = Grid({(view, ORIGIN): "zone_auth" for view in VIEWS})
    member = Member(grid)
    certificates.make(folder, "IP:127.0.0.1")
    with RealCluster(
        consul_binary, addresses(NETWORK, 11), workdir=folder / "consul"
    ) as cluster, serving([member], folder):
        cluster.register_all(INSTANCES)
        yield Site(folder, cluster, member)


def _without(wanted: dict[str, list[str]], address: str) -> dict[str, list[str]]:
    """Return the records without an instance's: its address, and the name that has it alone."""
    packed = "".join(f"{int(one):02x}" for one in address.split("."))
    left = {
        name: [one for one in data if one != address and not one.startswith(packed)]
        for name, data in wanted.items()
    }
    return {name: data for name, data in left.items() if data}


def _secrets(member: Member) -> Sequence[str]:
    login = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    return (PASSWORD, json.dumps(PASSWORD)[1:-1], login, "group=admins", "ibapauth")


def _texts(site: Site) -> dict[str, str]:
    """Everything that somebody else may see of it."""
    found = {
        str(path): path.read_text()
        for path in [*site.folder.glob("*.log"), *(site.folder / "states").rglob("*"),
                     site.folder / "plan.json"]
        if path.is_file()
    }  # fmt: skip
    kept: list[dict[str, Any]] = site.cluster.http("GET", "/v1/kv/consulfwd?recurse")
    found |= {one["Key"]: b64decode(one["Value"] or "").decode() for one in kept}
    found["said"] = "".join(site.said)
    return found


def test_a_grid_is_kept_as_it_should_be_with_no_more_requests_than_that_takes(
    site: Site, guard: Guard
) -> None:
    member, grid = site.member, site.member.grid
    first, child = (site.publisher(name, guard) for name in ("one", "two"))
    member.cookie_lives = 100
    first.start()
    whole = [INSIDE, OUTSIDE]
    gone = [_without(one, "10.1.0.1") for one in whole]
    went = ["DELETE record:a"] * 3 + ["DELETE record:srv"]
    came = ["POST record:a"] * 3 + ["POST record:srv"]
    try:
        first.wait_until(lambda: site.holds() == whole, "publishing")
        assert site.writes() == ["POST record:a"] * 7 + ["POST record:srv"] * 2
        # A hundred looks without a change, 50 of each view: with cookies that are too old by then,
        # a takeover, and three that begin anew.
        before = site.looks()
        child.start()
        child.wait_until(lambda: "backup" in child.log.read_text(), "a backup")
        first.terminate()
        for _ in range(3):
            so_far = site.looks()
            child.wait_until(lambda: site.looks() > so_far + 2, "looking")  # noqa: B023
            child.terminate()
            child.start()
        child.wait_until(lambda: site.looks() >= before + 50, "looking")
        assert site.writes() == []
        arguments = Path(f"/proc/{child.pid}/cmdline").read_text()
        environ = Path(f"/proc/{child.pid}/environ").read_text()
        # In the middle of it the grid wants to be left alone, restarts, breaks off.
        kinds = ("status 429 after 0", "status 503", "cut after")
        member.faults = [nth(9, "status 503"), *(nth(2 * at, kind, writing)
                         for at, kind in enumerate(kinds))]  # fmt: skip
        site.cluster.set_health("node1", "dashboard-1", "critical")
        child.wait_until(lambda: site.holds() == gone, "without it")
        site.cluster.set_health("node1", "dashboard-1", "passing")
        child.wait_until(lambda: site.holds() == whole, "whole again")
        after = site.looks()
        child.wait_until(lambda: site.looks() >= after + 2, "looking")
        assert site.writes() == [*went, *came]
        # What others did to ours is mended, and theirs is left alone.
        member.faults = []
        theirs = foreign(grid, "record:a", "crowd", ipv4addr="192.0.2.9", view="outside")
        ref = next(one for one, each in grid.objects.items() if each["name"].startswith("crowd."))
        grid.delete(ref)
        child.wait_until(lambda: "crowd record:a" in held(grid, "inside"), "mended")
        grid.delete(theirs["_ref"])
        child.terminate()
    finally:
        first.kill()
        child.kill()
    assert member.logins > 6
    assert "Traceback" not in first.log.read_text() + child.log.read_text()
    assert site.writes().count("POST record:a") == 2

    # A plan is for what was there, whosever it is.
    site.cluster.set_health("node1", "dashboard-1", "critical")
    plan = str(site.folder / "plan.json")
    assert site.run("plan", "--view", "inside", "-o", plan).returncode == 1
    theirs = foreign(grid, "record:a", "db", ipv4addr="192.0.2.1", view="inside")
    grid.writes.clear()
    refused = site.run("apply", plan)
    assert (refused.returncode, site.writes()) == (1, [])
    assert "was changed meanwhile" in refused.stderr
    grid.delete(theirs["_ref"])
    grid.writes.clear()
    applied = site.run("apply", plan)
    assert (applied.returncode, site.writes()) == (0, ["DELETE record:a"]), applied.stderr

    # Who is not the grid is not shown the password, and one that is wrong does nothing.
    (site.folder / "wrong").write_text("not-this-one")
    member.asked.clear()
    refused = site.run("apply", file=site.settings("wrong", wrong=True))
    assert (refused.returncode, site.writes()) == (1, [])
    assert "certificate refused" in refused.stderr
    assert "the password is refused" in refused.stderr
    assert {one.query["view"] for one in member.asked} == {"outside"}

    texts = {**_texts(site), "arguments": arguments, "environ": environ}
    assert len(texts) > 8
    assert {"audit.jsonl", "plan.json"} <= {Path(one).name for one in texts}
    secrets = [*_secrets(member), "not-this-one"]
    assert [(where, one) for where, text in texts.items() for one in secrets if one in text] == []
