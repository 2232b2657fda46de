"""That nothing is left of machines, however the run that booted them ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.machines import PROJECT, groups_of, machines
from tests.e2e.site import wait

ADDRESS = "192.168.56.61"
WORDS = ("-m", "tests.e2e.machines", f"one={ADDRESS}")
BOOTS_S, GONE_S = 30.0, 10.0


def left(pid: int) -> list[str]:
    """The processes that are still in the control groups of a run."""
    found = [group.rglob("cgroup.procs") for group in groups_of(pid)]
    return [one for files in found for file in files for one in file.read_text().split()]


@pytest.mark.parametrize("booted", [True, False], ids=["booted", "boots"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_ends_with_all_it_started(
    tmp_path: Path, number: signal.Signals, booted: bool
) -> None:
    run = subprocess.Popen(
        # Whoever started the tests may have had SIGINT ignored.
        ["env", "--default-signal=INT", sys.executable, *WORDS],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    assert run.stdin
    assert run.stdout
    with run.stdin, run.stdout:
        if booted:
            assert run.stdout.readline().startswith(b"one: ")
            # Systemd and what it runs.
            assert len(left(run.pid)) > 4
        else:
            wait(lambda: left(run.pid), "a machine that boots", BOOTS_S)
        run.send_signal(number)
        run.wait(60)
    wait(lambda: not left(run.pid), "all processes gone", GONE_S)
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    with machines({}, tmp_path):
        pass
    assert groups_of(run.pid) == []
