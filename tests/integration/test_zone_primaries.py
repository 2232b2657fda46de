"""Updates of real servers as they are found: signed, with serials of their own kind, forwarding.

Others' records are at the names of ours, and some were written in capital letters.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import dns.rdatatype
import pytest

from consulfwd.apply.change import Applied
from consulfwd.dev.child import Guard
from consulfwd.dns import names
from consulfwd.zones.guards import clear_of
from consulfwd.zones.model import applied, difference
from consulfwd.zones.sinks import updates
from consulfwd.zones.target import Push
from tests.integration.primaries import (
    ORIGIN,
    Primary,
    start_bind,
    start_knot,
    start_powerdns,
)
from tests.integration.test_zone_targets import (
    HOST,
    KINDS,
    OTHER,
    ZONE,
    Start,
    push,
    served,
    target,
)
from tests.loopback import free_port
from tests.zones.made import records

SIGNED = """
dnssec-policy "signed" {{ keys {{ csk lifetime unlimited algorithm ecdsa256; }}; {more} }};
"""


def bind(more: str, statements: str) -> Start:
    return partial(start_bind, more=more, statements=statements)


FOUND: dict[str, Start] = {
    "BIND signs with NSEC": bind(
        SIGNED.format(more=""), "dnssec-policy signed; serial-update-method unixtime;"
    ),
    "BIND signs with NSEC3": bind(
        SIGNED.format(more="nsec3param iterations 0;"),
        "dnssec-policy signed; serial-update-method date;",
    ),
    "Knot signs": partial(
        start_knot, statements="    dnssec-signing: on\n    serial-policy: unixtime"
    ),
    "Knot with dates": partial(start_knot, statements="    serial-policy: dateserial"),
    "PowerDNS signs": partial(
        start_powerdns,
        commands=[("secure-zone", ORIGIN), ("set-meta", ORIGIN, "SOA-EDIT-DNSUPDATE", "EPOCH")],
    ),
    "PowerDNS without serials": partial(
        start_powerdns, commands=[("set-meta", ORIGIN, "SOA-EDIT-DNSUPDATE", "NONE")]
    ),
}


@pytest.fixture
def started(guard: Guard, tmp_path: Path) -> Iterator[Callable[..., Primary]]:
    """Starts servers, and ends them."""
    running: list[Primary] = []

    def start(how: Start, **more: int) -> Primary:
        folder = tmp_path / f"server{len(running)}"
        folder.mkdir()
        running.append(how(folder, guard, HOST, **more))
        return running[-1]

    yield start
    for one in running:
        one.kill()


def apex(server: Primary) -> set[str]:
    """The types of the apex that stay: all but signatures, which are made anew."""
    node = server.zone()["@"]
    kinds = {dns.rdatatype.to_text(one.rdtype) for one in node.rdatasets}
    return kinds - {"RRSIG", "NSEC"}


@pytest.mark.parametrize("how", FOUND.values(), ids=FOUND)
def test_signed_and_with_any_kind_of_serial(
    how: Start, started: Callable[..., Primary], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates, "ROOM", 300)
    server = started(how)
    zone = target(server)
    assert zone.read().ours == {}
    at_apex = apex(server)
    push(zone, records(ZONE))
    assert server.records() == served(records(ZONE))
    assert push(target(server), records(ZONE)) == Applied()
    push(zone, records(OTHER))
    assert zone.read().ours == target(server).read().ours == records(OTHER)
    push(zone, {})
    assert server.records() == {}
    # Signers add keys of their own meanwhile, and take none away.
    assert apex(server) >= at_apex
    if "sign" in str(how):
        assert "DNSKEY" in apex(server)


def test_through_a_secondary_that_forwards_updates(
    started: Callable[..., Primary], monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 2136 section 6: each message is taken before it is to be seen where it was sent."""
    monkeypatch.setattr(updates, "ROOM", 700)
    port = free_port(HOST)
    tells = f"notify explicit; also-notify {{ {HOST} port {port}; }}; notify-delay 0;"
    primary = started(bind("", tells))
    secondary = started(start_bind, port=port, forwards_to=primary.port)
    zone = target(secondary)
    push(zone, records(ZONE))
    assert primary.records() == served(records(ZONE))
    push(zone, records(OTHER))
    assert zone.read().ours == target(primary).read().ours == records(OTHER)


FOREIGN = (
    ("lab", "NS", "ns.example.net."),
    ("far", "DNAME", "example.net."),
    ("web", "CNAME", "elsewhere.example.net."),
    ("mail", "MX", "10 mx.example.net."),
    ("db", "TXT", '"theirs"'),
    ("*", "A", "10.9.9.9"),
)
WANTED: dict[str, str | list[str]] = {
    "web A": "10.0.0.1", "db A": "10.0.0.2", "mail A": "10.0.0.3", "x.lab A": "10.0.0.4",
    "x.far A": "10.0.0.5", "free A": "10.0.0.6", "free2 CNAME": ["free.svc.example.com."],
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_others_are_left_and_all_else_goes_on(
    kind: str, started: Callable[..., Primary]
) -> None:
    server = started(KINDS[kind])
    update = server.update()
    for name, rtype, data in FOREIGN:
        update.add(name, 30, rtype, data)
    assert server.send(update) == "NOERROR"
    theirs = server.records()
    assert len(theirs) == len(FOREIGN)
    zone = target(server, ownership="registry")
    base = zone.read()
    judged = clear_of(base.foreign, names.from_text(ORIGIN), difference(base.ours, records(WANTED)))
    assert {names.to_text(one.act.key.name).split(".")[0] for one in judged.withheld} == {
        "web", "db", "mail", "x",
    }  # fmt: skip
    push(zone, applied(base.ours, judged.acts))
    found = server.records()
    assert {name for name in found.keys() - theirs.keys() if "_consulfwd" not in name} == {
        "free A", "free2 CNAME",
    }  # fmt: skip
    assert found == {**found, **theirs}
    push(zone, {})
    assert server.records() == theirs


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_written_in_capital_letters_is_changed(
    kind: str, started: Callable[..., Primary]
) -> None:
    server = started(KINDS[kind])
    update = server.update()
    update.add("WEB", 30, "A", "10.0.0.1")
    update.add("Www", 30, "CNAME", "WEB.Svc.example.com.")
    update.add("_WEB._tcp", 30, "SRV", "1 1 80 WEB.Svc.example.com.")
    update.add("Text", 30, "TXT", '"Its Case Counts"')
    assert server.send(update) == "NOERROR"
    zone = target(server)
    as_it_is = records({
        "web A": "10.0.0.1", "www CNAME": ["web.svc.example.com."],
        "_web._tcp SRV": ["1 1 80 web.svc.example.com."], "text TXT": ['"Its Case Counts"'],
    })  # fmt: skip
    assert zone.read().ours == as_it_is
    assert push(zone, as_it_is) == Applied()
    changed = records({
        "web A": "10.0.0.2", "www CNAME": ["db.svc.example.com."],
        "_web._tcp SRV": ["1 1 81 web.svc.example.com."], "text TXT": ['"its case counts"'],
    })  # fmt: skip
    push(zone, changed)
    assert target(server).read().ours == changed
    push(zone, {})
    assert server.records() == {}


def test_what_somebody_writes_into_the_database_of_powerdns_is_put_right(
    started: Callable[..., Primary]
) -> None:
    """Without a new serial, and with a TTL of its own for each record (RFC 2181 section 5.2)."""
    server = started(start_powerdns)
    wanted = records({"web A": "10.0.0.1 10.0.0.2", "db A": "10.0.0.3"})
    zone = target(server)
    push(zone, wanted)
    serial = server.serial()
    with sqlite3.connect(server.folder / "zones.sqlite3") as database:
        database.execute("update records set ttl = 20 where content = '10.0.0.2'")
        database.execute("delete from records where content = '10.0.0.3'")
    database.close()
    assert server.serial() == serial
    # Another process, or this one within the hour.
    found = target(server).read().ours
    assert found == zone.look(anew=True).base.ours == records({"web A": "10.0.0.1 10.0.0.2"}, 20)
    push(zone, wanted)
    assert target(server).read().ours == wanted


LIMITS: dict[str, tuple[Start, bool]] = {
    "bind": (start_bind, False),
    "bind with a limit of its own": (bind("", "max-records-per-type 500;"), True),
    "knot": (start_knot, True),
    "powerdns": (start_powerdns, True),
}


@pytest.mark.parametrize(("how", "takes"), LIMITS.values(), ids=LIMITS)
def test_a_name_of_very_many_addresses_holds_up_no_other(
    how: Start, takes: bool, started: Callable[..., Primary]
) -> None:
    """BIND takes 100 of a type at a name, or as max-records-per-type says."""
    server = started(how)
    zone = target(server)
    base = zone.read()
    many = " ".join(f"10.0.1.{number}" for number in range(150))
    fit = {f"web{number} A": "10.0.0.1" for number in range(20)}
    change = zone.change(Push(base, difference({}, records({**fit, "many A": many}))))
    assert change.plan()
    change.put()
    assert change.verify() == ""
    found = server.records()
    assert found.items() >= served(records(fit)).items()
    left = [names.to_text(one.act.key.name) for one in change.left]
    assert ("many A" in found) == takes
    assert left == ([] if takes else ["many.svc.example.com."])
