"""How many system calls a server makes for one answer, and which.

What belongs here: having the kernel count while a load runs, by perf where that may, by strace
elsewhere. What does not: the load, and CPU: who is traced is slower, so nothing else is measured
meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.asking import Report, read_report
from benchmarks.process import tree
from benchmarks.tools import find
from consulfwd.errors import StartError

PATIENCE_S = 5.0
# perf counts all calls, and these by their names: what servers live on. Each costs it time to set
# up, for each thread.
NAMED = (
    "close", "connect", "epoll_ctl", "epoll_pwait", "epoll_wait", "futex", "nanosleep", "poll",
    "read", "recvfrom", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto", "socket", "write",
)  # fmt: skip
_ALL = "raw_syscalls:sys_enter"
_ONE = "syscalls:sys_enter_"
_EVENTS = (Path("/sys/kernel/tracing/events"), Path("/sys/kernel/debug/tracing/events"))


@dataclass(frozen=True)
class Calls:
    """System calls per answer: all of them, and the most frequent `by_name`.

    `rate` is how many answers a second there were meanwhile: below what was asked for, `by` slowed
    the server down, and the figures are of more load than it says.
    """

    by: str
    answers: int
    rate: float
    total: float
    by_name: Mapping[str, float]

    def most(self, count: int = 4) -> str:
        """The most frequent as text, and what is left of the total."""
        named = sorted(self.by_name.items(), key=lambda item: -item[1])[:count]
        rest = self.total - sum(share for _, share in named)
        shares = [*named, ("others", rest)]
        return ", ".join(f"{name} {share:.2f}" for name, share in shares if share >= 0.005)


def counter() -> str:
    """What can count here: "perf", "strace", or nothing: ""."""
    if _events() is not None and find("perf"):
        done = subprocess.run(
            [str(find("perf")), "stat", "-e", _ALL, "true"], capture_output=True, check=False
        )
        if done.returncode == 0 and b"<not" not in done.stderr:
            return "perf"
    return "strace" if find("strace") else ""


def count(by: str, pid: int, load_command: Sequence[str], directory: Path) -> Calls:
    """Count the calls of a process, all its threads and children, while a load runs.

    Raises StartError when that fails: another traces the process, or this one may not.
    """
    said = directory / "calls"
    pids = list(map(str, tree(pid)))
    if by == "perf":
        listed = _events()
        assert listed is not None
        names = [name for name in NAMED if (listed / f"syscalls/sys_enter_{name}").exists()]
        events = ",".join([_ALL, *(_ONE + name for name in names)])
        command = [str(find("perf")), "stat", "-x", ",", "-o", str(said), "-e", events]
        command += ["-p", ",".join(pids), "--", *load_command]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        report = read_report(command, done.returncode, done.stdout, done.stderr)
        numbers = from_perf(said.read_text())
    else:
        with _strace(pids, said, directory / "strace"):
            ran = subprocess.run(load_command, capture_output=True, text=True, check=False)
        report = read_report(load_command, ran.returncode, ran.stdout, ran.stderr)
        numbers = from_strace(said.read_text())
    return per_answer(by, numbers, report)


def per_answer(by: str, numbers: Mapping[str, int], report: Report) -> Calls:
    """Counts by name, with all of them under "total", as calls for one answer."""
    answers = max(1, report.answers)
    shares = {name: number / answers for name, number in numbers.items() if number}
    return Calls(by, report.answers, report.rate, shares.pop("total", 0.0), shares)


def from_perf(text: str) -> dict[str, int]:
    """Counts from `perf stat -x ,`; what was never called is not counted."""
    found = {}
    for line in text.splitlines():
        value, _, event, *_ = [*line.split(","), "", "", ""]
        if value.isdigit():
            found["total" if event == _ALL else event.removeprefix(_ONE)] = int(value)
    return found


def from_strace(text: str) -> dict[str, int]:
    """Counts from the table of `strace -c`, its sum included."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        # % time, seconds, usecs/call, calls, errors (left out where there are none), syscall
        if len(words) in (5, 6) and words[3].isdigit() and words[0] != "%":
            found[words[-1]] = int(words[3])
    return found


def _events() -> Path | None:
    """Where the kernel lists its events, for those who may look; None elsewhere."""
    for folder in _EVENTS:
        with contextlib.suppress(OSError):
            if (folder / "raw_syscalls/sys_enter").exists():
                return folder
    return None


@contextlib.contextmanager
def _strace(pids: Sequence[str], said: Path, log: Path) -> Iterator[None]:
    command = [str(find("strace")), "-f", "-c", "-o", str(said)]
    command += [word for pid in pids for word in ("-p", pid)]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=output)
    try:
        end = time.monotonic() + PATIENCE_S
        while "attached" not in log.read_text():
            if process.poll() is not None or time.monotonic() > end:
                raise StartError(f"{' '.join(command)} does not attach:\n{log.read_text()}")
            time.sleep(0.02)
        # Threads are attached to one after the other.
        time.sleep(0.1)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGINT)
        process.wait()
