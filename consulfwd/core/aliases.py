"""Where the aliases in an answer lead: to a name that others than who answered are to be asked for.

A recursor knows nothing under Consul's domain or a conditional zone, or something else than is
known here; a server of a conditional zone, or an agent, may know no more than the alias itself.
"""

from __future__ import annotations

from typing import NamedTuple

from consulfwd.core.ask import Ask
from consulfwd.core.routes import Kind, Route, Routes
from consulfwd.core.verdict import ANSWERS
from consulfwd.dns import const
from consulfwd.dns.message import Message
from consulfwd.dns.records import alias_chain, covered_by, owner_of, type_of
from consulfwd.errors import WireError


class Onward(NamedTuple):
    """The name (folded) to be asked for next, and the records that lead to it."""

    target: bytes
    records: list[bytes]


def leads_on(ask: Ask, message: Message, routes: Routes) -> Onward | None:
    """Return where a reply to `ask` leads that does not end where it should; None if it does.

    The chain is left at the first name that is somebody else's. Recursors are asked for theirs only
    if the reply has nothing for it: they know no better.
    """
    if (
        not message.aliased
        or message.rcode not in ANSWERS
        or ask.qtype in (const.CNAME, const.ANY)
        or ask.route.kind is Kind.SERVER
    ):
        return None
    try:
        answers = message.sections(ask.question)[0]
        names = alias_chain(answers, ask.name)
    except WireError:
        return None
    elsewhere = False
    for number, name in enumerate(names[1:], 1):
        route = routes.find(name)
        elsewhere = _elsewhere(route, ask.route)
        if elsewhere and route.kind is not Kind.RECURSE:
            return Onward(name, _leading(answers, names[:number]))
    if message.matched or len(names) == 1 or not (elsewhere or _is_bare(ask, message)):
        return None
    return Onward(names[-1], _leading(answers, names[:-1]))


def _elsewhere(route: Route, own: Route) -> bool:
    """Return whether others are asked by a route than by one's own."""
    if route.origin == own.origin or (route.kind is own.kind is Kind.CONSUL):
        return False
    return route.kind is not own.kind or route.groups != own.groups


def _is_bare(ask: Ask, message: Message) -> bool:
    """Return whether a reply says nothing of the name its aliases end at, not even that it denies.

    Consul's replies deny with its SOA too where it did not look.
    """
    if message.rcode:
        return False
    return ask.route.kind is Kind.CONSUL or message.negative_ttl is None


def _leading(answers: list[bytes], names: list[bytes]) -> list[bytes]:
    """Return the aliases of these names, with what signs them, in the order given."""
    led = []
    for one in answers:
        owner = owner_of(one).lower()
        kind = type_of(one)
        if kind == const.RRSIG:
            kind = covered_by(one)
        if (kind == const.CNAME and owner in names) or (
            kind == const.DNAME and any(name.endswith(owner) for name in names)
        ):
            led.append(one)
    return led
