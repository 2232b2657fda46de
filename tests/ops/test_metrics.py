"""Metrics: all that are in the table, bounded, as Prometheus' own parser reads them."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields, replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from consulfwd.net.flight import Counters
from consulfwd.ops.admin.connections import Connections
from consulfwd.ops.admin.http import Reply
from consulfwd.ops.metric_table import OF_SYSTEM, PARTS
from consulfwd.ops.metrics import CONTENT_TYPE, exposition, zones_exposition
from consulfwd.ops.snapshot import TargetSeen, ZoneSeen
from consulfwd.ops.zone_metrics import ZoneReport
from tests.ops.metered import ADMIN, EACH, NOW, resolver, snapshot, zone
from tests.ops.series import series, told

TABLE = [one for part in PARTS for one in part.metrics]


def test_all_that_is_in_the_table_is_told_and_nothing_else() -> None:
    named: dict[str, tuple[str, str]] = {one.name: (one.type, one.help) for one in TABLE}
    named |= {name: (kind, what) for name, kind, what in OF_SYSTEM}
    assert len(named) == len(TABLE) + len(OF_SYSTEM)
    seen = {}
    for one in EACH:
        for family in text_string_to_metric_families(exposition(one).decode()):
            name = family.name + ("_total" if family.type == "counter" else "")
            seen[name] = (family.type, family.documentation)
    assert seen == named


def test_every_counter_of_the_engine_is_told() -> None:
    value = told(EACH[0])
    assert EACH[0].resolver is not None
    for field in fields(Counters):
        number = EACH[0].resolver.counters[field.name]
        assert number in [one for (name, *_), one in value.items() if name.endswith("_total")]


def test_every_count_of_the_admin_server_is_told() -> None:
    async def answer(*_: object) -> Reply:
        raise AssertionError

    own = {one for one in ADMIN if not one.startswith(("querylog", "dnstap"))}
    assert Connections(answer).seen().keys() == own


def test_what_is_told_of_a_resolver() -> None:
    value = told(snapshot(resolver=resolver(agents=2, services=3), faults=("a", "b")))
    agent, recursor = ("agent", "10.0.0.1:8600"), ("recursor", "192.0.2.53:53")
    expected = {
        ("consulfwd_build_info", "serve", "1.2.3"): 1,
        ("consulfwd_ready",): 1,
        ("consulfwd_faults",): 2,
        ("consulfwd_snapshot_timestamp_seconds",): NOW,
        ("consulfwd_process_start_time_seconds",): NOW - 60,
        ("consulfwd_group_servers", "consul"): 2,
        ("consulfwd_group_servers_up", "consul"): 2,
        ("consulfwd_group_servers_up", "recursors"): 0,
        ("consulfwd_upstream_up", *agent): 1,
        ("consulfwd_upstream_up", *recursor): 0,
        ("consulfwd_upstream_state", *agent[:1], "up", agent[1]): 1,
        ("consulfwd_upstream_state", *recursor[:1], "up", recursor[1]): 0,
        ("consulfwd_upstream_state", *recursor[:1], "down", recursor[1]): 1,
        ("consulfwd_upstream_state_since_timestamp_seconds", *recursor): NOW - 5,
        ("consulfwd_upstream_behind", *recursor): 1,
        ("consulfwd_upstream_barred", *agent): 1,
        ("consulfwd_upstream_drained", *recursor): 1,
        ("consulfwd_upstream_loops", *recursor): 1,
        ("consulfwd_upstream_usual_rtt_seconds", *agent): 0.001,
        ("consulfwd_upstream_changes_total", *agent): 3,
        ("consulfwd_watches",): 3,
        ("consulfwd_watches_armed",): 2,
        ("consulfwd_watches_max",): 1000,
        ("consulfwd_watched_instances",): 9,
        ("consulfwd_watched_healthy_instances",): 6,
        ("consulfwd_missing_addresses",): 1,
        ("consulfwd_querylog_enabled",): 1,
        ("consulfwd_querylog_dropped_total",): 8,
        ("consulfwd_upstream_rtt_seconds_bucket", "agent", "0.0005"): 2,
        ("consulfwd_upstream_rtt_seconds_bucket", "agent", "+Inf"): 13,
        ("consulfwd_upstream_rtt_seconds_count", "agent"): 13,
        ("consulfwd_upstream_rtt_seconds_sum", "agent"): 12.5,
    }
    assert {key: value[key] for key in expected} == expected
    # It was never measured.
    assert ("consulfwd_upstream_usual_rtt_seconds", *recursor) not in value


def test_what_leads_back_here_is_not_up() -> None:
    seen = resolver(agents=1)
    (agent, other) = seen.upstreams
    value = told(snapshot(resolver=replace(seen, upstreams=(replace(agent, loops=True), other))))
    assert value["consulfwd_upstream_up", "agent", agent.name] == 0
    assert value["consulfwd_group_servers_up", "consul"] == 0


def test_who_is_not_shown_is_up() -> None:
    seen = resolver(agents=3)
    shown = (replace(seen.upstreams[0], state="suspect"),)
    value = told(snapshot(resolver=replace(seen, upstreams=shown)))
    assert value["consulfwd_group_servers", "consul"] == 3
    assert value["consulfwd_group_servers_up", "consul"] == 2


def test_of_the_process_the_system_tells() -> None:
    value = told(EACH[2])
    assert value["consulfwd_process_open_fds",] > 2
    assert value["consulfwd_process_resident_memory_bytes",] > 1 << 20
    assert value["consulfwd_process_cpu_seconds_total",] > 0
    gone = told(replace(EACH[2], pid=2**31 - 2))
    assert not any(name == "consulfwd_process_open_fds" for name, *_ in gone)
    assert gone["consulfwd_rounds_in_force",] == 1


@pytest.mark.parametrize(
    ("changes", "well"),
    [
        ({}, True),
        ({"state": "backup", "holder": "web2"}, True),
        ({"state": "backup", "holder": ""}, False),
        ({"state": "stopped", "holder": "web1"}, False),
        ({"paused": "by me"}, False),
        ({"doubt": "no leader"}, False),
        ({"faults": ("no leader",)}, False),
        ({"state": "active", "holder": ""}, True),
    ],
)
def test_whether_a_zone_is_well(changes: dict[str, object], well: bool) -> None:
    seen = replace(zone(), **{"doubt": "", **changes})  # type: ignore[arg-type]
    value = told(snapshot("zone", zones=(seen,)))
    assert value["consulfwd_zone_well", "inside", seen.zone] == well
    assert value["consulfwd_zone_active", "inside", seen.zone] == (seen.state == "active")


def test_zones_by_themselves() -> None:
    bad = TargetSeen('file "/a\\b"', 4_294_967_295, NOW, fault="no room", names=7, addresses=9,
                     withheld_in_all=3)  # fmt: skip
    here = ZoneSeen("svc.example.com", "inside", "active", "db1", paused="paused by me",
                    doubt="Consul has no leader", targets=(bad, TargetSeen("other")),
                    objections_in_all=2, held=1)  # fmt: skip
    found = zones_exposition([
        ZoneReport("svc.example.com", "inside", True, here, NOW),
        ZoneReport("b.example", "", False, None, 0.0),
    ])  # fmt: skip
    zone, target = ("inside", "svc.example.com"), ('file "/a\\b"', "inside", "svc.example.com")
    other = ("other", *zone)
    assert series(found) == {
        ("consulfwd_zone_well", *zone): 1,
        ("consulfwd_zone_well", "", "b.example"): 0,
        ("consulfwd_zone_written_timestamp_seconds", *zone): NOW,
        ("consulfwd_zone_active", *zone): 1,
        ("consulfwd_zone_paused", *zone): 1,
        ("consulfwd_zone_doubt", *zone): 1,
        ("consulfwd_zone_objections", *zone): 2,
        ("consulfwd_zone_held", *zone): 1,
        ("consulfwd_zone_target_failing", *target): 1,
        ("consulfwd_zone_target_failing", *other): 0,
        ("consulfwd_zone_target_withheld", *target): 3,
        ("consulfwd_zone_target_withheld", *other): 0,
        ("consulfwd_zone_target_names", *target): 7,
        ("consulfwd_zone_target_names", *other): 0,
        ("consulfwd_zone_target_addresses", *target): 9,
        ("consulfwd_zone_target_addresses", *other): 0,
        ("consulfwd_zone_target_serial", *target): 4_294_967_295,
        ("consulfwd_zone_target_pushed_timestamp_seconds", *target): NOW,
    }
    assert zones_exposition([]) == b""


def test_any_text_is_a_label() -> None:
    odd = 'a "b" \\ c\nd {e="f"} \udcff é'
    seen = replace(zone(), targets=(TargetSeen(odd), TargetSeen("other")))
    value = told(snapshot("zone", zones=(seen,)))
    clean = odd.replace("\udcff", "?")
    assert ("consulfwd_zone_target_failing", clean, "inside", seen.zone) in value


def test_the_same_twice_is_told_once() -> None:
    seen = replace(zone(), targets=(TargetSeen("a", 1), TargetSeen("a", 2)))
    value = told(snapshot("zone", zones=(seen,)))
    assert value["consulfwd_zone_target_serial", "a", "inside", zone().zone] == 1


def test_bounded_whatever_is_asked() -> None:
    quiet = told(snapshot(resolver=resolver(100, 100)))
    busy = told(snapshot(resolver=resolver(100, 100, asked=1_000_000)))
    assert quiet.keys() == busy.keys()
    assert busy["consulfwd_queries_total",] == 1_000_000
    assert len(busy) < 2000
    watched = told(snapshot(resolver=resolver(100, 1000, asked=1_000_000)))
    assert watched.keys() == busy.keys()
    zones = told(snapshot("zone", zones=tuple(map(zone, range(100)))))
    assert len(zones) < 2000


def test_names_are_as_prometheus_has_them() -> None:
    rows = [(one.name, one.type, one.help) for one in TABLE] + list(OF_SYSTEM)
    units = ("_seconds", "_bytes", "_total", "_info")
    for name, kind, what in rows:
        assert re.fullmatch(r"consulfwd_[a-z]+(_[a-z]+)*", name)
        assert (kind == "counter") == name.endswith("_total"), name
        assert not re.search(r"_(ms|milliseconds|minutes|percent|kb|count|sum|bucket)(_|$)", name)
        assert ("time" not in what.split() and "memory" not in what.lower()) or name.endswith(units)
        assert re.fullmatch(r"[A-Z1].*[a-z0-9]\.", what), what
    # What strangers send is in none of these.
    labels = {label for part in PARTS for label in part.labels}
    assert labels == {
        "version", "verb", "tier", "kind", "group", "upstream", "state", "zone", "view", "target",
        "worker",
        "record", "pool", "address",
    }  # fmt: skip


def test_what_takes_long_to_import_is_imported_with_the_first_scrape() -> None:
    code = "import sys, consulfwd.ops.metrics; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "consulfwd.ops.metric_table" in done.stdout
    assert "prometheus_client" not in done.stdout


def test_the_type_is_the_one_that_every_version_reads() -> None:
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"
    assert exposition(EACH[0]).endswith(b"\n")
