"""How a program with asyncio and aiodns resolves names: c-ares, as the wheels bring it.

Each line read is a question, "KIND NAME REVERSE", and answered by one line: "ok" and what was
found, or "error" and what the library calls it.
"""

from __future__ import annotations

import asyncio
import socket
import sys

import aiodns
from pycares import SRVRecordData, errno

FAMILIES = {"any": socket.AF_UNSPEC, "a": socket.AF_INET, "aaaa": socket.AF_INET6}


async def find(resolver: aiodns.DNSResolver, kind: str, name: str) -> list[str]:
    """What is found; raises DNSError."""
    if kind in FAMILIES:
        nodes = (await resolver.getaddrinfo(name, FAMILIES[kind], type=socket.SOCK_STREAM)).nodes
        return [node.addr[0].decode() for node in nodes]
    if kind == "ptr":
        return [(await resolver.gethostbyaddr(name)).name]
    if kind == "srv":
        records = [record.data for record in (await resolver.query_dns(name, "SRV")).answer]
        services = [one for one in records if isinstance(one, SRVRecordData)]
        return [f"{one.target}:{one.port}" for one in services]
    raise ValueError("not a question")


async def main() -> None:
    """Answer line by line."""
    resolver = aiodns.DNSResolver()
    for line in iter(sys.stdin.readline, ""):
        kind, name, *_ = line.split()
        try:
            said = " ".join(["ok", *await find(resolver, kind, name)])
        except aiodns.error.DNSError as error:
            said = f"error {errno.errorcode[error.args[0]]}"
        except ValueError as error:
            said = f"error {error}"
        print(said, flush=True)


asyncio.run(main())
