"""Alerts and the dashboard ask for what there is; each alert is tried, and says what to do."""

from __future__ import annotations

import contextlib
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tests.meta.test_docs import parse
from tests.ops.promql import (
    LABELS,
    OF_TARGETS,
    Alert,
    alerts,
    asked,
    dashboard,
    labels_of,
    metrics_of,
)


@pytest.fixture(scope="module")
def rules(project: Path) -> list[Alert]:
    return alerts(project)


@pytest.fixture(scope="module")
def board(project: Path) -> dict[str, Any]:
    return dashboard(project)


def known(expr: str) -> set[str]:
    return OF_TARGETS.union(*(LABELS[name] for name in metrics_of(expr)))


def test_alerts_ask_for_what_there_is(rules: list[Alert]) -> None:
    for one in rules:
        named = metrics_of(one.expr)
        assert named - LABELS.keys() == set(), one.name
        assert named or one.expr.startswith("up{"), one.name
        assert labels_of(one.expr) - known(one.expr) == set(), one.name


def test_alerts_say_what_is_wrong_and_what_to_do(rules: list[Alert]) -> None:
    assert len({one.name for one in rules}) == len(rules)
    for one in rules:
        assert re.fullmatch(r"Consulfwd[A-Z]\w+", one.name)
        assert one.severity in ("critical", "warning", "info")
        assert one.annotations.keys() == {"summary", "runbook"}
        assert len(one.annotations["runbook"].split()) > 8, one.name
        # What aggregates, or asks whether nothing is there, has other labels.
        shown = set(re.findall(r"\$labels\.(\w+)", " ".join(one.annotations.values())))
        grouped = set(re.findall(r"\w+", " ".join(re.findall(r"^max by \(([^)]*)\)", one.expr))))
        assert shown <= (grouped or known(one.expr)), one.name
        assert shown or "absent(" in one.expr, one.name


def test_commands_that_alerts_name_exist(rules: list[Alert]) -> None:
    text = " ".join(one.annotations["runbook"] for one in rules)
    found = re.findall(r"`consulfwd ([^`]*)`", text)
    assert len(found) > 5
    for command in found:
        with contextlib.suppress(click.MissingParameter):
            parse(command.split())


def test_every_alert_is_seen_to_fire_and_not_to(project: Path, rules: list[Alert]) -> None:
    path = project / "packaging" / "prometheus" / "consulfwd.tests.yml"
    fires, silent = set(), set()
    for case in yaml.safe_load(path.read_text())["tests"]:
        found = [str(one["exp_samples"]) for one in case["promql_expr_test"]]
        named = set(re.findall(r'alertname="(\w+)"', "".join(found)))
        assert named, case["name"]
        assert any(not one["exp_samples"] for one in case["promql_expr_test"]), case["name"]
        fires |= named
        # It is not there before.
        silent |= {one for one in named if one not in found[0]}
    assert fires == silent == {one.name for one in rules}


def test_the_dashboard_asks_for_what_there_is(board: dict[str, Any]) -> None:
    found = list(asked(board))
    assert len(found) > 30
    for expr, legend in found:
        assert metrics_of(expr), expr
        assert metrics_of(expr) - LABELS.keys() == set()
        assert labels_of(expr) - known(expr) == set(), expr
        # Each expression is about the jobs and hosts that are chosen.
        assert expr.count('{job=~"$job", instance=~"$instance"}') == len(
            re.findall(r"\bconsulfwd_\w+", expr)
        )
        grouped = re.findall(r"\bby \(([^)]*)\)", expr)
        shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
        if re.search(r"\b(sum|min|max|count|histogram_quantile)\b", expr):
            assert shown <= {one for text in grouped for one in re.findall(r"\w+", text)}, expr
        else:
            assert shown <= known(expr), expr


def test_the_form_of_the_dashboard(board: dict[str, Any]) -> None:
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "instance"]
    assert all(variables[name]["multi"] for name in ("job", "instance"))
    panels = board["panels"]
    rows = [one["title"] for one in panels if one["type"] == "row"]
    assert rows == ["At a glance", "Agents and recursors", "Cache and watches", "Zones", "Process"]
    assert len({one["id"] for one in panels}) == len(panels)
    assert len({one["title"] for one in panels}) == len(panels)
    for one in panels:
        place = one["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        if one["type"] == "row":
            continue
        assert one["description"].endswith(".")
        assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        letters = [target["refId"] for target in one["targets"]]
        assert letters == [*"ABCDEFGH"][: len(letters)]
        assert one["fieldConfig"]["defaults"]["unit"]
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)
