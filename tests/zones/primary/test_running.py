"""Primaries put together of settings: who may ask, who is told, what stays after a restart."""

from __future__ import annotations

import asyncio
import base64
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.message
import dns.rcode
import dns.tsig
import dns.xfr
import pytest

from consulfwd.config import Endpoint
from consulfwd.config.zones import PrimaryTarget
from consulfwd.errors import ApplyError
from consulfwd.zones.model import difference
from consulfwd.zones.primary import fetching, notices, tsig
from consulfwd.zones.primary.running import Primaries, key_of
from consulfwd.zones.primary.target import Primary
from consulfwd.zones.target import Push
from tests.loopback import OWN
from tests.zones.made import ORIGIN, records, settings
from tests.zones.primary.pulled import KEY, KEYRING, SECRET, THEIR_KEY, secondary, serial_of, shown
from tests.zones.primary.test_notifying import Secondary, silence, yes

HERE = Endpoint(host=OWN, port=0)
ALONE: dict[str, Any] = {"lock": {"enabled": False}}
RECORDS = records({"web A": "10.0.0.1"})


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "FIRST", 0.02)
    monkeypatch.setattr(notices, "LONGEST", 0.04)
    # None of the secondaries here answers queries.
    monkeypatch.setattr(fetching, "SERIAL", 0.02)


def push(primary: Primary, after: Any) -> None:
    """Bring a zone to these records, as in a thread of its own."""
    base = primary.read()
    change = primary.change(Push(base, difference(base.ours, after)))
    assert change.due()
    with change:
        change.plan()
        change.put()
        assert change.verify() == ""
        change.settle()


def keyed(tmp_path: Path, **values: Any) -> PrimaryTarget:
    path = tmp_path / "key"
    path.write_text(base64.b64encode(SECRET).decode())
    return PrimaryTarget(listen=(HERE,), key_name="transfer", key_file=path, **values)


async def code(port: int, *, signed: bool, rtype: str = "SOA", source: str | None = None) -> str:
    query = dns.message.make_query(ORIGIN, rtype)
    if signed:
        query.use_tsig(KEYRING, THEIR_KEY.name)
    reply = await dns.asyncquery.tcp(query, OWN, 5, port, source=source)
    return dns.rcode.to_text(reply.rcode())


async def test_from_settings_to_secondaries(tmp_path: Path) -> None:
    told = Secondary(yes)
    target = keyed(tmp_path, notify=(await told.open(),))
    primaries = Primaries(tmp_path)
    primary = primaries.add(settings(**ALONE), target)
    primaries.bind()
    await primaries.start()
    port = primaries.port(HERE)
    assert await code(port, signed=False) == "SERVFAIL"
    await asyncio.to_thread(push, primary, RECORDS)
    # The secondary is told at once.
    await told.has(1)
    zone = secondary()
    query, _ = dns.xfr.make_query(zone, keyring=KEYRING, keyname=THEIR_KEY.name)
    await dns.asyncquery.inbound_xfr(OWN, zone, query, port, 5, 10)
    assert shown(zone)["web", "A"] == (30, frozenset({"10.0.0.1"}))
    assert told.serials == [serial_of(zone)]
    assert await code(port, signed=False) == "NOERROR"
    assert await code(port, signed=False, rtype="AXFR") == "REFUSED"
    # Loopback is let in unless it is said otherwise.
    assert await code(port, signed=False, source="127.0.0.9") == "NOERROR"
    await primaries.close()
    # After a restart it is the same, and secondaries are told of it once more.
    again = Primaries(tmp_path)
    primary = again.add(settings(**ALONE), target)
    assert primary.read().ours == RECORDS
    again.bind()
    await again.start()
    await told.has(2)
    assert told.serials[0] == told.serials[1]
    await again.close()
    told.close()


async def test_a_backup_answers_nothing_and_tells_nobody(tmp_path: Path) -> None:
    """What it has may be old: it is another one that serves the zone, as far as it knows."""
    told = Secondary(yes)
    target = keyed(tmp_path, notify=(await told.open(),))
    primaries = Primaries(tmp_path)
    primary = primaries.add(settings(), target)
    await asyncio.to_thread(push, primary, RECORDS)
    primaries.bind()
    await primaries.start()
    port = primaries.port(HERE)
    for rtype in ("SOA", "A", "AXFR"):
        assert await code(port, signed=True, rtype=rtype) == "SERVFAIL"
    primary.lead()
    assert await code(port, signed=True) == "NOERROR"
    await told.has(1)
    # Until it is known that there is another one, nothing ends.
    told.reply = silence
    await asyncio.to_thread(push, primary, {})
    await told.has(2)
    primary.rest()
    assert await code(port, signed=True) == "SERVFAIL"
    await asyncio.sleep(0.05)
    number = len(told.serials)
    # Nor of what a push that was under way comes to.
    assert primary.store.versions.now is not None
    primary.announce(primary.store.versions.now)
    await asyncio.sleep(0.1)
    assert len(told.serials) == number
    primary.lead()
    await told.has(number + 1)
    assert told.serials[-1] == primary.read().serial
    await primaries.close()
    told.close()


async def test_who_is_let_in(tmp_path: Path) -> None:
    primaries = Primaries(tmp_path)
    primary = primaries.add(
        settings(**ALONE),
        PrimaryTarget(listen=(HERE,), unsigned=True, allow=(ip_network("127.0.0.9"),)),
    )
    push(primary, RECORDS)
    primaries.bind()
    await primaries.start()
    port = primaries.port(HERE)
    assert await code(port, signed=False) == "REFUSED"
    assert await code(port, signed=False, source="127.0.0.9") == "NOERROR"
    assert await code(port, signed=False, source="127.0.0.9", rtype="AXFR") == "NOERROR"
    await primaries.close()


async def test_several_zones_on_one_address(tmp_path: Path) -> None:
    primaries = Primaries(tmp_path)
    settings_of = PrimaryTarget(listen=(HERE,), unsigned=True)
    for origin in ("a.example", "b.a.example", "0-25.2.0.192.in-addr.arpa"):
        push(primaries.add(settings(origin=origin, **ALONE), settings_of), {})
    primaries.bind()
    await primaries.start()
    for origin in ("a.example", "b.a.example", "0-25.2.0.192.in-addr.arpa"):
        query = dns.message.make_query(origin, "SOA")
        reply = await dns.asyncquery.udp(query, OWN, 5, primaries.port(HERE))
        assert str(reply.answer[0].name) == f"{origin}."
    await primaries.close()


def test_two_zones_of_a_name(tmp_path: Path) -> None:
    primaries = Primaries(tmp_path)
    target = PrimaryTarget(listen=(HERE,), unsigned=True)
    primaries.add(settings(view="inside"), target)
    with pytest.raises(ApplyError, match="two zones of that name are to be served on"):
        primaries.add(settings(view="outside"), target)
    there = Endpoint(host="127.0.0.2", port=0)
    primaries.add(settings(view="outside"), PrimaryTarget(listen=(there,), unsigned=True))
    assert len(list((tmp_path / "primary").glob("*.lock"))) == 2
    asyncio.run(primaries.close())


def test_a_key_of_any_kind() -> None:
    for algorithm in tsig.SIZES:
        theirs = dns.tsig.Key("Transfer", SECRET, algorithm)
        assert key_of(theirs) == KEY._replace(algorithm=algorithm)


def test_a_key_that_cannot_be_read(tmp_path: Path) -> None:
    target = PrimaryTarget(listen=(HERE,), key_name="transfer", key_file=tmp_path / "none")
    with pytest.raises(ApplyError, match="cannot be read: No such file"):
        Primaries(tmp_path).add(settings(), target)


def test_a_zone_that_nobody_may_have(tmp_path: Path) -> None:
    primaries = Primaries(tmp_path)
    with pytest.raises(ApplyError, match="nobody may have the zone"):
        primaries.add(settings(), PrimaryTarget(listen=(HERE,)))
    with pytest.raises(ApplyError, match="has no secret"):
        primaries.add(settings(), PrimaryTarget(listen=(HERE,), key_name="transfer"))
