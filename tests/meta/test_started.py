"""Whoever starts a run, and wherever a test's children run: it is this tree that is tested."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.started import of_this_tree


@pytest.mark.parametrize("module", ["consulfwd", "tests.started"])
def test_children_in_any_folder_import_this_tree(
    tmp_path: Path, project: Path, module: str
) -> None:
    code = f"import {module}; print({module}.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).is_relative_to(project)


def test_what_else_is_imported_from_comes_after_it() -> None:
    for before, after in (
        ({}, "/tree"),
        ({"PYTHONPATH": ""}, "/tree"),
        ({"PYTHONPATH": "/other:/more"}, "/tree:/other:/more"),
        ({"PYTHONPATH": "/other:/tree:"}, "/tree:/other"),
    ):
        environ = dict(before)
        of_this_tree(environ, Path("/tree"))
        assert environ == {"PYTHONPATH": after}
