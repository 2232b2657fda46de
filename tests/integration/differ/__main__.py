"""Runs it by hand: more queries, another seed, or one query with what everybody says."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealCluster, find_binaries
from tests.integration.differ import figures
from tests.integration.differ.questions import Query, generate, parse
from tests.integration.differ.run import ask, run
from tests.integration.differ.servers import PEERS, Stage, stage, versions
from tests.integration.differ.telling import COMMAND, replies_told
from tests.integration.services import DEFINITIONS, fill

ADDRESSES = ("127.9.1.11", "127.9.1.12", "127.9.1.13")


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog=COMMAND,
        description="The same queries to consulfwd, unbound, BIND and dnsdist, all before the same"
        " recursor and Consul: what is different?",
    )
    made.add_argument("--queries", type=int, default=5000, help="how many (%(default)s)")
    made.add_argument("--seed", type=int, default=1, help="of the queries (%(default)s)")
    made.add_argument(
        "--query",
        action="append",
        type=parse,
        help="ask this one instead, and print the replies: NAME TYPE [+bufsize=N] [+tcp] [+do]"
        " [+ad] [+cd] [+nord] [+cookie] [+option] [+v1]; one is asked twice,"
        " several are asked one after the other",
    )
    made.add_argument("--consul", metavar="VERSION", help="which installed Consul (the newest)")
    made.add_argument("--peers", action="store_true", help="show what is unexplained of them, too")
    made.add_argument("--figures", type=Path, metavar="FILE", help="put the figures into this page")
    return made


@contextmanager
def everything(folder: Path, version: str) -> Iterator[Stage]:
    """The stage with a cluster of its own, of this Consul."""
    guard = Guard()
    workdir = folder / "consul"
    agents = RealCluster(
        find_binaries()[version], ADDRESSES, workdir=workdir, definitions=DEFINITIONS
    )
    try:
        with agents as cluster:
            fill(cluster)
            with stage(folder, cluster.servers[0], guard) as made:
                yield made
    finally:
        guard.close()


def show(made: Stage, queries: Sequence[Query]) -> None:
    """Print what everybody says, and those behind them.

    One query alone is asked twice: the second time it may come out of caches.
    """
    behind = Stage({"recursor": made.recursor, "agent": made.agent}, *made[1:])
    for query in queries if len(queries) > 1 else [*queries, *queries]:
        replies = ask(made, [query])[0] | ask(behind, [query])[0]
        print(replies_told(query, replies), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked; 1 where something is different without a known reason."""
    options = parser().parse_args(arguments)
    consul = options.consul or list(find_binaries())[-1]
    with tempfile.TemporaryDirectory() as folder, everything(Path(folder), consul) as made:
        if options.query:
            show(made, options.query)
            return 0
        began = time.monotonic()
        found = run(made, generate(options.seed, options.queries))
        took = time.monotonic() - began
    command = f"{COMMAND} --queries {options.queries} --seed {options.seed}"
    table = figures.text(found, command, {**versions(), "Consul": consul})
    if options.peers:
        print("\n\n".join(filter(None, map(found.shown, PEERS))))
    if options.figures:
        figures.write(options.figures, table)
    print(table)
    print(found.faults() or "nothing is different without a known reason")
    if found.passing:
        print(f"for a moment only, and not when asked again:\n{found.passed()}")
    print(f"took {took:.0f} s", file=sys.stderr)
    return 1 if found.faults() else 0


if __name__ == "__main__":
    sys.exit(main())
