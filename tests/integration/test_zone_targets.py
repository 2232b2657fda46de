"""Zones pushed to real servers by updates: BIND, Knot and PowerDNS.

Others write to the same zones meanwhile, and our process is killed at every step. What a server
holds is read by a client of its own, not by what is tested.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest

from consulfwd.apply.change import Applied
from consulfwd.apply.steps import apply
from consulfwd.config.addresses import Endpoint
from consulfwd.config.zones import UpdateTarget
from consulfwd.dev.child import PATIENCE_S, Guard
from consulfwd.dns import names
from consulfwd.errors import ApplyError
from consulfwd.zones.model import Records, difference
from consulfwd.zones.sinks import updates
from consulfwd.zones.sinks.exchange import Exchange
from consulfwd.zones.sinks.faults import CONFLICTS
from consulfwd.zones.sinks.file import ZoneFile
from consulfwd.zones.sinks.rfc2136 import UpdatedZone
from consulfwd.zones.sinks.transfers import Take
from consulfwd.zones.sinks.work import Pushing
from consulfwd.zones.target import Base, Push
from tests.integration.primaries import (
    KEY_NAME,
    OTHER_SECRET,
    SECRET,
    Primary,
    start_bind,
    start_knot,
    start_powerdns,
)
from tests.integration.recursors import tool
from tests.loopback import free_port
from tests.zones.made import ORIGIN, records

HOST = "127.0.0.1"
Start = Callable[[Path, Guard, str], Primary]
KINDS: dict[str, Start] = {"bind": start_bind, "knot": start_knot, "powerdns": start_powerdns}

ZONE: dict[str, str | list[str]] = {
    "web A": "10.0.0.1 10.0.0.2",
    "web AAAA": "2001:db8::1",
    "db A": "10.0.0.3",
    "www CNAME": ["web.svc.example.com."],
    "0a000001.addr A": "10.0.0.1",
    "_web._tcp SRV": ["10 1 80 0a000001.addr.svc.example.com."],
    "web TXT": ['"$INCLUDE /etc/passwd" "a\\"b" "c\\\\d; e" "\\010"'],
}
OTHER: dict[str, str | list[str]] = {
    "web A": "10.0.0.2 10.0.0.9",
    "db CNAME": ["web.svc.example.com."],
    "www A": "10.0.0.4",
    "0a000002.addr A": "10.0.0.2",
    "_web._tcp SRV": ["10 1 80 0a000002.addr.svc.example.com."],
    "mail A": "10.0.0.5",
}


@pytest.fixture(params=KINDS)
def primary(request: pytest.FixtureRequest, guard: Guard, tmp_path: Path) -> Iterator[Primary]:
    """Each kind of server, with an empty zone."""
    yield from _started(KINDS[request.param], guard, tmp_path)


@pytest.fixture
def bind(guard: Guard, tmp_path: Path) -> Iterator[Primary]:
    """BIND, with an empty zone."""
    yield from _started(start_bind, guard, tmp_path)


def _started(start: Start, guard: Guard, tmp_path: Path) -> Iterator[Primary]:
    folder = tmp_path / "server"
    folder.mkdir()
    server = start(folder, guard, HOST)
    yield server
    server.kill()


def target(
    server: Primary, *, secret: str = SECRET, name: str = KEY_NAME, first: int = 0, **given: Any
) -> UpdatedZone:
    """The zone at a server, and where nobody is before that.

    Servers have a disk take what they are sent, which may be slow.
    """
    exchange = given.pop("exchange", None)
    file = server.folder / f"{name}.key"
    file.write_text(f'key "{name}" {{ algorithm hmac-sha256; secret "{secret}"; }};\n')
    places = [*([Endpoint(host=HOST, port=first)] if first else []), at(server)]
    given = {"timeout": PATIENCE_S, **given}
    settings = UpdateTarget(servers=tuple(places), key_file=file, **given)
    return UpdatedZone(settings, names.from_text(ORIGIN), exchange=exchange)


def at(server: Primary) -> Endpoint:
    return Endpoint(host=server.address, port=server.port)


class Hurried:
    """Time for one who waits for nothing: that a server may take a while is not tried here."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += 60.0


def push(zone: UpdatedZone | ZoneFile, wanted: Records, base: Base | None = None) -> Applied:
    """Bring what is wanted into force, as a publisher does; what is not so at once is a failure."""
    base = base or zone.read()
    time = Hurried()
    work = Pushing(zone, Push(base, difference(base.ours, wanted)))
    return apply(work, sleep=time.sleep, clock=time)


def served(wanted: Records) -> dict[str, set[str]]:
    """Records as `Primary.records` has them."""
    found: dict[str, set[str]] = {}
    origin = dns.name.from_text(ORIGIN)
    for key, rrset in wanted.items():
        kind = dns.rdatatype.RdataType.make(key.type)
        name = names.to_text(key.name).removesuffix(f".{ORIGIN}.")
        for one in rrset.data:
            rdata = dns.rdata.from_wire(dns.rdataclass.IN, kind, one, 0, len(one), origin)
            found.setdefault(f"{name} {kind.name}", set()).add(str(rdata))
    return found


def test_a_zone_is_published_kept_changed_and_emptied(primary: Primary) -> None:
    zone = target(primary)
    assert zone.read().ours == {}
    push(zone, records(ZONE))
    assert primary.records() == served(records(ZONE))
    assert zone.read().ours == records(ZONE)
    serial = primary.serial()
    for number in range(100):
        # In between, one that was just started.
        assert push(zone if number % 20 else target(primary), records(ZONE)) == Applied()
    assert primary.serial() == serial
    push(zone, records(OTHER))
    assert primary.records() == served(records(OTHER))
    push(zone, records(OTHER, ttl=60))
    assert zone.read().ours == records(OTHER, ttl=60) == target(primary).read().ours
    push(zone, {})
    assert primary.records() == {}


def test_thousands_of_names_in_many_messages(primary: Primary) -> None:
    wanted = records({f"web{number} A": f"10.0.{number // 250}.{number % 250}"
                      for number in range(1_200)})  # fmt: skip
    zone = target(primary)
    push(zone, wanted)
    assert primary.records() == served(wanted)
    half = dict(list(wanted.items())[::2])
    push(zone, half)
    assert target(primary).read().ours == half


def test_marked_names_among_those_of_others(primary: Primary) -> None:
    update = primary.update()
    update.add("theirs", 30, "A", "10.9.9.9")
    assert primary.send(update) == "NOERROR"
    zone = target(primary, ownership="registry", owner="one")
    push(zone, records({"web A": "10.0.0.1", "www CNAME": ["web.svc.example.com."]}))
    assert primary.records() == {
        "theirs A": {"10.9.9.9"},
        "web A": {"10.0.0.1"},
        "www CNAME": {"web"},
        "_consulfwd.web TXT": {'"consulfwd-owner=one"'},
        "_consulfwd.www TXT": {'"consulfwd-owner=one"'},
    }
    assert target(primary, ownership="registry", owner="two").read().ours == {}
    push(target(primary, ownership="registry", owner="one"), {})
    assert primary.records() == {"theirs A": {"10.9.9.9"}}


def test_the_next_primary_is_used_where_the_first_is_dead(primary: Primary) -> None:
    zone = target(primary, first=free_port(HOST))
    push(zone, records(ZONE))
    assert primary.records() == served(records(ZONE))


def test_a_plan_for_what_was_there_before_is_refused(primary: Primary) -> None:
    zone = target(primary)
    base = zone.read()
    update = primary.update()
    update.add("theirs", 30, "A", "10.9.9.9")
    assert primary.send(update) == "NOERROR"
    with pytest.raises(ApplyError, match=r"changed by somebody else.*theirs\.svc\.example\.com\."):
        push(zone, records(ZONE), base)
    assert primary.records() == {"theirs A": {"10.9.9.9"}}


class Counting(Exchange):
    """Our way to a server, with a count of what was not as it was read."""

    conflicts = 0

    def ask(self, server: Endpoint, message: dns.message.Message) -> dns.message.Message:
        reply = super().ask(server, message)
        self.conflicts += reply.rcode() in CONFLICTS
        return reply


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_writer_races_and_neither_loses_anything(
    kind: str, guard: Guard, tmp_path: Path
) -> None:
    """nsupdate writes names of its own as fast as it can, while we change ours."""
    for server in _started(KINDS[kind], guard, tmp_path):
        script = "".join(
            f"update add theirs{number} 30 A 10.9.0.{number % 250}\nsend\n" for number in range(200)
        )
        head = f"server {HOST} {server.port}\nzone {ORIGIN}\nkey hmac-sha256:second {SECRET}\n"
        lines = script.replace(" 30 A", f".{ORIGIN} 30 A")
        command = [str(tool("nsupdate")), "-v"]
        other = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
        assert other.stdin is not None
        exchange = Counting(5.0)
        zone = target(server, ownership="registry", exchange=exchange)
        other.stdin.write(head + lines)
        other.stdin.close()
        rng = random.Random(3)
        done = 0
        refused: list[str] = []
        wanted: Records = {}
        while other.poll() is None or done < 5:
            wanted = records({"web A": f"10.0.0.{rng.randint(1, 250)}", "db A": f"10.1.0.{done}"})
            try:
                push(zone, wanted)
                done += 1
            except ApplyError as error:
                refused.append(str(error))
        assert other.returncode == 0
        assert [one for one in refused if "changed by somebody else" not in one] == []
        push(zone, wanted)
        found = server.records()
        assert {one: found[one] for one in served(wanted)} == served(wanted)
        theirs = {one for one in found if one.startswith("theirs")}
        assert theirs == {f"theirs{number} A" for number in range(200)}
        assert refused or exchange.conflicts, "they did not meet"


class Mixed(Exchange):
    """Our way to a server, with something done before and after each message."""

    def __init__(self, before: Callable[[], None], after: Callable[[], None]) -> None:
        super().__init__(5.0)
        self.before, self.after = before, after

    def ask(self, server: Endpoint, message: dns.message.Message) -> dns.message.Message:
        self.before()
        reply = super().ask(server, message)
        self.after()
        return reply

    def transfer(self, server: Endpoint, query: dns.message.Message, take: Take) -> None:
        self.before()
        super().transfer(server, query, take)
        self.after()


STAYS = ("web", "db", "mail")


def mixed(rng: random.Random) -> Records:
    """Names that are always there, with other addresses or as an alias."""
    given: dict[str, str | list[str]] = {}
    for name in STAYS:
        given[f"{name} A"] = " ".join(f"10.0.0.{one}" for one in rng.sample(range(1, 9), 2))
        if rng.random() < 0.2:
            del given[f"{name} A"]
            given[f"{name} CNAME"] = ["elsewhere.example.net."]
    return records(given, ttl=rng.choice([30, 60]))


def versions(server: Primary) -> Iterator[set[tuple[str, str]]]:
    """Every state that BIND's journal knows of: owner and type of all records."""
    ran = subprocess.run(
        [tool("named-journalprint"), server.folder / "zone.jnl"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    there: set[str] = set()
    deleted_soa = False
    for line in ran.stdout.splitlines():
        sign, record = line.split(" ", 1)
        if "\tSOA\t" in record:
            # Each transaction takes away the old SOA record before all else.
            if sign == "del" and deleted_soa:
                yield owners(there)
            deleted_soa = True
            continue
        (there.discard if sign == "del" else there.add)(record)
    yield owners(there)


def owners(records: set[str]) -> set[tuple[str, str]]:
    """The name and the type of each."""
    fields = (one.split("\t") for one in records)
    return {(each[0], each[3]) for each in fields}


# As many as asked for: `pytest --timeout 0` for some thousands.
ROUNDS = int(os.environ.get("INTERLEAVINGS", "100"))


def test_hundreds_of_mixed_writes_on_bind(
    bind: Primary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody writes between any two of our messages; the zone is looked at after each."""
    monkeypatch.setattr(updates, "ROOM", 300)
    rng = random.Random(17)
    theirs: dict[str, str] = {}
    since: dict[str, str] = {}

    def other() -> None:
        update = bind.update()
        name = rng.choice(["a", "b", *STAYS])
        address = f"10.9.{rng.randint(0, 250)}.{rng.randint(1, 250)}"
        if name in STAYS:
            # To ours, where there are addresses: they are theirs until we have read them.
            update.present(name, "A")
        update.replace(name, 30, "A", address)
        if bind.send(update) == "NOERROR":
            (since if name in STAYS else theirs)[f"{name} A"] = address

    def before() -> None:
        if rng.random() < 0.2:
            other()

    def after() -> None:
        found = bind.records()
        if started:
            for name in STAYS:
                assert {f"{name} A", f"{name} CNAME"} & found.keys(), name
        for name, address in theirs.items():
            assert found[name] == {address}

    started = False
    zone = target(bind, exchange=Mixed(before, after), ownership="zone")
    push(zone, mixed(rng))
    started = True
    done = refused = 0
    while done + refused < ROUNDS:
        try:
            base = zone.read()
            since.clear()
            kept = {key: one for key, one in base.ours.items() if key.name[:2] in (b"\1a", b"\1b")}
            push(zone, {**mixed(rng), **kept}, base)
            done += 1
        except ApplyError:
            refused += 1
        found = bind.records()
        for name, address in since.items():
            assert found[name] == {address}, "what they wrote to ours was written over unread"
    assert min(done, refused) > 15
    bind.terminate()
    states = list(versions(bind))
    assert len(states) > 100
    first = next(number for number, one in enumerate(states) if len(one) >= len(STAYS))
    for state in states[first:]:
        for name in STAYS:
            owner = f"{name}.{ORIGIN}."
            assert (owner, "A") in state or (owner, "CNAME") in state


KILLED = """
import os, signal, sys
from pathlib import Path
from consulfwd.zones.sinks import updates
from tests.integration import test_zone_targets as tests
updates.ROOM = 300
class Server:
    address, port, folder = tests.HOST, int(sys.argv[1]), Path(sys.argv[2])
class Dying(tests.Exchange):
    def __init__(self, left):
        super().__init__(5.0)
        self.left = left
    def die(self):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)
    def ask(self, server, message):
        reply = super().ask(server, message)
        self.die()
        return reply
    def transfer(self, server, query, take):
        super().transfer(server, query, take)
        self.die()
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        exchange = Dying(int(line))
        tests.push(tests.target(Server, exchange=exchange), tests.records(tests.OTHER))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def test_killed_at_every_message_the_next_goes_on_and_nothing_is_lost(
    bind: Primary, project: Path
) -> None:
    update = bind.update()
    update.add("theirs", 30, "MX", "10 mail.example.com.")
    assert bind.send(update) == "NOERROR"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(bind.port), bind.folder],
        cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(project)},
    ) as dying:  # fmt: skip
        assert dying.stdin is not None
        assert dying.stdout is not None
        killed, ended = 0, -signal.SIGKILL
        while ended:
            push(target(bind), records(ZONE))
            # After a message is before the next: what the server has got is the same.
            dying.stdin.write(f"{killed + 1}\n")
            dying.stdin.flush()
            ended = int(dying.stdout.readline())
            assert ended in (0, -signal.SIGKILL)
            killed += 1
            found = bind.records()
            for name in ("web", "db", "www"):
                assert {f"{name} A", f"{name} CNAME"} & found.keys(), (killed, name)
            assert found["theirs MX"] == {"10 mail.example.com."}
            push(target(bind), records(OTHER))
            theirs = {"theirs MX": found["theirs MX"]}
            assert bind.records() == {**served(records(OTHER)), **theirs}
    assert killed > 8


# What servers say.


def test_a_key_that_the_server_does_not_know(primary: Primary) -> None:
    with pytest.raises(ApplyError, match=r"the key unknown\. \(BADKEY\)|did not sign"):
        target(primary, name="unknown").read()


def test_another_secret(primary: Primary) -> None:
    with pytest.raises(ApplyError, match=r"another secret|BADKEY|REFUSED|did not sign"):
        target(primary, secret=OTHER_SECRET).read()


def test_bind_says_which_it_is(bind: Primary) -> None:
    with pytest.raises(ApplyError, match=r"does not know the key unknown\. \(BADKEY\)"):
        target(bind, name="unknown").read()
    with pytest.raises(ApplyError, match=r"another secret for the key publisher\. \(BADSIG\)"):
        target(bind, secret=OTHER_SECRET).read()


def test_a_clock_that_differs(bind: Primary, monkeypatch: pytest.MonkeyPatch) -> None:
    zone = target(bind)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3_600)
    with pytest.raises(ApplyError, match=r"clock that differs by minutes \(BADTIME\)"):
        zone.read()


def test_a_key_without_rights(bind: Primary, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ApplyError, match=r"refuses transfers of svc.*allow-transfer"):
        target(bind, name="weak").read()
    zone = target(bind)
    base = zone.read()
    weak = target(bind, name="weak")
    monkeypatch.setattr(weak, "look", zone.look)
    with pytest.raises(ApplyError, match=r"refuses updates of svc.*allow-update"):
        push(weak, records(ZONE), base)
    assert bind.records() == {}


def test_a_zone_that_is_not_there(primary: Primary) -> None:
    settings = UpdateTarget(servers=(at(primary),))
    zone = UpdatedZone(settings, names.from_text("elsewhere.example.net"))
    with pytest.raises(ApplyError, match="could not be read, and is not changed"):
        zone.read()


def test_the_log_of_bind_names_every_change(bind: Primary) -> None:
    """What an administrator finds there is each record of ours, added before others go."""
    push(target(bind), records({"web A": "10.0.0.1"}))
    push(target(bind), records({"web A": "10.0.0.2"}))
    log = (bind.folder / "updates.log").read_text()
    found = re.findall(r"(adding|deleting) an RR at '?web\.svc\.example\.com'? A\b", log)
    assert found == ["adding", "adding", "deleting"]
