"""Metrics, alerts and the dashboard with Prometheus itself, and its promtool."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from consulfwd.dev.child import PATIENCE_S, Child, Guard
from consulfwd.ops.metrics import CONTENT_TYPE, exposition, zones_exposition
from consulfwd.ops.snapshot import Snapshot, TargetSeen
from consulfwd.ops.zone_metrics import reports
from tests.loopback import free_port
from tests.net.world import world
from tests.ops.metered import ROUNDS, resolver, snapshot, zone
from tests.ops.promql import alerts, asked, dashboard, filled_in, rules_file

# Where scripts/install-test-tools keeps what it only fetches.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "consulfwd")
ODD = 'file "/a\\b" {x="1"}\nmore'


def program(name: str) -> Path:
    installed = shutil.which(name)
    found = Path(installed) if installed else CACHE / "prometheus" / name
    assert found.exists(), f"{name} is missing: scripts/install-test-tools fetches it"
    return found


def promtool(*words: str | Path, text: bytes = b"") -> None:
    done = subprocess.run(
        [program("promtool"), *words], input=text, capture_output=True, check=False, timeout=110
    )
    assert (done.returncode, done.stderr.decode()) == (0, ""), done.stdout.decode()


def everything(asked_for: int = 0) -> Snapshot:
    """A process that does all that any does, and has names that need care."""
    published = replace(zone(), targets=(*zone().targets, TargetSeen(ODD, 7)))
    return snapshot(resolver=resolver(asked=asked_for), zones=(published,), rounds=ROUNDS)


def test_promtool_finds_no_fault_with_the_metrics() -> None:
    promtool("check", "metrics", text=exposition(everything()))
    promtool("check", "metrics", text=zones_exposition(reports(everything())))


async def test_promtool_finds_no_fault_with_those_of_a_running_resolver() -> None:
    async with world() as running:
        await running.ask("galeradb.service.consul")
        found = exposition(running.watched.snapshot())
    promtool("check", "metrics", text=found)


def test_promtool_takes_the_alerts_and_each_fires_when_it_is_to(project: Path) -> None:
    promtool("check", "rules", rules_file(project))
    promtool("test", "rules", rules_file(project).with_name("consulfwd.tests.yml"))


class Scraped(ThreadingHTTPServer):
    """What the admin server does for metrics, of a process that is asked ever more."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scrapes = 0


class _Handler(BaseHTTPRequestHandler):
    server: Scraped

    def do_GET(self) -> None:
        self.server.scrapes += 1
        body = exposition(replace(everything(100 * self.server.scrapes), taken=time.time()))
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        """Nobody reads it."""


SETTINGS = """\
global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: consulfwd
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Prometheus:
    def __init__(self, port: int) -> None:
        self._at = f"http://127.0.0.1:{port}/api/v1"

    def get(self, path: str, **values: str) -> Any:
        """The data of a reply; an error of it is one of ours."""
        url = f"{self._at}/{path}?{urllib.parse.urlencode(values)}"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as reply:
            found = json.load(reply)
        assert found["status"] == "success"
        return found["data"]

    def scraped(self) -> bool:
        """Whether it runs, and has seen a counter grow."""
        try:
            return bool(self.value("rate(consulfwd_queries_total[1m]) > 0"))
        except OSError:
            return False

    def value(self, expr: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("query", query=expr)["result"]
        return found


@pytest.fixture(scope="module", autouse=True)
def started(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Prometheus, Child]]:
    """It takes up its targets after 5 s, while promtool has work to do."""
    folder = tmp_path_factory.mktemp("prometheus")
    scraped = Scraped()
    threading.Thread(target=scraped.serve_forever, daemon=True).start()
    port = free_port("127.0.0.1")
    settings = folder / "prometheus.yml"
    settings.write_text(
        SETTINGS.format(rules=rules_file(project), port=scraped.server_address[1])
    )
    guard = Guard()
    command: list[str | Path] = [
        program("prometheus"), f"--config.file={settings}",
        f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    child = Child("prometheus", command, folder / "log", guard)
    child.start()
    yield Prometheus(port), child
    child.kill()
    guard.close()
    scraped.shutdown()
    scraped.server_close()


@pytest.fixture(scope="module")
def prometheus(started: tuple[Prometheus, Child]) -> Prometheus:
    """One that has seen a counter grow."""
    found, child = started
    child.wait_until(found.scraped, "scraping")
    return found


def test_a_real_one_scrapes_all_of_it(prometheus: Prometheus) -> None:
    ends = time.monotonic() + PATIENCE_S
    # One that took longer than half a second says nothing of us.
    while True:
        (target,) = prometheus.get("targets")["activeTargets"]
        if (target["health"], target["lastError"]) == ("up", "") or time.monotonic() > ends:
            break
        time.sleep(0.05)
    assert (target["health"], target["lastError"]) == ("up", "")
    (one,) = prometheus.value("sum(consulfwd_zone_target_serial)")
    assert one["value"][1] == "14"
    metric = [one["metric"] for one in prometheus.value("consulfwd_zone_target_serial")]
    assert {one["target"] for one in metric} == {zone().targets[0].where, ODD}
    told = prometheus.get("metadata", metric="consulfwd_queries_total")
    (told,) = told["consulfwd_queries_total"]
    assert (told["type"], told["help"]) == ("counter", "Queries that came from clients.")


def test_the_alerts_are_in_force_there(prometheus: Prometheus, project: Path) -> None:
    (group,) = prometheus.get("rules")["groups"]
    assert [one["name"] for one in group["rules"]] == [one.name for one in alerts(project)]
    ends = time.monotonic() + PATIENCE_S
    while any(one["health"] == "unknown" for one in group["rules"]):
        assert time.monotonic() < ends
        (group,) = prometheus.get("rules")["groups"]
        time.sleep(0.05)
    assert {(one["health"], one.get("lastError", "")) for one in group["rules"]} == {("ok", "")}


def test_what_the_dashboard_asks_is_answered(prometheus: Prometheus, project: Path) -> None:
    board = dashboard(project)
    # Nobody has restarted.
    expected = [expr for expr, _ in asked(board) if expr.startswith("changes(")]
    ends = time.monotonic() + PATIENCE_S
    # What is asked while a scrape was missed has no answer.
    while (
        empty := [expr for expr, _ in asked(board) if not prometheus.value(filled_in(expr))]
    ) != expected and time.monotonic() < ends:
        time.sleep(0.2)
    assert empty == expected
    for one in board["templating"]["list"][1:]:
        query = one["query"]["query"]
        series, label = query.removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
        found = prometheus.get(f"label/{label}/values", **{"match[]": filled_in(series)})
        assert len(found) == 1
