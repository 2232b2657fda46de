"""What several checkers say of an address, and what that comes to.

What belongs here: whose word counts still, and how many agree. Must not know: how they hear of each
other, records, answers. Pure: `now` is passed in.

A word counts for `max_age` since it was heard anew by this host's own clock: the clocks of others
say nothing, and a server of Consul's that is cut off shows nothing new. As a quorum is more than
half, two sides of a cut cannot both have one; a side without holds what it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from consulfwd.failover.model import IP
from consulfwd.failover.tally import Rules


class Vote(NamedTuple):
    """What one checker says of an address: up, down, or None, that it cannot tell.

    `in_a_row` is how many checks said the other thing since, `why` what made it so.
    """

    up: bool | None
    in_a_row: int = 0
    why: str = ""


# By record, and by address.
Report = Mapping[str, Mapping[IP, Vote]]


class Heard(NamedTuple):
    """The report of a checker, and when it was heard last that it is still true."""

    report: Report
    at: float


class Verdict(NamedTuple):
    """What the votes come to (None: not enough agree), why, and for how many seconds that holds."""

    up: bool | None
    why: str
    holds: float


def fresh(
    heard: Mapping[str, Heard], name: str, ip: IP, now: float, max_age: float
) -> dict[str, Vote]:
    """Return the votes on an address that count, by checker."""
    found = {}
    for checker, one in heard.items():
        vote = one.report.get(name, {}).get(ip)
        if vote is not None and vote.up is not None and now - one.at < max_age:
            found[checker] = vote
    return found


def verdict(votes: Mapping[str, Vote], quorum: int, members: int, rules: Rules) -> Verdict:
    """Return what votes that count come to, of so many who might vote."""
    silent = max(members - len(votes), 0)
    ups = [one for one in votes.values() if one.up]
    downs = [one for one in votes.values() if not one.up]
    if len(ups) >= quorum:
        more = quorum - len(downs) - silent
        return Verdict(True, _why(ups, members), _holds(ups, more, rules.fall, rules.interval))
    if len(downs) >= quorum:
        more = quorum - len(ups) - silent
        return Verdict(False, _why(downs, members), _holds(downs, more, rules.rise, rules.interval))
    return Verdict(None, f"{len(votes)} can tell, {quorum} must agree", 0.0)


def _holds(against: Sequence[Vote], more: int, needed: int, interval: float) -> float:
    """Return how many seconds pass before so many more of these may have changed their minds.

    A checker tells of each check that says the other thing; the next may be on its way already.
    Those who are not heard may have the other opinion as soon as they are.
    """
    left = sorted(max(needed - one.in_a_row - 1, 0) * interval for one in against)
    return left[min(max(more, 1), len(left)) - 1]


def _why(votes: Sequence[Vote], members: int) -> str:
    reasons = [one.why for one in votes if one.why]
    said = f"{len(votes)} of {members} checkers say so"
    return f"{said}, one of them: {reasons[0]}" if reasons else said
