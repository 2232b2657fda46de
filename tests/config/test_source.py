"""Files in, trees with places or what is wrong with the file's form out."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from consulfwd.config import source
from consulfwd.config.source import MAX_BYTES, MAX_DEPTH, read, scalar
from consulfwd.config.tree import Source, TreeNode, plain


@pytest.fixture(params=["fast", "slow"])
def file(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where to write a configuration; read with YAML's C parser, and with its Python one."""
    if request.param == "slow":
        monkeypatch.delattr(yaml, "CSafeLoader")
    return tmp_path / "x.yml"


def said(found: Source) -> list[str]:
    return [f"{one.place.text}: {one.path}: {one.what} ({one.mend})" for one in found.found]


def places(node: TreeNode) -> dict[str, tuple[int, int]]:
    here = {".".join(map(str, node.path)): (node.place.line, node.place.column)}
    children: list[TreeNode] = []
    if isinstance(node.content, dict):
        children = list(node.content.values())
    elif isinstance(node.content, list):
        children = node.content
    for child in children:
        here.update(places(child))
    return here


def test_every_value_has_its_place(file: Path) -> None:
    file.write_text("# comment\nlisten:\n  - a\n  - {b: c,\n     d: [e]}\ncache: {size: 5}\n")
    found = read(file, 0)
    assert found.found == []
    assert plain(found.root) == {"listen": ["a", {"b": "c", "d": ["e"]}], "cache": {"size": 5}}
    assert places(found.root) == {
        "": (2, 1),
        "listen": (2, 1),
        "listen.0": (3, 5),
        "listen.1": (4, 5),
        "listen.1.b": (4, 6),
        "listen.1.d": (5, 6),
        "listen.1.d.0": (5, 10),
        "cache": (6, 1),
        "cache.size": (6, 9),
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, None) for word in ("", "~", "null", "Null")),
        *((word, True) for word in ("true", "True", "yes", "on", "ON")),
        *((word, False) for word in ("false", "FALSE", "no", "off")),
        ("0", 0),
        ("-5", -5),
        ("10000", 10000),
        ("9" * 5000, 10**19 - 1),
        ("2.0", 2.0),
        ("2.", 2.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("010", "010"),
        *((word, word) for word in ("0x10", "1_000", "1:30", "10.0.0.1", ".inf", "nan", "y", "=")),
        ("2026-01-01", "2026-01-01"),
        ("::1", "::1"),
    ],
)
def test_what_a_plain_word_means(text: str, value: object) -> None:
    found = scalar(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "null", "{}", "\ufeff{}"])
def test_an_empty_file_says_nothing(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    found = read(file, 0)
    assert (found.found, plain(found.root)) == ([], {})


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_json_is_read(file: Path, indent: Any) -> None:
    value = {
        "listen": ["127.0.0.1:53", "[::1]:53"],
        "cache": {"size": 5, "x/y": None},
        "query": {"deadline": 2.5},
        "log": {"queries": True},
        "user": 'a/"b',
    }
    file.write_text(json.dumps(value, indent=indent))
    found = read(file, 0)
    assert (found.found, plain(found.root)) == ([], value)


QUOTES = "check the indentation, brackets and quotes here and above"
DEEP = "is nested too deeply (see the examples)"
UNUSABLE = "holds a character that cannot be used (take out control characters and line ends)"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("- a", [":1:1: : must be a mapping (such as listen: [127.0.0.1:53])"]),
        ("\nx", [":2:1: : must be a mapping (such as listen: [127.0.0.1:53])"]),
        ("a: 1\na: 2\nb: 3\nA.: 4", [
            ":2: a: is given twice, first on line 1 (keep one of them)",
            ":4: A.: is given twice, first on line 1 (keep one of them)",
        ]),
        ("a: {b: 1,\n b: 2}", [":2: a.b: is given twice, first on line 1 (keep one of them)"]),
        ("a: &x 1\nb: *x", [
            ":1: a: has the anchor &x (take it out: aliases are not supported)",
            ":2: b: is the alias *x (write the value out)",
        ]),
        ("&x a: 1", [":1: a: has the anchor &x (take it out: aliases are not supported)"]),
        ("a: !!python/object:os.system x", [
            ":1: a: has the tag tag:yaml.org,2002:python/object:os.system "
            "(take it out, or put a text in quotes)",
        ]),
        ("a: [!!str 5]", [
            ":1: a[0]: has the tag tag:yaml.org,2002:str (take it out, or put a text in quotes)",
        ]),
        ("a: &x [*x]", [
            ":1: a: has the anchor &x (take it out: aliases are not supported)",
            ":1: a[0]: is the alias *x (write the value out)",
        ]),
        ("[a]: 1", [":1:1: : a key must be a word (put [...] and {...} in quotes)"]),
        ("? {a: 1}\n: 1", [":1:3: : a key must be a word (put [...] and {...} in quotes)"]),
        ("a: 1\n---\nb: 2", [":2:1: : a second document begins (join them)"]),
        ('a: "x\\ny"', [f":1: a: {UNUSABLE}"]),
        ('a: ["\\0"]', [f":1: a[0]: {UNUSABLE}"]),
        ("a: |\n  b\n", [f":1: a: {UNUSABLE}"]),
        ("a: 1\nb: \x01", [":2: : holds the control character '\\x01' (take it out)"]),
        ("a: " + "[" * MAX_DEPTH, [f":1:{MAX_DEPTH + 3}: : {DEEP}"]),
        ("[" * 1_000_000, [f":1:{MAX_DEPTH + 1}: : {DEEP}"]),
        # Whatever was found before is found once.
        (
            "x: é\na: *b\nc: " + "[" * 5_000,
            [":2: a: is the alias *b (write the value out)", f":3:{MAX_DEPTH + 3}: : {DEEP}"],
        ),
        ("\n".join(" " * n + "a:" for n in range(1_200)), [f":{MAX_DEPTH + 1}:13: : {DEEP}"]),
        ("[" * MAX_DEPTH + "\n}", [None]),
        ("[" * (MAX_DEPTH + 1) + "@", [f":1:{MAX_DEPTH + 1}: : {DEEP}"]),
        ("[" * MAX_DEPTH + "@", [None]),
        ("a: {'" + "[" * 50, [None]),
        ("[" * 5, [None]),
        ("a:\n\tb: 1", [None]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_form(file: Path, text: str, problems: list[str | None]) -> None:
    file.write_text(text, encoding="utf-8")
    found = said(read(file, 0))
    assert len(found) == len(problems)
    for one, problem in zip(found, problems, strict=True):
        assert problem is None or one == f"{file}{problem}"


@pytest.mark.parametrize(
    ("text", "line", "column", "mend"),
    [
        ("a: [b", 1, 6, QUOTES),
        ("\na: [b\n", 2, 6, QUOTES),
        ("a: b: c", 1, 5, QUOTES),
        ("a: {\nb: }}", 2, 5, QUOTES),
        ("a: 'b", 1, 6, QUOTES),
        ("- a\nb: c", 2, 1, QUOTES),
        ("a:\n \tb: 1", 2, 2, "indent with spaces, not tabs"),
        ("listen: [::1]", 1, 10, "put IPv6 addresses in quotes"),
        ("a: @b", 1, 4, QUOTES),
    ],
)
def test_what_is_not_yaml_is_told_with_line_and_column(
    file: Path, text: str, line: int, column: int, mend: str
) -> None:
    file.write_text(text)
    (problem,) = read(file, 0).found
    assert problem.what.startswith("is not valid YAML: ")
    assert problem.place.line == line
    assert problem.place.column == column
    assert problem.place.text == f"{file}:{line}:{problem.place.column}"
    assert problem.mend == mend


@pytest.mark.parametrize("bound", [20, 1000])
def test_our_bound_is_told_where_the_parser_has_one_too(
    file: Path, monkeypatch: pytest.MonkeyPatch, bound: int
) -> None:
    """Some parsers read as far as they can go before they tell of anything."""
    parse = yaml.parse

    def bounded(text: str, Loader: Any) -> Any:
        if text.count("[") > bound:
            mark = yaml.Mark("", bound, 0, bound, None, 0)
            raise yaml.scanner.ScannerError(None, None, "exceeded maximum nesting depth", mark)
        return parse(text, Loader=Loader)

    monkeypatch.setattr(yaml, "parse", bounded)
    file.write_text("[" * 5000)
    assert said(read(file, 0)) == [f"{file}:1:{MAX_DEPTH + 1}: : {DEEP}"]


def test_an_error_of_the_parser_without_a_place_is_told_too(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(text: str, Loader: object) -> object:
        raise yaml.YAMLError("odd")

    monkeypatch.setattr(yaml, "parse", fail)
    file.write_text("a: 1")
    expected = f"{file}:1:1: : is not valid YAML: odd (save it as text)"
    assert said(read(file, 0)) == [expected]


def test_a_syntax_error_without_a_mark_is_at_the_start(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(text: str, Loader: object) -> object:
        raise yaml.MarkedYAMLError(problem="odd")

    monkeypatch.setattr(yaml, "parse", fail)
    file.write_text("a: 1")
    assert said(read(file, 0)) == [f"{file}:1:1: : is not valid YAML: odd ({QUOTES})"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing, folder, latin = tmp_path / "none", tmp_path, tmp_path / "latin"
    latin.write_bytes(b"a: 1\nb: \xfc\n")
    large = tmp_path / "large"
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    below = latin / "x"
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert said(read(missing, 0)) == [f"{missing}: : there is no such file (check the path)"]
    assert said(read(folder, 0)) == [f"{folder}: : is a directory (name the file in it)"]
    assert said(read(latin, 0)) == [f"{latin}:2: : is not UTF-8 text (save the file as UTF-8)"]
    assert said(read(large, 0)) == [
        f"{large}: : is larger than 1048576 bytes (name a configuration file)"
    ]
    assert said(read(below, 0)) == [f"{below}: : cannot be read: Not a directory (check the path)"]
    (problem,) = said(read(loop, 0))
    assert problem.startswith(f"{loop}: : cannot be read: Too many levels of symbolic links")
    (problem,) = said(read(Path("a\0b"), 0))
    assert "cannot be read: embedded null byte" in problem


def test_the_largest_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"#" * MAX_BYTES)
    assert said(read(file, 0)) == []


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may read everything: the refusal is played.
    def refuse(self: Path, mode: str) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    file = tmp_path / "x"
    expected = f"{file}: : may not be read (let user {os.geteuid()} read it: chmod, chgrp)"
    assert said(read(file, 0)) == [expected]


def test_yaml_is_imported_for_a_file_alone() -> None:
    code = "import consulfwd.config as c, sys; c.load(None, {}, {}); print('yaml' in sys.modules)"
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
    assert source.scalar("x") == "x"
