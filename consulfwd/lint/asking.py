"""Asks the world: agents over DNS, and installed servers for their version.

This is where sockets and processes are. What the answers mean is for the rules.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from consulfwd.lint.findings import Reply, Version
from consulfwd.lint.servers import Server, read_version

TIMEOUT_S = 1.0
MAX_ASKED = 64
# Servers live where the PATH of an ordinary user does not look.
_PLACES = os.pathsep.join(("/usr/sbin", "/usr/local/sbin", "/sbin"))


def ask_all(questions: Iterable[tuple[str, int, str]]) -> dict[tuple[str, int, str], Reply]:
    """Return the reply to each question (address, port, name), all asked at once over UDP.

    Only the first 64 are asked; it takes a second at most.
    """
    asked = list(questions)[:MAX_ASKED]
    if not asked:
        return {}
    with ThreadPoolExecutor(len(asked)) as pool:
        return dict(zip(asked, pool.map(lambda one: _ask(*one), asked), strict=True))


def _ask(address: str, port: int, name: str) -> Reply:
    import dns.exception
    import dns.flags
    import dns.message
    import dns.query
    import dns.rcode

    try:
        query = dns.message.make_query(name, "A", use_edns=True, payload=1232)
        reply = dns.query.udp(query, address, TIMEOUT_S, port)
    except dns.exception.Timeout:
        return Reply(f"nothing within {TIMEOUT_S:g} s", silent=True)
    except OSError as error:
        return Reply(error.strerror or str(error), silent=True)
    except (dns.exception.DNSException, ValueError, OverflowError):
        return Reply("replies, but not as DNS does")
    if reply.rcode() != dns.rcode.NOERROR:
        return Reply(f"says {dns.rcode.to_text(reply.rcode())} of {name}")
    if not reply.answer:
        return Reply(f"knows no address of {name}")
    ttl = min(records.ttl for records in reply.answer)
    return Reply("", recursion=bool(reply.flags & dns.flags.RA), ttl=ttl)


def installed_version(server: Server) -> Version | None:
    """Return the version of the server installed on this host, or None."""
    program = shutil.which(server.program[0]) or shutil.which(server.program[0], path=_PLACES)
    if program is None:
        return None
    try:
        ended = subprocess.run(
            [program, *server.program[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    said = ended.stdout.decode("utf-8", "replace")
    match = re.search(rf"{re.escape(server.before)}(\d\S*)", said)
    return read_version(match[1]) if match else None
