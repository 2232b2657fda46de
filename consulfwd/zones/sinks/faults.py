"""What goes wrong with a server that is asked or told something, in words and with the mend.

What belongs here: words for what DNS servers answer (RFC 1035, RFC 2136, RFC 8945). Must not know
how they are asked. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

from consulfwd.dns import const, names
from consulfwd.errors import ApplyError
from consulfwd.zones.model import Act

_MOST_NAMED = 5
KEY_MEND = "name, algorithm and secret must be the same there and in `key_file`"
_NOBODY = "see whether the server runs and can be reached; the next of `servers` is tried, too"

# What somebody else did meanwhile (RFC 2136 section 3.2).
CONFLICTS = {
    const.YXDOMAIN: "a name that is to be new is there",
    7: "records that are to be new are there",
    8: "what was read is not there any more",
    const.NXDOMAIN: "a name that was read is not there any more",
}


class Fault(Exception):
    """One server could not be asked, or said no: `what`, and how to `mend` it.

    `unsure` says that what it was told may have been done all the same, `some` that it may be for
    some of that: it might take the rest.
    """

    def __init__(
        self, what: str, mend: str = "", *, unsure: bool = False, some: bool = False
    ) -> None:
        self.what = what
        self.mend = mend
        self.unsure = unsure
        self.some = some
        super().__init__(what)


class Doing(Enum):
    """What a server was asked to do; the value is how it is told."""

    QUERY = "queries"
    TRANSFER = "transfers"
    UPDATE = "updates"


_ALLOWED = {
    Doing.QUERY: "see whether it has the zone, and lets this host ask: allow-query in BIND",
    Doing.TRANSFER: (
        "allow them for this key: allow-transfer in BIND, an acl with `action: transfer` in Knot,"
        " TSIG-ALLOW-AXFR in PowerDNS"
    ),
    Doing.UPDATE: (
        "allow them for this key: allow-update or update-policy in BIND, an acl with"
        " `action: update` in Knot, TSIG-ALLOW-DNSUPDATE, and dnsupdate=yes, in PowerDNS"
    ),
}


def refused(rcode: int, doing: Doing, zone: bytes) -> Fault:
    """Return what a response code other than NOERROR means."""
    code = f"({const.rcode_text(rcode)})"
    of = names.to_text(zone)
    if rcode == const.REFUSED:
        return Fault(f"refuses {doing.value} of {of} {code}", _ALLOWED[doing])
    if rcode == 9:
        what = f"is not authoritative for {of}, or does not know the key {code}"
        return Fault(what, f"name the zone's primary; {KEY_MEND}")
    if rcode == 10:
        what = f"says that names are not in its zone {of} {code}"
        mend = "see which zones it has: one may have been split off below"
        return Fault(what, mend, some=doing is Doing.UPDATE)
    if rcode == const.NOTIMP:
        return Fault(f"takes no {doing.value} {code}", _ALLOWED[doing])
    if rcode == const.SERVFAIL:
        what = f"failed at {doing.value} of {of} {code}"
        mend = (
            "see its log; it must be able to write to the zone's file and journal, and BIND has a"
            " limit for the records of a name: max-records-per-type"
        )
        update = doing is Doing.UPDATE
        return Fault(what, mend, unsure=update, some=update)
    if rcode == const.FORMERR:
        return Fault(f"does not understand {doing.value} {code}", "see its log and its version")
    if rcode in CONFLICTS:
        return Fault(f"says {CONFLICTS[rcode]} {code}", "see who else writes to the zone")
    return Fault(f"answers {const.rcode_text(rcode)}", "see its log")


def unsigned() -> Fault:
    """Return that a reply is not signed though what was sent was."""
    what = "did not sign its reply, which could be anybody's"
    return Fault(what, "see what answers there, and whether it knows the key", unsure=True)


def unreachable(error: OSError, *, sent: bool) -> Fault:
    """Return what the system's error means; `sent` is whether the message may have arrived."""
    said = error.strerror or str(error) or type(error).__name__
    what = f"broke the connection off ({said})" if sent else f"cannot be reached ({said})"
    return Fault(what, _NOBODY, unsure=sent)


def silent(seconds: float, *, sent: bool) -> Fault:
    """Return that there was no reply in time."""
    what = f"did not answer within {seconds:g} s" if sent else "cannot be reached (timed out)"
    return Fault(what, _NOBODY, unsure=sent)


def cut_off() -> Fault:
    """Return that a connection ended before what was to come."""
    what = "ended the connection in the middle of a reply"
    return Fault(what, "see its log", unsure=True)


def joined(where: str, what: str, faults: Sequence[tuple[str, Fault]]) -> ApplyError:
    """Return one error for what several servers said: what, each reason, the first one's mend."""
    reasons = "; ".join(f"{server} {fault.what}" for server, fault in faults)
    return ApplyError(where, f"{what}: {reasons}", faults[0][1].mend if faults else "")


def changed_meanwhile(where: str, before: str, now: str, acts: Iterable[Act]) -> ApplyError:
    """Return that a target does not hold the base any more; `acts` are what others did."""
    found = sorted({(act.key.name, act.key.type) for act in acts})
    named = ", ".join(
        f"{names.to_text(name)} {const.type_text(kind)}" for name, kind in found[:_MOST_NAMED]
    )
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    what = f"changed by somebody else since it was read ({before or 'nothing'} is {now or 'gone'})"
    return ApplyError(
        where,
        f"{what}: {named}{more}" if named else f"{what}, but none of what is ours",
        "nothing was done; plan again, and see who else writes to it",
    )
