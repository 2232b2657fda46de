"""Replies of Consul's HTTP API made by hand."""

from __future__ import annotations

import json
from typing import Any

from consulfwd.consul.reply import Reply, read

AGENT = "10.0.0.11:8600"


def servers(*addresses: str) -> list[dict[str, Any]]:
    """The body of /v1/health/service/consul with a server at each address."""
    return [
        {
            "Node": {"Node": f"server-{address}", "Address": address},
            "Service": {"ID": "consul", "Service": "consul", "Address": "", "Port": 8300},
            "Checks": [{"CheckID": "serfHealth", "Status": "passing"}],
        }
        for address in addresses
    ]


def reply(
    parsed: object = (),
    *,
    index: int | None = 1,
    leader: bool | None = True,
    contact_ms: int | None = 0,
    streaming: bool = False,
    filtered: bool = False,
    mute: bool = False,
    body: bytes | None = None,
) -> Reply:
    """A reply of status 200; None leaves a header out."""
    headers = {
        "X-Consul-Index": None if index is None else str(index),
        "X-Consul-KnownLeader": None if leader is None else str(leader).lower(),
        "X-Consul-LastContact": None if contact_ms is None else str(contact_ms),
        "X-Consul-Query-Backend": (
            "streaming" if streaming else None if mute else "blocking-query"
        ),
        "X-Consul-Results-Filtered-By-ACLs": "true" if filtered else None,
    }
    given = {name: value for name, value in headers.items() if value is not None}
    return read(AGENT, 200, given, json.dumps(parsed).encode() if body is None else body, 0.01)
