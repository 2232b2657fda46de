"""The states of whoever campaigns for a lock, as a table: an event that is in none is an error.

The states, and what leads from one to another:

| | the lock is held | it is lost | to stop | what was led has ended |
|---|---|---|---|---|
| backup | active | | ended | |
| active | | stopping | stopping | stopping |
| stopping | | stopping | stopping | backup |

Whoever is stopping holds the lock still, as far as others know, until what was led has ended.

Must not know: what brings the events about. Pure.
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """Of whoever campaigns."""

    BACKUP = "backup"
    ACTIVE = "active"
    STOPPING = "stopping"
    ENDED = "ended"


class Event(Enum):
    """What changes that."""

    HELD = "the lock is held"
    LOST = "it is lost"
    STOP = "to stop"
    CALM = "what was led has ended"


TABLE: dict[tuple[State, Event], State] = {
    (State.BACKUP, Event.HELD): State.ACTIVE,
    (State.BACKUP, Event.STOP): State.ENDED,
    (State.ACTIVE, Event.LOST): State.STOPPING,
    (State.ACTIVE, Event.STOP): State.STOPPING,
    (State.ACTIVE, Event.CALM): State.STOPPING,
    (State.STOPPING, Event.LOST): State.STOPPING,
    (State.STOPPING, Event.STOP): State.STOPPING,
    (State.STOPPING, Event.CALM): State.BACKUP,
}


class Outcome(Enum):
    """Why a campaign is over."""

    STOPPED = "stopped"
    LED = "what was led has ended by itself"
    LOST = "the lock was lost"
    LATE = "the lock was not to be had in time"
