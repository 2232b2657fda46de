"""What is shipped: the wheel's content, the dependencies, the version."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import consulfwd
from tests.meta.imports import all_imports

# Distribution -> the name it is imported by, where they differ.
IMPORTED_AS = {"dnspython": "dns", "protobuf": "google", "pyyaml": "yaml"}

FAST_LANE = f"consulfwd/net/_fast{sysconfig.get_config_var('EXT_SUFFIX')}"
TEMPLATE = "bind-templates/bind/consul.conf.j2"


@pytest.fixture(scope="module")
def setup_cfg(project: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(project / "setup.cfg")
    return parser


def build(source: Path, what: str, **environ: str) -> Path:
    """Return a "wheel" or "sdist" made of the source, as pip makes it, but offline."""
    script = f"import sys, setuptools.build_meta as b; b.build_{what}(sys.argv[1])"
    command = [sys.executable, "-c", script, str(source / "dist")]
    environment = {**os.environ, **environ}
    subprocess.run(command, cwd=source, check=True, capture_output=True, env=environment)
    (made,) = (source / "dist").iterdir()
    return made


def copied(project: Path, to: Path) -> Path:
    """Copy what is in the repository and needed to build, and nothing that was built."""
    to.mkdir()
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(project / name, to)
    for name in (consulfwd.__name__, "bind-templates", "examples"):
        ignored = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(project / name, to / name, symlinks=True, ignore=ignored)
    return to


@pytest.fixture(scope="module")
def wheel(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel made of a copy of the source."""
    source = copied(project, tmp_path_factory.mktemp("made") / "source")
    with zipfile.ZipFile(build(source, "wheel")) as opened:
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
    beside = {"consulfwd/py.typed", "consulfwd/net/_fast.pyi"}
    assert shipped == source | beside | {FAST_LANE}


def test_without_a_compiler_there_is_no_fast_lane_and_all_else(
    wheel: zipfile.ZipFile, project: Path, tmp_path: Path
) -> None:
    source = copied(project, tmp_path / "source")
    with zipfile.ZipFile(build(source, "wheel", CC="no-such-compiler")) as poorer:
        assert set(wheel.namelist()) - set(poorer.namelist()) == {FAST_LANE}


def test_the_source_distribution_has_all_the_fast_lane_is_built_of(
    project: Path, tmp_path: Path
) -> None:
    made = build(copied(project, tmp_path / "source"), "sdist")
    with tarfile.open(made) as opened:
        opened.extractall(tmp_path, filter="data")
    unpacked = tmp_path / made.name.removesuffix(".tar.gz")
    again = build(unpacked, "wheel")
    assert FAST_LANE in zipfile.ZipFile(again).namelist()


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
