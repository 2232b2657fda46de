"""Why nothing may be taken for gone by what is known of Consul: in words, "" where it may.

What belongs here: the reasons. What becomes of them is decided in `steady` and `guards`. The words
are the same as long as the reason is: whoever is told of changes is told once.
"""

from __future__ import annotations

from collections.abc import Mapping

from consulfwd.consul.facts import Fact, Known

NOT_YET = "it is not known yet"
UNHEARD = "Consul was not heard yet"
UNASKED = "Consul cannot be asked for it"
PARTIAL = "the token may not read all of it"
# A service is listed for its instances, and Consul's own is in every datacenter: a token that may
# not read them is told neither by Consul before 1.11 nor by what is left.
HIDDEN = "it is listed, but nothing of it can be read"
NOTHING = "it is empty, without even Consul's own service"
ALL_HIDDEN = "nothing of any service in it can be read"


def doubt_of(
    fact: Fact,
    faults: Mapping[Fact, object],
    about: Known | None,
    *,
    hidden: str,
    age: float,
    max_age: float,
) -> str:
    """Return why nothing may be taken for gone by what is known `about` a fact.

    `hidden` is what tells that there must be more. `age` is for how long (seconds) it may have gone
    unproved before anybody looks again.
    """
    if fact in faults:
        return UNASKED
    if about is None:
        return NOT_YET
    if about.partial:
        return PARTIAL
    if about.held:
        return about.held
    if hidden:
        return hidden
    return f"it was not proved for {max_age:g} s" if age > max_age else ""


def not_all(where: str) -> str:
    """Return that not all services are known; `where` is how a datacenter is told."""
    return f"not all services{where} are known yet"


def of_the_list(where: str, why: str) -> str:
    """Return why the list of services is in doubt."""
    return f"the list of services{where}: {why}"


def elsewhere(datacenter: str) -> str:
    """Return that a service is not of the datacenter that it was of."""
    return f"it is of another datacenter than {datacenter} by now"


def too_many(over: int, most: int, where: str) -> str:
    """Return that there was no room for so many services."""
    return (
        f"{over} services{where} more than the {most} that are followed:"
        " say in `services` of the zone which ones are meant"
    )
