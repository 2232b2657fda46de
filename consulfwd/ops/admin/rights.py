"""Who may look, and who may also order and see names. Pure.

A browser lends its place on this host to every page it shows: over TCP, and over a socket that was
forwarded to a port, a request must name this host (else a name was rebound to it, and it is a
stranger's page that asks) and come from no other page.
"""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from typing import TYPE_CHECKING

from consulfwd.ops.admin.http import HttpError, Request

if TYPE_CHECKING:
    from consulfwd.ops.admin.doors import Door


def check(request: Request, door: Door) -> None:
    """Raise HttpError unless a request is meant for this server, and comes from its own page."""
    host = request.fields.get("host", "")
    # Who forwards the socket to a port may take any.
    if door.port is None and not host and "origin" not in request.fields:
        return
    if not _is_here(host, door.port):
        raise HttpError(
            421, "this is answered on this host only: ask by 127.0.0.1, [::1] or localhost"
        )
    origin = request.fields.get("origin")
    if origin is not None and origin.lower() != f"http://{host.lower()}":
        raise HttpError(403, "a page of another origin may not ask")


def trusted(request: Request, door: Door, token: str) -> bool:
    """Return whether orders may be given, and names seen. Raises HttpError for a wrong token."""
    if door.port is None:
        return True
    said = request.fields.get("authorization")
    if said is None:
        return False
    scheme, _, shown = said.partition(" ")
    right = hmac.compare_digest(shown.strip().encode(), token.encode())
    if scheme.lower() != "bearer" or not token or not right:
        raise HttpError(401, "the token is not the right one", WWW_Authenticate="Bearer")
    return True


def demand(request: Request, door: Door, token: str) -> None:
    """Raise HttpError unless orders may be given."""
    if not trusted(request, door, token):
        why = "needs the token (Authorization: Bearer)" if token else "is for the unix socket only"
        raise HttpError(403, f"{request.path} {why}")


def _is_here(authority: str, port: int | None) -> bool:
    host, colon, said = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        host, said = authority, "80"
    if not said.isascii() or not said.isdigit() or (port is not None and said != str(port)):
        return False
    if host.lower() == "localhost":
        return True
    plain = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return ip_address(plain).is_loopback and (":" in plain) == (plain != host)
    except ValueError:
        return False
