"""When the garbage collector looks: at the second's tick, while nobody waits for an answer.

By itself it looks whenever so many objects are new, which is while a query makes some: at 2,000 in
0.05 ms, at 40,000 in 4, at all of 200,000 in 20. Those thresholds (see `process`) stay, for a load
that leaves no quiet moment.
"""

from __future__ import annotations

import gc

# So many lookups that lasted may be left to the collector, a few MB, before all is looked through;
# twice as many if somebody always waits.
MOST_LASTING = 2000
# How many looks of the collector at what is young are left to the tick, and how many at what is
# not: a fifth, and half, of what it would look at next by itself.
YOUNG, OLD = 4, 25


def look(*, waiting: bool, lasting: int, resting: bool = False) -> bool:
    """Collect what is worth it; return whether all was looked through.

    `lasting` counts lookups that are over: they and their attempts hold each other. Those that last
    are old by then, and of what is old the collector looks for a million first: under a flood,
    minutes later, at the cost of a second. While the server is `resting` it has the time for all.
    """
    _, young, old = gc.get_count()
    much = lasting >= (2 * MOST_LASTING if waiting else MOST_LASTING)
    idle = not waiting and (old >= OLD or (resting and young + old > 0))
    if much or idle:
        gc.collect()
        return True
    if not waiting and young >= YOUNG:
        gc.collect(1)
    return False
