"""The states of a server that is asked, and what leads from one to another.

The state machine is the table TRANSITIONS; an event that is not in it for a state raises.
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """Health of one upstream."""

    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"
    PROBING = "probing"

    __hash__ = object.__hash__  # identity is enough, and much faster on the query path


class Event(Enum):
    """What was learned about an upstream."""

    GOOD = "good reply"
    BAD = "bad reply"
    SILENT = "no reply"
    REFUSED = "connection refused"
    LIED = "contradicted by another"
    RISEN = "good replies in a row"
    LOOPED = "leads back to this server"

    __hash__ = object.__hash__


# Counted events (see Health) reach the table only when enough of them came in a row.
TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.UP, Event.GOOD): State.UP,
    (State.UP, Event.BAD): State.SUSPECT,
    (State.UP, Event.SILENT): State.SUSPECT,
    (State.UP, Event.REFUSED): State.DOWN,
    (State.UP, Event.LIED): State.SUSPECT,
    (State.UP, Event.LOOPED): State.DOWN,
    (State.SUSPECT, Event.GOOD): State.SUSPECT,
    (State.SUSPECT, Event.RISEN): State.UP,
    (State.SUSPECT, Event.BAD): State.DOWN,
    (State.SUSPECT, Event.SILENT): State.DOWN,
    (State.SUSPECT, Event.REFUSED): State.DOWN,
    (State.SUSPECT, Event.LIED): State.SUSPECT,
    (State.SUSPECT, Event.LOOPED): State.DOWN,
    (State.DOWN, Event.GOOD): State.PROBING,
    (State.DOWN, Event.BAD): State.DOWN,
    (State.DOWN, Event.SILENT): State.DOWN,
    (State.DOWN, Event.REFUSED): State.DOWN,
    (State.DOWN, Event.LIED): State.DOWN,
    (State.DOWN, Event.LOOPED): State.DOWN,
    (State.PROBING, Event.GOOD): State.PROBING,
    (State.PROBING, Event.RISEN): State.UP,
    (State.PROBING, Event.BAD): State.DOWN,
    (State.PROBING, Event.SILENT): State.DOWN,
    (State.PROBING, Event.REFUSED): State.DOWN,
    (State.PROBING, Event.LIED): State.DOWN,
    (State.PROBING, Event.LOOPED): State.DOWN,
}


def transition(state: State, event: Event) -> State:
    """Return the state after `event`. Raises KeyError for an event that cannot happen."""
    return TRANSITIONS[state, event]
