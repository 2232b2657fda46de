"""The set-ups in the documentation of targets, as they are written there, on the real servers.

What is put in: the folder for paths, the port of the server, a secret where it says SECRET.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consulfwd.apply.change import Applied
from consulfwd.apply.steps import apply
from consulfwd.config.load import load
from consulfwd.config.zones import ZoneSettings
from consulfwd.dev.child import Guard
from consulfwd.dns import names
from consulfwd.errors import ApplyError
from consulfwd.zones.model import difference
from consulfwd.zones.naming import apex_of
from consulfwd.zones.sinks.file import CHECKERS, ZoneFile
from consulfwd.zones.sinks.rfc2136 import UpdatedZone
from consulfwd.zones.sinks.work import Pushing
from consulfwd.zones.target import Push
from tests.integration.primaries import POWERDNS_BARE, SECRET, Primary, make_database, pdnsutil
from tests.integration.recursors import own_copy, tool
from tests.integration.test_zone_targets import HOST, OTHER, ZONE, push
from tests.loopback import free_port
from tests.zones.made import ORIGIN, records

FOLDERS = ("/var/lib/bind", "/etc/bind", "/var/lib/knot", "/etc/nsd", "/run/nsd", "/etc/consulfwd")
BIND = """\
options {{
    directory "{folder}";
    listen-on port {port} {{ {host}; }};
    listen-on-v6 {{ none; }};
    pid-file none;
    lock-file none;
    session-keyfile "{folder}/session.key";
    recursion no;
    dnssec-validation no;
    notify no;
}};
key "rndc" {{ algorithm hmac-sha256; secret "{secret}"; }};
controls {{ inet {host} port {control} allow {{ any; }} keys {{ "rndc"; }}; }};
"""
RNDC = """\
key "rndc" {{ algorithm hmac-sha256; secret "{secret}"; }};
options {{ default-key "rndc"; default-server {host}; default-port {control}; }};
"""
KNOT = """\
server:
    listen: {host}@{port}
    rundir: {folder}
database:
    storage: {folder}
log:
  - target: stderr
    any: info
"""
NSD = """\
server:
    ip-address: {host}@{port}
    zonesdir: "{folder}"
    database: ""
    username: ""
    chroot: ""
    pidfile: ""
    zonelistfile: "{folder}/zone.list"
    xfrdfile: "{folder}/xfrd.state"
    xfrdir: "{folder}"
    server-count: 1
    verbosity: 1
"""


class Page:
    """A page's blocks by heading and language."""

    def __init__(self, name: str, project: Path, folder: Path, port: int) -> None:
        self._text = (project / "docs" / name).read_text(encoding="utf-8")
        self._folder = folder
        self._port = port

    def block(self, heading: str, language: str) -> str:
        """The first block of that language below a heading, made fit for this folder."""
        below = self._text if not heading else self._text.split(f"\n## {heading}\n")[1]
        found = re.search(rf"^```{language}\n(.*?)^```$", below, re.MULTILINE | re.DOTALL)
        assert found, (heading, language)
        text = found[1]
        for one in FOLDERS:
            text = text.replace(one, str(self._folder))
        return text.replace("SECRET", SECRET).replace("127.0.0.1:53", f"{HOST}:{self._port}")

    def settings(self, heading: str = "", more: str = "") -> ZoneSettings:
        """The settings it shows, as they are read; `more` are lines about an update's target."""
        text = self.block(heading, "yaml")
        servers = f"servers: ['{HOST}:{self._port}']"
        text = re.sub(r"servers: \[.*\]", f"{servers}{more}", text)
        file = self._folder / "consulfwd.yml"
        file.write_text(text)
        (found,) = load(file, {}, {}).settings.zones
        return found


class Started:
    """A folder with programs of a server, told where its own configuration is."""

    def __init__(self, folder: Path, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.port = free_port(HOST)
        self._guard = guard
        self._running: list[Primary] = []
        programs = folder / "bin"
        programs.mkdir()
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")

    def program(self, name: str, *options: str) -> None:
        """Have a program run with options, as if they were its own."""
        file = self.folder / "bin" / name
        file.write_text(f'#!/bin/sh\nexec {shlex.join([str(tool(name)), *options])} "$@"\n')
        file.chmod(0o755)

    def start(self, *command: str) -> Primary:
        """Start a server that answers on the port."""
        name, *options = command
        words: list[str | Path] = [own_copy(name, self.folder), *options]
        server = Primary(words, self.folder, self._guard, HOST, self.port)
        self._running.append(server)
        # It may have no zone to answer for yet.
        super(Primary, server).start()
        server.wait_until(server.listens, "listening")
        return server

    def kill(self) -> None:
        for one in self._running:
            one.kill()


@pytest.fixture
def started(
    tmp_path: Path, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Started]:
    found = Started(tmp_path, guard, monkeypatch)
    yield found
    found.kill()


def bind(at: Started, conf: str) -> Primary:
    control = free_port(HOST)
    form = {"folder": at.folder, "host": HOST, "port": at.port, "secret": SECRET}
    (at.folder / "named.conf").write_text(BIND.format(control=control, **form) + conf)
    (at.folder / "rndc.conf").write_text(RNDC.format(control=control, **form))
    at.program("rndc", "-c", str(at.folder / "rndc.conf"))
    return at.start("named", "-f", "-n", "1", "-c", str(at.folder / "named.conf"))


def knot(at: Started, conf: str) -> Primary:
    text = KNOT.format(folder=at.folder, host=HOST, port=at.port)
    (at.folder / "knot.conf").write_text(text + conf)
    at.program("knotc", "-s", str(at.folder / "knot.sock"))
    return at.start("knotd", "-c", str(at.folder / "knot.conf"))


def nsd(at: Started, conf: str) -> Primary:
    text = NSD.format(folder=at.folder, host=HOST, port=at.port)
    (at.folder / "nsd.conf").write_text(text + conf)
    at.program("nsd-control", "-c", str(at.folder / "nsd.conf"))
    return at.start("nsd", "-d", "-c", str(at.folder / "nsd.conf"))


# Updates.

RFC2136 = "publish-targets-rfc2136.md"


def is_published(settings: ZoneSettings) -> UpdatedZone:
    """Publish by the settings; the whole is written, changed, read again."""
    (target,) = settings.targets
    assert target.rfc2136 is not None
    zone = UpdatedZone(target.rfc2136, names.from_text(settings.origin))
    assert zone.read().ours == {}
    push(zone, records(ZONE))
    push(zone, records(OTHER))
    assert zone.read().ours == records(OTHER)
    return zone


def test_updates_of_bind(started: Started, project: Path) -> None:
    page = Page(RFC2136, project, started.folder, started.port)
    make, _ = page.block("BIND", "sh").splitlines()
    subprocess.run(["/bin/sh", "-c", make], check=True)
    (started.folder / "svc.example.com.zone").write_text(page.block("BIND", "zone"))
    server = bind(started, page.block("BIND", "conf"))
    zone = is_published(page.settings())
    # By hand, as it is shown for the night.
    by_hand = (
        f"server {HOST} {started.port}\nzone {ORIGIN}\n"
        f"update delete web.{ORIGIN} A 10.0.0.2\nsend\n"
    )
    key = started.folder / "publisher.key"
    subprocess.run([tool("nsupdate"), "-k", key], input=by_hand, text=True, check=True)
    assert zone.read().ours != records(OTHER)
    push(zone, records(OTHER))
    shown = subprocess.run(
        [tool("dig"), f"@{HOST}", "-p", str(started.port), "-k", key, ORIGIN, "AXFR"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "mail.svc.example.com.\t30\tIN\tA\t10.0.0.5" in shown
    assert server.serial() == zone.read().serial


def test_updates_of_knot(started: Started, project: Path) -> None:
    page = Page(RFC2136, project, started.folder, started.port)
    made = subprocess.run(
        [tool("keymgr"), "-t", "publisher", "hmac-sha256"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    (secret,) = re.findall(r"secret: (\S+)", made)
    (started.folder / "publisher.key").write_text(secret)
    (started.folder / "svc.example.com.zone").write_text(page.block("BIND", "zone"))
    knot(started, page.block("Knot", "conf").replace(SECRET, secret))
    subprocess.run(
        [tool("knotc"), "-c", started.folder / "knot.conf", "conf-check"], check=True
    )
    is_published(page.settings(more=f"\n{' ' * 10}key_name: publisher"))


def test_updates_of_powerdns(started: Started, project: Path) -> None:
    page = Page(RFC2136, project, started.folder, started.port)
    (started.folder / "publisher.key").write_text(SECRET)
    conf = page.block("PowerDNS", "conf").replace("10.0.0.0/8", "127.0.0.0/8")
    bare = POWERDNS_BARE.format(folder=started.folder, host=HOST, port=started.port)
    (started.folder / "pdns.conf").write_text(bare + conf)
    make_database(started.folder)
    for line in page.block("PowerDNS", "sh").splitlines():
        program, *words = shlex.split(line)
        assert program == "pdnsutil"
        pdnsutil(started.folder, *words)
    started.start(
        "pdns_server", f"--config-dir={started.folder}", "--guardian=no", "--daemon=no"
    )
    is_published(page.settings(more=f"\n{' ' * 10}key_name: publisher"))


# Files.

FILE = "publish-targets-file.md"


def is_written(settings: ZoneSettings, server: Primary) -> ZoneFile:
    """Publish by the settings; the server has what is in the file, each time."""
    zone = zone_file(settings)
    # Some load it after they said so.
    apply(Pushing(zone, Push(zone.read(), difference({}, records(ZONE)))))
    first = zone.read().serial
    assert server.serial() == first
    assert push(zone, records(ZONE)) == Applied()
    base = zone.read()
    apply(Pushing(zone, Push(base, difference(base.ours, records(OTHER)))))
    second = zone.read().serial
    assert server.serial() == second != first
    return zone


def zone_file(settings: ZoneSettings) -> ZoneFile:
    (target,) = settings.targets
    assert target.file is not None
    return ZoneFile(target.file, names.from_text(settings.origin), apex_of(settings))


Kind = Callable[[Started, str], Primary]


FILES: dict[str, Kind] = {"BIND": bind, "NSD": nsd, "Knot": knot}


@pytest.mark.parametrize(("heading", "start"), FILES.items(), ids=FILES)
def test_a_file(heading: str, start: Kind, started: Started, project: Path) -> None:
    page = Page(FILE, project, started.folder, started.port)
    server = start(started, page.block(heading, "conf"))
    settings = page.settings("" if heading == "BIND" else heading)
    zone = is_written(settings, server)
    # A server that is not told has the old file.
    (target,) = settings.targets
    assert target.file is not None
    before = zone.path.read_bytes()
    mute = target.file.__class__(path=zone.path, reload=("true",), server=target.file.server)
    serial = zone.read().serial
    with pytest.raises(ApplyError, match=f"serves serial {serial}, not"):
        push(ZoneFile(mute, zone.origin, zone.apex), records(ZONE))
    assert zone.path.read_bytes() == before


def test_bind_makes_journals_of_the_files_it_loads(started: Started, project: Path) -> None:
    page = Page(FILE, project, started.folder, started.port)
    conf = page.block("BIND", "conf").replace("};", "ixfr-from-differences yes; };")
    zone = is_written(page.settings(), bind(started, conf))
    assert zone.path.with_name(f"{zone.path.name}.jnl").exists()
    push(zone, records(ZONE))


def test_a_dynamic_zone_of_bind_is_not_written_over(started: Started, project: Path) -> None:
    """What it took by an update is in its journal alone, and stays."""
    page = Page(FILE, project, started.folder, started.port)
    key = f'key "publisher" {{ algorithm hmac-sha256; secret "{SECRET}"; }};\n'
    (started.folder / "publisher.key").write_text(key)
    rights = "allow-update { key publisher; };"
    conf = page.block("BIND", "conf").replace("};", f"{rights} }};")
    settings = page.settings()
    server = bind(started, key + conf)
    zone = zone_file(settings)
    # Before the first update it is a file like any other.
    push(zone, records(ZONE))
    update = f"server {HOST} {started.port}\nupdate add theirs.{ORIGIN} 30 A 10.9.9.9\nsend\n"
    nsupdate: list[str | Path] = [tool("nsupdate"), "-k", started.folder / "publisher.key"]
    subprocess.run(nsupdate, input=update, text=True, check=True)
    before = zone.path.read_bytes()
    with pytest.raises(ApplyError, match="BIND has written changes of its own") as caught:
        push(zone, records(OTHER))
    assert "rfc2136" in caught.value.mend
    assert zone.path.read_bytes() == before
    assert server.serial() != zone_serial(zone)


def zone_serial(zone: ZoneFile) -> int:
    found = re.search(rb"IN SOA \S+ \S+ (\d+)", zone.path.read_bytes())
    assert found
    return int(found[1])


ODD = (
    '"$INCLUDE /etc/passwd"', '"; \\\\ \\" ( ) @ $ORIGIN x."', '"\\010$TTL 0\\010"',
    '"\\000\\255\\195\\188"', '""', f'"{"x" * 255}" "{"y" * 255}"',
)  # fmt: skip


@pytest.mark.parametrize("checker", [one for one in CHECKERS if one[0] != "kzonecheck"])
def test_real_checkers_read_every_text_as_one_record(
    checker: tuple[str, ...], started: Started, project: Path
) -> None:
    settings = Page(FILE, project, started.folder, started.port).settings()
    (target,) = settings.targets
    assert target.file is not None
    given = target.file.__class__(path=target.file.path, check=checker)
    zone = ZoneFile(given, names.from_text(ORIGIN), apex_of(settings))
    push(zone, records({f"odd{number} TXT": [text] for number, text in enumerate(ODD)}))
    push(zone, records({**ZONE, "*.wild A": "10.0.0.1"}))
    zone.apex = zone.apex._replace(servers=(names.from_text(f"nowhere.{ORIGIN}"),))
    if checker[0] == "named-checkzone":
        with pytest.raises(ApplyError, match="has no address records"):
            push(zone, records(OTHER))
