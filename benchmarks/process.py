"""One running server: started on its core, its CPU, memory and threads read, always ended.

What belongs here: /proc, process clocks, ports. What must stay out: which server it is and what
is measured with it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from consulfwd.errors import StartError


class Process:
    """A server started with its output in `log`; `command` repeats it from a shell.

    It gets one core to run on, or with None those of this process.
    """

    def __init__(self, command: Sequence[str], core: int | None, log: Path, cwd: Path) -> None:
        self.command = (*(() if core is None else ("taskset", "-c", str(core))), *command)
        self._log = log
        with log.open("ab") as output:
            self.started = time.monotonic()
            # taskset replaces itself by the server, so the pid is the server's own.
            self._popen = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def check(self) -> None:
        """StartError with the end of the log when the process has ended."""
        if self._popen.poll() is not None:
            raise StartError(
                f"{' '.join(self.command)} ended with code {self._popen.returncode}:\n{self.tail()}"
            )

    def tail(self, lines: int = 15) -> str:
        """The last lines the process wrote."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """Ask it to end, and end it if it has not within three seconds; its children too."""
        children = tree(self.pid)[1:] if self._popen.poll() is None else []
        self._popen.terminate()
        try:
            self._popen.wait(3)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)


def tree(pid: int) -> list[int]:
    """`pid`, its children, their children, as they are now."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        # A process that ends while its file is read has no children to count.
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def cpu_ns(pid: int) -> int:
    """CPU time of a process with its children, user and system, in ns.

    Reads the process's own CPU clock, which is exact and counts threads that have ended
    (utime and stime of /proc/PID/stat come in ticks of 10 ms).
    """
    total = 0
    for one in tree(pid):
        # A process ends between listing and reading: nothing left to count.
        with contextlib.suppress(OSError):
            total += time.clock_gettime_ns((~one << 3) | 2)
    return total


def rss_mb(pid: int) -> float:
    """Resident memory of a process with its children, in MB (VmRSS)."""
    return sum(_status(one, "VmRSS") for one in tree(pid)) / 1024


def threads(pid: int) -> int:
    """Number of threads of a process with its children."""
    return sum(_status(one, "Threads") for one in tree(pid))


def peak_mb(pid: int) -> float:
    """The most resident memory a process had so far, with its children, in MB (VmHWM)."""
    return sum(_status(one, "VmHWM") for one in tree(pid)) / 1024


def wakeups(pid: int) -> int:
    """How often the threads of a process and its children slept and were woken so far."""
    key = "voluntary_ctxt_switches"
    return sum(
        _status(f"{one}/task/{task}", key)
        for one in tree(pid)
        for task in _listed(Path(f"/proc/{one}/task"))
    )


def _listed(folder: Path) -> list[str]:
    try:
        return [one.name for one in folder.iterdir()]
    except OSError:
        return []


def _status(pid: int | str, key: str) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    return 0


def free_port(*addresses: str) -> int:
    """A port free for UDP and TCP on every one of `addresses`."""
    for _ in range(100):
        with contextlib.ExitStack() as stack:
            port = 0
            try:
                for address in addresses:
                    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                        opened = stack.enter_context(socket.socket(socket.AF_INET, kind))
                        opened.bind((address, port))
                        port = opened.getsockname()[1]
            except OSError:
                continue
            return port
    raise StartError(f"no port free on all of {', '.join(addresses)}")


def busy_share(seconds: float) -> float:
    """How much CPU the whole machine uses during the next `seconds`, in cores (1.0 = one)."""
    before, began = machine_cpu_s(), time.monotonic()
    time.sleep(seconds)
    return (machine_cpu_s() - before) / (time.monotonic() - began)


def machine_cpu_s() -> float:
    """CPU time of everything that ran here since boot, in seconds; what the host stole too."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def received_datagrams() -> int:
    """UDP datagrams over IPv4 that programs of this machine have read since boot."""
    lines = Path("/proc/net/snmp").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("Udp:"))
    return int(values[names.index("InDatagrams")])
