"""This process as the system sees it: its limits, its user, its garbage collector.

Must not know what the process is for.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pwd
import resource
import sys
from typing import Literal, NamedTuple

from consulfwd.errors import StartError

DESCRIPTORS = 16_384
# Of them this process may need as many itself: for sockets to servers it asks, and for the rest
# (what it listens on, HTTP, files). Where there are fewer, the rest is a quarter of all.
TO_ASK, REST = 9_216, 1_024
OWN = TO_ASK + REST
# How long (seconds) a thread goes on while another one has something to do.
TURN_S = 0.001
# What is a large block (octets); and mallopt's number for that.
LARGE_BLOCK, _MMAP_THRESHOLD = 1 << 20, -3


class Shares(NamedTuple):
    """How many open files there may be: connections of `clients`, sockets to `upstreams`."""

    clients: int
    upstreams: int = TO_ASK


def make_room(connections: int) -> Shares:
    """Allow as many open sockets as the system lets us: queries off the host take one each.

    Returns for how many of so many connections of clients there is room, and for how many sockets
    to upstreams; what is neither has room beside them.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    infinite = resource.RLIM_INFINITY
    wanted = max(DESCRIPTORS, OWN + connections)
    if hard != infinite:
        wanted = min(wanted, hard)
    if soft != infinite and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft == infinite:
        return Shares(connections)
    # Where there are few of them most are ours: without an upstream clients are of no use.
    clients = min(connections, soft - min(OWN, soft * 3 // 4))
    return Shares(clients, min(TO_ASK, soft - clients - min(REST, soft // 4)))


def processes_for(workers: int | Literal["auto"]) -> int:
    """Return how many are meant: `auto` is one for each processor that this process may use."""
    return len(os.sched_getaffinity(0)) if workers == "auto" else workers


def find_user(user: str) -> pwd.struct_passwd:
    """Return the account of `user`. Raises StartError when there is none."""
    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise StartError(f"user: there is no user {user!r} on this host") from None


def drop_privileges(user: str) -> None:
    """Become `user` for good, groups included. Raises StartError when that cannot be done."""
    entry = find_user(user)
    if os.getuid() == entry.pw_uid:
        return
    try:
        os.initgroups(user, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    except OSError as error:
        raise StartError(f"cannot become user {user!r}: {error.strerror}") from None


def take_short_turns() -> None:
    """Let whatever is done beside the event loop give way to it soon: a query may be waiting."""
    sys.setswitchinterval(TURN_S)


def quieten_collector() -> None:
    """Let the garbage collector look at what lives long no more, and at little at once.

    Queries make no reference cycles while all is well, and what start-up made stays.
    """
    gc.collect()
    gc.freeze()
    # A look at 20,000 young objects was seen to take 19 ms, in which every query waits.
    gc.set_threshold(2_000, 20, 50)


def give_memory_back() -> None:
    """Have large blocks returned to the system whenever they are freed.

    The C library of GNU would keep those of a size that was freed once, to use them again: replies
    of 20 MB now and then were seen to cost 80 MB for good. Others need not be told.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_MMAP_THRESHOLD, LARGE_BLOCK)
