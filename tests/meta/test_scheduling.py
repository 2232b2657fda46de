"""Which tests on real servers share a process, and which go first."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.integration.scheduling import ALONE, BRIEF, LIGHT, MEASURED, ByCluster, group

REAL = "tests/integration"
CUT = f"{REAL}/test_network_cut.py"
LOAD = f"{REAL}/test_load.py"


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        (f"{REAL}/test_answers.py::test_it[consul-1.8.7-servers-a.b A]", "consul-1.8.7"),
        (f"{REAL}/test_clients.py::test_it[consul-1.19.2-kill]", "consul-1.19.2"),
        (f"{REAL}/test_clients.py::test_it[consul-modern-kill]", "consul-modern"),
        # Where it stands among the parameters does not matter.
        (f"{REAL}/test_clients.py::test_it[kill-consul-1.19.2]", "consul-1.19.2"),
        (f"{REAL}/test_clients.py::test_it[consul--False]", f"{REAL}/test_clients.py"),
        (f"{CUT}::test_it[consul-1.19.2-x-1]", "measured"),
        (f"{REAL}/test_freshness.py::test_it[consul-1.19.2]", "light consul-1.19.2"),
        (f"{REAL}/test_faults_cold.py::test_it[stop]", "light"),
        (f"{LOAD}::test_it[consul-1.8.7]", f"{LOAD} consul-1.8.7"),
        (f"{REAL}/test_loops.py::test_it[no other]", f"{REAL}/test_loops.py"),
        (f"{REAL}/test_loops.py::test_it", f"{REAL}/test_loops.py"),
    ],
)
def test_groups(nodeid: str, expected: str) -> None:
    assert group(nodeid) == expected


class Process:
    """Takes down what it is to run."""

    shutting_down = False

    def __init__(self, collection: list[str]) -> None:
        self.collection = collection
        self.given: list[str] = []
        self.gateway = SimpleNamespace(id=str(id(self)))

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += [self.collection[index] for index in indices]

    def shutdown(self) -> None:
        self.shutting_down = True


def test_what_takes_long_begins_and_what_loads_little_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = tmp_path / "over"
    monkeypatch.setenv("E2E_AFTER", str(over))
    answers = [f"{REAL}/test_answers.py::test_{name}[consul-1.19.2]" for name in ("one", "two")]
    measured = [
        f"{REAL}/test_failover.py::test_one[consul-1.19.2]",
        f"{REAL}/test_failover.py::test_two[consul-1.19.2]",
        # One cluster after the other.
        f"{REAL}/test_failover.py::test_one[consul-1.8.7]",
    ]
    later = [
        f"{LOAD}::test_it[consul-1.8.7]",
        f"{REAL}/test_loops.py::test_it",
        f"{REAL}/test_faults_cold.py::test_it",
    ]
    collection = sorted(answers + measured + later)
    option = SimpleNamespace(loadscopereorder=False)
    config: Any = SimpleNamespace(getvalue=lambda _: ["popen"] * 2, option=option)
    made = ByCluster(config)
    processes = [Process(collection) for _ in range(2)]
    for one in processes:
        made.add_node(one)
    for one in processes:
        made.add_node_collection(one, collection)
    made.schedule()
    first, second = sorted(processes, key=lambda one: measured[0] not in one.given)
    # Whoever has but two left takes what takes longest of the rest.
    assert first.given == measured
    assert second.given == [*answers, later[0]]

    def ends(busy: Process, *nodeids: str) -> None:
        for nodeid in nodeids:
            made.mark_test_complete(busy, collection.index(nodeid))

    ends(second, answers[0])
    ends(first, measured[0])
    assert (first.given[3:], second.given[3:]) == ([later[2]], [later[1]])
    # The cluster's clients have their turn as soon as nothing is measured alone.
    ends(first, measured[1])
    assert not over.exists()
    ends(first, measured[2])
    assert over.exists()


def imported(file: Path) -> Iterator[str]:
    """What a test takes from other modules of the tests."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            module = (node.module or "").rpartition(".")[2]
            yield from (f"{module}.{name.name}" for name in node.names)


def test_all_that_measures_under_load_is_known_to_do_so(project: Path) -> None:
    measuring = {"faulted.run", "freshly.course", "load_lock.only_load"}
    files = {file.name: set(imported(file)) for file in (project / REAL).glob("test_*.py")}
    known = {*MEASURED, *LIGHT, *BRIEF}
    assert {name for name, names in files.items() if names & measuring} == known
    assert {name for name, names in files.items() if "freshly.course" in names} <= set(LIGHT)
    assert files.keys() >= {*known, *ALONE}
