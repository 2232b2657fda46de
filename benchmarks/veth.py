"""Agents off this host: two networks made for the run, and a veth pair between them.

What belongs here: making the networks and putting this process, or a part of what it does, into
one. What does not: what runs there. Needs root and `ip`. This host's own network is not touched,
and nothing is left behind: networks without a name end with the last process in them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from benchmarks.tools import path_of
from consulfwd.errors import StartError

# Not of the loopback network: what is asked there is off the host, to every server under test.
NEAR = "10.93.0.1"
FAR = ("10.93.0.11", "10.93.0.12", "10.93.0.13")
# How to be where the agents are for a moment: this thread, what it opens and what it starts.
There = Callable[[], AbstractContextManager[None]]
here: There = contextlib.nullcontext

_CLONE_NEWNET = 0x40000000
_HERE = "/proc/thread-self/ns/net"


@contextlib.contextmanager
def apart() -> Iterator[There]:
    """This process in a network of its own, wired to another, into which what is yielded leads.

    The load and the servers under test have 127.0.0.1 and NEAR, the agents FAR. StartError
    without root.
    """
    with contextlib.ExitStack() as stack:
        before = _opened(stack)
        stack.callback(_enter, before)
        there = _new(stack)
        _new(stack)
        far = f"/proc/{os.getpid()}/fd/{there}"
        _ip("link set lo up", f"link add near type veth peer name far netns {far}")
        _ip(f"address add {NEAR}/24 dev near", "link set near up")

        @contextlib.contextmanager
        def inside() -> Iterator[None]:
            with contextlib.ExitStack() as back:
                back.callback(_enter, _opened(back))
                _enter(there)
                yield

        with inside():
            addresses = [f"address add {one}/24 dev far" for one in FAR]
            _ip("link set lo up", *addresses, "link set far up")
        yield inside


def _opened(stack: contextlib.ExitStack) -> int:
    """The network this thread is in, held until the stack ends."""
    found = os.open(_HERE, os.O_RDONLY)
    stack.callback(os.close, found)
    return found


def _new(stack: contextlib.ExitStack) -> int:
    """Enter a network made for it."""
    _call("unshare", _CLONE_NEWNET)
    return _opened(stack)


def _enter(network: int) -> None:
    _call("setns", network, _CLONE_NEWNET)


def _ip(*commands: str) -> None:
    for command in commands:
        done = subprocess.run(
            [path_of("ip"), *command.split()], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise StartError(f"ip {command}: {done.stderr.strip()}")


_libc = ctypes.CDLL(None, use_errno=True)


def _call(function: str, *arguments: int) -> None:
    if getattr(_libc, function)(*arguments):
        why = os.strerror(ctypes.get_errno())
        raise StartError(f"--veth: no network of its own: {why} (run it as root)")
