"""What is shipped: the wheel's content, the dependencies, the version."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import consulfwd
from tests.meta.imports import all_imports

# Distribution -> the name it is imported by, where they differ.
IMPORTED_AS = {"dnspython": "dns", "protobuf": "google", "pyyaml": "yaml"}

TEMPLATE = "bind-templates/bind/consul.conf.j2"


@pytest.fixture(scope="module")
def setup_cfg(project: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(project / "setup.cfg")
    return parser


@pytest.fixture(scope="module")
def wheel(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel made of a copy of the source, as `pip wheel .` makes it, but offline."""
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.cfg", "pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(project / name, source)
    for name in (consulfwd.__name__, "bind-templates", "examples"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(project / name, source / name, symlinks=True, ignore=ignored)
    build = "import sys, setuptools.build_meta as b; b.build_wheel(sys.argv[1])"
    command = [sys.executable, "-c", build, str(source / "dist")]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (made,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(made) as opened:
        yield opened


def test_wheel_has_every_module_template_and_page(wheel: zipfile.ZipFile, project: Path) -> None:
    package = project / "consulfwd"
    source = {path.relative_to(project).as_posix() for path in package.rglob("*.py")}
    source |= {
        f"consulfwd/{path.relative_to(project).as_posix()}"
        for folder in ("bind-templates", "examples")
        for path in (project / folder).rglob("*")
        if path.is_file()
    }
    page = project / "consulfwd" / "ops" / "page"
    source |= {path.relative_to(project).as_posix() for path in page.iterdir() if path.is_file()}
    assert f"consulfwd/{TEMPLATE}" in source
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert shipped == source | {"consulfwd/py.typed"}


def test_wheel_has_the_licence_and_the_command(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert any(name.endswith("/LICENSE") for name in names)
    entry_points = next(name for name in names if name.endswith("/entry_points.txt"))
    assert "consulfwd = consulfwd.cli.main:main" in wheel.read(entry_points).decode()


def test_dependencies_are_what_is_imported(
    setup_cfg: configparser.ConfigParser, project: Path
) -> None:
    declared = {
        re.split(r"[<>=!~\[; ]", line)[0].lower().replace("-", "_")
        for asked in (
            setup_cfg["options"]["install_requires"],
            setup_cfg["options.extras_require"]["dnstap"],
        )
        for line in asked.split()
    }
    imported = {each.top for each in all_imports(project / "consulfwd") if not each.for_types}
    third_party = imported - set(sys.stdlib_module_names) - {"consulfwd"}
    needed = {IMPORTED_AS.get(name, name) for name in declared}
    assert third_party == needed


def test_version_is_the_changelog_s_newest(project: Path) -> None:
    changelog = (project / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[?v?(\d+(?:\.\d+)+)", changelog, re.MULTILINE)
    assert versions, "CHANGELOG.md has no heading such as '## 0.1.0'"
    assert versions[0] == consulfwd.__version__


def test_python_version_is_stated_once(setup_cfg: configparser.ConfigParser, project: Path) -> None:
    assert setup_cfg["options"]["python_requires"] == ">=3.10"
    assert setup_cfg["mypy"]["python_version"] == "3.10"
    assert 'target-version = "py310"' in (project / "pyproject.toml").read_text()
    assert "sys.version_info < (3, 10)" in (project / "scripts" / "make-venv").read_text()
