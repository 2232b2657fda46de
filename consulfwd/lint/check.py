"""One file from its path to its findings: read, told apart, agents asked, rules run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from consulfwd.config.wording import printable
from consulfwd.errors import LintError, UsageError
from consulfwd.lint.kinds import SERVERS, codes, guess
from consulfwd.lint.reading import FileReader, read_text
from consulfwd.lint.versions import read_version
from consulfwd.servers.findings import AgentReply, Context, Finding, questions, run
from consulfwd.servers.kind import ServerKind
from consulfwd.servers.names import normal
from consulfwd.servers.target import Version

MAX_UPSTREAMS = 10_000

Asker = Callable[[Iterable[tuple[str, int, str]]], Mapping[tuple[str, int, str], AgentReply]]


class Wanted(NamedTuple):
    """What is asked for: whose file it is and of which version (None: find out), whose names.

    `own` are the addresses and ports consulfwd listens on; `ignored` are codes not to tell of.
    """

    domains: tuple[str, ...] = ("consul",)
    server: str | None = None
    version: str | None = None
    own: frozenset[tuple[str, int]] = frozenset()
    ignored: frozenset[str] = frozenset()


class Report(NamedTuple):
    """What was found in one file. `origin` says how the version is known."""

    file: str
    server: ServerKind
    version: Version
    origin: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


def check(
    path: Path,
    wanted: Wanted,
    ask: Asker,
    installed: Callable[[ServerKind], Version | None],
) -> Report:
    """Return the report on a file.

    `ask` puts questions to agents, `installed` knows versions. Raises LintError for a file that
    cannot be read, parsed or told, UsageError for a version or code that is none.
    """
    if unknown := sorted(wanted.ignored - set(codes())):
        raise UsageError(f"--ignore: there is no code {printable(unknown[0])!r} (see docs/lint.md)")
    text = read_text(path)
    server = _server(path, text, wanted.server)
    version, origin = _version(server, wanted.version, installed)
    reader = FileReader(server)
    nodes = reader.read(path, text)
    domains = tuple(normal(one) for one in wanted.domains)
    groups = tuple(server.groups(nodes, domains))
    if sum(1 + len(group.upstreams) for group in groups) > MAX_UPSTREAMS:
        what = f"sends names to more than {MAX_UPSTREAMS} servers"
        raise LintError(printable(str(path)), 0, what, "lint parts of it")
    notes = list(reader.notes)
    if not groups:
        notes.append(f"{printable(str(path))}: sends no names under {domains[0]} anywhere")
    replies = ask(questions(groups, domains))
    context = Context(nodes, groups, domains, version, wanted.own, replies, server.spell)
    found = [one for one in run(server.rules, context) if one.code not in wanted.ignored]
    shown = printable(str(path))
    found.sort(key=lambda one: (one.file != shown, one.file, one.line, one.code))
    return Report(shown, server, version, origin, tuple(found), tuple(notes))


def _server(path: Path, text: str, named: str | None) -> ServerKind:
    name = named or guess(text)
    if name is None:
        what = "does not look like a file of any server known"
        mend = f"say whose it is: --type {'|'.join(sorted(SERVERS))}"
        raise LintError(printable(str(path)), 0, what, mend)
    return SERVERS[name]


def _version(
    server: ServerKind, written: str | None, installed: Callable[[ServerKind], Version | None]
) -> tuple[Version, str]:
    if written is not None:
        version = read_version(written)
        if version is None:
            shown = printable(written)
            raise UsageError(f"--server-version: {shown!r} is no version, such as 9.18")
        return version, "given"
    found = installed(server)
    return (found, "installed") if found else (server.target.newest, "newest known")
