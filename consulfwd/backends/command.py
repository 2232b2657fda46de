"""One command run without a shell: told by its standard input, ended in time with all it started.

What belongs here: one run. Must not know why it runs, nor when again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence

# From SIGTERM to SIGKILL (seconds).
GRACE = 5.0


async def run(
    words: Sequence[str],
    said: bytes,
    environ: Mapping[str, str],
    *,
    timeout: float,
    grace: float = GRACE,
) -> str:
    """Run a command with `said` on its standard input; return what went wrong, "" if nothing.

    After `timeout` seconds, or when this is cancelled, its process group gets SIGTERM, and SIGKILL
    `grace` seconds later; what it leaves behind when it ends by itself is left alone.
    """
    # A file: whoever does not read it, or leaves somebody behind who might, holds nothing up.
    with tempfile.TemporaryFile() as stdin:
        stdin.write(said)
        stdin.seek(0)
        try:
            process = await asyncio.create_subprocess_exec(
                *words, stdin=stdin, env=dict(environ), start_new_session=True
            )
        except OSError as error:
            return f"cannot be run: {(error.strerror or str(error)).lower()}"
    try:
        await asyncio.wait_for(process.wait(), timeout)
    except asyncio.TimeoutError:
        await _end(process, grace)
        return f"did not end within {timeout:g} s"
    except asyncio.CancelledError:
        await _end(process, grace)
        raise
    code = process.returncode or 0
    if code >= 0:
        return f"failed with exit code {code}" if code else ""
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


async def _end(process: asyncio.subprocess.Process, grace: float) -> None:
    _signal(process.pid, signal.SIGTERM)
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(process.wait(), grace)
    # Whoever it started and is left; or itself.
    _signal(process.pid, signal.SIGKILL)
    await process.wait()


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
