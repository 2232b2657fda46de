"""systemd's own checker takes the unit; all else of it is in tests/meta/test_packaging.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.meta.test_packaging import PROGRAM

# systemd-analyze counts tenths; what is left is the network, without which there is no DNS.
EXPOSURE = 20


@pytest.fixture
def packaging(project: Path) -> Path:
    return project / "packaging"


def verify(folder: Path, text: str, token: str) -> tuple[int, str]:
    """What systemd says of a unit whose program is there, and of its drop-in."""
    unit = folder / "consulfwd.service"
    unit.write_text(text.replace(PROGRAM, sys.executable))
    (folder / "consulfwd.service.d").mkdir(exist_ok=True)
    (folder / "consulfwd.service.d" / "token.conf").write_text(token)
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize("name", ["generate", "render"])
def test_systemd_takes_the_units_of_what_keeps_files_current(
    packaging: Path, tmp_path: Path, name: str
) -> None:
    unit = tmp_path / f"consulfwd-{name}@x.service"
    text = (packaging / f"consulfwd-{name}@.service").read_text()
    unit.write_text(text.replace(PROGRAM, sys.executable))
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")


def test_systemd_takes_the_unit(packaging: Path, tmp_path: Path) -> None:
    text = (packaging / "consulfwd.service").read_text()
    token = (packaging / "token.conf").read_text()
    assert verify(tmp_path, text, token) == (0, "")
    # It would tell.
    assert "Unknown key" in verify(tmp_path, text + "Nonsense=1\n", token)[1]
    assert "Unknown key" in verify(tmp_path, text, token + "Nonsense=1\n")[1]


def test_the_unit_is_not_more_exposed_than_it_must_be(packaging: Path) -> None:
    ended = subprocess.run(
        [
            "systemd-analyze", "security", "--offline=true", "--no-pager",
            f"--threshold={EXPOSURE}", str(packaging / "consulfwd.service"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
