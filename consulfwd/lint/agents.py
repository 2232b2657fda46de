"""Asks agents over DNS what they say of Consul's names.

This is where sockets are. What the answers mean is for the rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from consulfwd.servers.findings import AgentReply

TIMEOUT_S = 1.0
MAX_ASKED = 64


def ask_all(questions: Iterable[tuple[str, int, str]]) -> dict[tuple[str, int, str], AgentReply]:
    """Return the reply to each question (address, port, name), all asked at once over UDP.

    Only the first 64 are asked; it takes a second at most.
    """
    asked = list(questions)[:MAX_ASKED]
    if not asked:
        return {}
    with ThreadPoolExecutor(len(asked)) as pool:
        return dict(zip(asked, pool.map(lambda one: _ask(*one), asked), strict=True))


def _ask(address: str, port: int, name: str) -> AgentReply:
    import dns.exception
    import dns.flags
    import dns.message
    import dns.query
    import dns.rcode

    try:
        query = dns.message.make_query(name, "A", use_edns=True, payload=1232)
        reply = dns.query.udp(query, address, TIMEOUT_S, port)
    except dns.exception.Timeout:
        return AgentReply(f"nothing within {TIMEOUT_S:g} s", silent=True)
    except OSError as error:
        return AgentReply(error.strerror or str(error), silent=True)
    except (dns.exception.DNSException, ValueError, OverflowError):
        return AgentReply("replies, but not as DNS does")
    if reply.rcode() != dns.rcode.NOERROR:
        return AgentReply(f"says {dns.rcode.to_text(reply.rcode())} of {name}")
    if not reply.answer:
        return AgentReply(f"knows no address of {name}")
    ttl = min(records.ttl for records in reply.answer)
    return AgentReply("", recursion=bool(reply.flags & dns.flags.RA), ttl=ttl)
