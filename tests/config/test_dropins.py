"""Files beside the main one: which are read, in which order, how they are joined and told of."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from consulfwd.config import dropins, load
from consulfwd.config.dropins import MOST
from consulfwd.config.show import as_json, as_yaml
from consulfwd.errors import ConfigError


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """The main file, which says nothing yet, with an empty folder beside it."""
    file = tmp_path / "consulfwd.yml"
    file.write_text("")
    (tmp_path / "conf.d").mkdir()
    return file


@pytest.fixture
def beside(main: Path) -> Callable[[str, str], Path]:
    """Write a file into the folder, and return its path."""

    def write(name: str, text: str) -> Path:
        path = main.parent / "conf.d" / name
        path.write_text(text)
        return path

    return write


Beside = Callable[[str, str], Path]


def problems(main: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(main, {}, {})
    return [str(one) for one in caught.value.problems]


def test_each_overlays_those_before(main: Path, beside: Beside) -> None:
    main.write_text("cache: {size: 1, max_ttl: 10}\nuser: one\nconsul: {agents: [10.0.0.1]}\n")
    second = beside("20-b.yml", "cache:\n  size: 3\nconsul: {agents: [10.0.0.3]}\n")
    first = beside("10-a.yml", "cache: {size: 2, max_ttl: 20}\nuser: two\nlog: {level: debug}\n")
    loaded = load(main, {"CONSULFWD_LOG_LEVEL": "error"}, {})
    settings, origins = loaded.settings, loaded.origins
    assert (settings.cache.size, origins["cache.size"]) == (3, f"{second}:2")
    assert (settings.cache.max_ttl, origins["cache.max_ttl"]) == (20, f"{first}:1")
    assert (settings.user, origins["user"]) == ("two", f"{first}:2")
    # A list is replaced, not added to.
    assert [one.address for one in settings.consul.agents] == ["10.0.0.3"]
    assert (settings.log.level, origins["log.level"]) == (
        "error",
        "environment CONSULFWD_LOG_LEVEL",
    )
    assert loaded.path == main
    assert loaded.files == (main, first, second)
    assert loaded.places == (main, main.parent / "conf.d")


def test_mappings_by_name_are_merged(main: Path, beside: Beside) -> None:
    main.write_text(
        "forward: {corp.example: [10.0.0.1], lab.example: [10.0.0.2]}\n"
        "consul: {datacenters: {dc2: {agents: [10.2.0.1], policy: fastest}}}\n"
    )
    last = beside(
        "10.yml",
        "forward:\n  Corp.Example.: [10.0.0.9]\n  vpn.example: [10.9.0.1]\n"
        "consul: {datacenters: {DC2: {agents: [10.2.0.9]}, dc3: {agents: [10.3.0.1]}}}\n",
    )
    settings = load(main, {}, {}).settings
    assert {name: [one.address for one in to] for name, to in settings.forward.items()} == {
        "lab.example": ["10.0.0.2"],
        "corp.example": ["10.0.0.9"],
        "vpn.example": ["10.9.0.1"],
    }
    dc2 = settings.consul.datacenters["dc2"]
    assert ([one.address for one in dc2.agents], dc2.policy) == (["10.2.0.9"], "fastest")
    assert list(settings.consul.datacenters) == ["dc2", "dc3"]
    # What is said against a value names the place it is from.
    last.write_text("forward:\n  Corp.Example.: [127.0.0.1]\n")
    assert problems(main) == [
        f"{last}:2: forward.Corp.Example.[0]: 127.0.0.1:53 is an address consulfwd listens on: it "
        "would ask itself (name another server or another port)"
    ]


def test_agents_of_the_catalog_and_a_list_replace_each_other(main: Path, beside: Beside) -> None:
    main.write_text("consul: {agents: {from_catalog: true, seeds: [10.0.0.1, 10.0.0.2]}}")
    last = beside("10.yml", "consul: {agents: [10.0.0.3]}")
    consul = load(main, {}, {}).settings.consul
    assert ([one.address for one in consul.agents], consul.from_catalog) == (["10.0.0.3"], False)
    last.write_text("consul: {agents: {from_catalog: true, seeds: [10.0.0.4]}}")
    consul = load(main, {}, {}).settings.consul
    assert ([one.address for one in consul.agents], consul.from_catalog) == (["10.0.0.4"], True)


def test_a_section_that_is_empty_takes_nothing_away(main: Path, beside: Beside) -> None:
    main.write_text("cache: {size: 5}\nforward: {corp.example: [10.0.0.1]}\nuser: one\n")
    beside("10.yml", "cache:\n  #size: 6\nforward:\nuser:\n")
    settings = load(main, {}, {}).settings
    assert settings.cache.size == 5
    assert list(settings.forward) == ["corp.example"]
    # A value of its own can be unset.
    assert settings.user is None


def test_what_is_passed_over(main: Path, beside: Beside) -> None:
    for name in (".hidden.yml", "10.yml~", "10.yml.bak", "10.yml.dpkg-old", "#10.yml#", "README"):
        beside(name, "nonsense: 1")
    beside(".hidden.yaml", "nonsense: 1")
    (main.parent / "conf.d" / "deeper").mkdir()
    (main.parent / "conf.d" / "deeper" / "10.yml").write_text("nonsense: 1")
    loaded = load(main, {}, {})
    assert (loaded.files, loaded.warnings) == ((main,), ())
    odd = [beside(name, "nonsense: 1") for name in ("10.YML", "10.conf", "10.json", "10.yaml")]
    assert [str(one) for one in load(main, {}, {}).warnings] == [
        f"{one}: is passed over: what is read there ends in .yml (rename it, or take it out)"
        for one in odd
    ]


@pytest.mark.parametrize("which", ["main", "beside", "folder"])
def test_what_anybody_may_write_to_is_told(main: Path, beside: Beside, which: str) -> None:
    path = {"main": main, "beside": beside("10.yml", ""), "folder": main.parent / "conf.d"}[which]
    assert load(main, {}, {}).warnings == ()
    path.chmod(0o777)
    loaded = load(main, {}, {})
    assert [str(one) for one in loaded.warnings] == [
        f"{path}: may be written to by anybody here, who then says where names are asked"
        f" (chmod o-w {path})"
    ]
    # It counts all the same.
    assert loaded.passed_over == ()


def test_the_mistakes_of_all_files_are_told_at_once(main: Path, beside: Beside) -> None:
    main.write_text("user: 5\n")
    # Overridden or not.
    first = beside("10.yml", "\ncache: {size: x}\n")
    second = beside("20.yml", "cache: {size: 7}\nzzz: 1\n")
    third = beside("30.yml", "a: [\n")
    folder = main.parent / "conf.d"
    (folder / "40.yml").symlink_to("none")
    (folder / "50.yml").mkdir()
    found = problems(main)
    starts = [
        f"{main}:1: user: must be text",
        f"{first}:2: cache.size: must be a whole number",
        f"{second}:2: zzz: unknown key",
        f"{third}:1:",
        f"{folder}/40.yml: there is no such file",
        f"{folder}/50.yml: is a directory",
    ]
    assert len(found) == len(starts), found
    assert all(one.startswith(start) for one, start in zip(found, starts, strict=True)), found


def test_a_contradiction_between_files_is_told_at_one_of_them(main: Path, beside: Beside) -> None:
    main.write_text("cache: {max_ttl: 10}\n")
    last = beside("10.yml", "cache:\n  min_ttl: 20\n")
    assert problems(main) == [
        f"{last}:2: cache.min_ttl: 20 is more than max_ttl, 10 (lower min_ttl or raise max_ttl)"
    ]
    beside("20.yml", "cache: {max_ttl: 30}\n")
    assert load(main, {}, {}).settings.cache.max_ttl == 30


@pytest.mark.timeout(10)
def test_what_would_be_waited_for_is_not_read(main: Path) -> None:
    folder = main.parent / "conf.d"
    os.mkfifo(folder / "10.yml")
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(str(folder / "20.yml"))
        assert problems(main) == [
            f"{folder}/10.yml: is not a file (take it out of there)",
            f"{folder}/20.yml: is not a file (take it out of there)",
        ]


def test_a_link_to_nothing_masks_a_file(main: Path) -> None:
    masked = main.parent / "conf.d" / "10.yml"
    masked.symlink_to("/dev/null")
    assert load(main, {}, {}).files == (main, masked)


def test_a_folder_that_cannot_be_listed(main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    # Root may list everything: the refusal is played.
    monkeypatch.setattr(Path, "iterdir", refuse)
    assert problems(main) == [
        f"{main.parent}/conf.d: cannot be listed: Permission denied "
        f"(let user {os.geteuid()} read it: chmod, chgrp)"
    ]


@pytest.mark.parametrize(
    ("owner", "of_main", "user", "read"),
    [(0, 5, 6, True), (5, 5, 6, True), (6, 5, 6, True), (7, 5, 6, False), (7, 0, 0, False)],
)
def test_a_folder_that_somebody_else_made(
    main: Path,
    beside: Beside,
    monkeypatch: pytest.MonkeyPatch,
    owner: int,
    of_main: int,
    user: int,
    read: bool,
) -> None:
    beside("10.yml", "cache: {size: 7}")
    owners = {main: of_main, main.parent / "conf.d": owner}
    monkeypatch.setattr(dropins, "_owner", owners.__getitem__)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    if read:
        assert load(main, {}, {}).settings.cache.size == 7
    else:
        assert problems(main) == [
            f"{main.parent}/conf.d: belongs to user {owner} "
            "(chown it to who owns the main file, or to root)"
        ]


def test_what_is_no_folder_is_told(main: Path) -> None:
    folder = main.parent / "conf.d"
    folder.rmdir()
    assert load(main, {}, {}).warnings == ()
    folder.write_text("x")
    assert [str(one) for one in load(main, {}, {}).warnings] == [
        f"{folder}: is not a folder: nothing is read from it (name it otherwise)"
    ]


def test_there_is_an_end_to_them(main: Path, beside: Beside) -> None:
    for number in range(MOST):
        beside(f"{number:03}.yml", f"cache: {{size: {number}}}")
    loaded = load(main, {}, {})
    assert (loaded.settings.cache.size, len(loaded.files)) == (MOST - 1, MOST + 1)
    beside("999.yml", "")
    assert problems(main) == [
        f"{main.parent}/conf.d: holds {MOST + 1} files, {MOST} at most are read "
        "(join some of them)"
    ]


def test_they_need_no_main_file_at_its_usual_place(
    main: Path, beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By its module: the package's `load` is the function.
    monkeypatch.setattr(import_module("consulfwd.config.load"), "DEFAULT_PATH", main)
    main.unlink()
    only = beside("10.yml", "cache: {size: 7}")
    loaded = load(None, {}, {})
    assert (loaded.settings.cache.size, loaded.path, loaded.files) == (7, None, (only,))
    # One that comes later is looked for there.
    assert loaded.places == (main, main.parent / "conf.d")
    # A file that was named must be there.
    assert problems(main) == [f"{main}: there is no such file (check the path)"]


def test_all_are_shown(main: Path, beside: Beside) -> None:
    odd = beside("10 \n.yml", "cache: {size: 7}")
    loaded = load(main, {}, {})
    shown = str(odd).replace("\n", r"\n")
    assert as_yaml(loaded).splitlines()[:2] == [f"# {main}", f"# {shown}"]
    assert json.loads(as_json(loaded))["files"] == [str(main), shown]
    assert loaded.origins["cache.size"] == f"{shown}:1"
    again = main.parent / "again.yml"
    again.write_text(as_yaml(loaded))
    (main.parent / "conf.d" / odd.name).unlink()
    assert load(again, {}, {}).settings == loaded.settings
