"""Whether Consul's servers elected a leader: who hears nothing of one for half a second elects one.

A machine that stands still for longer than that has them do so once it goes on: nobody can write
until it is done, and the new one counts the time of each session anew. What is held to a time may
be played again then; nobody is elected on a machine that goes on.
"""

from __future__ import annotations

import math

from consulfwd.dev.real import RealAgent

# So often at most something is played again.
TRIES = 10
# For how long servers do without a leader's word at least, and then until they have another one.
UNHEARD_S, ELECTED_S = 0.5, 5.0


def after_s(stalled: float, ttl: float = 0.0) -> float:
    """How much later (seconds) something may be than where nothing `stalled` for so long, at most.

    Servers elect a leader after each time that nothing went on. For the end of a session of that
    `ttl` may be waited: that is Consul's to say, up to two of them after each election.
    """
    return stalled + (math.ceil(stalled) * (ELECTED_S + 2 * ttl) if stalled > UNHEARD_S else 0.0)


def term(agent: RealAgent) -> str:
    """Which term of Raft's a server is in: another one, and there was an election."""
    return str(agent.http("GET", "/v1/agent/self")["Stats"]["raft"]["term"])
