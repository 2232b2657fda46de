"""What one reply is worth by itself. Pure: whom to ask then is `core.query`'s to say."""

from __future__ import annotations

from consulfwd.core.upstreams import Upstream
from consulfwd.dns import const
from consulfwd.dns.edns import read_ede
from consulfwd.dns.message import Message

ANSWERS = frozenset((const.NOERROR, const.NXDOMAIN))
# A recursor's errors that are about the question: passed on where nobody has better (RFC 8906).
VERDICTS = frozenset((const.FORMERR, const.NOTIMP, const.YXDOMAIN))


def lost_most(message: Message, known: int) -> bool:
    """Return whether an answer has less than half of `known` records."""
    return 2 * message.answers < known


def left_out(message: Message, known: int, upstream: Upstream, now: float) -> bool:
    """Return whether an answer has so few of `known` records that its sender may lack the others.

    An agent that starts knows its services one after the other: for a moment any that are missing,
    then, as a list may shrink, most of them.
    """
    if message.answers >= known or not upstream.is_agent:
        return False
    if upstream.just_back(now):
        return True
    return lost_most(message, known) and upstream.unsettled(now)


def lame(message: Message) -> str:
    """Return why a reply of a server that was to recurse is none; "" if it is one.

    A denial has the zone's SOA, or comes from who knows the zone (AA) or looks names up (RA): RFC
    2308 section 2.2. What has neither sends on to others, or means REFUSED.
    """
    if message.rcode or message.answers or message.truncated or message.flags & const.AA:
        return ""
    if message.negative_ttl is not None:
        return ""
    if message.authorities:
        return "lame: it sends on to other servers"
    ede = read_ede(message.edns)
    if not message.flags & const.RA or (ede is not None and ede[0] in const.NOT_LOOKED_FOR):
        return "lame: there is nothing in its reply"
    return ""
