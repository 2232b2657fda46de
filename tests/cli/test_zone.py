"""`consulfwd zone`: each of its commands, on the example's services and a zone file."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.query
import dns.zone
import pytest
from click.shell_completion import ShellComplete

from consulfwd.cli.main import cli
from consulfwd.config import load
from consulfwd.zones.publish import status
from consulfwd.zones.publish.folder import Folder
from tests.cli.background import Background
from tests.cli.conftest import Run
from tests.cli.zoned import ORIGIN, Site, deregister, register
from tests.test_notify import Listener


@pytest.fixture
def consul() -> Iterator[Background]:
    """Three agents with the example's services, and their HTTP."""
    with Background(http=True) as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, consul: Background) -> Site:
    return Site(tmp_path, consul)


def test_show_is_a_zone_file(run: Run, site: Site) -> None:
    done = run("zone", "show", *site.options)
    assert done.code == 0
    zone = dns.zone.from_text(done.out, ORIGIN, relativize=True)
    assert {str(one) for one in zone.find_rdataset("galeradb", "A")} != set()
    assert "consul." not in done.out
    table = run("zone", "show", "--table", *site.options)
    assert re.search(r"(?m)^galeradb\.svc\.example\.com\. +A +30 +\d", table.out)
    (shown,) = json.loads(run("zone", "show", "--json", *site.options).out)
    names = {one["name"] for one in shown["records"]}
    assert f"galeradb.{ORIGIN}." in names
    assert shown["doubt"] == ""


def test_show_dev_needs_nothing(run: Run) -> None:
    done = run("zone", "show", "--dev")
    assert (done.code, done.err) == (0, "")
    assert re.search(r"(?m)^galeradb\.svc\.example\.com\. 30 IN A ", done.out)


def test_without_zones_it_says_where_they_are_described(run: Run) -> None:
    for verb in ("show", "plan", "apply", "watch", "status", "pause", "resume", "serve"):
        done = run("zone", verb)
        assert done.code == 2
        assert "there are no `zones` in the settings (docs/publish.md" in done.err


def test_a_zone_that_is_none_is_told(run: Run, site: Site) -> None:
    done = run("zone", "show", "other.example", *site.options)
    assert done.code == 2
    assert f"other.example: is none of the zones in the settings ({ORIGIN})" in done.err
    assert run("zone", "show", "--view", "inside", *site.options).code == 2
    assert run("zone", "show", f"{ORIGIN.upper()}.", *site.options).code == 0


def test_consul_that_cannot_be_asked_is_told(run: Run, site: Site, consul: Background) -> None:
    consul.do(consul.cluster.stop())
    done = run("zone", "show", *site.options)
    assert done.code == 3
    assert done.out == ""
    assert done.err.startswith("consulfwd: ")
    consul.do(consul.cluster.start())


def test_what_is_planned_is_applied_and_then_there_is_nothing_to_do(run: Run, site: Site) -> None:
    plan = run("zone", "plan", *site.options)
    assert plan.code == 1
    assert f"+ galeradb.{ORIGIN}. A " in plan.out
    assert "\x1b" not in plan.out
    assert not site.file.exists()
    done = run("zone", "apply", *site.options)
    assert done.code == 0, done.err
    assert f": done, serial {site.serial()}" in done.out
    text = site.file.read_text()
    again = run("zone", "plan", *site.options)
    assert (again.code, "nothing to do" in again.out) == (0, True)
    assert run("zone", "apply", *site.options).code == 0
    assert site.file.read_text() == text
    audit = (site.folder / "state" / "audit.jsonl").read_text().splitlines()
    (line,) = map(json.loads, audit)
    assert (line["result"], line["why"], line["serial"]) == ("done", ["an order"], site.serial())


def test_a_plan_is_applied_exactly_or_not_at_all(
    run: Run, site: Site, consul: Background
) -> None:
    file = site.folder / "plan.json"
    assert run("zone", "plan", "-o", str(file), *site.options).code == 1
    assert run("zone", "apply", str(file), *site.options).code == 0
    before = site.file.read_text()
    again = run("zone", "apply", str(file), *site.options)
    assert again.code == 1
    assert "nothing was done: the zone was changed meanwhile" in again.err
    assert "plan again" in again.err
    # What Consul says is another thing by then.
    register(consul, "more", "10.9.0.1")
    run("zone", "plan", "-o", str(file), *site.options)
    register(consul, "most", "10.9.0.2")
    other = run("zone", "apply", str(file), *site.options)
    assert other.code == 1
    assert "what Consul says of the services is another thing now" in other.err
    assert site.file.read_text() == before
    file.write_text("{}")
    assert run("zone", "apply", str(file), *site.options).code == 1
    missing = run("zone", "apply", str(site.folder / "none"), *site.options)
    assert missing.code == 2
    assert "no file" in missing.err


def test_a_file_that_somebody_edited_is_left_alone(run: Run, site: Site) -> None:
    assert run("zone", "apply", *site.options).code == 0
    edited = site.file.read_text() + f"mine.{ORIGIN}. 30 IN A 10.0.0.99\n"
    site.file.write_text(edited)
    for verb in ("plan", "apply"):
        done = run("zone", verb, *site.options)
        assert done.code == 1
        assert "not ours" in done.err
    assert site.file.read_text() == edited


def test_what_is_over_the_budget_is_allowed_by_the_command_that_is_told(
    run: Run, site: Site, consul: Background
) -> None:
    for number in range(20):
        register(consul, f"s{number}", f"10.8.0.{number + 1}")
    site.write(services=["s*"], srv=False)
    assert run("zone", "apply", *site.options).code == 0
    assert len(site.records()) == 21
    for number in range(12):
        deregister(consul, f"s{number}")
    done = run("zone", "apply", *site.options)
    assert done.code == 0
    assert len(site.records()) == 15
    found = re.search(r"more than the budget has: consulfwd (zone apply \S+ --allow \d+)", done.out)
    assert found is not None
    # A publisher here may know more of what is gone, and count otherwise.
    folder = Folder(site.folder / "state")
    (zone,) = load(site.settings, {}, {}).settings.zones
    target = status.OfTarget(f"file {site.file}", command="consulfwd zone apply x --allow 9")
    active = status.Status(ORIGIN, "", "active", "consulfwd", targets=(target,))
    folder.status(zone).save(status.write(active))
    held = folder.hold(zone)
    assert held is not None
    told = "the publisher on this host counts so: consulfwd zone apply x --allow 9"
    assert told in run("zone", "plan", *site.options).out
    os.close(held)
    assert told not in run("zone", "plan", *site.options).out
    too_few = found[1].rpartition(" ")[0] + " 3"
    assert run(*too_few.split(), *site.options).code == 0
    assert len(site.records()) == 15
    assert run(*found[1].split(), *site.options).code == 0
    assert len(site.records()) == 9


def test_a_large_push_is_shown_in_part(run: Run, site: Site, consul: Background) -> None:
    for number in range(150):
        register(consul, f"s{number}", f"10.8.0.{number + 1}")
    site.write(services=["s*"], srv=False)
    assert run("zone", "plan", *site.options).out.count("\n  + ") == 150
    done = run("zone", "apply", *site.options)
    assert done.out.splitlines()[0] == ORIGIN
    assert done.out.count("\n  + ") == 99
    assert "\n  and 51 lines more: --json has all\n" in done.out
    # What waits is shown all the same, and what allows it.
    for number in range(150):
        deregister(consul, f"s{number}")
    waits = run("zone", "apply", *site.options)
    assert waits.out.count("\n  - ") == 45
    assert waits.out.count("\n    ! ") == 98
    allowed = r"\n  and 7 lines more.*\n.*more than the budget has: consulfwd zone apply"
    assert re.search(allowed, waits.out)


def test_a_pause_holds_up_apply(run: Run, site: Site) -> None:
    assert run("zone", "pause", "--reason", "a move", *site.options).code == 0
    done = run("zone", "apply", *site.options)
    assert done.code == 1
    assert "paused by" in done.err
    assert "a move" in done.err
    assert not site.file.exists()
    assert run("zone", "resume", *site.options).code == 0
    assert run("zone", "resume", *site.options).code == 1
    paused = json.loads(run("zone", "pause", "--json", *site.options).out)
    assert paused == [{"zone": ORIGIN, "view": "", "paused": True}]
    resumed = json.loads(run("zone", "resume", "--json", *site.options).out)
    assert resumed == [{"zone": ORIGIN, "view": "", "paused": False, "was_paused": True}]
    assert run("zone", "apply", *site.options).code == 0


def test_the_status_of_what_nobody_publishes(run: Run, site: Site) -> None:
    site.write(lock=True)
    done = run("zone", "status", *site.options)
    assert done.code == 1
    assert "active: nobody" in done.out
    assert run("zone", "apply", *site.options).code == 0
    (found,) = json.loads(run("zone", "status", "--json", *site.options).out)
    assert found["active"] is None
    assert found["lock"] >= 1
    assert found["serial"] == site.serial()
    run("zone", "pause", *site.options)
    assert "paused by" in run("zone", "status", *site.options).out


def test_the_status_as_metrics(run: Run, site: Site) -> None:
    folder = Folder(site.folder / "state")
    (zone,) = load(site.settings, {}, {}).settings.zones
    folder.prepare()
    held = folder.hold(zone)
    assert held is not None
    there = status.OfTarget("there", 5, fault="no room", withheld_in_all=3)
    seen = status.Status(
        ORIGIN, "", "active", "consulfwd", targets=(there,), objections_in_all=2
    )
    folder.status(zone).save(status.write(seen))
    done = run("zone", "status", "--metrics", *site.options)
    assert done.code == 0
    of_zone = f'view="",zone="{ORIGIN}"'
    of_target = f'target="there",{of_zone}'
    for line in (
        f"consulfwd_zone_well{{{of_zone}}} 1.0",
        f"consulfwd_zone_active{{{of_zone}}} 1.0",
        f"consulfwd_zone_objections{{{of_zone}}} 2.0",
        f"consulfwd_zone_target_failing{{{of_target}}} 1.0",
        f"consulfwd_zone_target_withheld{{{of_target}}} 3.0",
    ):
        assert line in done.out.splitlines()
    os.close(held)
    gone = run("zone", "status", "--metrics", *site.options)
    assert gone.code == 1
    assert f"consulfwd_zone_well{{{of_zone}}} 0.0" in gone.out.splitlines()
    assert f"consulfwd_zone_active{{{of_zone}}} 0.0" in gone.out.splitlines()
    assert run("zone", "status", "--metrics", "--json", *site.options).code == 2


def test_a_publisher_that_was_killed_is_none(run: Run, site: Site) -> None:
    # Of one that is killed the last word stays.
    folder = Folder(site.folder / "state")
    (zone,) = load(site.settings, {}, {}).settings.zones
    folder.prepare()
    held = folder.hold(zone)
    assert held is not None
    strange = status.Status(ORIGIN, "", "active", "consulfwd", held=("\x1b[2J",))
    folder.status(zone).save(status.write(strange))
    done = run("zone", "status", *site.options)
    assert (done.code, r"held: \x1b[2J" in done.out) == (0, True)
    os.close(held)
    gone = run("zone", "status", *site.options)
    assert gone.code == 1
    assert "this host: no publisher runs (it ended without a word); this is of " in gone.out
    (found,) = json.loads(run("zone", "status", "--json", *site.options).out)
    assert found["here"]["state"] == "gone"
    assert run("zone", "apply", *site.options).code == 0


def test_watch_once_publishes_and_ends(run: Run, site: Site) -> None:
    done = run("zone", "watch", "--once", *site.options)
    assert done.code == 0
    assert site.records()
    assert f"{ORIGIN}: file {site.file}: " in done.err
    # A target that fails.
    site.write(targets=[{"file": {"path": "/nonexistent/zone", "check": []}}])
    failed = run("zone", "watch", "--once", *site.options)
    assert failed.code == 1
    assert "/nonexistent" in failed.err


def test_watch_logs_as_json_and_tells_its_manager_how_it_goes(site: Site) -> None:
    log, listener = site.folder / "log", Listener(str(site.folder / "notify"))
    command = python("zone", "watch", "--json", *site.options)
    # systemd's: it is killed if the loop does not turn for so long.
    environ = {**os.environ, "NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "1000000"}
    with (
        listener.socket,
        log.open("w") as to,
        subprocess.Popen(command, stderr=to, text=True, env=environ) as process,
    ):
        try:
            told = listener.until("READY=1")
            assert site.file.exists()
            state = rf"STATUS=publishing {ORIGIN} \(active, serial {site.serial()}\) since .*"
            while "WATCHDOG=1" not in told[-1:]:
                told += listener.next()
            assert any(re.fullmatch(state, line) for line in told), told
            site.write(removal_delay=1)
            process.send_signal(signal.SIGHUP)
            listener.until("RELOADING=1")
            listener.until("READY=1")
            until(lambda: "the settings were read again" in log.read_text(), process)
            process.send_signal(signal.SIGTERM)
            listener.until("STOPPING=1")
            process.wait(timeout=20)
        finally:
            process.kill()
    lines = [json.loads(one) for one in log.read_text().splitlines()]
    assert any(f"{ORIGIN}: file {site.file}: " in one["message"] for one in lines)


def python(*words: str) -> list[str]:
    return [sys.executable, "-X", "dev", "-W", "error", "-m", "consulfwd.cli.main", *words]


def until(true: Any, process: subprocess.Popen[str], most: float = 30.0) -> None:
    end = time.monotonic() + most
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def test_watch_follows_and_says_how_it_goes(site: Site, consul: Background, run: Run) -> None:
    command = python("zone", "watch", *site.options)
    log = site.folder / "log"
    with log.open("w") as to, subprocess.Popen(command, stderr=to, text=True) as process:
        try:
            until(site.file.exists, process)
            register(consul, "late", "10.7.0.1")
            until(lambda: "10.7.0.1" in site.file.read_text(), process)
            written = site.folder / "state" / f"zone-{ORIGIN}.status.json"
            until(lambda: written.exists() and "active" in written.read_text(), process)
            done = run("zone", "status", *site.options)
            assert done.code == 0, done.out
            assert "active since" in done.out
            # What is ordered is left to it.
            handed = run("zone", "apply", ORIGIN, "--allow", "5", *site.options)
            assert handed.code == 0, handed.err
            assert "left to" in handed.out
            process.send_signal(signal.SIGHUP)
            until(lambda: "the settings are what they were" in log.read_text(), process)
            site.write(removal_delay=1)
            process.send_signal(signal.SIGHUP)
            until(lambda: "the settings were read again" in log.read_text(), process)
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "Traceback" not in log.read_text()
    assert json.loads(written.read_text())["state"] == "stopped"


def test_serve_dev_gives_the_zone() -> None:
    with subprocess.Popen(
        python("zone", "serve", "--dev"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CONSULFWD_CONFIG": "/dev/null"},
    ) as process:
        try:
            assert process.stdout is not None
            found = None
            while found is None:
                line = process.stdout.readline()
                assert line, process.communicate()
                found = re.search(r"dig @(\S+) -p (\d+) (\S+) AXFR", line)
            host, port, name = found[1], int(found[2]), found[3]
            end = time.monotonic() + 20
            zone = None
            while zone is None:
                try:
                    zone = dns.zone.from_xfr(dns.query.xfr(host, name, port=port))
                except Exception:
                    assert time.monotonic() < end
                    time.sleep(0.1)
            assert zone.get_rdataset("galeradb", "A") is not None
            # The next of what it prints.
            words = process.stdout.readline().split()
            status = subprocess.run(python(*words[1:]), capture_output=True, text=True, timeout=20)
            assert f"zone {name}: active" in status.stdout, (words, status)
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0
    # Whoever tries it first sees no warning; those of Python's own debug mode are others.
    assert not re.search("WARNING (?!Executing)", log)


def test_config_check_takes_its_words(run: Run, site: Site) -> None:
    assert run("config", "check", "zone", "watch", *site.options).code == 0
    assert run("config", "check", "zone", "wtch", *site.options).code == 2
    site.write(ns=[])
    done = run("config", "check", *site.options)
    assert done.code == 2
    assert "zones[0].targets[0].file: the zone needs to say which its servers are" in done.err


def test_config_check_looks_at_the_files_of_zones(run: Run, site: Site) -> None:
    missing = site.folder / "missing.key"
    servers = {"servers": ["127.0.0.1:1"], "key_file": str(missing)}
    site.write(targets=[{"rfc2136": servers}])
    for words in ((), ("zone", "watch")):
        done = run("config", "check", *words, *site.options)
        assert done.code == 0
        where = f"{site.settings}:1: zones[0].targets[0].rfc2136.key_file"
        assert f"warning: {where}: {missing} cannot be read: No such file" in done.err


def test_the_shell_completes_verbs_and_zones(site: Site) -> None:
    def completed(*words: str, begun: str) -> list[str]:
        shell = ShellComplete(cli, {}, "consulfwd", "_CONSULFWD_COMPLETE")
        return [one.value for one in shell.get_completions(list(words), begun)]

    assert completed("zone", begun="ex") == ["explain"]
    assert completed("zone", "plan", *site.options, begun="svc") == [ORIGIN]
    assert completed("zone", "plan", *site.options, begun="x") == []
    assert completed("zone", "explain", *site.options, "--zone", begun="") == [ORIGIN]
    site.settings.write_text("zones: 5")
    assert completed("zone", "plan", *site.options, begun="") == []


def test_help_names_each(run: Run) -> None:
    done = run("zone", "--help")
    assert done.code == 0
    for verb in ("show", "plan", "apply", "watch", "serve", "explain", "status", "pause", "resume"):
        assert re.search(rf"(?m)^  {verb} ", done.out)
        assert run("zone", verb, "--help").code == 0


