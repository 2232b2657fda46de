"""The differences of ours that are known, each with its reason. One that is not here is a fault.

A reason is for a kind (as `kinds` names it, with * for anything) of one server, where its
condition holds of the query and of that server's reply. The first that fits counts. What is known
of the peers is in `peculiar`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import dns.rdatatype

from tests.integration.differ.facts import Facts
from tests.integration.differ.kinds import Difference
from tests.integration.differ.odd import ZONE
from tests.integration.differ.questions import Query
from tests.integration.differ.servers import OURS, REVERSE

Where = Callable[[Query, Facts], bool]
# The default of cache.max_negative_ttl.
NEGATIVE_TTL = 60


@dataclass(frozen=True)
class Reason:
    """Why a kind of difference is none to mend; one that is `rare` is not in every run."""

    server: str
    kind: str
    where: Where
    why: str
    rare: bool = False

    def fits(self, difference: Difference, own: Facts) -> bool:
        """Does it explain this difference?"""
        return (
            self.server == difference.server
            and fnmatchcase(difference.kind, self.kind)
            and self.where(difference.query, own)
        )


def everywhere(query: Query, own: Facts) -> bool:
    return True


def marked(mark: str) -> Where:
    return lambda query, own: mark in query.marks


def asked(*types: str) -> Where:
    return lambda query, own: query.rtype in types


def below(*domains: str) -> Where:
    return lambda query, own: query.below(*domains)


def both(first: Where, second: Where) -> Where:
    return lambda query, own: first(query, own) and second(query, own)


def _denied_briefly(query: Query, own: Facts) -> bool:
    """A denial, or the like, in which no TTL is above what denials are kept for."""
    denies = bool(own.sections["authority"]) or own.rcode != "NOERROR"
    return denies and all(ttl <= NEGATIVE_TTL for classes in own.ttls.values() for ttl in classes)


def _other_types(query: Query, own: Facts) -> bool:
    """There are records in the answer that are not of the type asked."""
    asked_for = dns.rdatatype.from_text(query.rtype)
    return any(rtype != asked_for for _, rtype, _ in own.sections["answer"])


def not_consul(query: Query, own: Facts) -> bool:
    return not consul(query, own)


consul = below("consul", REVERSE)
reverse = below(REVERSE)
odd = below(ZONE)
big = below("big.service.consul")
special = below("localhost", "invalid", "onion", "127.in-addr.arpa")

def into_consul(query: Query, own: Facts) -> bool:
    """An alias of another zone leads to a name of Consul's."""
    return not query.below("consul") and any(
        record[2].endswith(b"\6consul\0") for record in own.sections["answer"]
    )


any_type = both(asked("ANY"), not_consul)


def _ours(kind: str, where: Where, why: str, *, rare: bool = False) -> Reason:
    return Reason(OURS, kind, where, why, rare)


NOT_ASKED = "ANY outside Consul is not asked for: HINFO is the answer (RFC 8482)"
RELAYED = "a forward zone's server is believed in all it says; the cache is by question, no other"
RELAYED += " name gets it"
MADE_HERE = "names answered here (RFC 6761) have a SOA of our own; others pass on the recursor's"
ACCEPTED = (
    *(
        _ours(
            kind,
            marked("nord"),
            "RD is not looked at: a stub that forgets it means the same. The others refuse, or"
            " tell what they have at hand",
        )
        for kind in ("* instead of REFUSED", "answer: only here", "authority: *")
    ),
    *(
        _ours(kind, any_type, NOT_ASKED)
        for kind in (
            *("NOERROR instead of *", "answer: *", "authority: *", "AD not set", "TC not set"),
            *("TTL higher in the answer", "TTL lower in the answer"),
        )
    ),
    _ours(
        "NOERROR instead of NXDOMAIN",
        both(asked("DS"), below("consul")),
        "Consul's names have no DS. Of the domain it says that it does not exist; the others look"
        " above it, where it does not",
    ),
    _ours(
        "NOERROR instead of NXDOMAIN",
        both(asked("DS"), into_consul),
        "that a name of Consul's has no DS is said of what an alias leads to, too",
        rare=True,
    ),
    _ours(
        "NOERROR instead of NXDOMAIN",
        both(asked("SOA", "NS"), into_consul),
        "Consul gives its domain's SOA and NS for any name below; BIND takes that for a denial",
        rare=True,
    ),
    _ours(
        "NXDOMAIN instead of NOERROR",
        both(asked("ANY"), below("consul")),
        "Consul denies its domain when it is asked for ANY; the others may have it in the cache",
        rare=True,
    ),
    _ours(
        "AD *set",
        marked("cd"),
        "with CD a recursor says AD of what it has happened to validate before",
        rare=True,
    ),
    _ours(
        "AD not set",
        not_consul,
        "AD is passed on from who vouches for an answer, and not kept: a cache that does not"
        " validate has nobody's word for what it holds (RFC 6840 section 5.8)",
    ),
    _ours(
        "AA set",
        below("consul", REVERSE, ZONE),
        "a reply of Consul's, or of a forward zone's server, is passed on with its AA, but not out"
        " of the cache",
    ),
    _ours(
        "RA set",
        below("consul", REVERSE, ZONE),
        "RA is always set: there are stubs that keep nothing without",
        rare=True,
    ),
    _ours(
        "NOERROR instead of NXDOMAIN",
        both(asked("CNAME"), not_consul),
        "an alias that is asked for itself is there, wherever it leads. unbound, the recursor too,"
        " may tell of its target",
        rare=True,
    ),
    _ours(
        "owners spelled *",
        below("consul", ZONE),
        "an owner that the server behind wrote out keeps its spelling (RFC 4343: it is the same)",
        rare=True,
    ),
    _ours(
        "NOERROR instead of NXDOMAIN",
        both(asked("DS"), special),
        "names answered here (RFC 6761) exist; the others look above them, where they do not",
        rare=True,
    ),
    *(_ours(kind, special, MADE_HERE) for kind in ("AA set", "AD not set", "authority: *")),
    _ours(
        "answer: left out",
        below("localhost"),
        "localhost has addresses, and is denied for any other type (RFC 6761 section 6.3)",
    ),
    _ours("TTL lower in the *", special, "names answered here have a TTL of 3600"),
    _ours(
        "TTL lower in the *",
        _denied_briefly,
        "denials, and the alias before one, are kept for cache.max_negative_ttl: 60 s",
    ),
    _ours(
        "extended error",
        lambda query, own: own.rcode in ("SERVFAIL", "REFUSED"),
        "why there is no answer is always said (RFC 8914)",
    ),
    *(
        _ours(kind, where, "what Consul adds is passed on: addresses of targets, texts of nodes")
        for kind in ("additional: only here", "additional: more records")
        for where in (consul, into_consul)
    ),
    _ours(
        "authority: only here",
        below("consul"),
        "the domain's servers, where Consul adds them",
        rare=True,
    ),
    *(
        _ours(
            "answer: more records",
            where,
            "Consul leaves out, without TC, what is too much for 1,232 octets: it is asked for all",
        )
        for where in (big, into_consul)
    ),
    *(
        _ours(
            "TC set", where, "who cannot take all of Consul's list is told; others cut it silently"
        )
        for where in (big, into_consul)
    ),
    *(
        _ours(
            f"answer: {what}",
            both(consul, _other_types),
            "Consul answers with records of other types than asked, too; they are passed on",
            rare=True,
        )
        for what in ("only here", "more records", "other records")
    ),
    _ours(
        "NXDOMAIN instead of SERVFAIL",
        reverse,
        "Consul before 1.18 says SERVFAIL of an address it does not know: recursors are asked",
        rare=True,
    ),
    _ours("AD set", reverse, "what Consul does not know the recursors are asked (consul.reverse)"),
    _ours("authority: *", reverse, "what Consul does not know a recursor denies (consul.reverse)"),
    *(
        _ours(kind, odd, RELAYED)
        for kind in (
            *("NOERROR instead of NXDOMAIN", "aliases out of order", "answer: *"),
            *("authority: *", "a record twice"),
        )
    ),
    _ours(
        "TC not set",
        lambda query, own: 1232 < own.size <= query.limit,
        "a client on the host gets datagrams as large as it says",
    ),
)
