"""`consulfwd render`: what it takes, what it prints, what it exits with; without a Consul."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.loopback import OWN, free_port


@pytest.fixture
def template(tmp_path: Path) -> Path:
    file = tmp_path / "a.tpl"
    file.write_text("one\n")
    return file


def test_once_writes_and_runs_then_there_is_nothing_to_do(
    run: Run, template: Path, tmp_path: Path
) -> None:
    dest, ran = tmp_path / "a.conf", tmp_path / "ran"
    dest.write_text("zero\n")
    what = f"{template}:{dest}:echo done >> {ran}"
    said = f"{dest} written, in force\n{dest}.bak is what stood there before\n"
    assert run("render", what).out == said
    assert (dest.read_text(), ran.read_text()) == ("one\n", "done\n")
    assert run("render", "--once", what).out == "nothing to do: all is as it should be\n"
    assert ran.read_text() == "done\n"
    template.write_text("two\n")
    ended = run("render", "--json", what)
    assert json.loads(ended.out) == {
        "written": [str(dest)], "backups": [f"{dest}.bak"], "reloaded": True, "failed": []
    }  # fmt: skip


def test_a_command_that_fails_brings_the_old_file_back(
    run: Run, template: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "a.conf"
    dest.write_text("zero\n")
    command = f"grep -q zero {dest} || {{ echo no; exit 7; }}"
    ended = run("render", f"{template}:{dest}:{command}")
    assert ended.code == 1
    assert f"`{command}` failed with exit code 7; rolled back" in ended.err
    assert "\nconsulfwd: no\n" in ended.err
    assert dest.read_text() == "zero\n"


def test_looking_without_writing(run: Run, template: Path, tmp_path: Path) -> None:
    dest, other = tmp_path / "a.conf", tmp_path / "b.conf"
    what = f"{template}:{dest}"
    assert run("render", "--dry-run", what).out == "one\n"
    both = run("render", "--dry-run", what, f"{template}:{other}").out
    assert both == f"# ---- {dest} ----\none\n\n# ---- {other} ----\none\n"
    said = json.loads(run("render", "--dry-run", "--json", what).out)
    assert said == {"files": [{"path": str(dest), "text": "one\n"}]}
    ended = run("render", "--check", what)
    assert (ended.code, ended.out) == (
        1,
        f"{dest} differs: --diff shows how, --once mends it\n",
    )
    assert json.loads(run("render", "--check", "--json", what).out) == {"differ": [str(dest)]}
    assert run("render", "--diff", what).out.endswith("+one\n")
    assert list(json.loads(run("render", "--diff", "--json", what).out)) == [str(dest)]
    assert not dest.exists()
    dest.write_text("one\n")
    assert (run("render", "--check", what).code, run("render", "--diff", what).out) == (0, "")
    # Nothing is written, so that its place need not be there.
    assert run("render", "--dry-run", f"{template}:/nonexistent/x").code == 0


def test_what_nobody_was_told_of_is_no_less_than_a_difference(
    run: Run, template: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "a.conf"
    what = f"{template}:{dest}"
    # Nobody runs, so that it is told the next time; so it is after one that was killed.
    assert run("render", f"{what}:exit 75").code == 0
    told = f"{dest} may not be in force, nobody was told of it yet: --once tells again\n"
    ended = run("render", "--check", what)
    assert (ended.code, ended.out) == (1, told)
    said = json.loads(run("render", "--check", "--json", what).out)
    assert said == {"differ": [], "not_in_force": [str(dest)]}
    assert run("render", f"{what}:true").code == 0
    assert (run("render", "--check", what).code, run("render", "--check", what).out) == (0, "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing argument"),
        (["{t}"], "is not TEMPLATE:DEST"),
        (["{t}:{d}:"], "the command is empty"),
        (["{d}/none:{d}/x"], "there is no such template"),
        (["{t}:{d}/" + 300 * "x"], "file name too long (see to the path"),
        (["{t}:{d}/none/x"], "there is no directory {d}/none (make it first)"),
        (["{t}:{d}"], "{d}: is a directory"),
        (["--once", "--dry-run", "{t}:{d}/x"], "--once and --dry-run: choose one"),
        (["--quiescence", "x", "{t}:{d}/x"], "'x' is not MIN[:MAX] in seconds"),
        (["--quiescence", "3:1", "{t}:{d}/x"], "'3:1' is not MIN[:MAX] in seconds"),
        (["--agent", "nowhere", "{t}:{d}/x"], "nowhere"),
        (["--max-shrink", "101", "{t}:{d}/x"], "101"),
        (["--min-instances", "-1", "{t}:{d}/x"], "-1"),
    ],
)
def test_wrong_use(run: Run, template: Path, tmp_path: Path, words: list[str], said: str) -> None:
    places = {"t": template, "d": tmp_path}
    ended = run("render", *(word.format(**places) for word in words))
    assert ended.code == 2
    assert said.format(**places) in ended.err


def test_a_file_that_would_shrink_too_far_stays(run: Run, template: Path, tmp_path: Path) -> None:
    dest = tmp_path / "a.conf"
    dest.write_text("one\ntwo\nthree\n")
    what = f"{template}:{dest}"
    ended = run("render", "--max-shrink", "50", what)
    assert ended.code == 1
    assert "it would be 71 % smaller than before (at most 50 %: --max-shrink; to have" in ended.err
    assert dest.read_text() == "one\ntwo\nthree\n"
    assert "-three\n" in run("render", "--max-shrink", "50", "--diff", what).out
    assert run("render", what).code == 0
    assert dest.read_text() == "one\n"


def test_a_template_that_is_wrong(run: Run, template: Path, tmp_path: Path) -> None:
    template.write_text("\n{{ nothing }}")
    ended = run("render", f"{template}:{tmp_path}/x")
    assert (ended.code, ended.err) == (1, f"consulfwd: {template}:2: 'nothing' is undefined\n")
    assert not (tmp_path / "x").exists()


def test_consul_that_does_not_answer(
    run: Run, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template.write_text("{{ services() }}")
    file, port = tmp_path / "consulfwd.yml", free_port()
    file.write_text(f"consul: {{agents: [{{address: {OWN}, http_port: {port}}}]}}\n")
    ended = run("render", "-c", str(file), f"{template}:{tmp_path}/x")
    assert (ended.code, ended.err) == (
        3,
        f"consulfwd: {OWN}:8600: services: connection refused over HTTP, port {port}\n",
    )


def test_the_good_ones_are_written_beside_bad_ones(
    run: Run, template: Path, tmp_path: Path
) -> None:
    bad, worse = tmp_path / "bad.tpl", tmp_path / "worse.tpl"
    bad.write_text("{{ nothing }}")
    worse.write_text("{% if %}")
    ran = tmp_path / "ran"
    places = [tmp_path / name for name in ("x", "good", "y")]
    what = [
        f"{one}:{place}:echo {place.name} >> {ran}"
        for one, place in zip((bad, template, worse), places, strict=True)
    ]
    ended = run("render", "--once", *what)
    assert (ended.code, ended.out) == (1, f"{places[1]} written, in force\n")
    first, second = ended.err.splitlines()
    assert first == f"consulfwd: {bad}:1: 'nothing' is undefined"
    assert second.startswith(f"consulfwd: {worse}:1:")
    assert [place.exists() for place in places] == [False, True, False]
    assert ran.read_text() == "good\n"
    again = run("render", "--once", "--json", *what)
    said = json.loads(again.out)
    assert (again.code, said["written"], len(said["failed"])) == (1, [], 2)
    # What would be done is shown in the same way.
    assert (run("render", "--check", *what).code, run("render", "--diff", *what).code) == (1, 1)
    shown = run("render", "--dry-run", *what)
    assert (shown.code, shown.out) == (1, "one\n")


def test_consul_that_does_not_answer_holds_up_no_other_template(
    run: Run, template: Path, tmp_path: Path
) -> None:
    asks, bad = tmp_path / "asks.tpl", tmp_path / "bad.tpl"
    asks.write_text("{{ services() }}")
    bad.write_text("{{ nothing }}")
    file, port = tmp_path / "consulfwd.yml", free_port()
    file.write_text(f"consul: {{agents: [{{address: {OWN}, http_port: {port}}}]}}\n")
    what = [f"{one}:{tmp_path}/{one.stem}" for one in (asks, template)]
    ended = run("render", "-c", str(file), *what)
    assert (ended.code, ended.out) == (3, f"{tmp_path}/a written\n")
    # A mistake of the user's own has the last word.
    ended = run("render", "-c", str(file), *what, f"{bad}:{tmp_path}/bad")
    assert ended.code == 1
    assert ended.err.endswith("'nothing' is undefined\n")


@pytest.mark.parametrize("command", ["exit 75", "nginx -t -q && nginx -s reload"])
def test_a_service_that_has_yet_to_start_finds_its_file(
    run: Run, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    nginx = tmp_path / "nginx"
    no_pid = 'nginx: [error] open() "/run/nginx.pid" failed (2: No such file or directory)'
    nginx.write_text(f"#!/bin/sh\n[ $1 = -t ] || {{ echo '{no_pid}' >&2; exit 1; }}\n")
    nginx.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    dest = tmp_path / "a.conf"
    ended = run("render", f"{template}:{dest}:{command}")
    assert (ended.code, ended.err, dest.read_text()) == (0, "", "one\n")
    said = f"in force once its server starts (`{command}` found nobody running)"
    assert ended.out == f"{dest} written, {said}\n"
    again = json.loads(run("render", "--json", f"{template}:{dest}:{command}").out)
    assert (again["reloaded"], again["failed"], again["not_running"]) == (False, [], [command])


def test_links_into_other_directories(run: Run, template: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "stub").write_text("zero\n")
    dest = tmp_path / "link"
    dest.symlink_to("other/stub")
    ended = run("render", f"{template}:{dest}")
    assert ended.code == 1
    assert ended.err.startswith(f"consulfwd: {dest}: a link to {other}/stub, which may be")
    assert "--links replace has a file where the link is" in ended.err
    assert (other / "stub").read_text() == "zero\n"
    # What is only looked at may be looked at.
    assert run("render", "--diff", f"{template}:{dest}").code == 0
    assert run("render", "--links", "follow", f"{template}:{dest}").code == 0
    assert (dest.is_symlink(), (other / "stub").read_text()) == (True, "one\n")
    assert run("render", f"{template}:{dest}").out == "nothing to do: all is as it should be\n"
    # The same text, but no file.
    replaced = run("render", "--links", "replace", f"{template}:{dest}")
    assert replaced.out == f"{dest} written\n{dest}.bak is what stood there before\n"
    assert (dest.is_symlink(), dest.read_text()) == (False, "one\n")
