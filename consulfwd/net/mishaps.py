"""What an error in this program itself costs: the message it happened at, nothing else.

It is logged once, with where it happened; whoever waits for that message gets SERVFAIL, everybody
else their answer. Errors that are to be expected are handled where they occur.
"""

from __future__ import annotations

import asyncio

from consulfwd.dns import const, replies
from consulfwd.dns.wire import HEADER_SIZE, read_query

WHY = "an error in this server, its log tells more"


def note(loop: asyncio.AbstractEventLoop, what: str, error: Exception) -> None:
    """Log an error with its traceback, by whatever the event loop does with such."""
    loop.call_exception_handler({"message": what, "exception": error})


def refusal(data: bytes) -> bytes | None:
    """Return SERVFAIL for a raw query of which nothing is known; None if it is none."""
    try:
        query = read_query(data)
    except Exception:
        if len(data) < HEADER_SIZE or data[2] & 0x80:
            return None
        return replies.refuse(data, const.SERVFAIL)
    return replies.refuse(data, const.SERVFAIL, query, (const.EDE_OTHER, WHY))
