"""What is known of a zone, asked of Consul, of this host's folder and of secondaries.

What belongs here: asking, by what `zone status` asks with. Must not know what it is worth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from consulfwd.checks.asked_dns import AskError, Server, ask
from consulfwd.checks.deadline import Deadline
from consulfwd.checks.zones import Secondary, Told
from consulfwd.config.zones import ZoneSettings
from consulfwd.dns import const
from consulfwd.errors import ApplyError, ConsulError, ConsulfwdError
from consulfwd.zones.publish.asked import Asked
from consulfwd.zones.publish.running import Wanted
from consulfwd.zones.publish.status import Status as Here

# Secondaries asked at once, and how long (seconds) each may take.
AT_ONCE, PATIENCE = 20, 3.0


def told(
    wanted: Wanted, zone: ZoneSettings, secondaries: Sequence[Server], deadline: Deadline
) -> Told:
    """Return what is known of a zone; what cannot be asked is in it."""
    deadline.doing = "waiting for Consul's HTTP API"
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        # Beside Consul, so that one who is silent does not take the time of the others.
        asked = [pool.submit(_serial, zone.origin, one, deadline) for one in secondaries]
        found = _published(wanted, zone, deadline)
        return replace(found, secondaries=tuple(one.result() for one in asked))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _published(wanted: Wanted, zone: ZoneSettings, deadline: Deadline) -> Told:
    name = zone.origin + (f" (view {zone.view})" if zone.view else "")
    faults: list[str] = []
    asked = Asked(wanted, zone)
    here = publishers = None
    away = ""
    try:
        here = asked.here()
    except ConsulfwdError as error:
        faults.append(str(error))
    try:
        publishers = asyncio.run(asyncio.wait_for(asked.publishers(), deadline.patience))
    except ConsulError as error:
        away = str(error)
    except (asyncio.TimeoutError, TimeoutError):
        away = f"Consul has not answered within {deadline.timeout:g} s"
    except ApplyError as error:
        faults.append(str(error))
    if publishers is None:
        serial = None if here is None else _serial_here(here)
        return Told(name, zone.lock.enabled, "", "", serial, away, here, tuple(faults))
    if publishers.fault:
        faults.append(publishers.fault)
    serial = publishers.serial
    if serial is None and here is not None:
        serial = _serial_here(here)
    holder, paused = str(publishers.holder or ""), publishers.orders.paused
    return Told(name, zone.lock.enabled, holder, paused, serial, away, here, tuple(faults))


def _serial_here(here: Here) -> int | None:
    return next((one.serial for one in here.targets if one.serial is not None), None)


def _serial(origin: str, server: Server, deadline: Deadline) -> Secondary:
    try:
        answer = ask(origin, const.SOA, server, deadline.within(PATIENCE))
    except AskError as error:
        return Secondary(str(server), None, str(error))
    if answer.rcode != const.NOERROR or not answer.data:
        said = const.rcode_text(answer.rcode)
        return Secondary(str(server), None, f"answers {said} without a SOA record")
    return Secondary(str(server), int(answer.data[0].split()[2]))
