"""One audit's questions: each put to the first agent that answers, within the time there is.

What belongs here: one question and its reply, and the notes on what was not told. Must not know
what is asked for. Whatever fails is `Unseen`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from consulfwd.audit.site import Unseen
from consulfwd.config import Agent, Settings
from consulfwd.consul.client import Client
from consulfwd.consul.reply import LARGE, Reply
from consulfwd.consul.several import Several
from consulfwd.errors import ConsulError

Read = TypeVar("Read")

# One question may take so long (seconds), and one to a certain agent.
ASKED_S, AGENT_S = 10.0, 3.0
# So many questions at once at an agent; a list has so many octets at most.
AT_ONCE, LISTS = 24, 64 << 20
# So old (seconds) an agent's data may be; by it nothing is said to be sound.
MOST_BEHIND = 5.0
STALE = {"stale": ""}


class Inquiry:
    """Agents that are asked for a while. `unseen` is what they did not tell.

    `filtered` are the kinds of replies that ACLs took something out of, `mute` says that an agent
    would not tell of that.
    """

    def __init__(self, settings: Settings, timeout: float) -> None:
        self.settings = settings
        self.timeout = timeout
        self._ends = time.monotonic() + timeout
        self.filtered: set[str] = set()
        self.mute = False
        self._unseen: dict[Unseen, None] = {}
        self._clients: dict[int, Client] = {}
        self._several = Several(settings.consul.agents, connect=self._client)

    @property
    def unseen(self) -> tuple[Unseen, ...]:
        """What could not be looked at, sorted: replies come in any order."""
        return tuple(sorted(self._unseen))

    @property
    def over(self) -> bool:
        """Whether the time is."""
        return time.monotonic() > self._ends

    def note(self, what: str, why: str) -> None:
        """Note what could not be looked at."""
        self._unseen.setdefault(Unseen(what, why))

    async def close(self) -> None:
        """Close every connection."""
        for one in self._clients.values():
            await one.close()

    async def of(
        self, agent: Agent, path: str, params: Mapping[str, str] = STALE, also: tuple[int, ...] = ()
    ) -> Reply:
        """Return what this agent says. Raises ConsulError."""
        left = max(self._ends - time.monotonic(), 0.001)
        return await self._client(agent).get(
            path, params, timeout=min(AGENT_S, left), also=also
        )

    async def get(self, path: str, params: Mapping[str, str] = STALE) -> Reply:
        """Return what the first agent says that answers. Raises ConsulError."""
        left = max(self._ends - time.monotonic(), 0.001)
        reply = await self._several.get(
            path, params, timeout=min(ASKED_S, left), limit=LISTS, absent=False
        )
        if reply.filtered_by_acls:
            self.filtered.add(path.split("/")[3] if path.count("/") > 2 else path)
        # Others have no such header in any version.
        self.mute = self.mute or (reply.mute and path.startswith("/v1/health/service/"))
        if (reply.last_contact or 0.0) > MOST_BEHIND:
            why = f"{reply.agent} is {reply.last_contact:.0f} s behind the leader"
            self.note("what happened lately", why)
        return reply

    async def attempt(
        self,
        what: str,
        path: str,
        read: Callable[[Any], Read],
        otherwise: Read,
        params: Mapping[str, str] = STALE,
    ) -> Read:
        """Return what is read of a reply; where there is none that is noted."""
        try:
            reply = await self.get(path, params)
            if len(reply.body) > LARGE:
                return await asyncio.to_thread(lambda: read(reply.json()))
            return read(reply.json())
        except ConsulError as error:
            self.note(what, told(error))
        except ValueError as error:
            self.note(what, f"the reply is not of Consul's form: {error}")
        return otherwise

    def _client(self, agent: Agent) -> Client:
        return self._clients.setdefault(id(agent), Client(agent, connections=AT_ONCE))


def told(error: ConsulError) -> str:
    """Return why something was not told, in a few words."""
    if error.status == 403:
        return "the token may not ask for it (403)"
    said = f"HTTP {error.status}: {error.reason}" if error.status else error.reason
    return f"{error.agent}: {said}"
