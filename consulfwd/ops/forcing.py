"""What may be ordered of names that move with health: read strictly, carried out by the book."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from consulfwd.ops import values
from consulfwd.ops.watched import OrderError

if TYPE_CHECKING:
    from consulfwd.failover.book import Book
    from consulfwd.failover.model import Force

Values = Mapping[str, Any]

# The longest an order may be in force (seconds), and letters of a reason and of who gives it.
LONGEST = 366 * 86_400
REASON, BY = 120, 60
KEYS = {
    "force": ("glob", "to", "seconds", "reason", "by"),
    "unforce": ("glob",),
    "failback": ("glob",),
}


def carry_out(book: Book, name: str, given: Values, wall: float) -> dict[str, Any]:
    """Return what came of an order at this time of day. Raises OrderError."""
    glob = values.text(given, "glob")
    try:
        if name == "unforce":
            gone = book.unforce(glob)
            if not gone:
                raise OrderError(409, f"nothing is forced by {values.short(glob)}")
            return {"forces": [_told(one) for one in gone]}
        if name == "failback":
            return {"records": list(book.back(glob))}
        to = values.text(given, "to")
        seconds = None
        if given.get("seconds") is not None:
            seconds = values.number(given, "seconds", 0, LONGEST)
        until = None if seconds is None else wall + seconds
        reason, by = _line(given, "reason", REASON), _line(given, "by", BY) or "somebody"
        return {"records": list(book.force(glob, to, until, reason, by)), "until": until}
    except ValueError as error:
        raise OrderError(400, str(error)) from None


def _line(given: Values, key: str, most: int) -> str:
    """Return a text that can be shown in a line, "" where none is given."""
    if given.get(key) in (None, ""):
        return ""
    found = values.text(given, key)
    if not found.isprintable() or len(found) > most:
        raise OrderError(400, f"{key}: is one line of at most {most} letters that can be shown")
    return found


def _told(force: Force) -> dict[str, Any]:
    return {"glob": force.glob, "to": force.to, "until": force.until, "by": force.by}
