"""packaging/host-dns on a folder that stands for the host: done, undone, refused, taken back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.loopback import free_port

OLD = "domain corp.example\nsearch corp.example lab.example\nnameserver 10.0.0.53\n"
STUB = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch corp.example\n"
KEPT = "etc/resolv.conf.before-consulfwd"
UNFINISHED = "etc/.host-dns-unfinished"
DROPIN = "etc/systemd/resolved.conf.d/90-consulfwd.conf"
SETTINGS = """\
listen: ["127.0.0.1:53"]
consul:
  domain: {domain}
  alt_domains: []  # default
recursors: {recursors}
resolv_conf: {resolv_conf}  # /etc/consulfwd/consulfwd.yml:7
forward: {{}}  # default
"""


class Resolver:
    """Answers every datagram with its own header, made a reply with this rcode.

    Names but localhost have an address for as long as `finds` says; `asked` are these.
    """

    def __init__(self) -> None:
        self.rcode = 0
        self.finds: Callable[[], bool] = lambda: True
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def _run(self) -> None:
        while True:
            query, client = self._socket.recvfrom(512)
            if not query:
                return
            assert (query[:6], query[-5:]) == (b"cf\1\0\0\1", b"\0\0\1\0\1")
            name, count, rcode = labels(query[12:-4]), 0, self.rcode
            if name != "localhost":
                self.asked.append(name)
                count, rcode = (1, 0) if self.finds() else (0, 2)
            reply = query[:2] + bytes([query[2] | 0x80, 0x80 | rcode]) + query[4:6]
            self._socket.sendto(reply + bytes([0, count]) + query[8:], client)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()


def labels(wire: bytes) -> str:
    """The name in a query, to its last octet."""
    found = []
    while wire[0]:
        found.append(wire[1 : 1 + wire[0]].decode())
        wire = wire[1 + wire[0] :]
    assert wire == b"\0"
    return ".".join(found)


@dataclass
class Ended:
    code: int
    out: str
    err: str


@dataclass
class Host:
    """A root folder, and programs of the host that do what a test says."""

    folder: Path
    port: int
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = self.folder / "root"
        (self.root / "etc").mkdir(parents=True)
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        self.program("getent", 'echo "192.0.2.1 STREAM $2"')
        # It must not be called with ROOT.
        self.program("systemctl", f"echo $* >>{self.folder}/systemctl")
        self.program("sleep", ":")
        self.write("etc/resolv.conf", OLD)
        self.has(resolv_conf=f"/{KEPT}")

    def program(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def has(self, domain: str = "consul", recursors: str = "auto", resolv_conf: str = "/x") -> None:
        shown = SETTINGS.format(domain=domain, recursors=recursors, resolv_conf=resolv_conf)
        self.program("consulfwd", f'[ "$*" = "config show" ] && cat <<"END"\n{shown}END')

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def read(self, name: str = "etc/resolv.conf") -> str:
        return (self.root / name).read_text()

    def files(self) -> dict[str, str]:
        """What is there, links with where they lead."""
        return {
            str(path.relative_to(self.root)): f"-> {path.readlink()}"
            if path.is_symlink()
            else path.read_text()
            for path in self.root.rglob("*")
            if path.is_symlink() or path.is_file()
        }

    def start(self, *words: str, port: int | None = None) -> subprocess.Popen[str]:
        project = Path(__file__).parent.parent
        environ = {
            "PATH": f"{self.bin}:{os.environ['PATH']}:/usr/sbin:/sbin",
            "ROOT": str(self.root),
            "CONSULFWD": str(self.bin / "consulfwd"),
            "PORT": str(self.port if port is None else port),
        }
        return subprocess.Popen(
            [project / "packaging" / "host-dns", *words],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, port: int | None = None) -> Ended:
        with self.start(*words, port=port) as process:
            out, err = process.communicate(timeout=60)
        return Ended(process.returncode, out, err)

    def does(self, *words: str) -> str:
        """Run it; it must do what it is told. Return what it said."""
        ended = self.run(*words)
        assert (ended.code, ended.err) == (0, ""), ended
        return ended.out

    def refuses(self, *words: str, port: int | None = None) -> str:
        """Run it; it must leave everything as it was. Return why."""
        before = self.files()
        ended = self.run(*words, port=port)
        assert (ended.code, self.files()) == (1, before), ended
        return ended.err


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    made = Resolver()
    yield made
    made.close()


@pytest.fixture
def host(tmp_path: Path, resolver: Resolver) -> Iterator[Host]:
    made = Host(tmp_path, resolver.port)
    yield made
    assert not (tmp_path / "systemctl").exists()


@pytest.fixture
def stub(host: Host) -> Host:
    """A host whose resolv.conf is systemd-resolved's, with consulfwd fed from the right file."""
    host.write("run/systemd/resolve/stub-resolv.conf", STUB)
    (host.root / "etc/resolv.conf").unlink()
    (host.root / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    host.has(resolv_conf="/run/systemd/resolve/resolv.conf")
    return host


def test_resolv_conf_and_back(host: Host) -> None:
    before = host.files()
    said = host.does("resolv.conf")
    assert said == f"host-dns: resolv.conf: in force; the nameservers before it are in /{KEPT}\n"
    mark, *lines = host.read().splitlines()
    assert mark.startswith("# ")
    assert lines == ["search corp.example lab.example", "nameserver 127.0.0.1", "options edns0"]
    assert (host.root / "etc/resolv.conf").stat().st_mode & 0o777 == 0o644
    assert host.read(KEPT) == OLD
    during = host.files()
    assert host.does("resolv.conf") == "host-dns: resolv.conf: in force already\n"
    assert host.files() == during
    assert host.does("resolv.conf", "--undo") == "host-dns: resolv.conf: undone\n"
    assert host.files() == before
    assert host.does("resolv.conf", "--undo") == "host-dns: resolv.conf: not in force\n"
    assert host.files() == before


def test_options_of_the_administrator_stay(host: Host) -> None:
    host.write("etc/resolv.conf", "nameserver 10.0.0.53\noptions ndots:2 edns0\noptions rotate\n")
    host.does("resolv.conf")
    assert host.read().splitlines()[1:] == ["nameserver 127.0.0.1", "options edns0 ndots:2 rotate"]


@pytest.mark.parametrize("absolute", [False, True])
def test_a_link_is_kept_as_a_link(stub: Host, absolute: bool) -> None:
    if absolute:
        (stub.root / "etc/resolv.conf").unlink()
        (stub.root / "etc/resolv.conf").symlink_to("/run/systemd/resolve/stub-resolv.conf")
    before = stub.files()
    assert "before it are in /run/systemd/resolve/resolv.conf" in stub.does("resolv.conf")
    assert stub.read().splitlines()[1:] == [
        "search corp.example", "nameserver 127.0.0.1", "options edns0",
    ]  # fmt: skip
    assert stub.read("run/systemd/resolve/stub-resolv.conf") == STUB
    stub.does("resolv.conf", "--undo")
    assert stub.files() == before


def test_where_there_is_no_resolv_conf(host: Host) -> None:
    (host.root / "etc/resolv.conf").unlink()
    host.write(KEPT, "nameserver 10.9.9.9\n")
    assert "list consulfwd's recursors in its settings" in host.does("resolv.conf")
    assert host.read().splitlines()[1:] == ["nameserver 127.0.0.1", "options edns0"]
    assert "undone; there had been none" in host.does("resolv.conf", "--undo")
    assert host.files() == {}


def test_what_others_wrote_meanwhile_stays(host: Host) -> None:
    host.does("resolv.conf")
    host.write("etc/resolv.conf", "nameserver 10.7.7.7\n")
    assert f"an older one was kept as /{KEPT}" in host.does("resolv.conf", "--undo")
    assert host.read() == "nameserver 10.7.7.7\n"
    host.does("resolv.conf")
    assert host.read(KEPT) == "nameserver 10.7.7.7\n"


@pytest.mark.parametrize("end", ["", "\n"])
def test_others_are_kept_from_writing_it(host: Host, end: str) -> None:
    for folder in ("etc/NetworkManager/conf.d", "etc/dhcp/dhclient-enter-hooks.d"):
        (host.root / folder).mkdir(parents=True)
    host.write("etc/resolvconf.conf", f"name_servers=\nresolv_conf=/etc/resolv.conf{end}")
    before = host.files()
    said = host.does("resolv.conf")
    assert [line.split()[1] for line in said.splitlines()] == [
        "NetworkManager", "dhclient", "resolvconf", "resolv.conf:",
    ]  # fmt: skip
    managed = host.read("etc/NetworkManager/conf.d/90-consulfwd.conf").splitlines()
    assert managed[1:] == ["[main]", "dns=none"]
    # The last word counts, as in the shell that reads it.
    hook = "etc/dhcp/dhclient-enter-hooks.d/zz-consulfwd"
    shell = f"make_resolv_conf() {{ echo wrote it; }}; . {host.root}/{hook}; make_resolv_conf"
    assert subprocess.run(["sh", "-c", shell], check=True, capture_output=True).stdout == b""
    shell = f'. {host.root}/etc/resolvconf.conf; echo "$resolv_conf"'
    ended = subprocess.run(["sh", "-c", shell], check=True, capture_output=True, text=True)
    assert ended.stdout == f"/{KEPT}\n"
    during = host.files()
    host.does("resolv.conf")
    assert host.files() == during
    host.does("resolv.conf", "--undo")
    after = host.files()
    assert after.pop("etc/resolvconf.conf") == before.pop("etc/resolvconf.conf").rstrip() + "\n"
    assert after == before


def test_a_file_that_is_mounted_there_is_written_in_place(host: Host) -> None:
    # As rename(2) fails on a mount point.
    host.program("mv", f'[ "${{@: -1}}" != {host.root}/etc/resolv.conf ] && exec /bin/mv "$@"')
    inode = (host.root / "etc/resolv.conf").stat().st_ino
    before = host.files()
    assert "cannot be renamed over" in host.does("resolv.conf")
    assert host.read().splitlines()[-1] == "options edns0"
    assert "cannot be renamed over" in host.does("resolv.conf", "--undo")
    assert (host.files(), (host.root / "etc/resolv.conf").stat().st_ino) == (before, inode)


def test_a_file_that_cannot_be_replaced_at_all(host: Host) -> None:
    host.program("mv", f'[ "${{@: -1}}" != {host.root}/etc/resolv.conf ] && exec /bin/mv "$@"')
    host.program("cat", f'[[ "$*" != *{host.root}/etc/resolv.conf.* ]] && exec /bin/cat "$@"')
    (host.root / "etc/dhcp").mkdir()
    ended = host.run("resolv.conf")
    assert ended.code == 1
    assert "cannot be replaced: see whether it is immutable (lsattr)" in ended.err
    assert not (host.root / "etc/dhcp/dhclient-enter-hooks.d/zz-consulfwd").exists()


@pytest.mark.parametrize("step", ["resolv.conf", "resolved"])
def test_nothing_is_done_when_nobody_answers(stub: Host, resolver: Resolver, step: str) -> None:
    port = free_port("127.0.0.1")
    assert f"nobody answers DNS at 127.0.0.1:{port}, so nothing was changed" in stub.refuses(
        step, port=port
    )
    for useless in (2, 5):
        resolver.rcode = useless
        assert "nobody answers DNS" in stub.refuses(step)
    resolver.rcode = 3
    stub.does(step)
    stub.does(step, "--undo")
    ended = stub.run(step, "--force", port=port)
    assert ended.code == 0
    assert "in force" in ended.out


@pytest.mark.parametrize("step", ["resolv.conf", "resolved"])
def test_it_is_taken_back_when_names_cannot_be_looked_up(stub: Host, step: str) -> None:
    (stub.root / "etc/dhcp/dhclient-enter-hooks.d").mkdir(parents=True)
    stub.program("getent", f"echo $* >>{stub.folder}/asked; [ $1 = ahostsv4 ]")
    said = stub.refuses(step)
    assert "consul.service.consul cannot be looked up that way, so everything is put back" in said
    asked = ["ahostsv4 corp.example.", *["ahosts consul.service.consul"] * 3]
    assert (stub.folder / "asked").read_text().splitlines() == asked
    stub.does(step, "--force")


def test_the_name_that_is_looked_up(host: Host) -> None:
    host.program("getent", f"[ $1 = ahostsv4 ] || echo $2 >>{host.folder}/asked")
    host.has(domain="corp.consul", recursors='["10.0.0.53"]')
    host.does("resolv.conf")
    host.does("resolv.conf", "--undo")
    host.does("resolv.conf", "--name", "web.example")
    asked = (host.folder / "asked").read_text().split()
    assert asked == ["consul.service.corp.consul", "web.example"]


@pytest.mark.parametrize("step", ["resolv.conf", "resolved"])
def test_a_program_that_cannot_be_run_is_found_before_anything_is_changed(
    stub: Host, step: str
) -> None:
    stub.write(KEPT, "nameserver 10.9.9.9\n")
    program = stub.bin / "consulfwd"
    program.chmod(0o644)
    said = stub.refuses(step)
    assert f"there is no program {program} (CONSULFWD names another), so nothing was" in said
    program.unlink()
    assert "there is no program" in stub.refuses(step)
    program.mkdir()
    assert "there is no program" in stub.refuses(step)
    stub.does(step, "--force")


@pytest.mark.parametrize("step", ["resolv.conf", "resolved"])
def test_a_name_outside_is_found_before_and_after(
    stub: Host, resolver: Resolver, step: str
) -> None:
    stub.write(KEPT, "nameserver 10.9.9.9\n")
    stub.program("getent", f"echo $* >>{stub.folder}/asked")
    stub.does(step)
    asked = ["ahostsv4 corp.example.", "ahosts consul.service.consul", "ahostsv4 corp.example."]
    assert (stub.folder / "asked").read_text().splitlines() == asked
    assert resolver.asked == ["corp.example"]
    stub.does(step, "--undo")
    # Consulfwd has no recursors, or wrong ones.
    resolver.finds = lambda: False
    said = stub.refuses(step)
    assert "consulfwd does not find corp.example, which this host finds now, so nothing was" in said
    stub.does(step, "--force")


@pytest.mark.parametrize("step", ["resolv.conf", "resolved"])
def test_it_is_taken_back_when_the_name_outside_is_lost(stub: Host, step: str) -> None:
    (stub.root / "etc/NetworkManager/conf.d").mkdir(parents=True)
    stub.write(KEPT, "nameserver 10.9.9.9\n")
    stub.program("getent", f"[ $1 = ahosts ] || mkdir {stub.folder}/before 2>/dev/null")
    said = stub.refuses(step)
    assert "corp.example cannot be looked up that way, so everything is put back" in said


def test_recursors_that_come_with_the_step_are_waited_for(
    host: Host, resolver: Resolver
) -> None:
    # They are in the file that is kept, which is not there yet; it is looked at each second.
    resolver.finds = lambda: len(resolver.asked) > 4 and (host.root / KEPT).exists()
    host.does("resolv.conf")


def test_which_name_outside(host: Host, resolver: Resolver) -> None:
    known = host.folder / "known"
    host.program(
        "getent",
        f'[ "$1 $2" != "hosts 10.0.0.53" ] || echo "10.0.0.53 ns.lab.example";'
        f' [ $1 = ahosts ] || grep -qxF "${{2%.}}" {known}',
    )
    for names, search, wanted in (
        ("a.root-servers.net lab.example", "corp.example lab.example.", "lab.example"),
        # It stands in the other file.
        ("a.root-servers.net corp.example", "corp.example", "a.root-servers.net"),
        ("a.root-servers.net ns.lab.example", "corp.example", "ns.lab.example"),
        # It is no pattern for names of files.
        ("a.root-servers.net LICENSE", "*", "a.root-servers.net"),
    ):
        known.write_text("\n".join(names.split()))
        # What stands there is found without asking.
        host.write("etc/hosts", "127.0.0.1 localhost\n10.0.0.7 Corp.example host\n")
        host.write("etc/resolv.conf", f"search {search}\nnameserver 10.0.0.53\n")
        host.does("resolv.conf")
        assert resolver.asked[-1] == wanted
        host.does("resolv.conf", "--undo")
    known.write_text("www.example\n")
    host.does("resolv.conf", "--outside", "www.example.")
    assert resolver.asked[-1] == "www.example"
    host.does("resolv.conf", "--undo")
    assert "www.other cannot be looked up as it is now, so nothing" in host.refuses(
        "resolv.conf", "--outside", "www.other"
    )
    # A host that finds nothing out there cannot lose it.
    asked = list(resolver.asked)
    assert "no name outside Consul is found here now" in host.does("resolv.conf")
    assert resolver.asked == asked


@pytest.mark.parametrize("where", ["waiting for consulfwd", "looking up"])
def test_it_is_taken_back_when_it_is_interrupted(
    host: Host, resolver: Resolver, where: str
) -> None:
    begun = host.folder / "begun"
    if where == "looking up":
        host.program("getent", f"[ $1 = ahostsv4 ] || {{ touch {begun}; exec /bin/sleep 2; }}")
    else:
        host.program("sleep", f"touch {begun}; exec /bin/sleep 2")
        resolver.finds = lambda: False
    host.write(KEPT, "nameserver 10.9.9.9\n")
    before = host.files()
    with host.start("resolv.conf") as process:
        ends = time.monotonic() + 20
        while not begun.exists():
            assert time.monotonic() < ends
            time.sleep(0.01)
        assert host.files() != before
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
    said = "" if where == "waiting for consulfwd" else "host-dns: resolv.conf: undone\n"
    assert (process.returncode, out) == (130, said)
    assert host.files() == before


def test_what_others_put_before_it_is_told(host: Host) -> None:
    host.does("resolv.conf")
    host.write(
        "etc/resolv.conf", host.read().replace("nameserver", "nameserver 10.7.7.7\nnameserver")
    )
    ended = host.run("status")
    assert ended.code == 1
    assert "resolv.conf: in force, but somebody put 10.7.7.7 before it\n" in ended.out
    assert "somebody put 10.7.7.7 before 127.0.0.1" in host.refuses("resolv.conf")
    host.does("resolv.conf", "--undo")
    assert host.read() == OLD


def test_two_at_once_do_not_keep_each_other_s_file(host: Host) -> None:
    before = host.files()
    begun, may_go_on = host.folder / "begun", host.folder / "may go on"
    waits = f"until [ -e '{may_go_on}' ]; do /bin/sleep 0.1; done"
    # Only the first one is held up.
    host.program("cp", f'mkdir {begun} 2>/dev/null && {waits}; exec /bin/cp "$@"')
    with host.start("resolv.conf") as first:
        ends = time.monotonic() + 20
        while not begun.exists():
            assert time.monotonic() < ends
            time.sleep(0.01)
        with host.start("resolv.conf") as second:
            try:
                second.wait(2)
            except subprocess.TimeoutExpired:
                assert host.files() == {**before, UNFINISHED: "resolv.conf\n"}
            may_go_on.touch()
            said = [process.communicate(timeout=20)[0] for process in (first, second)]
    assert said[1] == "host-dns: resolv.conf: in force already\n"
    host.does("resolv.conf", "--undo")
    assert host.files() == before


def test_who_else_reads_it_can(host: Host) -> None:
    (host.root / "etc/NetworkManager").mkdir()
    before = os.umask(0o077)
    try:
        host.does("resolv.conf")
    finally:
        os.umask(before)
    for name in ("etc/resolv.conf", "etc/NetworkManager/conf.d/90-consulfwd.conf"):
        assert (host.root / name).stat().st_mode & 0o777 == 0o644
    assert (host.root / "etc/NetworkManager/conf.d").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("step", ["resolv.conf", "resolved"])
def test_settings_that_cannot_be_read_are_not_taken_for_good(stub: Host, step: str) -> None:
    stub.program("consulfwd", "exit 2")
    assert "settings cannot be read (), so nothing was changed" in stub.refuses(step)
    stub.program("consulfwd", r"printf 'consulfwd: x.yml:1: \033[2Jno\nmore\n' >&2; exit 2")
    assert "cannot be read (consulfwd: x.yml:1: ?[2Jno), so nothing was" in stub.refuses(step)
    stub.does(step, "--force")


def test_what_a_link_leads_to_is_not_written(stub: Host) -> None:
    stub.program("mv", f'[ "${{@: -1}}" != {stub.root}/etc/resolv.conf ] && exec /bin/mv "$@"')
    assert "cannot be replaced" in stub.run("resolv.conf").err
    assert stub.read("run/systemd/resolve/stub-resolv.conf") == STUB


def test_consulfwd_is_not_left_without_recursors(host: Host) -> None:
    host.has(resolv_conf="/etc/resolv.conf")
    assert f"set 'resolv_conf: /{KEPT}' in" in host.refuses("resolv.conf")
    host.has(resolv_conf="/etc/resolv.conf", recursors='["10.0.0.53"]')
    host.does("resolv.conf")


def test_consulfwd_and_systemd_resolved_do_not_ask_each_other(stub: Host) -> None:
    listed = '["127.0.0.53"]'
    for given in ("/etc/resolv.conf", "/run/systemd/resolve/stub-resolv.conf"):
        stub.has(resolv_conf=given)
        assert "they would ask each other" in stub.refuses("resolved")
    stub.has(recursors=listed)
    assert "they would ask each other" in stub.refuses("resolved")
    assert "they would ask each other" in stub.refuses("resolv.conf")
    stub.has(recursors=f"\n  - {listed[1:-1]}", resolv_conf="/run/systemd/resolve/resolv.conf")
    assert "they would ask each other" in stub.refuses("resolved")
    stub.has(recursors='["10.0.0.53"]', resolv_conf="/etc/resolv.conf")
    stub.does("resolved")


def test_resolved_and_back(stub: Host) -> None:
    before = stub.files()
    assert stub.does("resolved") == f"host-dns: resolved: in force (/{DROPIN})\n"
    during = stub.files()
    dropin = during.pop(DROPIN)
    assert during == before
    assert [line for line in dropin.splitlines() if not line.startswith("#")] == [
        "[Resolve]", "DNS=", "DNS=127.0.0.1", "Domains=~.", "DNSSEC=no", "DNSOverTLS=no",
    ]  # fmt: skip
    assert stub.does("resolved") == "host-dns: resolved: in force already\n"
    assert stub.does("resolved", "--undo") == "host-dns: resolved: undone\n"
    assert stub.files() == before
    assert stub.does("resolved", "--undo") == "host-dns: resolved: not in force\n"


def test_resolved_is_of_no_use_where_nobody_asks_it(host: Host) -> None:
    assert "programs here do not ask systemd-resolved" in host.refuses("resolved")
    (host.root / "etc/resolv.conf").unlink()
    assert "programs here do not ask systemd-resolved" in host.refuses("resolved")


def test_status(stub: Host) -> None:
    good = "host-dns: 127.0.0.1:{} answers\nhost-dns: {}\nhost-dns: looked up as programs do: {}\n"
    found = "consul.service.consul: 192.0.2.1, 2001:db8::1"
    stub.program("getent", "printf '%s x\\n' 192.0.2.1 192.0.2.1 2001:db8::1")
    ended = stub.run("status")
    neither = "neither resolv.conf nor resolved is in force"
    assert (ended.code, ended.out) == (1, good.format(stub.port, neither, found))
    for step in ("resolv.conf", "resolved"):
        stub.does(step)
        ended = stub.run("status")
        assert (ended.code, ended.out) == (0, good.format(stub.port, f"{step}: in force", found))
        stub.does(step, "--undo")
    stub.does("resolved")
    port = free_port("127.0.0.1")
    ended = stub.run("status", port=port)
    assert ended.code == 1
    assert f"127.0.0.1:{port} does not answer\n" in ended.out
    stub.program("getent", "exit 2")
    ended = stub.run("status")
    assert (ended.code, ended.out.splitlines()[-1]) == (
        1,
        "host-dns: looked up as programs do: consul.service.consul: not found",
    )


@pytest.mark.parametrize(
    "words",
    [
        [], ["nonsense"], ["status", "--undo"], ["resolved", "status"], ["resolv.conf", "--name"],
        ["resolved", "--outside"], ["resolved", "--outside", "a b"], ["resolved", "--name", "a..b"],
    ],
)
def test_wrong_use(host: Host, words: list[str]) -> None:
    before = host.files()
    ended = host.run(*words)
    assert (ended.code, ended.out, host.files()) == (2, "", before)
    assert ended.err.startswith("usage: host-dns ")


def test_help(host: Host) -> None:
    assert host.does("--help").startswith("usage: host-dns ")


def test_a_root_that_is_none(host: Host) -> None:
    host.root = host.folder / "elsewhere"
    assert "there is no folder" in host.run("resolv.conf").err
