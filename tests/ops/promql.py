"""What the alerts and the dashboard of `packaging` ask for: expressions, and metrics in these."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from consulfwd.ops.metric_table import OF_SYSTEM, PARTS

# Metric -> its labels; those of a histogram as PromQL has them.
LABELS: dict[str, set[str]] = {name: set() for name, _, _ in OF_SYSTEM}
for _part in PARTS:
    for _one in _part.metrics:
        if _one.type != "histogram":
            LABELS[_one.name] = set(_part.labels)
            continue
        LABELS[f"{_one.name}_bucket"] = {*_part.labels, "le"}
        for _suffix in ("_sum", "_count"):
            LABELS[_one.name + _suffix] = set(_part.labels)
# Prometheus gives every series these.
OF_TARGETS = {"job", "instance"}


class Alert(NamedTuple):
    name: str
    expr: str
    severity: str
    annotations: dict[str, str]


def rules_file(project: Path) -> Path:
    return project / "packaging" / "prometheus" / "consulfwd.rules.yml"


def alerts(project: Path) -> list[Alert]:
    found = yaml.safe_load(rules_file(project).read_text())
    return [
        Alert(one["alert"], one["expr"], one["labels"]["severity"], one["annotations"])
        for group in found["groups"]
        for one in group["rules"]
    ]


def dashboard(project: Path) -> dict[str, Any]:
    text = (project / "packaging" / "grafana" / "consulfwd.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def asked(board: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each expression of a dashboard with the text that its series are shown with."""
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"], target["legendFormat"]
    for one in board["annotations"]["list"]:
        yield one["expr"], one["textFormat"]


def filled_in(expr: str) -> str:
    """An expression of the dashboard as Grafana sends it, for all jobs and hosts."""
    expr = expr.replace("$__rate_interval", "1m").replace("$job", ".*").replace("$instance", ".*")
    assert "$" not in expr
    return expr


def metrics_of(expr: str) -> set[str]:
    return set(re.findall(r"\bconsulfwd_\w+", expr))


def labels_of(expr: str) -> set[str]:
    """The labels that an expression names: in braces, after `by`, `on` and `without`."""
    inside = re.findall(r"\{([^}]*)\}", expr)
    found = {name for text in inside for name in re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", text)}
    for text in re.findall(r"\b(?:by|on|without)\s*\(([^)]*)\)", expr):
        found |= {one.strip() for one in text.split(",")}
    return found
