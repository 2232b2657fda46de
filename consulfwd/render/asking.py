"""Asking servers: which version is installed, and whether one resolves what it should.

What belongs here: questions whose answers say how a file is to be written or whether it works.
"""

from __future__ import annotations

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from consulfwd.errors import UsageError
from consulfwd.render import commands
from consulfwd.render.model import NameServer, Version
from consulfwd.render.targets import Target, parse_version

VERSION_TIMEOUT, QUERY_TIMEOUT = 10.0, 2.0


def installed_version(target: Target) -> Version | None:
    """Return the version of the program on this host, None where there is none to ask.

    Raises UsageError when what it says cannot be understood.
    """
    if not target.ask_version or commands.find(target.ask_version[0]) is None:
        return None
    ran = commands.run(target.ask_version, timeout_s=VERSION_TIMEOUT)
    if ran.wrong and not ran.output:
        raise UsageError(f"{ran} (name the version with --server-version)")
    return parse_version(target, ran.output)


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
