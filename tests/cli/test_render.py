"""`consulfwd render`: what it takes, what it prints, what it exits with; without a Consul."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.net.world import free_port


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
    ],
)
def test_wrong_use(run: Run, template: Path, tmp_path: Path, words: list[str], said: str) -> None:
    places = {"t": template, "d": tmp_path}
    ended = run("render", *(word.format(**places) for word in words))
    assert ended.code == 2
    assert said.format(**places) in ended.err


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
    file.write_text(f"consul: {{agents: [{{address: 127.0.0.1, http_port: {port}}}]}}\n")
    ended = run("render", "-c", str(file), f"{template}:{tmp_path}/x")
    assert (ended.code, ended.err) == (
        3,
        f"consulfwd: 127.0.0.1:8600: services: connection refused over HTTP, port {port}\n",
    )
