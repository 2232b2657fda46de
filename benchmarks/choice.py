"""What is to be run: the benchmarks there are, and the servers, cases and cores chosen of all.

What belongs here: defaults, and reading what the command line names. What does not: options and
printing (`__main__`), starting or measuring anything (`suite`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import failover
from benchmarks.peers import ALIASES, BESIDE, FLOOR, OURS, PEERS, Peer, ours, unwatched
from consulfwd.errors import StartError, UsageError

CACHED_TTL = 60
# Queries/s of `steady`: what hosts have, and with TTL 0 the rate that is quoted, too.
RATES = (100, 1000, 5000)
RATES_TTL_0 = (100, 500, 1000, 5000)
# Rounds of `failover` for those it is not about.
PEER_ROUNDS = 1
HARMS = {"freeze": ("freeze",), "kill": ("kill",), "both": failover.TURNS}
CASES = ("turns", "cold", "dark")


@dataclass(frozen=True)
class Kind:
    """Defaults of one benchmark; `rounds` are starts for `startup`."""

    title: str
    seconds: int
    rounds: int
    outstanding: int
    ttl: int
    upstreams: tuple[str, ...]


KINDS = {
    "cached": Kind("cached A answers", 1, 14, 100, CACHED_TTL, ("stub",)),
    "miss": Kind("forwarded misses", 1, 10, 20, 0, ("stub", "real")),
    "startup": Kind("start and weight", 10, 5, 100, CACHED_TTL, ("stub",)),
    "failover": Kind("failing agents", 0, 5, 0, 0, ("real",)),
    "fresh": Kind("watched answers of TTL 0", 1, 10, 20, 0, ("real",)),
    "staleness": Kind("changes under load", 0, 12, 0, 0, ("real",)),
    "idle": Kind("watches while nobody asks", 66, 1, 20, 0, ("real",)),
    "steady": Kind("at the rates hosts have", 0, 0, 100, 0, ("stub", "real")),
    "sizes": Kind("answers by size", 1, 5, 20, 0, ("stub",)),
    "memory": Kind("memory under load", 30, 1, 20, 0, ("real",)),
}
# Light agents do not fail as Consul does, and serve no HTTP.
REAL_ONLY = ("failover", "fresh", "staleness", "idle", "memory")
# Where the agents' records are what counts, which real ones do not have.
STUB_ONLY = ("sizes",)
# Where nothing is bound to a core, because it is times that count, idleness or memory.
UNBOUND = ("failover", "staleness", "idle", "memory")
# Whose TTL is part of what is measured.
OWN_TTL = ("steady", "sizes", "memory")


@dataclass(frozen=True)
class Step:
    """One table: a benchmark against one sort of agents, "stub" or "real"."""

    name: str
    upstream: str


# With light agents it is answers from the cache, with real Consul those of TTL 0.
STEADY_CACHED = Step("steady", "stub")


def plan(what: str, upstream: str | None, *, veth: bool = False) -> list[Step]:
    """The tables to make for one of KINDS or "all"; `upstream` "stub", "real", "both" or None.

    Raises UsageError when nothing is left to do: some can be done with real Consul only, and with
    `veth`, agents off the host, none of these.
    """
    if veth and upstream in ("real", "both"):
        raise UsageError("--veth has light agents: --upstream stub, or leave that out")
    asked = {None: None, "both": ("stub", "real")}.get(upstream, (str(upstream),))
    asked = ("stub",) if veth else asked
    names = list(KINDS) if what == "all" else [what]
    steps = [Step(name, kind) for name in names for kind in asked or KINDS[name].upstreams]
    steps = [step for step in steps if step.name not in REAL_ONLY or step.upstream == "real"]
    steps = [step for step in steps if step.name not in STUB_ONLY or step.upstream == "stub"]
    if not steps and what in STUB_ONLY:
        raise UsageError(f"{what} needs light agents: leave out --upstream real")
    if not steps:
        without = "--veth" if veth else "--upstream stub"
        raise UsageError(f"{what} needs real Consul: leave out {without}")
    return steps


def ttl_of(step: Step, given: int | None) -> int:
    """The TTL of the answers; `given` is the option, where it may be chosen."""
    if step == STEADY_CACHED:
        return CACHED_TTL
    chosen = None if step.name in OWN_TTL else given
    return KINDS[step.name].ttl if chosen is None else chosen


def takes_part(peers: Sequence[Peer], step: Step, ttl: int) -> list[Peer]:
    """Those of `peers` that a benchmark is about.

    The floor asks nobody, so there is nothing of it to compare a miss with; at a steady rate it is
    what the wake-ups cost, and where agents fail it shows what the machine does to a server.
    """
    keeps_floor = (ttl or step.name in ("failover", "steady")) and step.name != "memory"
    found = [peer for peer in peers if keeps_floor or peer is not FLOOR]
    if step.name == "miss":
        return [unwatched(peer) if peer.own else peer for peer in found]
    return found


def chosen_rates(rates: str | None, rate: int | None, ttl: int) -> list[int]:
    """Queries/s of `steady`, in order: of the options --rates and --rate, or what hosts have.

    UsageError for what is no rate.
    """
    if rate is not None:
        return [rate]
    if rates is None:
        return list(RATES if ttl else RATES_TTL_0)
    words = rates.replace(" ", "").split(",")
    wrong = [word for word in words if not word.isdigit() or int(word) == 0]
    if wrong:
        raise UsageError(f"--rates: {', '.join(wrong) or 'nothing'} is not queries per second")
    return sorted({int(word) for word in words})


def chosen_cases(cases: str, harm: str) -> list[str]:
    """The methods of Failover to run; UsageError for a case that is not known."""
    names = [name for name in cases.replace(" ", "").split(",") if name]
    unknown = [name for name in names if name not in CASES]
    if unknown or not names:
        raise UsageError(
            f"--cases: {', '.join(unknown) or 'none'} is not one of {', '.join(CASES)}"
        )
    wanted = [name for name in CASES if name in names]
    return [one for name in wanted for one in (HARMS[harm] if name == "turns" else (name,))]


def chosen(text: str, beside: Sequence[str] | None = None) -> list[Peer]:
    """The servers named, right after consulfwd another build of it; UsageError for one unknown."""
    names = [ALIASES.get(name, name) for name in text.replace(" ", "").split(",") if name]
    unknown = [name for name in names if name not in PEERS]
    if unknown or not names:
        raise UsageError(
            f"--peers: {', '.join(unknown) or 'nobody'} is not one of {', '.join(PEERS)}"
        )
    found = [PEERS[name] for name in dict.fromkeys(names)]
    if beside and OURS in found:
        found.insert(found.index(OURS) + 1, ours(BESIDE, build=beside))
    return found


def cores(server: int | None, load: int | None) -> tuple[int, int]:
    """The server's core and the load's; StartError when there are not two."""
    allowed = sorted(os.sched_getaffinity(0))
    server = allowed[0] if server is None else server
    others = [core for core in allowed if core != server]
    load = load if load is not None or not others else others[0]
    if server not in allowed or load not in others:
        raise StartError(f"two different cores are needed; this process may use {allowed}")
    return server, load
