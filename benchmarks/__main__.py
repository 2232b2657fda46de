"""The command line: options, output, exit codes.

What belongs here: argparse and printing. What does not: what a benchmark consists of (`suite`).
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.choice import CACHED_TTL, CASES, HARMS, KINDS, plan
from benchmarks.peers import PEERS, consulfwd_command
from benchmarks.samples import QUIET
from benchmarks.suite import Suite, work_directory
from consulfwd.errors import ConsulfwdError
from tests.load_lock import only_load


def parser() -> argparse.ArgumentParser:
    """The options; defaults of None depend on the benchmark."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="consulfwd beside its peers: one core for the server, another for the load.",
        epilog="docs/benchmarks.md says what is measured and how to read it.",
    )
    made.add_argument("what", choices=[*KINDS, "all"])
    made.add_argument(
        "--peers",
        default=",".join(PEERS),
        help="the servers to run, comma-separated (default: %(default)s)",
    )
    made.add_argument(
        "--seconds",
        type=_positive,
        help="length of one slice (1; startup 10; idle 66; memory 30; steady: below 500/s 3, and"
        " 10 at least of consulfwd with TTL 0)",
    )
    made.add_argument(
        "--rounds",
        type=_positive,
        help="slices or starts per server (cached 14, miss and fresh 10, startup and sizes 5,"
        " steady 3 or 4, idle 1;"
        " failover: 5 for consulfwd, 1 for the others); staleness: changes (12)",
    )
    made.add_argument(
        "--harm", choices=list(HARMS), default="freeze", help="done to each agent in turn (freeze)"
    )
    made.add_argument(
        "--cases", default=",".join(CASES), help="of failover, comma-separated (%(default)s)"
    )
    made.add_argument("--names", type=_positive, default=100, help="services asked (100)")
    made.add_argument("--clients", type=_positive, default=4, help="dnsperf's clients (4)")
    made.add_argument("--outstanding", type=_positive, help="queries in flight (100; miss: 20)")
    made.add_argument("--rate", type=_positive, help="queries/s (default: as fast as answered)")
    made.add_argument(
        "--rates",
        help="steady: queries/s, comma-separated (100,1000,5000; TTL 0: 500, too); --rate is one",
    )
    made.add_argument("--edns", action="store_true", help="ask with EDNS")
    made.add_argument(
        "--upstream",
        choices=["stub", "real", "both"],
        help="light C agents, real Consul, or a table of each (stub; miss: both; failover, fresh,"
        " staleness, idle: real)",
    )
    made.add_argument(
        "--veth",
        action="store_true",
        help="light agents off the host, behind a veth pair (as root); for miss",
    )
    made.add_argument("--consul", metavar="VERSION", help="which installed Consul (the newest)")
    made.add_argument(
        "--ttl", type=_natural, help=f"of the answers ({CACHED_TTL}; with real Consul: 0)"
    )
    made.add_argument("--server-core", type=_natural, help="default: the first allowed")
    made.add_argument("--load-core", type=_natural, help="dnsperf and the agents; the second")
    made.add_argument(
        "--consulfwd",
        metavar="COMMAND",
        type=shlex.split,
        default=consulfwd_command(),
        help="how to start consulfwd, to compare another build or Python",
    )
    made.add_argument(
        "--beside",
        metavar="COMMAND",
        type=shlex.split,
        help="another build of consulfwd in the same rounds, to see what a change does",
    )
    made.add_argument("--dir", type=Path, help="keep configurations and logs here")
    made.add_argument("--json", action="store_true", help="print JSON, all samples included")
    return made


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def _natural(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked; the exit code, as the command `consulfwd` has them."""
    options = parser().parse_args(arguments)
    # Servers are ended by `finally`, which a plain SIGTERM would skip.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    began = time.monotonic()
    try:
        steps = plan(options.what, options.upstream, veth=options.veth)
        # Not beside a test that measures, nor beside another of these.
        with work_directory(options.dir) as directory, only_load():
            suite = Suite(options, directory, steps)
            if not options.json:
                facts = (f"{key} {value}" for key, value in suite.machine().items())
                print(", ".join(facts), flush=True)
            if suite.busy > QUIET:
                print(f"{suite.busy:.2f} cores are busy already: expect noise", file=sys.stderr)
            found = []
            for step in steps:
                outcome = suite.run(step)
                found.append(outcome.as_json)
                if not options.json:
                    print(f"\n{outcome.text}", flush=True)
            if options.json:
                print(json.dumps({"machine": suite.machine(), "benchmarks": found}, indent=2))
    except ConsulfwdError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    print(f"took {time.monotonic() - began:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
