"""Whether a server resolves what it should, found out by asking it."""

from __future__ import annotations

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from consulfwd.generate.model import NameServer

QUERY_TIMEOUT = 2.0


def resolves(server: NameServer, name: str) -> str:
    """Ask `server` for the addresses of `name`; return what is wrong with its answer, or ""."""
    query = dns.message.make_query(name, dns.rdatatype.A)
    where = f"{name} at {server.host}:{server.port}"
    try:
        reply = dns.query.udp(query, server.address, QUERY_TIMEOUT, server.port)
    except dns.exception.Timeout:
        return f"{where}: no reply within {QUERY_TIMEOUT:g} s"
    except (OSError, dns.exception.DNSException) as error:
        return f"{where}: {error}"
    if reply.rcode() != dns.rcode.NOERROR or not reply.answer:
        return f"{where}: {dns.rcode.to_text(reply.rcode())}, {len(reply.answer)} records"
    return ""
