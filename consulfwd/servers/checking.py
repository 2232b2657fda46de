"""What a server's own checker says of a file, as findings.

What belongs here: how checkers are asked about one file, and how they write what is wrong. What
bites although the server takes it is for the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from consulfwd.apply import commands
from consulfwd.errors import LintError
from consulfwd.servers.findings import Finding
from consulfwd.servers.rules import CHECKER_REFUSES, CHECKER_WARNS
from consulfwd.servers.target import Command, Target

TIMEOUT_S = 30.0
MAX_FINDINGS = 20
MAX_SAID = 3  # messages of one line

# Of these, only the main file can be checked, by the folder it is in.
_BY_FOLDER: dict[str, tuple[frozenset[str], Command]] = {
    "pdns-recursor": (
        frozenset({"recursor.conf", "recursor.yml"}),
        ("pdns_recursor", "--config=check", "--config-dir={folder}"),
    ),
}
# Files in another language, by how their names end, have a checker of their own, in a package.
_BY_LANGUAGE: dict[tuple[str, str], tuple[Command, str]] = {
    ("kresd", suffix): (("kresctl", "validate", "{file}"), "knot-resolver6")
    for suffix in (".yaml", ".yml")
}
# file:line: text; text at line N of file; [string "chunk"]:line: text
_PLACED = re.compile(
    r"(?P<file>[^\s:][^:]*):(?P<line>\d+): (?P<text>.+)"
    r"|(?:\w+: )?(?P<text2>.+) at line (?P<line2>\d+) of (?P<file2>.+)"
    r'|(?:.*: )?\[string "[^"]*"\]:(?P<line3>\d+): (?P<text3>.+)'
)
_STAMP = re.compile(r"^\[\d+\] \S+\[\d+:\d+\] ")
_REASON = re.compile(r'\breason="([^"]+)"')
_TELLING = re.compile(r"\b(?:error|warning|fatal)\b", re.IGNORECASE)
_SUMMARY = re.compile(r"failed: \d+ errors|no errors in|\bOK\b|^stack traceback|^\s")


def ask_checker(target: Target, path: Path, shown: str) -> list[Finding]:
    """Return what the server's own checker says of a file.

    `shown` is the file's name as findings have it. Raises LintError where nobody can be asked.
    """
    command = _command(target, path, shown)
    ran = commands.run(command, timeout_s=TIMEOUT_S)
    if ran.wrong and not ran.wrong.startswith("failed with exit code"):
        raise LintError(shown, 0, f"was not checked: {ran}", "run it by hand, or leave --check out")
    return list(_findings(ran.output, bool(ran.wrong), shown, path, commands.shown(command)))


def _command(target: Target, path: Path, shown: str) -> Command:
    if path.is_dir():
        raise LintError(shown, 0, "was not checked: it is a folder", "lint its files one by one")
    command, package = _BY_LANGUAGE.get(
        (target.name, path.suffix), (target.check, target.package)
    )
    if target.name in _BY_FOLDER:
        names, command = _BY_FOLDER[target.name]
        if path.name not in names:
            what = f"was not checked: {target.title} checks {' or '.join(sorted(names))} alone"
            raise LintError(shown, 0, what, "lint that one with --check")
    if not command:
        what = f"was not checked: {target.title} has no checker for a file"
        raise LintError(shown, 0, what, "leave --check out")
    if commands.find(command[0]) is None:
        install = f"install {package}" if package else "install it"
        what = f"was not checked: {command[0]} is not installed here"
        raise LintError(shown, 0, what, f"{install}, or leave --check out")
    # What begins with a dash would be taken for an option.
    named = str(path if not str(path).startswith("-") else Path.cwd() / path)
    words = {"{file}": named, "{folder}": str(path.absolute().parent)}
    return tuple(_filled(one, words) for one in command)


def _filled(part: str, words: dict[str, str]) -> str:
    for mark, value in words.items():
        part = part.replace(mark, value)
    return part


def _findings(
    output: str, refused: bool, shown: str, path: Path, command: str
) -> Iterator[Finding]:
    rule = CHECKER_REFUSES if refused else CHECKER_WARNS
    said: dict[tuple[str, int], list[str]] = {}
    rest: list[str] = []
    reasons: list[str] = []
    for line in output.splitlines():
        plain = _STAMP.sub("", line)
        if _SUMMARY.search(plain) or not plain:
            continue
        if found := _PLACED.fullmatch(plain):
            file = found["file"] or found["file2"] or str(path)
            number = int(found["line"] or found["line2"] or found["line3"])
            text = found["text"] or found["text2"] or found["text3"]
            place = (shown if file == str(path) else file, max(1, number))
            said.setdefault(place, []).append(text.removeprefix("error: "))
        elif reason := _REASON.search(plain):
            reasons.append(reason[1])
        elif refused or _TELLING.search(plain):
            rest.append(plain)
    if (told := reasons or rest) and not (said and refused):
        said.setdefault((shown, 1), []).extend(told)
    if refused and not said:
        said[shown, 1] = ["it refuses the file, and does not say why"]
    program = command.split()[0]
    for (file, at), texts in list(said.items())[:MAX_FINDINGS]:
        what = f"{program} says: {'; '.join(list(dict.fromkeys(texts))[:MAX_SAID])}"
        mend = f"correct it, and ask again: {command}"
        yield Finding(file, at, rule.code, rule.severity, what, rule.why, mend)
