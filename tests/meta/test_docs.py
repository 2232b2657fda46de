"""What README.md and docs/ show is true: links, commands, options, settings, log lines, files."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from consulfwd.cli.main import VERBS, cli
from consulfwd.config import Settings, load
from consulfwd.config.keys import leaves
from consulfwd.dns import const
from consulfwd.errors import ConfigError

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
# The benchmarks are a program of their own.
OURS = [page for page in PAGES if page.stem != "benchmarks"]
ON_PAGES = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
ON_OURS = pytest.mark.parametrize("page", OURS, ids=lambda page: page.name)

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
# Those that make lines for the log.
REPORT = ("report", "_counters", "_upstream", "_watches")
INLINE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?:\$ |\w+=)?(?:\S*/)?consulfwd( .*)?")


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def blocks(page: Path) -> list[tuple[str, str]]:
    return FENCE.findall(page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made where it is shown."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}


def broken_links(page: Path) -> Iterator[str]:
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if link.startswith("https://"):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@ON_PAGES
def test_links_lead_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


def commands_in_blocks(page: Path) -> Iterator[str]:
    for _, text in blocks(page):
        # Where there are prompts, the other lines are output.
        prompted = "$ " in {line[:2] for line in text.splitlines()}
        for line in text.splitlines():
            match = COMMAND.fullmatch(line.partition("  #")[0].strip())
            if match and match[1] and (line.startswith("$ ") or not prompted):
                yield match[1]


def commands_in_prose(page: Path) -> Iterator[str]:
    for text in INLINE.findall(prose(page)):
        match = COMMAND.fullmatch(text)
        if match and match[1]:
            yield match[1]


def parse(words: list[str]) -> None:
    """Parse a command line as far as it goes without running it. Raises click.UsageError."""
    context = cli.make_context("consulfwd", words)
    command: click.Command = cli
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
        if isinstance(command, click.Group) and not words:
            return
        context = command.make_context(name, list(words), parent=context)


@ON_PAGES
def test_no_section_is_empty(page: Path) -> None:
    text = FENCE.sub("...", page.read_text())
    found = re.findall(r"^(#+) ([^\n]+)\n\s*(?:(#+) |\Z)", text, re.MULTILINE)
    assert [what for level, what, below in found if len(below) <= len(level)] == []


def test_parse_sees_mistakes() -> None:
    for wrong in ("reslove x", "resolve --tracee x", "serve --dev=real", "config chek", "resolve"):
        with pytest.raises(click.UsageError):
            parse(wrong.split())


@ON_PAGES
def test_commands_in_blocks_parse(page: Path) -> None:
    for command in commands_in_blocks(page):
        # What a unit's variable holds is up to the administrator.
        parse([word for word in shlex.split(command) if not word.startswith("$")])


@ON_PAGES
def test_commands_in_prose_parse(page: Path) -> None:
    for command in commands_in_prose(page):
        try:
            parse(shlex.split(command))
        except click.MissingParameter:
            continue  # the verb or an option is talked of, without a name to resolve


def options_of(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        yield from (*parameter.opts, *parameter.secondary_opts)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from options_of(found, context)


@ON_OURS
def test_options_exist(page: Path) -> None:
    known = {*options_of(cli, click.Context(cli)), "--help"}
    shown = {word for text in INLINE.findall(prose(page)) for word in re.findall(r"--[\w-]+", text)}
    assert shown - known == set()


def test_every_option_of_resolve_is_explained() -> None:
    command = cli.get_command(click.Context(cli), "resolve")
    assert command is not None
    options = {one for one in options_of(command, click.Context(command)) if one[:2] == "--"}
    text = (ROOT / "docs" / "resolve.md").read_text()
    # Shared with `serve`; of no use to a single question.
    unexplained = {"--help", "--config", "--listen"}
    assert {one for one in options if f"`{one}" not in text} == unexplained


def test_every_option_of_what_asks_a_process_is_explained() -> None:
    text = (ROOT / "docs" / "status.md").read_text()
    context = click.Context(cli)
    for verb in ("status", "explain", "cache", "querylog", "drain", "undrain"):
        command = cli.get_command(context, verb)
        assert command is not None
        options = {one for one in options_of(command, context) if one[:2] == "--"}
        assert {one for one in options if f"`{one}" not in text} == {"--help"}, verb
        assert f"`consulfwd {verb}" in text


def test_every_verb_is_in_the_readme_or_its_changes() -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "CHANGELOG.md").read_text()
    assert [verb for verb in VERBS if f"consulfwd {verb}" not in text] == []


def problems(text: str, folder: Path) -> list[str]:
    """What is wrong with a settings file; what it names need not be on this host."""
    path = folder / "consulfwd.yml"
    path.write_text(text)
    try:
        load(path, {}, {}, over_http=False)
    except ConfigError as error:
        return [str(one) for one in error.problems]
    return []


@ON_PAGES
def test_settings_files_load(page: Path, tmp_path: Path) -> None:
    for language, text in blocks(page):
        if language == "yaml":
            assert problems(text, tmp_path) == [], text


def test_a_wrong_settings_file_is_seen(tmp_path: Path) -> None:
    assert problems("lisen: [127.0.0.1]", tmp_path) != []


@ON_OURS
def test_settings_named_exist(page: Path) -> None:
    if page.stem == "configuration":
        return  # full of mistakes, which are told by tests/config/test_docs.py
    paths = [path for path, _ in leaves(Settings)]
    known = {".".join(path[:end]) for path in paths for end in range(1, len(path) + 1)}
    sections = "|".join(sorted({name.rpartition(".")[0] for name in known if "." in name}))
    shown = re.compile(rf"((?:{sections})\.(?!py$)\w+)(?:: .*)?")
    names = {match[1] for text in INLINE.findall(prose(page)) if (match := shown.fullmatch(text))}
    assert names - known == set()


@ON_PAGES
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = [*INLINE.findall(prose(page)), *(text for _, text in blocks(page))]
    shown = {name for text in code for name in re.findall(r"^make ([a-z0-9]+)", text, re.MULTILINE)}
    assert shown - targets == set()


def test_readme_has_the_two_commands_to_the_letter() -> None:
    shown = [text for _, text in blocks(ROOT / "README.md")]
    assert "make run\n" in shown
    assert "make test\n" in shown


def test_readme_repeats_what_make_run_prints() -> None:
    source = (ROOT / "consulfwd" / "cli" / "dev.py").read_text()
    dig = "dig @127.0.0.1 -p 5300"
    for line in re.findall(r"^  (\{dig\} .*)$", source, re.MULTILINE):
        shown = line.format(dig=dig, EXAMPLE="galeradb.service.consul", NAME="www.demo.test")
        assert shown in (ROOT / "README.md").read_text()


def test_modules_named_exist() -> None:
    files = {path.as_posix() for path in (ROOT / "consulfwd").rglob("*.*")}
    for text in INLINE.findall(prose(ROOT / "docs" / "architecture.md")):
        if re.fullmatch(r"[\w/]+\.(py|c|h)", text):
            there = any(path.endswith(f"/{text}") for path in files)
            assert there or (ROOT / text).exists(), text


def log_formats() -> Iterator[str]:
    """The formats of every message from `info` up that the server logs."""
    package = ROOT / "consulfwd"
    yield from reported(package / "ops" / "text" / "logged.py")
    names = ("net", "consul", "keep", "generate", "template", "ops", "ops/querylog", "workers",
             "failover")
    rooms = [path for room in names for path in (package / room).glob("*.py")]
    alone = [package / f"{name}.py" for name in ("daemon", "server", "kept", "notify")]
    for path in [*alone, *rooms]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr in {"info", "warning", "error", "log"}:
                for argument in node.args[:2]:
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        if argument.value != "%s":
                            yield argument.value
                        break


def reported(path: Path) -> Iterator[str]:
    """The formats of the lines that are made of a picture, on request."""
    for function in ast.parse(path.read_text()).body:
        if isinstance(function, ast.FunctionDef) and function.name in REPORT:
            for node in ast.walk(function):
                made = node.value if isinstance(node, (ast.Yield, ast.Return)) else None
                if isinstance(made, ast.JoinedStr):
                    yield "".join(
                        str(one.value) if isinstance(one, ast.Constant) else "%s"
                        for one in made.values
                    )


def test_log_lines_are_those_of_the_server() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    section = (
        text.partition("## The log\n")[2].partition("\n## ")[0].partition("Why an upstream")[0]
    )
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    shown = [line.replace("...", "x") for row in rows for line in INLINE.findall(row)]
    formats = [one.partition("\n")[0] for one in log_formats()]
    patterns = [re.sub(r"%[sd]", ".+", re.escape(one)) for one in formats]
    assert len(patterns) > 10
    assert [line for line in shown if not any(re.fullmatch(one, line) for one in patterns)] == []
    assert [one for one in patterns if not any(re.fullmatch(one, line) for line in shown)] == []


def test_extended_errors_are_those_sent() -> None:
    package = ROOT / "consulfwd"
    sources = [*(package / "net").glob("*.py"), *(package / "core").glob("*.py")]
    names = {name for path in sources for name in re.findall(r"EDE_\w+", path.read_text())}
    sent = {getattr(const, name) for name in names - {"EDE_TEXT"}}
    section = (ROOT / "docs" / "operations.md").read_text().partition("## Extended DNS errors\n")[2]
    rows = re.findall(r"^\| (\d+) ", section.partition("\n## ")[0], re.MULTILINE)
    assert {int(code) for code in rows} == sent


def test_who_is_cut_from_whom_is_told_alike_and_tried(project: Path) -> None:
    found = []
    for name in ("publish", "publish-one-writer"):
        page = (project / "docs" / f"{name}.md").read_text(encoding="utf-8")
        table = page.partition("## Who is cut from whom")[2].partition("\n## ")[0]
        found.append(re.findall(r"(?m)^\| (\d+) \|", table))
    short, whole = found
    assert short == whole
    assert len(whole) >= 12
    tests = "".join(one.read_text() for one in (project / "tests").rglob("test_*.py"))
    for test in re.findall(r"`(test_\w+)`", table):
        assert f"def {test}(" in tests, test
