"""What a running resolver says of its servers, and what these say themselves.

What belongs here: asking. Must not know what it is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from consulfwd.checks.agents import NotUnderstood, Seen, Upstream, read
from consulfwd.checks.asked_dns import AskError, Server, ask
from consulfwd.checks.deadline import Deadline
from consulfwd.checks.outcome import listed
from consulfwd.config import Settings
from consulfwd.dns import const
from consulfwd.errors import ConsulfwdError
from consulfwd.ops import client
from consulfwd.ops.places import of_resolvers
from consulfwd.ops.wrong import UP

# Servers asked at once, and how long (seconds) each may take.
AT_ONCE, PATIENCE = 40, 3.0
DIRECTLY = "--direct asks the servers themselves"
# What a server that works may say, too: not everyone may ask everybody for the root.
_OF_AGENTS = frozenset((const.NOERROR, const.NXDOMAIN))


def running(socket: Path | None, deadline: Deadline) -> Seen:
    """Return what the resolver says. Raises AskError, NotUnderstood, or what `ops.client` does."""
    return read(*seen(socket, deadline, f"; {DIRECTLY}"))


def seen(
    socket: Path | None, deadline: Deadline, otherwise: str = ""
) -> tuple[Mapping[str, Any], str]:
    """Return the picture of the resolver that is meant, and who was asked.

    `otherwise` is what can be done instead. Raises AskError, NotUnderstood, or what `ops.client`
    does.
    """
    try:
        sockets = client.find(socket)
    except ConsulfwdError as error:
        raise AskError(f"{error}{otherwise}") from None
    if socket is None:
        # Other programs of ours have theirs beside it.
        sockets = of_resolvers(sockets)
        if not sockets:
            raise AskError(f"no resolver runs here that can be asked{otherwise}")
        if len(sockets) > 1:
            names = listed([str(one) for one in sockets])
            raise AskError(f"several resolvers run here: say which with --socket ({names})")
    path = sockets[0]
    deadline.doing = f"waiting for {path}"
    status, said = client.ask(path, "GET", "/status.json", timeout=max(deadline.patience, 0.01))
    if status != 200:
        raise NotUnderstood(f"{path}: HTTP {status}: {said.get('error') or said.get('text')}")
    return said, str(path)


def directly(settings: Settings, deadline: Deadline) -> Seen:
    """Return what each agent and recursor of the settings says when it is asked one question."""
    own = f"consul.service.{settings.consul.domain}"
    asked: list[tuple[str, str, Server, str, int]] = [
        ("agent", one.name, Server(one.address, one.dns_port), own, const.A)
        for one in settings.consul.agents
    ]
    for recursor in settings.recursors or ():
        if recursor.transport == "udp":
            where = Server(recursor.address, recursor.port)
            asked.append(("recursor", recursor.name, where, ".", const.NS))
    deadline.doing = "waiting for " + ", ".join(name for _, name, *_ in asked[:3])
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        found = [pool.submit(_one, *one, deadline) for one in asked]
        return Seen([one.result() for one in found], asked="each by itself")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _one(
    kind: str, name: str, server: Server, question: str, rtype: int, deadline: Deadline
) -> Upstream:
    try:
        answer = ask(question, rtype, server, deadline.within(PATIENCE))
    except AskError as error:
        return Upstream(name, kind, str(error))
    if kind == "agent" and answer.rcode not in _OF_AGENTS:
        return Upstream(name, kind, f"answers {const.rcode_text(answer.rcode)}", rtt=answer.took)
    return Upstream(name, kind, UP, rtt=answer.took)
