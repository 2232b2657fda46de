"""What the scripts install: by command or absolute path; what is pinned has checksums."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = "scripts/install-test-tools"
SCRIPTS = [
    *("fresh", "install-consul", "install-coredns", "install-go", "install-test-tools", "pin"),
    "unpack-debian",
]


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder for PATH, with no more than the script itself calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "env", "id", "cat"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder


def asked(script: Path) -> list[tuple[str, str]]:
    """What the script looks for, and the package that has it."""
    text = re.sub(r"^#.*", "", script.read_text(), flags=re.MULTILINE)
    return re.findall(r"(?<=[(\s])([\w./-]+):([a-z0-9-]+)(?=[)\s])", text)


def listed(script: Path, path: Path, folder: Path) -> set[str]:
    """The packages it finds missing from a folder."""
    # It adds where servers live; there they are to be as little as elsewhere.
    text = script.read_text().replace("PATH=$PATH:/usr/sbin:/sbin", "")
    done = subprocess.run(
        [path / "bash", "-c", text, script, "--e2e", "--list"],
        cwd=folder,
        env={"PATH": str(path), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.split())


def test_names_in_the_current_folder_are_no_tools(
    project: Path, bare: Path, tmp_path: Path
) -> None:
    commands = [pair for pair in asked(project / TOOLS) if not pair[0].startswith("/")]
    assert ("vagrant", "vagrant") in commands
    folder = tmp_path / "here"
    folder.mkdir()
    for command, _ in commands:
        (folder / command).mkdir()
    packages = {package for command, package in commands if command not in ("dnsperf", "strace")}
    missing = listed(project / TOOLS, bare, folder)
    assert packages - missing <= {"gcc", "debootstrap", "util-linux"}
    assert "vagrant" in missing


def test_a_command_on_the_path_is_there(project: Path, bare: Path, tmp_path: Path) -> None:
    tool = bare / "vagrant"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    assert "vagrant" not in listed(project / TOOLS, bare, tmp_path)


@pytest.mark.parametrize("name", [*SCRIPTS, "newest"])
def test_usage(project: Path, tmp_path: Path, name: str) -> None:
    script = project / "scripts" / name
    for option, code in (("--help", 0), ("--no-such-option", 2)):
        if name in ("pin", "newest") and code:
            continue  # they take a Python
        done = subprocess.run(
            [script, option], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == code, done.stderr
        assert f"usage: scripts/{name}" in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def pins(path: Path) -> dict[str, str]:
    """Each pin, with its marker if there is one -> its lines of checksums."""
    found = re.findall(r"^(\S+==[^\\\n]+?) ?((?:\\\n    --hash=\S+ ?)+)$", path.read_text(), re.M)
    return dict(found)


def test_everything_asked_for_is_pinned(project: Path) -> None:
    parser = configparser.ConfigParser()
    parser.read(project / "setup.cfg")
    run = pins(project / "requirements" / "run.txt")
    test = pins(project / "requirements" / "test.txt")
    # What the tests need may need it on more Pythons.
    assert {(pin.split(" ;")[0], sums) for pin, sums in run.items()} <= {
        (pin.split(" ;")[0], sums) for pin, sums in test.items()
    }
    names = [{re.split("==", pin)[0] for pin in each} for each in (run, test)]
    for declared, pinned in (
        (parser["options"]["install_requires"], names[0]),
        (parser["options.extras_require"]["test"], names[1]),
    ):
        asked_for = {re.split(r"[<>=!~\[; ]", line)[0].lower() for line in declared.split()}
        assert asked_for - pinned == set()
    assert "setuptools" in names[0]


@pytest.mark.parametrize(("name", "least"), [("run.txt", 10), ("test.txt", 10), ("files.txt", 1)])
def test_no_pin_is_without_checksum_and_none_says_from_where(
    project: Path, name: str, least: int
) -> None:
    text = (project / "requirements" / name).read_text()
    pinned = [line for line in text.splitlines() if "==" in line and not line.startswith(" ")]
    assert len(pins(project / "requirements" / name)) == len(pinned) >= least
    rest = [line for line in text.splitlines() if not line.startswith("    --hash=sha256:")]
    assert [line for line in rest[1:] if line not in pinned] == []
    assert "//" not in text


def test_no_package_is_pinned_twice_for_one_python(project: Path) -> None:
    """For others there may be another release."""
    version = ".".join(map(str, sys.version_info[:3]))
    seen: set[str] = set()
    for pin in pins(project / "requirements" / "test.txt"):
        name, _, marker = pin.partition(" ; ")
        bound = re.search(r"python_full_version (<|>=) '3\.(\d+)'", marker)
        if bound:
            below = tuple(map(int, version.split(".")))[:2] < (3, int(bound[2]))
            if below != (bound[1] == "<"):
                continue
        package = name.split("==")[0]
        assert package not in seen
        seen.add(package)


def test_scripts_can_be_run(project: Path) -> None:
    for name in [*SCRIPTS, "newest", "renew"]:
        script = project / "scripts" / name
        assert os.access(script, os.X_OK), name
        assert "set -euo pipefail" in script.read_text(), name
        assert script.read_text().startswith("#!/usr/bin/env bash\n"), name
