"""What configures the plug-ins elsewhere fits their options, and Icinga 2 takes it."""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from consulfwd.cli.check import VERBS, check
from tests.checks.said import FIGURE
from tests.checks.situations import SITUATIONS
from tests.checks.test_cases import said

SERVICES = {
    "resolve": 'name = "web.service.consul"',
    "service": 'name = "web"',
    "agents": "direct = true",
    "zone": 'zones = [ "svc.example.com" ]',
    "failover": 'name = [ "www.example.com" ]',
    "audit": 'service = [ "web-*" ]',
}


def commands() -> Iterator[tuple[str, click.Command]]:
    """Each plug-in."""
    for verb in VERBS:
        command = check.get_command(click.Context(check), verb)
        assert command is not None
        yield verb, command


def test_icinga_s_file_is_made_of_the_options(project: Path) -> None:
    script = project / "scripts" / "make-icinga2"
    made = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True)
    assert (project / "packaging" / "icinga2" / "consulfwd.conf").read_text() == made.stdout


def icinga(folder: Path, *words: str | Path) -> str:
    """Run Icinga with everything it writes in a folder, as whoever runs this; what it says."""
    places = [
        word
        for name in ("DataDir", "LogDir", "CacheDir", "InitRunDir")
        for word in ("-D", f"{name}={folder}")
    ]
    environ = {
        "PATH": f"{os.environ['PATH']}:/usr/sbin",
        "ICINGA2_USER": pwd.getpwuid(os.getuid()).pw_name,
        "ICINGA2_GROUP": grp.getgrgid(os.getgid()).gr_name,
    }
    done = subprocess.run(
        ["icinga2", *words, *places],
        env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_icinga_takes_it(project: Path, tmp_path: Path) -> None:
    conf = tmp_path / "icinga2.conf"
    services = "\n".join(
        f'object Service "{verb}" {{ host_name = "one"\n  check_command = "consulfwd-{verb}"\n'
        f"  vars.consulfwd_{verb}_{text} }}"
        for verb, text in SERVICES.items()
    )
    file = project / "packaging" / "icinga2" / "consulfwd.conf"
    host = 'object Host "one" { check_command = "dummy" }'
    conf.write_text(f'include <itl>\ninclude "{file}"\n{host}\n{services}\n')
    told = icinga(tmp_path, "daemon", "--validate", "--config", conf)
    assert "Finished validating the configuration file(s)." in told
    assert "Instantiated 6 Services." in told
    assert "warning/" not in told


def test_icinga_reads_every_figure(tmp_path: Path) -> None:
    figures = [
        figure[0]
        for name in SITUATIONS
        for figure in FIGURE.finditer(said(name).figures)
        if figure[0]
    ]
    assert len(figures) > 500
    calls = ",\n".join(f"parse_performance_data({json.dumps(one)})" for one in figures)
    # One that it cannot read ends all of it.
    read = icinga(tmp_path, "console", "--eval", f"[{calls}].len()")
    assert read.splitlines()[-1] == str(len(figures))


def test_nagios_s_commands_exist(project: Path) -> None:
    text = (project / "packaging" / "nagios" / "consulfwd.cfg").read_text()
    lines = re.findall(r"command_line +(\S+) check (\S+) ?(.*)", text)
    assert [verb for _, verb, _ in lines] == list(VERBS)
    found = dict(commands())
    for program, verb, words in lines:
        assert program == "/opt/consulfwd/bin/consulfwd"
        known = {one for option in found[verb].params for one in option.opts}
        assert set(re.findall(r"(?<!\S)--?[\w-]+", words)) <= known


@pytest.mark.parametrize("verb", VERBS)
def test_each_option_stands_in_the_page(project: Path, verb: str) -> None:
    text = (project / "docs" / "plugins.md").read_text()
    _, _, section = text.partition(f"\n## `consulfwd check {verb}`\n")
    section = section.partition("\n## ")[0]
    shared = text.partition("\n## What all of them take\n")[2].partition("\n## ")[0]
    command = dict(commands())[verb]
    options = [max(one.opts, key=len) for one in command.params if isinstance(one, click.Option)]
    assert [one for one in options if f"`{one}" not in section + shared] == []


def test_the_page_shows_what_they_end_with(project: Path) -> None:
    text = (project / "docs" / "plugins.md").read_text()
    for state in ("OK", "WARNING", "CRITICAL", "UNKNOWN"):
        assert f"| {state} |" in text
