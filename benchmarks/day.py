"""A day in a minute: two million queries, settings changed every 5 s, real agents restarting.

What belongs here: the agents, the parts of the day, printing. What is done all day is
`tests.integration.day`'s.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealCluster, find_binaries
from tests.integration import day, inside
from tests.integration.served import serve
from tests.integration.services import DEFINITIONS, fill
from tests.load_lock import only_load

QUERIES, PARTS, EVERY_S = 2_000_000, 4, 5.0
ADDRESSES = [f"127.0.71.{host}" for host in (1, 2, 3)]


def run(folder: Path, queries: int, parts: int) -> bool:
    """Live a day in so many parts, each told as a row of a table; return whether all was well."""
    binary = list(find_binaries().values())[-1]
    guard = Guard()
    well = True
    cluster = RealCluster(binary, ADDRESSES, workdir=folder / "consul", definitions=DEFINITIONS)
    with cluster:
        fill(cluster)
        first = day.variants(cluster.servers)[0]
        python = (Path(inside.__file__),)
        print("| part | queries | per second | lost | wrong | slowest s | reloads | restarts |"
              " tasks | files | threads | objects | MB |")  # fmt: skip
        print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
        with serve(first, folder / "serve", guard, python=python) as served:
            alive = day.Day(served, cluster.servers)
            alive.warm(20_000, len(cluster.servers))
            held = alive.look()
            print(f"| before | | | | | | | | {_held(held)} |", flush=True)
            for part in range(1, parts + 1):
                lived = alive.live(queries // parts, every_s=EVERY_S, like=held)
                udp, tcp = lived.udp, lived.tcp
                lost, wrong = udp.lost + tcp.lost, udp.wrong | tcp.wrong
                sent = f"{udp.sent + tcp.sent:,} | {udp.sent / lived.seconds:,.0f}"
                done = f"{lived.reloads} | {lived.restarts} | {_held(lived.held)}"
                replies = f"{lost} | {wrong or 0} | {udp.slowest_s:.2f}"
                print(f"| {part} | {sent} | {replies} | {done} |", flush=True)
                grown = lived.held.tasks != held.tasks or lived.held.files > held.files
                well = well and not (lost or wrong or grown)
    guard.close()
    return well


def _held(held: day.Held) -> str:
    tasks = sum(held.tasks.values())
    return f"{tasks} | {held.files} | {held.threads} | {held.objects:,} | {held.memory_mb:.1f}"


def main() -> None:
    """Live a day, print a table; 1 when a query was lost or a task or a file is left."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.day")
    options.add_argument("--queries", type=int, default=QUERIES, help="in all (2000000)")
    options.add_argument("--parts", type=int, default=PARTS, help="looked at after each (4)")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, only_load():
        sys.exit(0 if run(Path(folder), given.queries, given.parts) else 1)


if __name__ == "__main__":
    main()
