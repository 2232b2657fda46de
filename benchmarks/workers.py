"""What an answer costs with one process and with several workers: `python -m benchmarks.workers`.

Processor time of all processes of the server, head and workers, by the kernel's own count; queries
come from 64 ports with 32 open at each, for 20 names whose answers are kept for a minute.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.tools import compile_c

PORTS, WINDOW, SECONDS, NAMES, ROUNDS = 64, 32, 4.0, 20, 3
TTL = 60
COUNTS = (1, 2)


def _answer(sock: socket.socket) -> None:
    """Answer as an agent would, with one address."""
    while True:
        try:
            data, peer = sock.recvfrom(4096)
        except OSError:
            return
        end = data.index(b"\0", 12) + 5
        record = b"\xc0\x0c\0\1\0\1" + TTL.to_bytes(4, "big") + b"\0\4\x0a\1\2\3"
        opt = b"\0\0\x29\x10\0\0\0\0\0\0\0"
        head = data[:2] + b"\x85\x80\0\1\0\1\0\0\0\1"
        sock.sendto(head + data[12:end] + record + opt, peer)


def _children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(one) for one in found.stdout.split()]


def _spent(pid: int) -> float:
    """Return the processor time of a process and its children so far, in seconds."""
    threads = [
        one for each in (pid, *_children(pid)) for one in Path(f"/proc/{each}/task").iterdir()
    ]
    return sum(int((one / "schedstat").read_text().split()[0]) for one in threads) / 1e9


def measure(workers: int, program: Path, folder: Path) -> tuple[float, int, int]:
    """Return the microseconds an answer cost, how many there were, and how many were missing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
        agent.bind(("127.0.0.1", 0))
        threading.Thread(target=_answer, args=(agent,), daemon=True).start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        at = {"address": "127.0.0.1", "dns_port": agent.getsockname()[1]}
        still = {"quality": {"every": 0}, "watch": {"enabled": False}, "agents": [at]}
        config = folder / f"{workers}.yml"
        config.write_text(json.dumps({
            "listen": [f"127.0.0.1:{port}"], "workers": workers, "consul": still,
            "resolv_conf": str(folder / "none"), "admin": {"socket": False},
        }))  # fmt: skip
        command = [sys.executable, "-m", "consulfwd.cli.main", "serve", "-c", str(config)]
        with (folder / "log").open("w") as log:
            server = subprocess.Popen(command, stderr=log)
        try:
            time.sleep(5.0)
            _ask(program, port, 1.0)
            before = _spent(server.pid)
            answered, missing = _ask(program, port, SECONDS)
            return (_spent(server.pid) - before) / answered * 1e6, answered, missing
        finally:
            server.terminate()
            server.wait()


def _ask(program: Path, port: int, seconds: float) -> tuple[int, int]:
    command = [str(program), *map(str, (port, PORTS, WINDOW, seconds, NAMES))]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return int(said[0]), int(said[1])


def main() -> None:
    """Measure in turn, so that what else the host does falls on all alike."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = compile_c("many", folder)
        for _ in range(ROUNDS):
            for workers in COUNTS:
                cost, answered, missing = measure(workers, program, folder)
                print(f"workers {workers}: {cost:.2f} us an answer"
                      f" ({answered} answered, {missing} not)", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
