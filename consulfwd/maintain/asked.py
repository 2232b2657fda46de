"""Who names an instance yet: what agents' DNS and their own view of health say, and for how long.

What belongs here: one look at every agent. Must not know: what is waited for. DNS is asked over
TCP for SRV records: that answer is not cut, as those over UDP are without saying so.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from consulfwd.config import Agent, Recursor
from consulfwd.consul import health
from consulfwd.consul.reply import Reply
from consulfwd.dns import const, names, replies, text
from consulfwd.dns.framing import StreamReader, frame
from consulfwd.dns.message import Message, read_reply
from consulfwd.dns.records import rdata_of, type_of
from consulfwd.dns.text import to_record
from consulfwd.errors import ConsulError, WireError
from consulfwd.maintain.instances import Instance, Unit, instances_of, named_by

# So long (seconds) one agent or server may take to say something.
PATIENCE = 2.0
_NOWHERE = (const.NXDOMAIN,)


class Records(NamedTuple):
    """What SRV records say: port and target of each, and the largest TTL of all that came along."""

    leads: tuple[tuple[int, str], ...] = ()
    ttl: int = 0


class Named(NamedTuple):
    """What a look at all came to: `by` whom it is named, by whom it, or a part of it, is not.

    `asked` is how many said something, `ttl` the largest seen; `silent` are the others, with why.
    """

    by: tuple[str, ...]
    missing: tuple[str, ...]
    asked: int
    ttl: int
    silent: tuple[str, ...] = ()


Dns = Callable[[str, int, str], Awaitable[Records]]


async def records(address: str, port: int, name: str) -> Records:
    """Return the SRV records that a server has for a name; none where there is no such name.

    Raises OSError, WireError, TimeoutError where that is not known.
    """
    wire = names.from_text(name)
    question = wire + const.SRV.to_bytes(2, "big") + const.IN.to_bytes(2, "big")
    message = await asyncio.wait_for(_exchange(address, port, question), PATIENCE)
    if message.rcode in _NOWHERE:
        return Records()
    if message.rcode != const.NOERROR:
        raise WireError(f"it says {const.rcode_text(message.rcode)}")
    answers, _, additional = message.sections(question.lower())
    leads = []
    for one in answers:
        if type_of(one) == const.SRV:
            _, _, port_text, target = text.rdata_text(const.SRV, rdata_of(one)).split(" ", 3)
            leads.append((int(port_text), target))
    ttls = [to_record(one).ttl for one in (*answers, *additional) if type_of(one) != const.OPT]
    return Records(tuple(leads), max(ttls, default=0))


async def _exchange(address: str, port: int, question: bytes) -> Message:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        query = secrets.token_bytes(2) + replies.build_query(question, const.RD, replies.OWN_SIZE)
        writer.write(frame(query))
        frames = StreamReader()
        while data := await reader.read(65_535):
            for one in frames.feed(data):
                if one[:2] == query[:2]:
                    return read_reply(one, question.lower())
        raise WireError("the connection was closed without an answer")
    finally:
        writer.close()


class Asking:
    """Looks at agents (DNS and HTTP) and other DNS servers (recursors with caches)."""

    def __init__(
        self,
        agents: Sequence[tuple[Agent, Callable[[str], Awaitable[Reply]]]],
        servers: Sequence[Recursor],
        domain: str,
        *,
        dns: Dns = records,
    ) -> None:
        self._agents = agents
        self._servers = servers
        self._domain = domain
        self._dns = dns

    async def look(self, unit: Unit, untold: frozenset[tuple[str, str]]) -> Named:
        """Return who names any of a unit's instances; of those `untold` DNS says nothing of use."""
        looks = []
        for instance in unit.instances:
            by_dns = instance.key not in untold
            for agent, get in self._agents:
                looks.append(self._health(agent, get, instance))
                if by_dns:
                    looks.append(self._answers(agent.address, agent.dns_port, instance))
            if by_dns:
                looks += [self._answers(one.address, one.port, instance) for one in self._servers]
        found = await asyncio.gather(*looks)
        by = dict.fromkeys(who for who, named, _, _ in found if named)
        missing = dict.fromkeys(who for who, named, _, why in found if not named and not why)
        silent = dict.fromkeys(f"{who}: {why}" for who, _, _, why in found if why)
        asked = sum(not why for *_, why in found)
        ttl = max((ttl for *_, ttl, _ in found), default=0)
        return Named(tuple(by), tuple(missing), asked, ttl, tuple(silent))

    async def _answers(
        self, address: str, port: int, instance: Instance
    ) -> tuple[str, bool, int, str]:
        who = f"DNS at {address} port {port}"
        try:
            found = await self._dns(address, port, f"{instance.service}.service.{self._domain}")
        except (TimeoutError, asyncio.TimeoutError):
            return who, False, 0, "no answer"
        except (OSError, WireError) as error:
            return who, False, 0, getattr(error, "strerror", None) or str(error)
        return who, named_by(instance, found.leads), found.ttl, ""

    async def _health(
        self, agent: Agent, get: Callable[[str], Awaitable[Reply]], instance: Instance
    ) -> tuple[str, bool, int, str]:
        who = f"HTTP at {agent.address} {agent.http_place}"
        try:
            reply = await get(instance.service)
            found = instances_of(instance.service, health.entries(reply.json()))
        except ConsulError as error:
            return who, False, 0, error.reason
        except ValueError as error:
            return who, False, 0, str(error)
        named = any(one.key == instance.key and one.healthy for one in found)
        return who, named, 0, ""
