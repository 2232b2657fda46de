"""Every file for every site and version: no value breaks it, and `consulfwd lint` finds nothing.

The servers' own checkers read them in tests/integration/test_generated_checked.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from consulfwd.apply.jobs import Job
from consulfwd.generate.requests import Request
from consulfwd.lint import SERVERS, Wanted, check
from consulfwd.servers.target import Version
from consulfwd.servers.targets import TARGETS
from tests.generate.sites import OPTIONS, SITES, VERSIONS, made

CASES = [
    (name, version, options) for name, options in OPTIONS for version in VERSIONS[name]
]


def test_every_server_and_the_versions_it_is_written_for() -> None:
    assert set(VERSIONS) == set(TARGETS)
    for name, versions in VERSIONS.items():
        assert versions[0] == TARGETS[name].oldest
        assert versions[-1] == TARGETS[name].newest


def written(made: list[Job], folder: Path) -> list[Path]:
    """The files, in one folder, each by its usual name; the main one is the last."""
    paths = []
    for job in made:
        (file,) = job.files
        path = folder / file.path.name
        assert path not in paths
        path.write_text(file.text)
        paths.append(path)
    return paths


def no_value_ends_quotes_or_a_line(text: str) -> None:
    lines = text.split("\n")
    said = [line for line in lines if not line.lstrip().startswith(("#", "//", "--"))]
    assert all(line.isprintable() for line in lines)
    for quote in "\"'":
        assert [line for line in said if line.count(quote) % 2] == []


def lint_has_nothing_to_say(main: Path, request: Request, ignored: frozenset[str]) -> None:
    settings = request.settings
    consul = settings.consul
    own = frozenset((one.host, one.port) for one in settings.listen)
    wanted = Wanted(
        domains=(consul.domain, *consul.alt_domains),
        server=request.target.name,
        version=".".join(map(str, request.version)),
        own=own if request.to == "consulfwd" else frozenset(),
        ignored=ignored,
    )
    report = check(main, wanted, lambda _: {}, lambda _: None)
    assert [(one.line, one.code, one.what) for one in report.findings] == [], settings
    assert report.notes == (), settings


@pytest.mark.parametrize(
    ("name", "version", "options"),
    CASES,
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_every_file(
    name: str, version: Version, options: frozenset[str], tmp_path: Path
) -> None:
    # Before systemd 246 no port can be written, so agents are at 53.
    before_ports = name == "resolved" and version < (246,)
    ignored = frozenset({"agent-port"}) if before_ports else frozenset[str]()
    found = 0
    for request, files in made(TARGETS[name], version, options, tmp_path):
        for job in files:
            no_value_ends_quotes_or_a_line(job.files[0].text)
        # The main file includes the other one, if there is one.
        main = written(files, tmp_path)[-1]
        if name in SERVERS:
            lint_has_nothing_to_say(main, request, ignored)
        found += 1
    assert found >= (len(SITES) if name in SERVERS and not before_ports else 1)
