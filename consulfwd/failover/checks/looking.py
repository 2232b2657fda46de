"""What a check is made of: one look at one address, and what any trouble on the way is worth.

What belongs here: the time a check may take, and whether it was the target that failed (FAIL) or we
that could not ask (ERROR). Must not know: any kind of check. `route` says whether our own way out
is cut; that is asked only after something went wrong.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import ssl
import time
from typing import Protocol

from consulfwd.failover.checks import route
from consulfwd.failover.model import Address, Outcome, Result
from consulfwd.words import duration

log = logging.getLogger(__name__)

# What this host lacks, or will not let us do: nothing was asked.
_OURS = frozenset(
    {
        errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EACCES,
        errno.EPERM, errno.ENETUNREACH, errno.ENETDOWN, errno.EAFNOSUPPORT, errno.EAGAIN,
        errno.ENODEV, errno.ENXIO, errno.EINVAL,
    }
)  # fmt: skip
# Said by a router or by ourselves, of a host that is gone or of a line that is.
_EITHER = frozenset({errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT, errno.ENONET})


# A check that is ended so much (seconds) after its time was held up by this host: the loop did not
# turn, or the machine stood still, and the answer may have been waiting all along.
STALLED = 0.25
# Its time is counted in so many parts, of so many seconds at least.
_PARTS, _PART_S = 8, 0.02


class Progress:
    """What a look is at, for people; whether it is anything of `ours` it waits for."""

    __slots__ = ("doing", "ours")

    def __init__(self) -> None:
        self.at("connecting")

    def at(self, doing: str, *, ours: bool = False) -> None:
        """Note it. What takes too long while it is ours is no word on the target."""
        self.doing = doing
        self.ours = ours


class Wrong(Exception):
    """The target answered, or failed to, so that it is FAIL; the text says why."""


class Unasked(Exception):
    """The target could not be asked, which is ERROR; the text says why."""


class Look(Protocol):
    """A kind of check."""

    async def look(self, address: Address, progress: Progress) -> str:
        """Return what was right with the target, in a few words.

        Raises Wrong, Unasked, OSError; whatever it opened is closed then, as where it is cancelled.
        """


class TimedCheck:
    """A look that keeps to its time and never raises: what `model.Check` promises."""

    def __init__(self, kind: Look, timeout_s: float) -> None:
        self._kind = kind
        self._timeout_s = timeout_s

    async def __call__(self, address: Address) -> Outcome:
        """Return what was found, after the time that is allowed at the latest."""
        begun = time.monotonic()
        result, reason = await self._found(address, begun)
        return Outcome(result, reason, time.monotonic() - begun)

    async def _found(self, address: Address, begun: float) -> tuple[Result, str]:
        progress = Progress()
        ip = str(address.ip)
        # Not by wait_for, which before Python 3.12 may lose that it was cancelled itself.
        task = asyncio.ensure_future(self._kind.look(address, progress))
        try:
            await self._wait(task)
            if not task.done():
                return self._late(address, progress, time.monotonic() - begun)
            return Result.OK, task.result()
        except Wrong as wrong:
            return Result.FAIL, str(wrong)
        except Unasked as unasked:
            return Result.ERROR, str(unasked)
        except OSError as error:
            return judged(error, ip)
        except Exception as error:
            # An error of ours is no word about the target.
            log.exception("a check of %s went wrong by itself", ip)
            return Result.ERROR, f"an error of our own: {type(error).__name__}"
        finally:
            # Closing takes no time: nothing is left running behind.
            while not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=0.1)
            if not task.cancelled():
                task.exception()  # seen, also where it came too late

    async def _wait(self, task: asyncio.Future[str]) -> None:
        """Wait for as long as is allowed, in parts: what the loop stands still takes one at most.

        A program that has just begun stands still now and then, and its answers wait for it.
        """
        left, part = self._timeout_s, max(self._timeout_s / _PARTS, _PART_S)
        while left > 0 and not task.done():
            await asyncio.wait({task}, timeout=min(part, left))
            left -= part

    def _late(self, address: Address, progress: Progress, took: float) -> tuple[Result, str]:
        stalled = took - self._timeout_s
        if stalled > STALLED:
            return Result.ERROR, f"this host was held up for {duration(stalled)} meanwhile"
        late = f"no answer within {duration(self._timeout_s)} ({progress.doing})"
        return (Result.ERROR, late) if progress.ours else _unless_cut(late, str(address.ip))


def judged(error: OSError, ip: str) -> tuple[Result, str]:
    """Return what an error of the system's says of the target at `ip`, and why."""
    if isinstance(error, ssl.SSLError):
        return Result.FAIL, tls_trouble(error)
    reason = os.strerror(error.errno).lower() if error.errno else str(error) or "it failed"
    if error.errno in _OURS:
        return Result.ERROR, f"could not ask: {reason}"
    if error.errno in _EITHER:
        return _unless_cut(reason, ip)
    return Result.FAIL, reason


def tls_trouble(error: ssl.SSLError) -> str:
    """Return why TLS failed, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    said = (getattr(error, "reason", None) or "").replace("_", " ").lower()
    return f"TLS failed: {said}" if said else "TLS failed"


def _unless_cut(reason: str, ip: str) -> tuple[Result, str]:
    """Return FAIL, or ERROR where the fault is with this host's own line to `ip`."""
    cut = route.cut(ip)
    return (Result.ERROR, f"could not ask: {cut}") if cut else (Result.FAIL, reason)
