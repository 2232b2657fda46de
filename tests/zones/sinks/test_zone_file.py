"""A zone's file, brought into force by the steps: serials, others' hands, faults, the way back."""

from __future__ import annotations

import errno
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from consulfwd.apply import commands, files
from consulfwd.apply.change import Applied
from consulfwd.apply.places import candidate_of
from consulfwd.apply.steps import apply
from consulfwd.config.zones import FileTarget
from consulfwd.dns import names
from consulfwd.errors import ApplyError
from consulfwd.zones import serials
from consulfwd.zones.model import Records, difference
from consulfwd.zones.sinks import written
from consulfwd.zones.sinks.file import CHECKERS, ZoneFile
from consulfwd.zones.sinks.work import Pushing
from consulfwd.zones.target import Base, Push
from tests.zones.made import ORIGIN, records, shown
from tests.zones.sinks.model import HERE, Model, Net
from tests.zones.sinks.test_written import APEX

NOW = 1_800_000_000
WEB = records({"web A": "10.0.0.1 10.0.0.2"})
MORE = records({"web A": "10.0.0.1 10.0.0.2", "db A": "10.0.0.3"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "svc.zone"


def target(
    path: Path, remembered: int | None = None, net: Net | None = None, **given: Any
) -> ZoneFile:
    settings = FileTarget(path=path, **{"check": (), **given})
    return ZoneFile(
        settings,
        names.from_text(ORIGIN),
        APEX,
        remembered=lambda: remembered,
        time_of_day=lambda: NOW,
        exchange=net,
    )


def push(zone: ZoneFile, wanted: Records, base: Base | None = None, **more: Any) -> Applied:
    """Bring what is wanted into force, as a publisher does."""
    base = base or zone.read()
    work = Pushing(zone, Push(base, difference(base.ours, wanted), **more))
    return apply(work, sleep=lambda _: None)


def serial(path: Path) -> int:
    return written.read(path.read_bytes()).serial


def test_there_is_nothing_then_a_zone_then_another(path: Path) -> None:
    zone = target(path)
    assert zone.read() == Base("", {})
    assert push(zone, WEB).places == (str(path),)
    base = zone.read()
    assert (shown(base.ours), base.serial) == ({"web A": "10.0.0.1 10.0.0.2"}, NOW)
    assert push(zone, MORE).places == (str(path),)
    later = zone.read()
    assert (later.ours, later.serial) == (MORE, NOW + 1)
    assert later.mark != base.mark
    assert sorted(one.name for one in path.parent.iterdir()) == ["svc.zone", "svc.zone.bak"]


def test_nothing_is_written_where_nothing_changes(path: Path) -> None:
    push(target(path), WEB)
    before = path.stat()
    for _ in range(100):
        assert push(target(path), WEB) == Applied()
    assert path.stat() == before


def test_a_zone_without_services_is_a_zone(path: Path) -> None:
    assert push(target(path), {}).places == (str(path),)
    assert target(path).read().ours == {}
    assert push(target(path), {}) == Applied()


def test_what_the_zone_says_of_itself_is_a_change(path: Path) -> None:
    push(target(path), WEB)
    zone = target(path)
    zone.apex = APEX._replace(refresh=999)
    assert push(zone, WEB).places == (str(path),)
    assert serial(path) == NOW + 1
    assert push(zone, WEB) == Applied()


@pytest.mark.parametrize(
    ("remembered", "served", "next_one"),
    [
        (None, None, NOW + 1),
        (NOW + 50, None, NOW + 51),
        (NOW - 50, NOW + 70, NOW + 71),
        (NOW + 90, NOW + 70, NOW + 91),
    ],
)
def test_a_serial_is_newer_than_the_files_the_served_and_the_remembered(
    path: Path, remembered: int | None, served: int | None, next_one: int
) -> None:
    push(target(path), WEB)
    net = Net(here=Model(serial=served or 1))

    def serve(server: object, what: str) -> None:
        if path.read_bytes().count(b"db.svc"):
            net.models[HERE].serial = next_one

    net.before = serve
    more = {} if served is None else {"server": HERE}
    push(target(path, remembered, net, **more), MORE)
    assert serial(path) == next_one


def test_the_server_must_serve_it_or_all_goes_back(path: Path) -> None:
    push(target(path), WEB)
    before = path.read_bytes()
    net = Net(here=Model(serial=NOW))
    told = path.with_name("told")
    reload = ("/bin/sh", "-c", f"echo told >> {told}")
    clock = iter(range(1_000))
    zone = target(path, None, net, server=HERE, reload=reload)
    base = zone.read()
    with pytest.raises(ApplyError, match=f"serves serial {NOW}, not {NOW + 1}.*rolled back"):
        apply(
            Pushing(zone, Push(base, difference(base.ours, MORE))),
            sleep=lambda _: None,
            clock=lambda: float(next(clock)),
        )
    assert path.read_bytes() == before
    assert told.read_text() == "told\ntold\n"
    # The server may have seen the serial: it is not given to anything else.
    net.before = lambda server, what: setattr(net.models[HERE], "serial", serial(path))
    push(zone, MORE)
    assert serial(path) == NOW + 2


@pytest.mark.parametrize(
    "text",
    [
        b"$TTL 30\n@ SOA ns hostmaster 1 2 3 4 5\n",
        b"",
        written.write(written.Text(names.from_text("example.org"), 1, APEX, {}, 0)),
    ],
)
def test_a_file_that_is_not_ours_is_never_written_over(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    zone = target(path)
    with pytest.raises(ApplyError, match="not written over, as it is not ours") as caught:
        zone.read()
    assert caught.value.where == str(path)
    assert "move it away" in caught.value.mend
    with pytest.raises(ApplyError, match="not ours"):
        push(zone, WEB, Base("", {}))
    assert path.read_bytes() == text
    assert [one.name for one in path.parent.iterdir()] == ["svc.zone"]


def test_a_file_that_somebody_edited_is_not_written_over(path: Path) -> None:
    push(target(path), WEB)
    with path.open("a") as file:
        file.write("mail.svc.example.com. 30 IN A 10.9.9.9\n")
    with pytest.raises(ApplyError, match="changed since consulfwd wrote it"):
        push(target(path), MORE)
    assert "mail" in path.read_text()


def test_a_plan_for_another_state_is_refused_by_name(path: Path) -> None:
    mine = target(path)
    push(mine, WEB)
    base = mine.read()
    push(target(path), MORE)
    with pytest.raises(ApplyError, match=r"changed by somebody else.*db\.svc\.example\.com\. A"):
        push(mine, records({"web A": "10.0.0.1"}), base)
    assert mine.read().ours == MORE


def test_who_lost_the_lock_does_not_write(path: Path) -> None:
    zone = target(path)
    push(zone, WEB, holder="one", number=7)
    with pytest.raises(ApplyError, match="the lock is lost"):
        push(zone, MORE, may=lambda: "the lock is lost")
    assert zone.read().ours == WEB
    assert b"lock=7" in path.read_bytes()
    push(zone, MORE, number=9)
    with pytest.raises(ApplyError, match=r"a later number \(9\)"):
        push(zone, WEB, number=8)
    assert zone.read().ours == MORE
    # Without a lock nobody is asked, and what is known is kept.
    push(zone, WEB)
    assert b"lock=9" in path.read_bytes()


def test_the_checker_of_the_settings_is_asked_with_file_and_origin(path: Path) -> None:
    check = ("/bin/sh", "-c", 'test "$1" = svc.example.com && grep -q 10.0.0.1 "$0"', "{file}")
    push(target(path, check=(*check, "{origin}")), WEB)
    with pytest.raises(ApplyError, match="not replaced, as its check"):
        push(target(path, check=(*check, "{origin}")), records({"web A": "10.0.0.9"}))
    assert target(path).read().ours == WEB


def test_the_first_checker_that_is_installed_is_asked_unasked(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(commands, "MORE_PATHS", ())
    assert target(path, check=None).check() == ()
    for name, *_ in reversed(CHECKERS):
        program = programs / name
        asks = f'echo "$0 $@" >> {tmp_path}/asked; ! /bin/grep -q bad "$4"'
        program.write_text(f"#!/bin/sh\n{asks}\n")
        program.chmod(0o755)
        assert target(path, check=None).check()[0] == name
    push(target(path, check=None), WEB)
    asked = (tmp_path / "asked").read_text().split()
    candidate = str(candidate_of(path.resolve()))
    assert asked == [f"{programs}/named-checkzone", "-i", "local", ORIGIN, candidate]
    with pytest.raises(ApplyError, match="not replaced, as its check `named-checkzone"):
        push(target(path, check=None), records({"bad A": "10.0.0.1"}))
    assert target(path).read().ours == WEB


KILLED = """
import os, signal, sys
from pathlib import Path
from consulfwd.apply import files
from tests.zones.sinks import test_zone_file as tests
path, step = Path(sys.argv[1]), sys.argv[2]
zone = tests.target(path, reload=("/bin/sh", "-c", f"cp {path} {path}.served"))
def kill(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
place, name = {
    "stage": (files.Replacement, "stage"), "keep": (files.Replacement, "_keep"),
    "move": (files.Replacement, "_move"), "sync": (files.Replacement, "_sync_folder"),
    "reload": (tests.ZoneFile, "unserved"), "settle": (files.Replacement, "settle"),
    "candidate": (os, "fsync"),
}[step]
setattr(place, name, kill)
tests.push(zone, tests.MORE)
"""


@pytest.mark.parametrize("step", ["stage", "candidate", "keep", "move", "sync", "reload", "settle"])
def test_killed_at_any_step_the_old_or_the_new_is_there_and_the_next_goes_on(
    path: Path, project: Path, step: str
) -> None:
    push(target(path), WEB)
    ran = subprocess.run([sys.executable, "-c", KILLED, path, step], cwd=project, timeout=60)
    assert ran.returncode == -signal.SIGKILL
    zone = target(path, reload=("/bin/sh", "-c", f"cp {path} {path}.served"))
    assert zone.read().ours in (WEB, MORE)
    push(zone, MORE)
    assert zone.read().ours == MORE
    # Whether or not the killed one got as far as that, the server was told in the end.
    assert path.with_name("svc.zone.served").read_bytes() == path.read_bytes()
    left = {one.name for one in path.parent.iterdir()}
    assert left <= {"svc.zone", "svc.zone.bak", "svc.zone.served"}
    assert NOW < serial(path) <= NOW + 2
    assert push(zone, MORE) == Applied()


def test_two_at_once_do_not_mix(path: Path) -> None:
    mine, others = target(path), target(path)
    push(mine, WEB)
    base = mine.read()
    change = mine.change(Push(base, difference(base.ours, MORE)))
    with change, pytest.raises(ApplyError, match="another consulfwd is writing this file"):
        push(others, MORE)
    assert mine.read().ours == WEB


def test_faults_of_the_file_system_are_told(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    places = {tmp_path / "no" / "zone": "no such directory", tmp_path / "folder": "not a regular"}
    for path, why in places.items():
        with pytest.raises(ApplyError, match=why):
            push(target(path), WEB, Base("", {}))


def test_a_disk_that_is_full_leaves_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(target(path), WEB)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ApplyError, match="no space left on the file system") as caught:
            push(target(path), MORE)
    assert "the old file stands" in caught.value.mend
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["svc.zone"]
    push(target(path), MORE)
    assert serial(path) == NOW + 1


def test_owner_mode_and_a_link_beside_it_stay(path: Path, tmp_path: Path) -> None:
    push(target(path), WEB)
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 1234, 2345)
    before = path.stat()
    link = tmp_path / "link.zone"
    link.symlink_to("svc.zone")
    push(target(link), MORE)
    after = path.stat()
    assert link.is_symlink()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode, before.st_uid, before.st_gid,
    )  # fmt: skip
    assert target(path).read().ours == MORE


def test_who_may_give_no_files_away_replaces_its_own(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under systemd, where the call itself is refused (SystemCallFilter=~@privileged)."""

    def refused(descriptor: int, owner: int, group: int) -> None:
        raise PermissionError(errno.EPERM, "")

    monkeypatch.setattr(os, "fchown", refused)
    push(target(path), WEB)
    push(target(path), MORE)
    assert target(path).read().ours == MORE
    with path.open("rb") as file, pytest.raises(PermissionError):
        files._give(file.fileno(), path.stat().st_uid + 1, path.stat().st_gid)


def test_nothing_is_written_through_a_link_into_another_directory(
    path: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.zone"
    link.symlink_to(path)
    with pytest.raises(ApplyError, match=r"a link to .*, which may be another program's"):
        push(target(link), WEB)
    assert not path.exists()
    assert link.is_symlink()


def test_a_file_that_is_too_large_is_not_read_as_a_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"x" * 10_000)
    monkeypatch.setattr(written, "LARGEST", 100)
    with pytest.raises(ApplyError, match="not ours: it is larger than 100 octets"):
        target(path).read()


@pytest.mark.parametrize(
    ("standing", "now", "following"),
    [
        (2**32 - 1, 3_000_000_000, 1),
        (2**32 - 2, 3_000_000_000, 2**32 - 1),
        (2**32 - 1, NOW, NOW),
        (NOW + 2**31 - 2, NOW, NOW + 2**31 - 1),
    ],
)
def test_serials_go_around(path: Path, standing: int, now: int, following: int) -> None:
    """RFC 1982: after the highest comes the lowest, but 0, by which some mean none."""
    text = written.Text(names.from_text(ORIGIN), standing, APEX, WEB, 0)
    path.write_bytes(written.write(text))
    zone = ZoneFile(
        FileTarget(path=path, check=()), names.from_text(ORIGIN), APEX, time_of_day=lambda: now
    )
    push(zone, MORE)
    assert serial(path) == following
    assert serials.newer(following, standing)


# BIND's journals.


def journal(path: Path, begin: int, end: int) -> None:
    """The header of a journal of BIND's from one serial to another."""
    head = b";BIND LOG V9.2\n".ljust(16, b"\0")
    head += struct.pack("!4I", begin, 64, end, 64 + 100 * (end - begin))
    path.with_name(f"{path.name}.jnl").write_bytes(head.ljust(64, b"\0"))


def test_a_zone_that_bind_writes_to_itself_is_not_written_over(path: Path) -> None:
    """A dynamic zone's changes are in its journal for up to 15 minutes."""
    push(target(path), WEB)
    before = path.read_bytes()
    journal(path, NOW, NOW + 1)
    with pytest.raises(ApplyError, match=f"BIND has written changes.* serial {NOW + 1}") as caught:
        target(path).read()
    assert "rfc2136" in caught.value.mend
    with pytest.raises(ApplyError, match="BIND has written changes"):
        push(target(path), MORE, Base("", {}))
    assert path.read_bytes() == before
    link = path.with_name("link.zone")
    link.symlink_to("svc.zone")
    with pytest.raises(ApplyError, match="BIND has written changes"):
        target(link).read()


def test_a_journal_of_what_is_in_the_file_is_in_nobodys_way(path: Path) -> None:
    """With ixfr-from-differences BIND makes one of each file it loads."""
    push(target(path), WEB)
    for more in (MORE, WEB, MORE):
        journal(path, NOW - 5, serial(path))
        push(target(path), more)
    # What was taken back may be in it, and is remembered.
    journal(path, NOW, NOW + 9)
    push(target(path, NOW + 9), WEB)
    assert serial(path) == NOW + 10


@pytest.mark.parametrize("head", [b"", b";BIND", b"another file".ljust(64, b"x")])
def test_a_journal_that_is_none_is_in_nobodys_way(path: Path, head: bytes) -> None:
    path.with_name("svc.zone.jnl").write_bytes(head)
    push(target(path), WEB)
    journal(path, NOW, NOW)
    push(target(path), MORE)


def test_a_journal_that_is_no_file_is_not_waited_for(path: Path) -> None:
    journal(path, NOW, NOW + 1)
    made = path.with_name("svc.zone.jnl")
    head = made.read_bytes()
    made.unlink()
    os.mkfifo(made)
    held = os.open(made, os.O_RDWR | os.O_NONBLOCK)
    try:
        # Whoever does read it gets something.
        os.write(held, head)
        push(target(path), WEB)
        assert len(os.read(held, 100)) == len(head)
    finally:
        os.close(held)


def test_a_journal_without_a_file_is_told(path: Path) -> None:
    """BIND would not load a file that does not lead on from there."""
    journal(path, 1, 2)
    with pytest.raises(ApplyError, match=r"svc\.zone\.jnl, up to serial 2"):
        target(path).read()
