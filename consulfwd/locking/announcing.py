"""The holder of a lock as a service of the local agent, so that its name leads to the holder.

What belongs here: registering it, keeping its check passing while the lock is surely held, taking
it out. Must not know: what is run. It costs nobody the lock where that fails; it is told.

The check is one of a TTL: whoever is killed, or stands still, is no longer passing its TTL after
the last renewal of the session, by the agent's clock, and has no other holder beside it before.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from consulfwd.consul.kv import Connection
from consulfwd.consul.term import Term
from consulfwd.core.alarms import Alarms
from consulfwd.errors import ConsulError

log = logging.getLogger("consulfwd.lock")

# So long (seconds) a request may take, and the pause after one that failed.
TIMEOUT, AGAIN = 2.0, 2.0
# Consul takes out what is critical for so long; it allows no less.
LEFT_BEHIND = "1m"


class Service(NamedTuple):
    """What is registered; without an address, the node's counts."""

    name: str
    port: int | None = None
    address: str = ""
    tags: Sequence[str] = ()


class Announcing:
    """One service, for one time that the lock is held."""

    def __init__(self, connection: Connection, service: Service, ttl: float) -> None:
        self._connection = connection
        self._service = service
        self._ttl = ttl
        # Two who campaign on one host are told apart.
        self.id = f"{service.name}-lock-{socket.gethostname()}-{os.getpid()}"
        self._alarms = Alarms()
        self._renewed = asyncio.Event()
        self._registered = False

    def renewed(self) -> None:
        """Note that the lock is surely held for a whole TTL from now on."""
        self._renewed.set()

    async def keep(self, term: Term) -> None:
        """Have it registered and passing, until cancelled."""
        while True:
            self._renewed.clear()
            try:
                if not term.why():
                    await self._pass(term)
                    self._well()
            except ConsulError as error:
                # An agent that was begun anew knows nothing of it.
                self._registered = False
                if self._alarms.wrong(self.id, time.monotonic(), str(error)):
                    log.warning("%s: not registered as a service: %s", self._service.name, error)
                await asyncio.sleep(AGAIN)
                continue
            await self._renewed.wait()

    async def end(self) -> None:
        """Take it out. No error where that fails: its check does it."""
        path = f"/v1/agent/service/deregister/{quote(self.id, safe='')}"
        try:
            await self._connection.put(path, timeout=TIMEOUT)
        except ConsulError as error:
            if self._registered:
                log.warning("%s: not taken out: %s", self._service.name, error)
        self._registered = False

    async def _pass(self, term: Term) -> None:
        if self._registered:
            path = f"/v1/agent/check/pass/{quote(f'service:{self.id}', safe='')}"
            await self._connection.put(path, timeout=TIMEOUT)
            return
        body = json.dumps(self._form(term)).encode()
        await self._connection.put("/v1/agent/service/register", body=body, timeout=TIMEOUT)
        self._registered = True

    def _form(self, term: Term) -> dict[str, object]:
        service = self._service
        return {
            "ID": self.id,
            "Name": service.name,
            "Tags": list(service.tags),
            "Meta": {"lock": term.key, "lock-number": str(term.number)},
            **({"Port": service.port} if service.port is not None else {}),
            **({"Address": service.address} if service.address else {}),
            "Check": {
                "Name": f"holds {term.key}",
                "TTL": f"{self._ttl:g}s",
                "Status": "passing",
                "DeregisterCriticalServiceAfter": LEFT_BEHIND,
            },
        }

    def _well(self) -> None:
        if self._alarms.well(self.id):
            log.info("%s: registered as a service again", self._service.name)
