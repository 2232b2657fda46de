"""`consulfwd zone explain`: a host is missed, and the command says why."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consulfwd.zones.publish.status import OfTarget, Status, write
from tests.cli.background import Background
from tests.cli.conftest import Run
from tests.cli.zoned import ORIGIN, Site, checked, register

STATUS = Status(ORIGIN, "", "stopped", "", targets=(OfTarget("file"),))


@pytest.fixture(scope="module")
def consul() -> Iterator[Background]:
    """Three agents with the example's services, one of them on two nodes more."""
    with Background(http=True) as running:
        for name, address in (("api-1", "10.6.0.1"), ("api-2", "10.6.0.2")):
            register(running, name, address, service="api")
        checked(running, "api-2", "critical", "connection refused\nby 10.6.0.2")
        register(running, "odd", "10.6.0.3", service="my_odd")
        yield running


@pytest.fixture
def site(tmp_path: Path, consul: Background) -> Site:
    return Site(tmp_path, consul)


def test_a_host_that_is_unhealthy_is_told_with_its_check(run: Run, site: Site) -> None:
    assert run("zone", "apply", *site.options).code == 0
    done = run("zone", "explain", "api", *site.options)
    assert done.code == 1
    assert done.err == ""
    assert done.out.splitlines() == [
        ORIGIN,
        f"  api.{ORIGIN}.: A 10.6.0.1",
        "  in   api  api-1 on api-1 in dc1  10.6.0.1:80  passing",
        "  out  api  api-2 on api-2 in dc1  10.6.0.2:80  critical",
        "      unhealthy",
        "      check Service 'api' check: critical: connection refused by 10.6.0.2",
        f"  file {site.file}: as it is to be",
        "  nothing is published just now: no publisher runs here",
    ]
    well = run("zone", "explain", "api-1", *site.options)
    assert well.code == 0, well.out
    assert f"at api.{ORIGIN}." not in well.out


def test_the_example_s_services_need_nothing(run: Run) -> None:
    done = run("zone", "explain", "web1", "--dev")
    assert (done.code, done.err) == (0, "")
    assert re.search(r"(?m)^  in  web  web1 on web1 in dc1  10\.0\.20\.11:8080  passing$", done.out)
    assert done.out.endswith(": the zone has no `targets`: it is only shown\n")


def test_what_is_not_published_yet_and_what_cannot_be(run: Run, site: Site) -> None:
    done = run("zone", "explain", f"api.{ORIGIN}", *site.options)
    assert done.code == 1
    assert f"    + api.{ORIGIN}. A 10.6.0.1" in done.out
    odd = run("zone", "explain", "odd", *site.options)
    assert odd.code == 1
    assert "'my_odd' is no name: letters, digits and hyphens" in odd.out
    nobody = run("zone", "explain", "nobody", *site.options)
    assert nobody.code == 1
    assert "Consul has no service, node, instance or address 'nobody'" in nobody.out
    assert f"file {site.file}: holds nothing of it" in nobody.out


def test_a_pause_and_a_target_that_cannot_be_read_are_told(run: Run, site: Site) -> None:
    site.write(targets=[{"file": {"path": "/dev/null", "check": []}}])
    run("zone", "pause", "--reason", "a move", *site.options)
    done = run("zone", "explain", "api-1", *site.options)
    assert done.code == 1
    assert "/dev/null" in done.out
    assert "no publisher runs here" in done.out
    site.write(lock=True)
    run("zone", "pause", "--reason", "a move", *site.options)
    assert "nothing is published just now: paused by" in run(
        "zone", "explain", "api-1", *site.options
    ).out
    run("zone", "resume", *site.options)


def test_as_json(run: Run, site: Site) -> None:
    (found,) = json.loads(run("zone", "explain", "api-2", "--json", *site.options).out)
    assert (found["zone"], found["asked"], found["well"]) == (ORIGIN, "api-2", False)
    (instance,) = found["instances"]
    assert instance["names"] == []
    assert instance["why"] == ["unhealthy"]
    assert instance["checks"] == ["Service 'api' check: critical: connection refused by 10.6.0.2"]
    (target,) = found["targets"]
    assert target["withheld"] == []
    assert found["waits"] == "no publisher runs here"


def test_of_several_zones_that_which_knows_of_it(run: Run, site: Site) -> None:
    other = {"origin": "other.example", "services": ["web"], "lock": {"enabled": False}}
    site.write(more=[other])
    assert run("zone", "explain", "api-1", *site.options).out.startswith(f"{ORIGIN}\n")
    both = run("zone", "explain", "nobody", *site.options).out
    assert "other.example\n" in both
    one = run("zone", "explain", "nobody", "--zone", "other.example", *site.options)
    assert ORIGIN not in one.out
    assert "'nobody' is not among the `services` of the zone's settings" in one.out


def test_json_has_the_fields_that_are_documented(run: Run, site: Site, project: Path) -> None:
    page = (project / "docs" / "publish.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| `(\w+)` \| (`zone`.*|what is in.*) \|$", page)
    documented = {command: set(re.findall(r"`(\w+)`", fields)) for command, fields in rows}
    assert set(documented) == {"show", "plan", "apply", "explain", "status"}
    # Something of everything: records, what is withheld, what a publisher on this host says.
    commands = [("show",), ("plan",), ("apply",), ("explain", "api"), ("status",)]
    status = status_of(site)
    status.parent.mkdir(exist_ok=True)
    status.write_bytes(write(STATUS))
    site.write(lock=True, txt=["*"])
    # In these there are a plan, and records.
    documented["apply"] |= documented["plan"]
    documented["explain"] |= documented["show"]
    for command, *words in commands:
        found = keys(json.loads(run("zone", command, *words, "--json", *site.options).out))
        assert found <= documented[command], command
        # Nothing is withheld here, no target fails; the others are words of the text.
        missing = {"fault", "kind", "what", "why", "subject", "doubt", "show", "objections"}
        assert documented[command] - missing <= found, command


def status_of(site: Site) -> Path:
    return site.folder / "state" / f"zone-{ORIGIN}.status.json"


def keys(thing: Any) -> set[str]:
    """All names of fields in it."""
    if isinstance(thing, dict):
        return set(thing).union(*map(keys, thing.values()))
    return set().union(*map(keys, thing)) if isinstance(thing, list) else set()
