"""A zone as a file: the same text for the same zone, and nothing but that is read back."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from consulfwd.apply import commands
from consulfwd.dns import const, names
from consulfwd.zones.model import Apex, Key, RRset
from consulfwd.zones.sinks import written
from consulfwd.zones.sinks.written import NotOurs, Text
from tests.zones.made import ORIGIN, records

APEX = Apex(
    names.from_text("ns1.example.net"), names.from_text("john\\.doe.example.net"),
    300, 60, 604_800, 30, 300, (names.from_text("ns1.example.net"),),
)  # fmt: skip


def text(given: dict[str, str | list[str]], serial: int = 7, number: int = 0) -> Text:
    return Text(names.from_text(ORIGIN), serial, APEX, records(given), number)


ZONE = text(
    {
        "web A": "10.0.0.2 10.0.0.1",
        "db AAAA": "2001:db8::1",
        "www CNAME": ["web.svc.example.com."],
        "_web._tcp SRV": ["10 1 80 web.svc.example.com."],
        "web TXT": ['"$INCLUDE /etc/passwd" "a\\"b" "c\\\\d" "line\\010break;comment"'],
    },
    number=12,
)
SHOWN = r"""
svc.example.com. 300 IN SOA ns1.example.net. john\.doe.example.net. 7 300 60 604800 30
svc.example.com. 300 IN NS ns1.example.net.
db.svc.example.com. 30 IN AAAA 2001:db8::1
web.svc.example.com. 30 IN A 10.0.0.1
web.svc.example.com. 30 IN A 10.0.0.2
web.svc.example.com. 30 IN TXT "$INCLUDE /etc/passwd" "a\"b" "c\\d" "line\010break;comment"
_web._tcp.svc.example.com. 30 IN SRV 10 1 80 web.svc.example.com.
www.svc.example.com. 30 IN CNAME web.svc.example.com.
"""


def body(data: bytes) -> list[str]:
    return [line for line in data.decode().splitlines() if not line.startswith(";")]


def test_a_zone_is_written_in_one_order_with_everything_escaped() -> None:
    data = written.write(ZONE)
    assert sorted(body(data)) == sorted(SHOWN.strip().splitlines())
    assert body(data)[:2] == SHOWN.strip().splitlines()[:2]
    assert data.startswith(b"; Zone svc.example.com. made of services in Consul by consulfwd.")


def test_equal_zones_are_equal_texts() -> None:
    for seed in range(20):
        keys = list(ZONE.records)
        random.Random(seed).shuffle(keys)
        again = ZONE._replace(records={key: ZONE.records[key] for key in keys})
        assert written.write(again) == written.write(ZONE)


def test_it_is_read_back() -> None:
    assert written.read(written.write(ZONE)) == ZONE
    empty = text({})
    assert written.read(written.write(empty)) == empty


def test_data_of_any_octets_are_read_back() -> None:
    rng = random.Random(5)
    found: dict[Key, RRset] = {}
    for number in range(300):
        label = rng.randbytes(rng.randint(1, 63)).lower()
        strings = [rng.randbytes(rng.randint(0, 255)) for _ in range(rng.randint(1, 3))]
        data = b"".join(bytes((len(one),)) + one for one in strings)
        name = names.join([label, b"x%d" % number])[:-1] + ZONE.origin
        found[Key(name, const.TXT)] = RRset(number, frozenset({data}))
        found[Key(name, const.A)] = RRset(1, frozenset({rng.randbytes(4)}))
        found[Key(name, 4_711)] = RRset(1, frozenset({rng.randbytes(rng.randint(0, 9))}))
    zone = ZONE._replace(records=found)
    data = written.write(zone)
    assert written.read(data) == zone
    assert not any(line.startswith("$") for line in data.decode("ascii").splitlines())


def test_a_checker_reads_the_same(tmp_path: Path) -> None:
    """What BIND makes of the file is what was meant, with no directive heeded."""
    (tmp_path / "zone").write_bytes(written.write(ZONE))
    program = commands.find("named-checkzone")
    assert program is not None, "scripts/install-test-tools installs it"
    ran = subprocess.run(
        [program, "-D", "-k", "ignore", ORIGIN, tmp_path / "zone"], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout
    shown = {" ".join(line.split()) for line in ran.stdout.splitlines() if "\t" in line}
    assert {line for line in SHOWN.strip().splitlines() if " TXT " in line} < shown
    assert len([line for line in shown if " IN " in line]) == len(SHOWN.strip().splitlines())


GOOD = written.write(ZONE)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "does not begin"),
        (b"$ORIGIN example.com.\n@ SOA ns hostmaster 1 2 3 4 5\n", "does not begin"),
        (GOOD[:-1], "checksum"),
        (GOOD + b"mail.svc.example.com. 30 IN A 10.9.9.9\n", "checksum"),
        (GOOD.replace(b"10.0.0.1", b"10.0.0.9"), "checksum"),
        (b"; mine\n" + GOOD, "does not begin"),
        (GOOD.replace(b"Do not edit", b"Do edit"), "not as this version"),
        (GOOD.replace(b"lock=12", b"lock=012"), "does not begin"),
        (b"\xff" + GOOD[1:], "not as"),
    ],
)
def test_what_is_not_ours_is_told_apart(data: bytes, why: str) -> None:
    with pytest.raises(NotOurs, match=why):
        written.read(data)


@pytest.mark.parametrize(
    "line",
    [
        "$INCLUDE /etc/passwd",
        "$GENERATE 1-9 a$ A 10.0.0.$",
        "web 30 IN A 10.0.0.1",
        "web.example.org. 30 IN A 10.0.0.1",
        "web.svc.example.com. 4294967296 IN A 10.0.0.1",
        "web.svc.example.com. 99999999999999999999 IN A 10.0.0.1",
        "web.svc.example.com. 30 IN A 10.0.0.01",
        "web.svc.example.com. 30 IN A 10.0.0.1 ; good",
        "WEB.svc.example.com. 30 IN A 10.0.0.1",
        "web.svc.example.com. 030 IN A 10.0.0.1",
        "web.svc.example.com. 30 CH A 10.0.0.1",
        "a" * 64 + ".svc.example.com. 30 IN A 10.0.0.1",
        "",
    ],
)
def test_other_lines_are_refused_whatever_the_checksum_says(line: str) -> None:
    text = "\n".join([*body(written.write(ZONE)[:-1]), line, ""]).encode()
    head = written.head(ZONE, text)
    with pytest.raises(NotOurs):
        written.read(head + text)
