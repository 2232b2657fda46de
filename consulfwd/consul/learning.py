"""Learns which servers there are: those an agent's catalog lists, as far as Raft knows them.

What belongs here: asking for Raft's peers where that is needed, and what the log is told of lists
without servers and of strangers. Which addresses are believed is in `servers`. Must not know: when
an agent is looked at, what becomes of a list.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from consulfwd.consul import servers
from consulfwd.consul.client import Client
from consulfwd.consul.reply import LARGE, Reply
from consulfwd.errors import ConsulError

log = logging.getLogger("consulfwd.consul")

PEERS = "/v1/status/peers"
PEERS_TIMEOUT, PEERS_LIMIT = 3.0, 1 << 16
# So many replies in a row without servers, and the log is told that there is no list.
EMPTY = 2
# Of so many strangers in all the log is told, of so many in one line.
TOLD, IN_A_LINE = 1000, 5

Rosters = Sequence[tuple[str, servers.Roster]]


class Learner:
    """Takes what agents say into rosters, by name ("" is the local one)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._empty: dict[str, int] = {}
        self._strangers: dict[str, frozenset[str]] = {}
        self._told: set[tuple[str, str]] = set()

    def forget(self) -> None:
        """Tell everything anew: there are other settings."""
        self._empty.clear()
        self._strangers.clear()
        self._told.clear()

    async def learn(self, client: Client, reply: Reply, rosters: Rosters) -> bool:
        """Take the servers in a reply of an agent; return whether another list came of it.

        Raises ConsulError where it is none of Consul's.
        """
        # Whoever may register them makes as many as fit into a reply.
        large = len(reply.body) > LARGE
        listed = await asyncio.to_thread(_listed, reply) if large else _listed(reply)
        if reply.filtered_by_acls:
            listed = []
        unasked = ""
        if any(roster.in_doubt(listed, self._clock()) for _, roster in rosters):
            try:
                named = await _peers(client)
            except ConsulError as error:
                unasked = f"HTTP {error.status}: {error.reason}" if error.status else error.reason
            else:
                for _, roster in rosters:
                    roster.named(named, self._clock())
        news = False
        for name, roster in rosters:
            change = roster.heard(listed)
            self._tell_list(name, bool(listed))
            self._tell_strangers(name, roster.strangers(listed), unasked)
            if change.came or change.went:
                news = True
                moves = [f"{one} came" for one in change.came]
                moves += [f"{one} went" for one in change.went]
                label = f"agents of {name}" if name else "agents"
                log.info("%s changed: %s (from the catalog)", label, ", ".join(moves))
        return news

    def _tell_list(self, name: str, listed: bool) -> None:
        empty = self._empty.get(name, 0)
        if empty >= EMPTY:
            return  # told already
        self._empty[name] = 0 if listed else empty + 1
        if self._empty[name] == EMPTY:
            log.warning(
                "%s lists no servers: only the seeds are asked"
                " (may the token of token_file read nodes and the service consul?)",
                _catalog(name),
            )

    def _tell_strangers(self, name: str, strangers: list[str], unasked: str) -> None:
        # A server that joins may be in the catalog of one agent before another's Raft knows it.
        before, self._strangers[name] = self._strangers.get(name, ()), frozenset(strangers)
        new = [one for one in strangers if one in before and (name, one) not in self._told]
        if not new or len(self._told) >= TOLD:
            return
        self._told.update((name, one) for one in new)
        peers = f"{PEERS} cannot be asked ({unasked})" if unasked else f"{PEERS} does not"
        follows = "not asked, and shown no token (name agents that are meant among the seeds)"
        log.warning("%s", strangers_told(name, new, f"{peers}: {follows}"))


def strangers_told(datacenter: str, who: Sequence[str], why: str) -> str:
    """Return what is told of those in the catalog as servers who are none."""
    listed = ", ".join(who[:IN_A_LINE])
    if len(who) > IN_A_LINE:
        listed += f" and {len(who) - IN_A_LINE} more"
    return f"{_catalog(datacenter)} lists {listed} among Consul's servers, and {why}"


def _catalog(name: str) -> str:
    return f"the catalog of {name}" if name else "the catalog"


def _listed(reply: Reply) -> list[str]:
    """Return the addresses of the catalog's servers. Raises ConsulError."""
    try:
        return servers.addresses(reply.json())
    except ValueError as error:
        raise ConsulError(reply.agent, 0, str(error)) from None


async def _peers(client: Client) -> frozenset[str]:
    """Return the servers' addresses as Raft has them, which takes no token. Raises ConsulError."""
    reply = await client.get(PEERS, timeout=PEERS_TIMEOUT, limit=PEERS_LIMIT, anonymous=True)
    try:
        return servers.peers(reply.json())
    except ValueError as error:
        raise ConsulError(reply.agent, 0, str(error)) from None
