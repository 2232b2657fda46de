"""From rendered text to a server that uses it, and back from every step that fails."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from consulfwd.apply import files
from consulfwd.apply import steps as module
from consulfwd.apply.change import Applied, Command, Run, Work
from consulfwd.apply.commands import shell
from consulfwd.apply.files import Replacement
from consulfwd.apply.jobs import File, Job, changed, difference
from consulfwd.apply.places import backup_of
from consulfwd.apply.running import NOT_RUNNING
from consulfwd.apply.steps import apply, apply_all
from consulfwd.errors import ApplyError, ConsulError

OLD, NEW = b"old \xff\r\n", "new\n"
MODE = 0o640
# Only root can give files away.
OWNER = (1234, 2345) if os.geteuid() == 0 else (os.getuid(), os.getgid())


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A place where something stands, with a backup of something older."""
    path = tmp_path / "etc" / "consul.conf"
    path.parent.mkdir()
    path.with_name("consul.conf.bak").write_bytes(b"older")
    path.write_bytes(OLD)
    path.chmod(MODE)
    os.chown(path, *OWNER)
    return path


def here(folder: Path) -> dict[str, tuple[bytes, int, int, int]]:
    """All that is in a directory: content, mode, owner and group."""
    return {
        path.name: (path.read_bytes(), path.stat().st_mode, path.stat().st_uid, path.stat().st_gid)
        for path in folder.iterdir()
    }


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """Where the scripts write what they do."""
    return tmp_path / "told"


def says(tmp_path: Path, name: str, more: str = "") -> tuple[str, ...]:
    """A script that notes its name and what stands in the place, then does more."""
    path = tmp_path / name
    place = tmp_path / "etc" / "consul.conf"
    stands = f'$(tr -d "\\377\\r" 2>&1 < {place} || echo nothing)'
    path.write_text(f'#!/bin/sh\necho "{name}: "{stands} >> {tmp_path}/told 2>/dev/null\n{more}\n')
    path.chmod(0o755)
    return (str(path),)


def test_what_changed_is_checked_replaced_reloaded_and_verified(
    tmp_path: Path, place: Path, told: Path, clock: Clock
) -> None:
    job = Job(
        (File(place, NEW),),
        check=(*says(tmp_path, "check"), "{file}"),
        whole=says(tmp_path, "whole"),
        reload=(says(tmp_path, "first"), says(tmp_path, "second")),
        verify=lambda: "" if told.read_text().count("second") else "not yet",
    )
    assert changed(job) == list(job.files)
    report = apply(job, sleep=clock.sleep, clock=clock)
    assert report == Applied((str(place),), (f"{place}.bak",), True, 0.0)
    assert told.read_text() == "check: old\nwhole: new\nfirst: new\nsecond: new\n"
    assert place.read_text() == NEW
    assert place.stat().st_mode & 0o7777 == MODE
    assert place.with_name("consul.conf.bak").read_bytes() == OLD
    assert (place.stat().st_uid, place.stat().st_gid) == OWNER
    assert set(here(place.parent)) == {"consul.conf", "consul.conf.bak"}
    assert changed(job) == []


def test_nothing_is_done_when_nothing_changed(tmp_path: Path, place: Path, told: Path) -> None:
    job = Job((File(place, "same\n"),), reload=(says(tmp_path, "reload"),))
    place.write_text("same\n")
    assert apply(job) == Applied()
    assert not told.exists()
    assert set(here(place.parent)) == {"consul.conf", "consul.conf.bak"}


def test_only_what_changed_is_checked_and_replaced(tmp_path: Path, place: Path) -> None:
    other = place.with_name("other")
    other.write_text("same")
    number = other.stat().st_ino
    check = ("/bin/sh", "-c", f'basename "$0" >> {tmp_path}/checked', "{file}")
    report = apply(Job((File(other, "same"), File(place, NEW)), check=check))
    assert report.places == (str(place),)
    assert other.stat().st_ino == number
    assert (tmp_path / "checked").read_text().count("\n") == 1


@pytest.mark.parametrize("bad", [0, 1])
def test_one_bad_file_keeps_the_others_out(place: Path, bad: int) -> None:
    other = place.with_name("other.conf")
    other.write_text("old too\n")
    before = here(place.parent)
    files = [File(place, NEW), File(other, NEW)]
    files[bad] = File(files[bad].path, "bad\n")
    with pytest.raises(ApplyError, match="not replaced, as its check") as caught:
        apply(Job(tuple(files), check=("/bin/sh", "-c", '! grep bad "$0"', "{file}")))
    assert caught.value.where == str(files[bad].path)
    assert here(place.parent) == before


def test_the_candidate_is_checked_in_its_directory(tmp_path: Path, place: Path) -> None:
    (place.parent / "included").write_text("x")
    text = 'test -r included && test "$(dirname "$0")" = "$PWD" && grep -q new "$0"'
    apply(Job((File(place, NEW),), check=("/bin/sh", "-c", text, "{file}")))
    assert place.read_text() == NEW


def test_a_shell_command_is_run_by_the_shell(tmp_path: Path, place: Path) -> None:
    apply(Job((File(place, NEW),), reload=(shell(f"cat < {place} > {tmp_path}/copy; true"),)))
    assert (tmp_path / "copy").read_text() == NEW


def test_what_is_verified_late_is_good(place: Path, clock: Clock) -> None:
    def verify() -> str:
        if clock.now < 1:
            raise ConsulError("127.0.0.1:8500", 0, "connection refused")
        return "" if clock.now > 4 else "SERVFAIL"

    report = apply(Job((File(place, NEW),), verify=verify), sleep=clock.sleep, clock=clock)
    assert report.seconds == clock.now
    assert 4 < clock.now <= module.VERIFY_FOR


def test_a_server_that_does_not_answer_is_not_blamed_on_the_text(place: Path, clock: Clock) -> None:
    job = Job((File(place, NEW),), verify=wrong)
    with pytest.raises(ApplyError, match="see whether the server runs and reads this file"):
        apply(job, sleep=clock.sleep, clock=clock)


def test_texts_that_are_no_characters_are_replaced(place: Path) -> None:
    apply(Job((File(place, "tag \ud800"),)))
    assert place.read_bytes() == b"tag ?"


def test_no_check_runs_no_checker(tmp_path: Path, place: Path, told: Path) -> None:
    job = Job(
        (File(place, NEW),),
        check=("no-such-checker", "{file}"),
        whole=("no-such-checker",),
        reload=(says(tmp_path, "reload"),),
    )
    assert apply(job, checks=False).places == (str(place),)
    assert told.read_text() == "reload: new\n"


def fails(tmp_path: Path, name: str) -> tuple[str, ...]:
    """A script that says why it fails, as long as the new file stands or is to come."""
    place = tmp_path / "etc" / "consul.conf"
    when = "true" if name == "check" else f"grep -q new {place}"
    return says(tmp_path, name, f"if {when}; then echo {name} is angry; exit 9; fi")


def hangs(tmp_path: Path, name: str) -> tuple[str, ...]:
    place = tmp_path / "etc" / "consul.conf"
    when = "true" if name == "check" else f"grep -q new {place}"
    return says(tmp_path, name, f"if {when}; then sleep 600; fi")


def wrong() -> str:
    return "asked for web.service.consul: SERVFAIL"


def raises(error: BaseException) -> Callable[[], str]:
    def verify() -> str:
        raise error

    return verify


Step = Callable[[Path, Job], Job]

# What fails, what the error says of it, and what was run meanwhile.
BEFORE: dict[str, tuple[Step, str, str]] = {
    "no checker": (
        lambda _, job: replace(job, check=("no-such-checker", "{file}")),
        "cannot be checked: no-such-checker is not installed (install it, or write unchecked "
        "with --no-check)",
        "",
    ),
    "no checker of the whole": (
        lambda _, job: replace(job, whole=("no-such-checker",)),
        "cannot be checked: no-such-checker is not installed (install it, or write unchecked "
        "with --no-check)",
        "",
    ),
    "no reload command": (
        lambda _, job: replace(job, reload=(*job.reload, ("no-such-reload",))),
        "cannot be brought into force: no-such-reload is not installed",
        "",
    ),
    "check": (
        lambda path, job: replace(job, check=(*fails(path, "check"), "{file}")),
        "check consul.conf` failed with exit code 9",
        "check: OLD\n",
    ),
    "check hangs": (
        lambda path, job: replace(job, check=(*hangs(path, "check"), "{file}")),
        "check consul.conf` did not end within 1 s",
        "check: OLD\n",
    ),
    "no such directory": (
        lambda path, job: replace(job, files=(*job.files, File(path / "no" / "file", "x"))),
        "no such directory",
        "",
    ),
    "not a file": (
        lambda path, job: replace(job, files=(*job.files, File(path, "x"))),
        "not a regular file",
        "",
    ),
    "twice": (
        lambda _, job: replace(job, files=job.files * 2),
        "is written twice",
        "",
    ),
}
AFTER: dict[str, tuple[Step, str, str]] = {
    "whole": (
        lambda path, job: replace(job, whole=fails(path, "whole")),
        "whole` failed with exit code 9",
        "check: OLD\nwhole: new\nfirst: OLD\nsecond: OLD\n",
    ),
    "first reload": (
        lambda path, job: replace(job, reload=(fails(path, "first"), job.reload[1])),
        "first` failed with exit code 9",
        "check: OLD\nwhole: new\nfirst: new\nfirst: OLD\nsecond: OLD\n",
    ),
    "second reload": (
        lambda path, job: replace(job, reload=(job.reload[0], fails(path, "second"))),
        "second` failed with exit code 9",
        "check: OLD\nwhole: new\nfirst: new\nsecond: new\nfirst: OLD\nsecond: OLD\n",
    ),
    "reload hangs": (
        lambda path, job: replace(job, reload=(hangs(path, "first"), job.reload[1])),
        "first` did not end within 1 s",
        "check: OLD\nwhole: new\nfirst: new\nfirst: OLD\nsecond: OLD\n",
    ),
    "verify": (
        lambda _, job: replace(job, verify=wrong),
        "not in force after the reload: asked for web.service.consul: SERVFAIL",
        "check: OLD\nwhole: new\nfirst: new\nsecond: new\nfirst: OLD\nsecond: OLD\n",
    ),
    "verify cannot ask": (
        lambda _, job: replace(job, verify=raises(ConsulError("agent", 0, "refused"))),
        "not in force after the reload: agent: refused",
        "check: OLD\nwhole: new\nfirst: new\nsecond: new\nfirst: OLD\nsecond: OLD\n",
    ),
}
STEPS = BEFORE | AFTER


@pytest.fixture
def job(tmp_path: Path, place: Path) -> Job:
    return Job(
        (File(place, NEW), File(place.with_name("new"), "x")),
        check=(*says(tmp_path, "check"), "{file}"),
        whole=says(tmp_path, "whole"),
        reload=(says(tmp_path, "first"), says(tmp_path, "second")),
    )


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_TIMEOUT", 1.0)
    monkeypatch.setattr(module, "RELOAD_TIMEOUT", 1.0)


@pytest.mark.parametrize("was_there", [True, False], ids=["old", "new"])
@pytest.mark.parametrize("step", STEPS)
def test_whatever_fails_the_old_state_is_left(
    tmp_path: Path, place: Path, job: Job, told: Path, clock: Clock, step: str, was_there: bool,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    if "hangs" in step:
        request.getfixturevalue("_impatient")
    if not was_there:
        place.unlink()
    before = here(place.parent)
    change, text, ran = STEPS[step]
    with pytest.raises(ApplyError) as caught:
        apply(change(tmp_path, job), sleep=clock.sleep, clock=clock)
    assert here(place.parent) == before
    assert text in str(caught.value)
    assert caught.value.rolled_back is (True if step in AFTER else None)
    assert ("what stood there before is in force again" in str(caught.value)) == (step in AFTER)
    if "exit code 9" in text:
        assert caught.value.output.endswith("is angry")
    lines = told.read_text() if told.exists() else ""
    if was_there:
        # The second file is checked as well, unless the check of the first one failed.
        assert lines.replace("check: old\ncheck: old\n", "check: old\n") == ran.replace(
            "OLD", "old"
        )
    else:
        assert [line.split(":")[0] for line in lines.splitlines() if "check" not in line] == [
            line.split(":")[0] for line in ran.splitlines() if "check" not in line
        ]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143), ZeroDivisionError()])
def test_what_is_interrupted_is_rolled_back(
    place: Path, job: Job, told: Path, error: BaseException
) -> None:
    before = here(place.parent)
    with pytest.raises(type(error)):
        apply(replace(job, verify=raises(error)))
    assert here(place.parent) == before
    assert told.read_text().endswith("second: new\nfirst: old\nsecond: old\n")


@pytest.mark.parametrize("number", [0, 1])
def test_a_replacement_that_fails_takes_back_the_others(
    place: Path, job: Job, told: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Replacement._sync_folder
    calls = []

    def failing(one: Replacement) -> None:
        calls.append(one.path)
        if len(calls) == number + 1:
            raise OSError(5, "Input/output error")
        real(one)

    before = here(place.parent)
    monkeypatch.setattr(files.Replacement, "_sync_folder", failing)
    with pytest.raises(ApplyError, match="Input/output error; rolled back") as caught:
        apply(job)
    assert here(place.parent) == before
    assert caught.value.where == str(job.files[number].path)
    assert told.read_text().endswith("first: old\nsecond: old\n")


def test_a_roll_back_that_cannot_reload_says_so(tmp_path: Path, place: Path) -> None:
    before = here(place.parent)
    reload = says(tmp_path, "reload", "echo no server; exit 1")
    with pytest.raises(ApplyError) as caught:
        apply(Job((File(place, NEW),), reload=(reload,)))
    assert here(place.parent) == before
    assert caught.value.rolled_back is False
    assert str(caught.value) == (
        f"{place}: `{reload[0]}` failed with exit code 1; the old files are in their places "
        "again, but THE ROLL BACK FAILED to reload them (see whether the server runs, and "
        f"reload it by hand)\nno server\n`{reload[0]}` failed with exit code 1\nno server"
    )


@pytest.mark.parametrize("error", [None, KeyboardInterrupt()])
def test_a_roll_back_that_cannot_put_back_says_so_and_keeps_the_old_file(
    tmp_path: Path, place: Path, error: BaseException | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: Replacement) -> None:
        raise ApplyError(str(place), "the file system is read-only")

    monkeypatch.setattr(files.Replacement, "put_back", failing)
    verify = wrong if error is None else raises(error)
    clock = Clock()
    with pytest.raises(ApplyError) as caught:
        apply(Job((File(place, NEW),), verify=verify), sleep=clock.sleep, clock=clock)
    assert caught.value.rolled_back is False
    assert "THE ROLL BACK FAILED, not every old file is in its place" in caught.value.what
    assert ("interrupted (KeyboardInterrupt)" in caught.value.what) == (error is not None)
    assert caught.value.output == f"{place}: the file system is read-only"
    assert [old.read_bytes() for old in place.parent.glob(".*old*")] == [OLD]


def test_two_applies_to_one_file_do_not_mix(place: Path, job: Job) -> None:
    before = here(place.parent)
    with Replacement(place), pytest.raises(ApplyError, match="another consulfwd is writing"):
        apply(job)
    assert here(place.parent) == before
    assert apply(job).places == (str(place), str(place.with_name("new")))


def killed(place: Path, project: Path) -> None:
    """An apply whose process is killed by its own reload command."""
    program = (
        "import sys; from pathlib import Path; from consulfwd.apply.jobs import *\n"
        "from consulfwd.apply.steps import *\n"
        f"apply(Job((File(Path(sys.argv[1]), {NEW!r}),), reload=(tuple(sys.argv[2:]),)))"
    )
    words = [sys.executable, "-c", program, str(place), *shell("kill -KILL $PPID")]
    assert subprocess.run(words, cwd=project, check=False).returncode == -signal.SIGKILL


@pytest.mark.parametrize("good", [True, False])
def test_after_one_that_was_killed_the_server_is_told_again(
    tmp_path: Path, place: Path, told: Path, clock: Clock, project: Path, good: bool
) -> None:
    killed(place, project)
    assert place.read_text() == NEW
    job = Job(
        (File(place, NEW),),
        reload=(says(tmp_path, "reload"),),
        verify=(lambda: "") if good else wrong,
    )
    assert changed(job) == []
    if good:
        assert apply(job).reloaded
        assert told.read_text() == "reload: new\n"
        assert backup_of(place).read_bytes() == OLD
    else:
        with pytest.raises(ApplyError):
            apply(job, sleep=clock.sleep, clock=clock)
        assert told.read_text() == "reload: new\nreload: old\n"
        assert place.read_bytes() == OLD
    assert set(here(place.parent)) == {"consul.conf", "consul.conf.bak"}
    if good:
        assert apply(job) == Applied()


PROGRAM = """
import sys
from pathlib import Path
from consulfwd.apply.jobs import File, Job
from consulfwd.apply.steps import apply
place, check, reload, waits = sys.argv[1:]
def verify():
    if waits != "verify":
        return ""
    print("waiting", flush=True)
    import time
    time.sleep(600)
job = Job((File(Path(place), "new\\n"),), check=(check,), reload=((reload,),), verify=verify)
apply(job)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("step", ["check", "reload", "verify"])
def test_a_signal_leaves_the_old_state(
    tmp_path: Path, place: Path, told: Path, project: Path, step: str, number: signal.Signals
) -> None:
    before = here(place.parent)
    waits = f"if test {{}}; then echo $$ > {tmp_path}/number; sleep 600; fi"
    stands = f'"$(cat {place})" = new'
    check = says(tmp_path, "check", waits.format("1") if step == "check" else "")
    reload = says(tmp_path, "reload", waits.format(stands) if step == "reload" else "")
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(place), *check, *reload, step],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=project,
    )
    try:
        if step == "verify":
            assert child.stdout is not None
            assert child.stdout.readline() == b"waiting\n"
        else:
            while not (tmp_path / "number").exists():
                assert child.poll() is None
                time.sleep(0.02)
        child.send_signal(number)
        child.communicate(timeout=60)
    finally:
        child.kill()
        child.wait()
    assert child.returncode in ({-2, 130} if number == signal.SIGINT else {128 + number})
    assert here(place.parent) == before
    lines = told.read_text().splitlines()
    assert lines == ["check: old", *(["reload: new", "reload: old"] if step != "check" else [])]


def test_a_roll_back_is_not_interrupted(tmp_path: Path, place: Path, told: Path) -> None:
    before = here(place.parent)
    first = says(tmp_path, "first", f'if ! grep -q new {place}; then kill -INT "$PPID"; fi')
    second = says(tmp_path, "second", f"! grep -q new {place}")
    with pytest.raises(KeyboardInterrupt):
        apply(Job((File(place, NEW),), reload=(first, second)))
    assert here(place.parent) == before
    assert told.read_text() == "first: new\nsecond: new\nfirst: old\nsecond: old\n"


def test_signals_do_as_before_when_it_is_done(place: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    apply(Job((File(place, NEW),)))
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_jobs_that_share_a_reload_are_reloaded_once(
    tmp_path: Path, place: Path, told: Path
) -> None:
    reload, flush, alone = (says(tmp_path, name) for name in ("reload", "flush", "alone"))
    places = [place, *(place.with_name(name) for name in ("b", "c", "d"))]
    reloads = [(reload,), (alone,), (flush,), (reload, flush)]
    jobs = [
        Job((File(each, NEW),), reload=commands)
        for each, commands in zip(places, reloads, strict=True)
    ]
    results = apply_all(jobs)
    assert [result[0] for _, result in results if isinstance(result, Applied)] == [
        (str(each),) for each in places
    ]
    names = [line.split(":")[0] for line in told.read_text().splitlines()]
    assert sorted(names) == ["alone", "flush", "reload"]
    assert names.index("reload") < names.index("flush")


def test_a_job_that_fails_its_check_does_not_hold_up_others(
    tmp_path: Path, place: Path, told: Path
) -> None:
    reload = says(tmp_path, "reload")
    bad = Job((File(place, NEW),), check=("false",), reload=(reload,))
    good = Job((File(place.with_name("b"), NEW),), reload=(reload,))
    (_, first), (_, second) = apply_all([bad, good])
    assert isinstance(first, ApplyError)
    assert second[0] == (str(place.with_name("b")),)  # type: ignore[index]
    assert place.read_bytes() == OLD
    assert told.read_text() == "reload: old\n"


def test_jobs_that_share_a_reload_fail_together_after_it(tmp_path: Path, place: Path) -> None:
    before = here(place.parent)
    reload = fails(tmp_path, "reload")
    jobs = [
        Job((File(place.with_name(name), NEW),), reload=(reload,)) for name in ("consul.conf", "b")
    ]
    (_, first), (_, second) = apply_all(jobs)
    assert isinstance(first, ApplyError)
    assert first is second
    assert here(place.parent) == before


@pytest.mark.parametrize("wrong", [0, 1])
def test_jobs_that_share_a_reload_are_all_verified(
    tmp_path: Path, place: Path, clock: Clock, wrong: int
) -> None:
    before = here(place.parent)
    said = ["", ""]
    said[wrong] = "it gives old answers"
    jobs = [
        Job((File(place.with_name(name), NEW),), reload=(("true",),), verify=partial(str, it))
        for name, it in zip(("consul.conf", "b"), said, strict=True)
    ]
    (_, first), (_, second) = apply_all(jobs, sleep=clock.sleep, clock=clock)
    assert isinstance(first, ApplyError)
    assert first is second
    assert "it gives old answers" in first.what
    assert here(place.parent) == before


@pytest.mark.parametrize("wrong", [0, 1])
def test_what_is_to_be_whole_is_checked_for_every_job(place: Path, wrong: int) -> None:
    before = here(place.parent)
    wholes = [("true",), ("true",)]
    wholes[wrong] = ("false",)
    jobs = [
        Job((File(place.with_name(name), NEW),), whole=whole, reload=(("true",),))
        for name, whole in zip(("consul.conf", "b"), wholes, strict=True)
    ]
    (_, first), (_, second) = apply_all(jobs)
    assert isinstance(first, ApplyError)
    assert first is second
    assert here(place.parent) == before


def test_where_the_old_file_cannot_be_kept_it_is_not_replaced(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = here(place.parent)

    def full(replacement: Replacement) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Replacement, "_keep", full)
    with pytest.raises(ApplyError, match="no space left") as caught:
        apply(Job((File(place, NEW),)))
    assert caught.value.rolled_back
    assert here(place.parent) == before


def test_two_jobs_do_not_write_one_file(tmp_path: Path, place: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(place)
    (_, first), (_, second) = apply_all([Job((File(path, NEW),)) for path in (place, link)])
    assert isinstance(first, Applied)
    assert isinstance(second, ApplyError)
    assert "is written twice" in str(second)


def test_a_difference_is_shown_as_a_patch_that_works(tmp_path: Path) -> None:
    place, new, same = (tmp_path / name for name in ("place", "new", "same"))
    place.write_text("one\ntwo\x0cthree\r\nfour")
    same.write_text("same")
    job = Job((File(place, "one\n2\x0cthree\r\nfour\n"), File(same, "same"), File(new, "x\n")))
    assert difference(job) == (
        f"--- {place}\n+++ {place} (rendered)\n@@ -1,3 +1,3 @@\n one\n-two\x0cthree\r\n-four\n"
        "\\ No newline at end of file\n+2\x0cthree\r\n+four\n"
        f"--- /dev/null\n+++ {new} (rendered)\n@@ -0,0 +1 @@\n+x\n"
    )
    assert changed(job) == [job.files[0], job.files[2]]
    assert difference(Job((File(same, "same"),))) == ""


def test_a_difference_to_what_is_no_text_is_shown(place: Path) -> None:
    assert "-old \\xff\r\n" in difference(Job((File(place, NEW),)))


# As servers' checkers do: what is included is looked for where the file is to be.
CHECKER = """#!/bin/sh
included=$(sed -n 's/^include "\\(.*\\)";$/\\1/p' "$1")
[ -f "$included" ] || { echo "$1:1: no $included"; exit 1; }
[ "$(tail -n 1 "$1")" != "forwarders {" ] || { echo "$1:3: unexpected end"; exit 1; }
"""


@pytest.mark.parametrize("good", [True, False])
def test_a_checker_that_reads_what_is_included(
    place: Path, monkeypatch: pytest.MonkeyPatch, good: bool
) -> None:
    (place.parent / "zone.conf").write_text(
        'zone "consul" { type forward; forward only; forwarders { 127.0.0.1 port 8600; }; };\n'
    )
    checker = place.parent.with_name("named-checkconf")
    checker.write_text(CHECKER)
    checker.chmod(0o755)
    monkeypatch.setenv("PATH", str(checker.parent), prepend=os.pathsep)
    text = 'include "zone.conf";\noptions { recursion yes; };\n'
    job = Job(
        (File(place, text if good else text + "forwarders {\n"),),
        check=("named-checkconf", "{file}"),
    )
    before = here(place.parent)
    if good:
        assert apply(job).places == (str(place),)
        assert place.read_text() == text
    else:
        with pytest.raises(ApplyError) as caught:
            apply(job)
        assert f"{place}:3: " in caught.value.output
        assert "named-checkconf consul.conf` failed with exit code 1" in str(caught.value)
        assert here(place.parent) == before


@pytest.mark.parametrize("was_there", [True, False], ids=["old", "new"])
def test_a_reload_that_finds_nobody_running_keeps_the_new_file(
    tmp_path: Path, place: Path, told: Path, was_there: bool
) -> None:
    # A service that starts with what it finds: the first render comes before that.
    if not was_there:
        place.unlink()
    runs = tmp_path / "runs"
    reload = says(tmp_path, "reload", f"test -e {runs} || exit {NOT_RUNNING}")
    job = Job((File(place, NEW),), reload=(reload,), verify=wrong)
    for _ in range(2):
        assert apply(job)._replace(seconds=0.0) == Applied((str(place),), idle=(reload[0],))
        assert place.read_text() == NEW
    # It may have started meanwhile and read the old one: it is told as soon as it can be.
    runs.touch()
    done = apply(replace(job, verify=lambda: ""))
    assert (done.reloaded, done.idle) == (True, ())
    assert told.read_text() == "reload: new\n" * 3
    assert backup_of(place).read_bytes() == (OLD if was_there else b"older")
    assert set(here(place.parent)) == {"consul.conf", "consul.conf.bak"}
    assert apply(job) == Applied()


@pytest.mark.parametrize("was_there", [True, False], ids=["old", "new"])
def test_a_file_that_was_kept_is_taken_back_if_it_is_bad_after_all(
    tmp_path: Path, place: Path, was_there: bool
) -> None:
    if not was_there:
        place.unlink()
    before = here(place.parent)
    runs = tmp_path / "runs"
    bad = f"test -e {runs} || exit {NOT_RUNNING}; ! grep -q new {place}"
    job = Job((File(place, NEW),), reload=(says(tmp_path, "reload", bad),))
    assert apply(job).idle
    runs.touch()
    with pytest.raises(ApplyError, match="rolled back"):
        apply(job)
    assert here(place.parent) == before


def test_a_check_that_fails_keeps_nothing_whoever_runs(place: Path) -> None:
    before = here(place.parent)
    nobody = shell(f"exit {NOT_RUNNING}")
    job = Job((File(place, NEW),), check=("false",), whole=("true",), reload=(nobody,))
    with pytest.raises(ApplyError, match="not replaced, as its check"):
        apply(job)
    with pytest.raises(ApplyError, match="`false` failed with exit code 1; rolled back"):
        apply(replace(job, check=(), whole=("false",)))
    assert here(place.parent) == before


def test_each_server_is_told_though_another_does_not_run(tmp_path: Path, place: Path) -> None:
    nobody, shared = shell(f"exit {NOT_RUNNING}"), says(tmp_path, "shared")
    jobs = [
        Job((File(place, NEW),), reload=(nobody, shared), verify=wrong),
        Job((File(place.with_name("b"), NEW),), reload=(shared,)),
    ]
    (_, first), (_, second) = apply_all(jobs)
    assert isinstance(first, Applied)
    assert isinstance(second, Applied)
    assert (first.idle, second.idle) == ((f"exit {NOT_RUNNING}",), ())
    assert second.reloaded
    assert apply_all(jobs[1:])[0][1] == Applied()


# A unit, as far as `systemctl` says: what it does and what it was asked to do are noted.
ASKED = "show --property=Id --property=LoadState --property=ActiveState --property=After a"
SYSTEMCTL = """#!/bin/sh
folder=$(dirname "$0")
echo "$*" >> "$folder/asked"
case "$*" in
    show*) test -e "$folder/active" && state=active || state=failed
        printf '%s\\n' Id=a.service LoadState=loaded ActiveState=$state After= ;;
    *try-restart*|reload\\ *) test -e "$folder/active" || exit 0 ;;
esac
case "$*" in
    *restart*) if grep -q new "$folder/etc/consul.conf"; then rm -f "$folder/active"; exit 1; fi
        touch "$folder/active" ;;
esac
"""


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a unit is asked; it does not take the new file."""
    program = tmp_path / "systemctl"
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    return tmp_path / "asked"


@pytest.mark.parametrize("verb", ["reload", "try-restart"])
def test_a_unit_that_has_yet_to_start_is_not_waited_for(
    place: Path, systemctl: Path, verb: str
) -> None:
    # Its start may wait for us: then a reload would wait for that.
    job = Job((File(place, NEW),), reload=(("systemctl", verb, "a"),))
    assert apply(job).idle == (f"systemctl {verb} a",)
    assert place.read_text() == NEW
    assert systemctl.read_text() == f"{ASKED}\n"


def test_a_unit_that_ended_by_the_new_file_runs_with_the_old_one_again(
    tmp_path: Path, place: Path, systemctl: Path
) -> None:
    before = here(place.parent)
    (tmp_path / "active").touch()
    job = Job((File(place, NEW),), reload=(("systemctl", "try-restart", "a"),))
    with pytest.raises(ApplyError, match="rolled back") as caught:
        apply(job)
    assert caught.value.rolled_back
    assert here(place.parent) == before
    assert (tmp_path / "active").exists()
    asked = [ASKED, "try-restart a", ASKED, "restart a"]
    assert systemctl.read_text().splitlines() == asked


@pytest.mark.parametrize("verb", ["reload", "try-restart"])
def test_a_unit_that_ends_after_it_was_told_runs_with_the_old_one_again(
    tmp_path: Path, place: Path, systemctl: Path, clock: Clock, verb: str
) -> None:
    # As unbound does of a signal: whoever sent it has succeeded.
    before = here(place.parent)
    (tmp_path / "active").touch()
    ends = f'grep -q new {place} && rm -f "$folder/active" && exit 0'
    text = SYSTEMCTL.replace('case "$*" in', f'case $1 in {verb}) {ends} ;; esac\ncase "$*" in', 1)
    (tmp_path / "systemctl").write_text(text)
    with pytest.raises(ApplyError, match="does not run any more; rolled back") as caught:
        apply(Job((File(place, NEW),), reload=(("systemctl", verb, "a"),)), sleep=clock.sleep)
    assert caught.value.rolled_back
    assert here(place.parent) == before
    assert (tmp_path / "active").exists()
    assert clock.now == module.ENDS_WITHIN


@pytest.mark.parametrize("verb", ["start", "restart"])
def test_a_unit_that_does_its_work_and_ends_is_no_failure(
    tmp_path: Path, place: Path, systemctl: Path, verb: str
) -> None:
    (tmp_path / "systemctl").write_text(f'#!/bin/sh\necho "$*" >>{systemctl}\n')
    assert apply(Job((File(place, NEW),), reload=(("systemctl", verb, "a"),))).reloaded
    assert systemctl.read_text() == f"{verb} a\n"


def test_a_unit_that_refuses_the_new_file_is_not_restarted(
    tmp_path: Path, place: Path, systemctl: Path
) -> None:
    (tmp_path / "active").touch()
    (tmp_path / "systemctl").write_text(f"{SYSTEMCTL}case $1 in reload) exit 1 ;; esac\n")
    with pytest.raises(ApplyError, match="THE ROLL BACK FAILED to reload"):
        apply(Job((File(place, NEW),), reload=(("systemctl", "reload", "a"),)))
    asked = [ASKED, "reload a"]
    assert systemctl.read_text().splitlines() == 2 * asked


def test_a_failure_for_an_unknown_reason_says_how_a_command_can_tell(place: Path) -> None:
    command = f"! grep -q new {place}"
    with pytest.raises(ApplyError) as caught:
        apply(Job((File(place, NEW),), reload=(shell(command),)))
    assert str(caught.value) == (
        f"{place}: `{command}` failed with exit code 1; rolled back, what stood there before is in"
        " force again (see what it says; if all it says is that nobody runs, let it end with exit"
        f" code {NOT_RUNNING}: then the new text stays for the start)"
    )


def test_what_may_be_in_force_though_it_was_taken_away_is_told_again(
    tmp_path: Path, place: Path, told: Path, clock: Clock
) -> None:
    # The server took the new file, and cannot be told of the old one.
    reload = says(tmp_path, "reload", f"test -e {tmp_path}/well || grep -q new {place}")
    job = Job((File(place, NEW),), reload=(reload,), verify=wrong)
    with pytest.raises(ApplyError, match="THE ROLL BACK FAILED to reload"):
        apply(job, sleep=clock.sleep, clock=clock)
    assert place.read_bytes() == OLD
    (tmp_path / "well").touch()
    old = Job((File(place, "old"),), reload=(reload,))
    place.write_text("old")
    assert changed(old) == []
    assert apply(old).reloaded
    assert told.read_text() == "reload: new\nreload: old\nreload: old\n"
    assert apply(old) == Applied()


class Zone:
    """What is no file: the steps know nothing of it but the protocol."""

    def __init__(self, said: list[str], fails: str = "", target: str = "zone") -> None:
        self.where = "example.test at 192.0.2.1"
        self.target = target
        self._said = said
        self._fails = fails

    def _say(self, what: str) -> None:
        self._said.append(what)
        if what == self._fails:
            raise ApplyError(self.where, f"{what} was refused")

    def due(self) -> bool:
        return True

    def __enter__(self) -> Zone:
        return self

    def __exit__(self, *_: object) -> None:
        self._said.append("left alone")

    def plan(self) -> bool:
        self._say("plan")
        return True

    def check(self, command: Command, run: Run) -> None:
        assert command == ()
        self._say("check")

    def put(self) -> None:
        self._say("put")

    def verify(self) -> str:
        self._said.append("verify")
        return "another serial" if self._fails == "verify" else ""

    def put_back(self) -> None:
        self._said.append("put back")

    def settle(self) -> str | None:
        self._said.append("settle")
        return None

    def leave(self) -> None:
        self._said.append("leave")


class Zones:
    """Work without a file or a command."""

    check = whole = ()
    reload = ()

    def __init__(self, *zones: Zone) -> None:
        self._zones = zones

    def verify(self) -> str:
        return ""

    def changes(self) -> tuple[Zone, ...]:
        return self._zones


@pytest.mark.parametrize(
    ("fails", "steps"),
    [
        ("", "plan check put verify settle"),
        ("plan", "plan"),
        ("check", "plan check"),
        # Half of what it was to do may be done.
        ("put", "plan check put put_back"),
        ("verify", "plan check put verify put_back"),
    ],
)
def test_what_is_no_file_goes_the_same_way(fails: str, steps: str, clock: Clock) -> None:
    said: list[str] = []
    works: list[Work] = [Zones(Zone(said, fails))]
    ((_, result),) = apply_all(works, sleep=clock.sleep, clock=clock)
    assert list(dict.fromkeys(said)) == [
        step.replace("_", " ") for step in (*steps.split(), "left_alone")
    ]
    if fails:
        assert isinstance(result, ApplyError)
        assert ("rolled back" in result.what) == ("put" in steps)
    else:
        assert result == Applied(("example.test at 192.0.2.1",))


def test_what_is_no_file_is_not_changed_twice() -> None:
    said: list[str] = []
    (_, first), (_, second) = apply_all([Zones(Zone(said)), Zones(Zone(said))])
    assert isinstance(first, Applied)
    assert isinstance(second, ApplyError)
    assert "is written twice" in second.what
    assert said.count("put") == 1
