"""What a hidden primary costs: the whole zone given out, and one change of it.

`python -m benchmarks.zone_primary` serves zones of 100, 1,000, 10,000 and 20,000 services, the last
with 100,000 records.

What belongs here: journal, versions and messages, by CPU time. What does not: sockets, disks.
"""

from __future__ import annotations

import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

from consulfwd.config.zones import ZoneSettings
from consulfwd.dns import const, names
from consulfwd.zones.model import Act, Key, RRset, difference
from consulfwd.zones.naming import apex_of
from consulfwd.zones.primary.answering import Asked, Served, answer
from consulfwd.zones.primary.store import Store
from consulfwd.zones.primary.target import Primary
from consulfwd.zones.primary.tsig import Key as Secret
from consulfwd.zones.primary.tsig import Signer
from consulfwd.zones.target import Push

SIZES = (100, 1_000, 10_000, 20_000)
INSTANCES = 3
CHANGES = 300
ORIGIN = "svc.example.com"
WIRE = names.from_text(ORIGIN)
KEY = Secret(names.from_text("transfer"), "hmac-sha256", b"a secret of thirty-two octets...")


@dataclass(frozen=True)
class Cost:
    """One size. CPU of: opening the journal, AXFR (s); the longest message, a change, IXFR (us)."""

    services: int
    records: int
    opened_s: float
    axfr_s: float
    axfr_kb: float
    message_us: float
    change_us: float
    ixfr_us: float
    resident_mb: float


def made(services: int) -> dict[Key, RRset]:
    """Return addresses of each service, and where its instances are (SRV): five records."""
    found = {}
    for number in range(services):
        owner = names.from_text(f"service-{number}.{ORIGIN}")
        addresses = [number * INSTANCES + one for one in range(INSTANCES)]
        found[Key(owner, const.A)] = RRset(
            30, frozenset((10 << 24 | one).to_bytes(4, "big") for one in addresses)
        )
        hosts = [names.from_text(f"{10 << 24 | one:08x}.addr.{ORIGIN}") for one in addresses[:2]]
        found[Key(names.from_text(f"_service-{number}._tcp.{ORIGIN}"), const.SRV)] = RRset(
            30, frozenset(b"\0\1\0\1\x1f\x40" + one for one in hosts)
        )
    return found


def query(rtype: int, serial: int | None = None) -> bytes:
    """Return a signed query for a transfer."""
    authority = b""
    if serial is not None:
        data = b"\0\0" + serial.to_bytes(4, "big") + bytes(16)
        authority = WIRE + b"\0\6\0\1\0\0\0\0" + len(data).to_bytes(2, "big") + data
    head = b"ab\0\0\0\1\0\0" + (b"\0\1" if authority else b"\0\0") + b"\0\0"
    octets = head + WIRE + rtype.to_bytes(2, "big") + b"\0\1" + authority
    return Signer(KEY).sign(octets, time.time())


def cost(services: int, folder: Path) -> Cost:
    """Return what a zone of so many services costs."""
    records = made(services)
    apex = apex_of(ZoneSettings(origin=ORIGIN))
    store = Store(folder / "journal", WIRE)
    store.open()
    store.put(difference({}, records), apex, time.time(), store.versions.writer)
    store.close()
    began = time.process_time()
    store = Store(folder / "journal", WIRE)
    store.open()
    opened = time.process_time() - began
    primary = Primary(store, WIRE, apex)
    client = ip_address("127.0.0.1")
    served = Served(store.versions, nullcontext(), KEY, False, (ip_network("127.0.0.0/8"),))
    gc.collect()
    gc.freeze()
    octets, longest, began = 0, 0.0, time.process_time()
    last = began
    asked = Asked(query(const.AXFR), client, True)
    for message in answer({WIRE: served}, asked, time.time).messages:
        octets += len(message)
        longest = max(longest, time.process_time() - last)
        last = time.process_time()
    axfr = time.process_time() - began
    change = ixfr = 0.0
    keys = [key for key in records if key.type == const.A]
    for number in range(CHANGES):
        key = keys[number * 7 % len(keys)]
        before = primary.read().ours[key]
        after = RRset(30, frozenset((number.to_bytes(4, "big"),)))
        base = primary.read()
        began = time.process_time()
        step = primary.change(Push(base, [Act(key, before, after)]))
        step.put()
        if wrong := step.verify():
            raise AssertionError(wrong)
        primary.read()
        change += time.process_time() - began
        asked = Asked(query(const.IXFR, base.serial), client, True)
        began = time.process_time()
        (message,) = answer({WIRE: served}, asked, time.time).messages
        ixfr += time.process_time() - began
        if len(message) > 700:
            raise AssertionError("all of the zone for one change")
    store.close()
    return Cost(
        services,
        sum(len(one.data) for one in records.values()),
        opened,
        axfr,
        octets / 1024,
        longest * 1e6,
        change / CHANGES * 1e6,
        ixfr / CHANGES * 1e6,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def measured(services: int) -> Cost:
    """Return the same of a process of its own."""
    command = [sys.executable, "-m", "benchmarks.zone_primary", "--one", str(services)]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return Cost(**json.loads(told.stdout))


def main(arguments: Sequence[str]) -> None:
    """Print the costs, or as JSON those of one size."""
    if arguments[:1] == ["--one"]:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(asdict(cost(int(arguments[1]), Path(folder)))))
        return
    print("| services | records | opened | AXFR | its longest turn | one change | IXFR | memory |")
    print("|---|---|---|---|---|---|---|---|")
    for one in map(measured, SIZES):
        print(
            f"| {one.services:,} | {one.records:,} | {one.opened_s:.2f} s"
            f" | {one.axfr_s:.3f} s, {one.axfr_kb:,.0f} KB | {one.message_us / 1000:.1f} ms"
            f" | {one.change_us:.0f} us | {one.ixfr_us:.0f} us | {one.resident_mb:.0f} MB |",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
