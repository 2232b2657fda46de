"""What runs of this host left that are over: their locks are freed, who is out is put back.

What belongs here: ending them. Must not know: what the run does that ends them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from consulfwd.errors import ConsulfwdError
from consulfwd.maintain.holding import free
from consulfwd.maintain.journal import Book, Journal, left
from consulfwd.maintain.requests import Requests
from consulfwd.maintain.turn import put_back
from consulfwd.maintain.wanted import Event, Stopped, Tell, Times

# So long (seconds) after it began a run is gone on with, where it was; one of the same command.
TAKEN_UP = 3600.0


async def others(
    folder: Path, own: Book, requests: Requests, tell: Tell, times: Times
) -> None:
    """End those that had to do with something else; what fails is told, no more."""
    for book in left(folder):
        try:
            if book.path == own.path or (found := book.load()) is None:
                continue
            old = times.wall() - found.begun > TAKEN_UP
            if not found.left and (old or found.out is not None):
                await clear(found, book, requests, tell, times)
                book.remove()
        except ConsulfwdError as error:
            tell(Event("left", f"{book.path.name}: not ended: {error}", bad=True))
        finally:
            book.close()


async def clear(
    journal: Journal, book: Book, requests: Requests, tell: Tell, times: Times
) -> None:
    """Free a run's locks, and put back who is out. Raises Stopped where that fails.

    Of a node that Consul does not know any more nobody is out.
    """
    await free(requests.several, journal)
    if (out := journal.out) is None:
        return
    called = f"{out.id or 'node'} on {out.node}"
    if (found := await requests.services_on(out.node)) is None:
        tell(Event("gone", f"{called}: the node is not registered any more"))
        return
    try:
        # Where its agent is Consul says: the token is not for whoever wrote into the journal.
        out = replace(out, address=found[0])
        await put_back(out, called, {journal.run}, requests, tell, times)
    except Stopped as stopped:
        hint = f"if that host is gone for good, remove {book.path}"
        raise Stopped(f"{stopped}; {hint}", stopped.exit_code) from None
