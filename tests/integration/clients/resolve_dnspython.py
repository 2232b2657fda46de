"""How a program with dnspython resolves names: the servers and the search list of resolv.conf.

Each line read is a question, "KIND NAME REVERSE", and answered by one line: "ok" and what was
found, or "error" and what the library calls it.
"""

from __future__ import annotations

import socket
import sys

import dns.exception
import dns.resolver

FAMILIES = {"any": socket.AF_UNSPEC, "a": socket.AF_INET, "aaaa": socket.AF_INET6}


def find(resolver: dns.resolver.Resolver, kind: str, name: str) -> list[str]:
    """What is found; raises DNSException."""
    if kind in FAMILIES:
        found = resolver.resolve_name(name, family=FAMILIES[kind], search=True)
        return list(found.addresses())
    if kind == "ptr":
        return [str(record.target) for record in resolver.resolve_address(name)]
    if kind == "srv":
        records = resolver.resolve(name, "SRV", search=True)
        return [f"{record.target}:{record.port}" for record in records]
    raise ValueError("not a question")


def main() -> None:
    """Answer line by line."""
    resolver = dns.resolver.Resolver()
    for line in sys.stdin:
        kind, name, *_ = line.split()
        try:
            said = " ".join(["ok", *find(resolver, kind, name)])
        except dns.exception.DNSException as error:
            said = f"error {type(error).__name__}"
        except ValueError as error:
            said = f"error {error}"
        print(said, flush=True)


main()
