"""A file is replaced whole or not at all, and what is in the way is said plainly."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from consulfwd.apply.files import Replacement
from consulfwd.apply.places import (
    Links,
    backup_of,
    fault,
    installed,
    kept_of,
    mark_of,
    unfinished,
)
from consulfwd.errors import ApplyError

OLD, NEW = b"old\n", b"new\xff\n"
# Only root can give files away.
OWNER = (1234, 2345) if os.geteuid() == 0 else (os.getuid(), os.getgid())


def replace(path: Path, data: bytes, links: Links = "refuse") -> Path | None:
    """Replace one file; its backup, if there is one."""
    with Replacement(path, links) as one:
        one.stage(data)
        one.replace()
        return one.settle()



@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "consul.conf"
    path.write_bytes(OLD)
    path.chmod(0o604)
    os.chown(path, *OWNER)
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def whose(path: Path) -> tuple[int, tuple[int, int]]:
    found = path.stat()
    return stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid)


def test_content_changes_owner_and_mode_stay_and_the_old_file_is_the_backup(place: Path) -> None:
    old = place.stat().st_ino
    backup = replace(place, NEW)
    assert backup == place.with_name("consul.conf.bak")
    assert installed(place) == NEW
    assert whose(place) == (0o604, OWNER)
    assert backup.stat().st_ino == old
    assert backup.read_bytes() == OLD
    assert names(place.parent) == {"consul.conf", "consul.conf.bak"}


def test_there_is_one_backup_of_what_stood_there_last(place: Path) -> None:
    for content in (b"1", b"2", b"3"):
        replace(place, content)
    assert backup_of(place).read_bytes() == b"2"
    assert names(place.parent) == {"consul.conf", "consul.conf.bak"}


def test_a_new_file_is_readable_for_all_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        assert replace(tmp_path / "new", NEW) is None
    finally:
        os.umask(before)
    assert installed(tmp_path / "new") == NEW
    assert whose(tmp_path / "new")[0] == 0o644
    assert names(tmp_path) == {"new"}


def test_the_backup_is_hidden_where_every_file_is_read(tmp_path: Path) -> None:
    place = tmp_path / "dnsmasq.d" / "consul"
    place.parent.mkdir()
    place.write_bytes(OLD)
    assert replace(place, NEW) == place.with_name("consul~")


def test_nginx_does_not_read_the_backup_of_a_site(tmp_path: Path) -> None:
    # It includes sites-enabled/*: a second `upstream` of one name, and it refuses the next change.
    place = tmp_path / "sites-enabled" / "web"
    place.parent.mkdir()
    place.write_bytes(OLD)
    assert replace(place, NEW) == place.with_name(".web.bak")
    assert [path.name for path in place.parent.glob("[!.]*")] == ["web"]


def test_attributes_stay_as_far_as_they_can(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not every file system has them.
    kept = []

    def note(_: int, name: str, value: bytes) -> None:
        if name.startswith("trusted"):
            raise PermissionError(errno.EPERM, "not allowed")
        kept.append((name, value))

    monkeypatch.setattr(os, "listxattr", lambda _: ["trusted.a", "security.b"], raising=False)
    monkeypatch.setattr(os, "getxattr", lambda _, name: name.encode(), raising=False)
    monkeypatch.setattr(os, "setxattr", note, raising=False)
    replace(place, NEW)
    assert kept == [("security.b", b"security.b")]
    assert place.read_bytes() == NEW


@pytest.fixture
def link(tmp_path: Path, place: Path) -> Path:
    """A link in another directory, as /etc/resolv.conf often is."""
    folder = tmp_path / "links"
    folder.mkdir()
    path = folder / "link"
    path.symlink_to("../consul.conf")
    return path


def test_nothing_is_written_through_a_link_into_another_directory(link: Path, place: Path) -> None:
    with pytest.raises(ApplyError) as caught:
        replace(link, NEW)
    assert caught.value.where == str(link)
    assert f"a link to {place}, which may be another program's" in caught.value.what
    assert "--links follow" in caught.value.mend
    assert "--links replace" in caught.value.mend
    assert link.is_symlink()
    assert place.read_bytes() == OLD
    assert names(link.parent) == {"link"}
    assert names(place.parent) == {"consul.conf", "links"}


def test_a_link_is_followed_if_that_is_asked_for(link: Path, place: Path) -> None:
    assert replace(link, NEW, "follow") == backup_of(place)
    assert link.is_symlink()
    assert place.read_bytes() == NEW
    assert names(link.parent) == {"link"}


@pytest.mark.parametrize("good", [True, False])
def test_a_link_is_replaced_if_that_is_asked_for(link: Path, place: Path, good: bool) -> None:
    place.chmod(0o600)
    with Replacement(link, "replace") as one:
        one.stage(NEW)
        one.replace()
        assert not link.is_symlink()
        assert link.read_bytes() == NEW
        # What it led to is another file: its owner and mode say nothing of this one.
        assert whose(link) == (0o644, (os.geteuid(), os.getegid()))
        if good:
            assert one.settle() == link.with_name("link.bak")
        else:
            one.put_back()
    assert place.read_bytes() == OLD
    kept = link.with_name("link.bak") if good else link
    assert kept.readlink() == Path("../consul.conf")
    assert names(link.parent) == {"link", kept.name}


def test_a_link_that_was_replaced_by_a_killed_one_can_be_had_back(link: Path) -> None:
    with Replacement(link, "replace") as one:
        one.stage(NEW)
        one.replace()
        one.leave()
    with Replacement(link, "replace") as one:
        assert one.unfinished
        one.stage(NEW)
        one.replace()
        one.put_back()
    assert link.readlink() == Path("../consul.conf")
    assert names(link.parent) == {"link"}


def test_a_directory_that_is_a_link_is_no_reason_to_refuse(tmp_path: Path, place: Path) -> None:
    (tmp_path / "other").symlink_to(".")
    replace(tmp_path / "other" / "consul.conf", NEW)
    assert place.read_bytes() == NEW


def test_a_link_to_nothing_leads_to_the_new_file(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("target")
    assert installed(link) is None
    replace(link, NEW)
    assert link.is_symlink()
    assert (tmp_path / "target").read_bytes() == NEW


def test_other_names_of_the_old_file_keep_it(place: Path) -> None:
    other = place.with_name("other")
    other.hardlink_to(place)
    replace(place, NEW)
    assert other.read_bytes() == OLD


def test_the_candidate_can_be_written_by_its_owner_only(place: Path) -> None:
    place.chmod(0o666)
    with Replacement(place) as one:
        one.stage(NEW)
        assert whose(one.candidate) == (0o644, OWNER)
        assert one.candidate.read_bytes() == NEW
        assert one.candidate.parent == place.parent
        one.replace()
        one.settle()
    assert whose(place) == (0o666, OWNER)


def test_a_secret_is_at_no_time_open_to_others(place: Path) -> None:
    place.chmod(0o600)
    with Replacement(place) as one:
        one.stage(NEW)
        assert whose(one.candidate)[0] == 0o600


@pytest.mark.parametrize("linked", [True, False])
def test_what_stood_there_is_put_back(
    place: Path, linked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup_of(place).write_bytes(b"an older one")
    if not linked:

        def refused(*_: object) -> None:
            raise PermissionError(errno.EPERM, "links are not allowed")

        monkeypatch.setattr(os, "link", refused)
    before = whose(place)
    with Replacement(place) as one:
        one.stage(NEW)
        one.replace()
        assert place.read_bytes() == NEW
        one.put_back()
        one.put_back()
        assert place.read_bytes() == OLD
    assert whose(place) == before
    assert backup_of(place).read_bytes() == b"an older one"
    assert names(place.parent) == {"consul.conf", "consul.conf.bak"}


@pytest.mark.parametrize("good", [False, True])
def test_renamings_are_on_disk_before_one_goes_on(
    place: Path, good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync
    synced = []

    def note(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            synced.append(place.read_bytes())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    with Replacement(place) as one:
        one.stage(NEW)
        one.replace()
        one.settle() if good else one.put_back()
    assert synced == [NEW, NEW if good else OLD]


def test_a_file_that_was_new_is_removed_again(tmp_path: Path) -> None:
    with Replacement(tmp_path / "new") as one:
        one.stage(NEW)
        one.replace()
        one.put_back()
    assert names(tmp_path) == set()


def test_a_candidate_that_is_not_wanted_leaves_nothing(place: Path) -> None:
    with Replacement(place) as one:
        one.stage(NEW)
    assert place.read_bytes() == OLD
    assert names(place.parent) == {"consul.conf"}


STEPS: dict[str, tuple[str, int]] = {
    "writing": ("fsync", 0),
    "owner": ("fchown", 0),
    "mode": ("fchmod", 0),
    "lock": ("fsync", 1),
    "directory": ("fsync", 2),
}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("step", STEPS)
def test_whatever_fails_the_old_file_stands(
    place: Path, step: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, after = STEPS[step]
    real: Callable[..., None] = getattr(os, name)
    calls = []

    def failing(*args: int) -> None:
        calls.append(args)
        if len(calls) == after + 1:
            raise OSError(number, os.strerror(number))
        real(*args)

    before = place.stat()
    monkeypatch.setattr(os, name, failing)

    def attempt(one: Replacement) -> None:
        one.stage(NEW)
        one.replace()

    with Replacement(place) as one:
        with pytest.raises(ApplyError) as caught:
            attempt(one)
        one.put_back()
    assert caught.value.where == str(place)
    assert caught.value.exit_code == 1
    assert place.read_bytes() == OLD
    assert whose(place) == (0o604, OWNER)
    assert place.stat().st_ino == before.st_ino
    assert names(place.parent) == {"consul.conf"}


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/null")):
        with pytest.raises(ApplyError, match="not a regular file"):
            installed(path)
    for path in (tmp_path / "fifo", Path("/dev/null")):
        with pytest.raises(ApplyError, match="not a regular file"):
            replace(path, NEW)
    assert names(tmp_path) == {"fifo"}


def test_directories_are_not_made(tmp_path: Path) -> None:
    with pytest.raises(ApplyError, match=r"no such directory: .*etc/sub \(make it, or"):
        replace(tmp_path / "etc" / "sub" / "file", NEW)
    (tmp_path / "file").touch()
    with pytest.raises(ApplyError, match="file is no directory"):
        replace(tmp_path / "file" / "file", NEW)
    assert names(tmp_path) == {"file"}


def test_a_circle_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    for action in (installed, lambda path: replace(path, NEW)):
        with pytest.raises(ApplyError, match="links lead in a circle"):
            action(tmp_path / "one")


def test_a_directory_in_the_way_of_the_backup_is_told_before_anything(place: Path) -> None:
    backup_of(place).mkdir()
    with pytest.raises(ApplyError, match="where the backup goes"):
        replace(place, NEW)
    assert place.read_bytes() == OLD


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.EACCES, "permission denied (run it as root, or as the owner"),
        (errno.EPERM, "permission denied"),
        (errno.EROFS, "the file system is read-only (mount it writable"),
        (errno.ENOSPC, "no space left on the file system (make room"),
        (errno.EDQUOT, "no space left"),
        (errno.ENAMETOOLONG, "the name is too long"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_faults_are_told_plainly(number: int, text: str) -> None:
    told = fault(Path("/etc/consul.conf"), OSError(number, os.strerror(number)))
    assert str(told).startswith(f"/etc/consul.conf: {text}")


def test_a_name_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(ApplyError, match="too long"):
        replace(tmp_path / ("x" * 255), NEW)
    assert names(tmp_path) == set()


def test_two_at_once_are_refused(place: Path) -> None:
    with Replacement(place) as one:
        assert unfinished(place)
        with pytest.raises(ApplyError, match="another consulfwd is writing this file"):
            replace(place, b"other")
        one.stage(NEW)
        one.replace()
        one.settle()
    assert not unfinished(place)
    assert replace(place, b"other") is not None
    assert place.read_bytes() == b"other"


def test_a_lock_that_was_removed_meanwhile_locks_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock
    calls = []

    def late(descriptor: int, how: int) -> None:
        calls.append(how)
        if len(calls) == 1:
            (lock,) = place.parent.glob(".*")
            lock.unlink()
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with Replacement(place), pytest.raises(ApplyError, match="another consulfwd"):
        replace(place, NEW)
    assert len(calls) == 3
    assert names(place.parent) == {"consul.conf"}


PROGRAM = """
import os, signal, sys
from pathlib import Path
from consulfwd.apply.files import Replacement
place, data, replaced = sys.argv[1:]
with Replacement(Path(place)) as one:
    one.stage(os.fsencode(data))
    if replaced:
        one.replace()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(place: Path, project: Path) -> Callable[[bytes, bool], None]:
    """A replacement in a process that is killed in the middle."""

    def kill(data: bytes, replaced: bool) -> None:
        words = [
            sys.executable,
            "-c",
            PROGRAM,
            str(place),
            os.fsdecode(data),
            "yes" if replaced else "",
        ]
        assert subprocess.run(words, cwd=project, check=False).returncode == -signal.SIGKILL

    return kill


@pytest.mark.parametrize("replaced", [False, True])
def test_what_a_killed_one_left_is_cleared_away(
    place: Path, killed: Callable[[bytes, bool], None], replaced: bool
) -> None:
    killed(b"half-way", replaced)
    assert unfinished(place)
    assert len(names(place.parent)) == 3
    with Replacement(place) as one:
        assert one.unfinished
        one.stage(NEW)
        one.replace()
        one.settle()
    assert place.read_bytes() == NEW
    assert backup_of(place).read_bytes() == (b"half-way" if replaced else OLD)
    assert whose(place) == (0o604, OWNER)
    assert names(place.parent) == {"consul.conf", "consul.conf.bak"}


@pytest.mark.parametrize("good", [False, True])
def test_what_a_killed_one_replaced_is_brought_to_its_end(
    place: Path, killed: Callable[[bytes, bool], None], good: bool
) -> None:
    killed(NEW, True)
    with Replacement(place) as one:
        one.stage(NEW)
        assert one.candidate.read_bytes() == NEW
        one.replace()
        assert place.read_bytes() == NEW
        one.settle() if good else one.put_back()
    assert place.read_bytes() == (NEW if good else OLD)
    rest = {"consul.conf", "consul.conf.bak"} if good else {"consul.conf"}
    assert names(place.parent) == rest


def test_what_a_killed_one_left_stays_known_until_it_is_done(
    place: Path, killed: Callable[[bytes, bool], None]
) -> None:
    killed(NEW, True)
    with Replacement(place) as one:
        one.stage(NEW)
    assert unfinished(place)
    with Replacement(place) as one:
        one.stage(NEW)
        one.replace()
        one.settle()
    assert backup_of(place).read_bytes() == OLD
    assert not unfinished(place)


def test_what_a_killed_one_kept_is_the_backup_until_there_is_a_better_one(
    place: Path, killed: Callable[[bytes, bool], None]
) -> None:
    killed(b"half-way", True)
    with Replacement(place) as one:
        one.stage(NEW)
        one.replace()
        one.put_back()
    assert place.read_bytes() == b"half-way"
    assert backup_of(place).read_bytes() == OLD


def test_a_candidate_that_somebody_swapped_is_not_followed(tmp_path: Path, place: Path) -> None:
    # A directory of the server's user, who may rename what is in it.
    other = tmp_path / "secret"
    other.write_bytes(b"secret")
    other.chmod(0o600)
    with Replacement(place) as one:
        one.stage(NEW)
        one.candidate.unlink()
        one.candidate.symlink_to(other)
        with pytest.raises(ApplyError, match="replaced by somebody else"):
            one.replace()
        one.put_back()
    assert stat.S_IMODE(other.stat().st_mode) == 0o600
    assert not place.is_symlink()
    assert place.read_bytes() == OLD


@pytest.mark.parametrize("link", [False, True])
def test_what_a_stranger_calls_the_old_file_is_never_put_back(
    place: Path, link: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A directory all may write to, such as /tmp: names are free there, files are not.
    replace(place, NEW)
    mark_of(place).touch()
    planted = kept_of(place)
    if link:
        planted.symlink_to(place.parent / "consul.conf.bak")
    else:
        planted.write_bytes(b"planted")
        fields = list(planted.lstat())
        fields[stat.ST_UID] = OWNER[0] + 1
        monkeypatch.setattr(Path, "lstat", lambda _: os.stat_result(fields))
    with Replacement(place) as one:
        assert one.unfinished
        one.stage(NEW)
        monkeypatch.undo()
        one.replace()
        one.put_back()
    assert place.read_bytes() == NEW
    assert not place.is_symlink()
    assert names(place.parent) == {"consul.conf", "consul.conf.bak"}


@pytest.mark.parametrize("good", [True, False])
def test_a_new_file_that_was_left_can_be_taken_away_again(tmp_path: Path, good: bool) -> None:
    place = tmp_path / "new"
    with Replacement(place) as one:
        one.stage(NEW)
        one.replace()
        one.leave()
    assert unfinished(place)
    with Replacement(place) as one:
        assert one.unfinished
        one.stage(NEW)
        one.replace()
        one.settle() if good else one.put_back()
    assert names(tmp_path) == ({"new"} if good else set())


def test_what_stays_for_long_is_hidden_and_ends_as_no_configuration_does(place: Path) -> None:
    # "*.conf" of some servers takes hidden files, too.
    with Replacement(place) as one:
        one.stage(NEW)
        one.replace()
        one.leave()
    left = names(place.parent) - {"consul.conf"}
    assert left == {".consul.conf.consulfwd-lock", ".consul.conf.consulfwd-old"}
    assert [path.name for path in place.parent.iterdir() if path.suffix == ".conf"] == [place.name]


def test_where_the_old_file_is_is_told_when_it_cannot_be_put_back(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.replace

    def failing(path: Path, target: Path) -> Path:
        if path == kept_of(place):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, target)

    monkeypatch.setattr(Path, "replace", failing)
    with Replacement(place) as one:
        one.stage(NEW)
        one.replace()
        with pytest.raises(ApplyError) as caught:
            one.put_back()
    assert caught.value.what.endswith(f"what stood there is in {kept_of(place)}")
    assert caught.value.mend == f"mv {kept_of(place)} {place}"
    assert kept_of(place).read_bytes() == OLD
