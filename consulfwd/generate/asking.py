"""One question put to a DNS server, and what came of it."""

from __future__ import annotations

from typing import NamedTuple

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from consulfwd.generate.model import NameServer

TIMEOUT_S = 2.0


class Reply(NamedTuple):
    """What a server replied: its rcode, and the records of the type asked for, with their TTL.

    `fault` is why there is no reply, and then there is nothing else. `soa` is whose SOA came with
    it, without the dot at the end ("" for none, and for the root's).
    """

    rcode: str = ""
    records: tuple[str, ...] = ()
    fault: str = ""
    ttl: int = 0
    soa: str = ""

    def __str__(self) -> str:
        if self.fault or self.rcode != "NOERROR":
            return self.fault or self.rcode
        count = len(self.records)
        return f"{self.rcode} with {count or 'no'} record{'' if count == 1 else 's'}"


def ask(server: NameServer, name: str, rtype: str, dnssec: bool = False) -> Reply:
    """Ask a server, over TCP where UDP is too small for the answer.

    With `dnssec` for the records of DNSSEC too (DO), for which some servers validate.
    """
    query = dns.message.make_query(name, rtype, use_edns=True, payload=1232, want_dnssec=dnssec)
    try:
        reply, _ = dns.query.udp_with_fallback(query, server.address, TIMEOUT_S, server.port)
    except dns.exception.Timeout:
        return Reply(fault=f"no reply within {TIMEOUT_S:g} s")
    except (OSError, dns.exception.DNSException) as error:
        return Reply(fault=str(error) or type(error).__name__)
    wanted = dns.rdatatype.from_text(rtype)
    sets = [rrset for rrset in reply.answer if rrset.rdtype == wanted]
    return Reply(
        dns.rcode.to_text(reply.rcode()),
        tuple(str(one) for rrset in sets for one in rrset),
        ttl=max((rrset.ttl for rrset in sets), default=0),
        soa=next((str(rrset.name).rstrip(".").lower() for rrset in reply.authority
                  if rrset.rdtype == dns.rdatatype.SOA), ""),
    )  # fmt: skip
