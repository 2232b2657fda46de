"""`consulfwd audit`: what it prints and writes, its exit codes, its options."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.audit.agent import FakeAgent
from tests.cli.conftest import Ended, Run

Audit = Callable[..., Ended]


@pytest.fixture
def agent() -> Iterator[FakeAgent]:
    """A site that is sound, but for its one agent and one Crowd."""
    fake = FakeAgent()
    fake.sound()
    two = (("s1", "10.1.0.1"), ("s2", "10.2.0.1"))
    fake.serve("dashboard", *two, meta={"depends-on": "crowd"})
    fake.serve("crowd", ("s3", "10.3.0.1"))
    with fake.serving():
        yield fake


@pytest.fixture
def audit(run: Run, agent: FakeAgent, tmp_path: Path) -> Audit:
    config = tmp_path / "consulfwd.yml"
    config.write_text(json.dumps(agent.given()))
    return lambda *words: run("audit", "-c", str(config), *map(str, words))


ALL = [
    "one-instance:crowd",
    "hidden-dependency:dashboard -> crowd",
    "one-agent:consul.agents",
]


def ignoring(*keys: str) -> list[str]:
    return [word for key in keys for word in ("--ignore", key)]


def test_findings(audit: Audit) -> None:
    ended = audit()
    assert (ended.code, ended.err) == (1, "")
    assert "hidden-dependency: dashboard -> crowd" in ended.out
    assert "looked at 3 services, 6 instances, 3 nodes, 3 servers, 1 dependency" in ended.out


def test_nothing_found(audit: Audit) -> None:
    ended = audit(*ignoring(*ALL))
    assert ended.code == 0
    assert "nothing found; 3 ignored\nlooked at" in ended.out
    # What was not looked at is told all the same.
    assert "not looked at\n" in ended.out


@pytest.mark.parametrize(
    ("fail_on", "left", "code"),
    [
        ("critical", [], 1),
        ("never", [], 0),
        ("critical", ALL, 0),
        ("note", ALL, 0),
        ("warning", ALL[:2], 1),
    ],
)
def test_fail_on(audit: Audit, fail_on: str, left: list[str], code: int) -> None:
    assert audit("--fail-on", fail_on, *ignoring(*left)).code == code


def test_a_baseline(audit: Audit, agent: FakeAgent, tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    assert audit("--baseline", path).code == 2
    assert audit("--baseline", path, "--write-baseline").code == 0
    assert audit("--baseline", path).code == 0
    agent.serve("crowd", ("s3", "10.3.0.1"), ("s1", "10.1.0.1"))
    agent.serve("mail", ("s3", "10.3.0.1"))
    ended = audit("--baseline", path)
    assert ended.code == 1
    assert "one-instance: mail  (new)" in ended.out
    assert "gone since the baseline\n  hidden-dependency:dashboard -> crowd\n" in ended.out
    assert "1 new, 2 gone" in ended.out
    assert audit("--baseline", path, *ignoring("one-instance:mail")).code == 0


def test_json(audit: Audit) -> None:
    found = json.loads(audit("--json").out)
    assert [f"{one['id']}:{one['subject']}" for one in found["findings"]] == ALL
    assert found["falls"][0]["through_them"] == ["dashboard"]
    told = {"from": "dashboard", "to": "crowd", "told_by": "meta"}
    assert found["dependencies"] == [told]


def test_markdown_and_a_page(audit: Audit, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    ended = audit("--markdown", "--html", path)
    assert ended.out.startswith("# Audit of dc1\n\n**3 critical.**\n")
    assert "```mermaid\nflowchart LR\n" in ended.out
    assert "<svg" in path.read_text()


def test_a_file_of_dependencies(audit: Audit, tmp_path: Path) -> None:
    path = tmp_path / "needs.yml"
    path.write_text("web: crowd\n")
    ended = audit("--dependencies", path, "--service", "web")
    assert "hidden-dependency: web -> crowd" in ended.out
    assert "one-instance" not in ended.out


def test_reasons_from_a_file(audit: Audit, tmp_path: Path) -> None:
    path = tmp_path / "ignored.yml"
    path.write_text("".join(f"'{key}': because\n" for key in ALL))
    ended = audit("--ignore-file", path)
    assert ended.code == 0
    assert "  one-instance:crowd: because\n" in ended.out


@pytest.mark.parametrize(
    "words",
    [
        ["--json", "--markdown"],
        ["--write-baseline"],
        ["--ignore", "x"],
        ["--ignore", "nonsense:x"],
        ["--dependencies", "/nowhere"],
        ["--ignore-file", "/nowhere"],
        ["--html", "/nowhere/x"],
        ["--fail-on", "all"],
        ["--subnet", "33"],
        ["word"],
        ["--service", "dashboard", "--service", "dashbord"],
    ],
)
def test_wrong_use(audit: Audit, words: list[str]) -> None:
    ended = audit(*words)
    assert (ended.code, ended.out) == (2, "")


def test_nobody_to_ask(audit: Audit, agent: FakeAgent) -> None:
    agent.replies["/v1/catalog/services"] = (403, "Permission denied")
    ended = audit()
    assert (ended.code, ended.out) == (3, "")
    assert "Permission denied" in ended.err
