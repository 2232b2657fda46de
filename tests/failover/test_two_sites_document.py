"""docs/case-two-sites.md: its picture is what the decisions make of its settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_picture_is_current(project: Path) -> None:
    command = [sys.executable, str(project / "scripts" / "draw-failover"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
