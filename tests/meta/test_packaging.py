"""The unit: systemd takes it, its rights are one capability, and the documents show it as it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from consulfwd.config.load import DEFAULT_PATH
from consulfwd.notify import TELL_EVERY

PROGRAM = "/opt/consulfwd/bin/consulfwd"


@pytest.fixture
def packaging(project: Path) -> Path:
    return project / "packaging"


def settings(text: str) -> dict[str, list[str]]:
    """Key -> its values in order, of a unit file without continued lines."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def test_its_rights_are_those_of_port_53(packaging: Path) -> None:
    found = settings((packaging / "consulfwd.service").read_text())
    for key in ("AmbientCapabilities", "CapabilityBoundingSet"):
        assert found[key] == ["CAP_NET_BIND_SERVICE"]
    assert found["DynamicUser"] == ["yes"]
    assert "User" not in found


def test_the_unit_fits_the_program(packaging: Path) -> None:
    found = settings((packaging / "consulfwd.service").read_text())
    assert found["Type"] == ["notify"]
    # Half of what is allowed; the file is where the program looks by itself.
    assert float(found["WatchdogSec"][0]) == 2 * TELL_EVERY
    assert found["ExecStart"] == [f"{PROGRAM} serve"]
    assert str(DEFAULT_PATH) == "/etc/consulfwd/consulfwd.yml"
    check, hang_up = found["ExecReload"]
    assert check.endswith(f" {PROGRAM} config check")
    assert hang_up == "/bin/kill -HUP $MAINPID"


def test_what_is_loaded_is_where_the_documents_say(project: Path) -> None:
    (loaded,) = settings((project / "packaging" / "token.conf").read_text())["LoadCredential"]
    name, _, file = loaded.partition(":")
    text = (project / "docs" / "operations.md").read_text()
    assert f"token_file: /run/credentials/consulfwd.service/{name}" in text
    assert file in text


def test_the_documents_show_the_files_themselves(project: Path) -> None:
    text = (project / "docs" / "operations.md").read_text()
    shown = re.findall(r"^```ini\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for name in ("consulfwd.service", "token.conf"):
        assert (project / "packaging" / name).read_text() in shown


def test_commands_of_the_host_steps_are_those_there_are(project: Path) -> None:
    text = (project / "docs" / "operations.md").read_text()
    shown = set(re.findall(r"packaging/host-dns ([\w.]+(?: --undo)?)", text))
    steps = {"resolv.conf", "resolved"}
    assert shown == steps | {f"{one} --undo" for one in steps} | {"status"}
    script = project / "packaging" / "host-dns"
    assert os.access(script, os.X_OK)
    usage = subprocess.run([script, "--help"], check=True, capture_output=True, text=True).stdout
    assert all(one.removesuffix(" --undo") in usage for one in shown)


def test_the_script_s_form(project: Path) -> None:
    script = project / "packaging" / "host-dns"
    first, *_ = script.read_text().splitlines()
    assert first == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in script.read_text()
    bash = shutil.which("bash")
    assert bash is not None
    assert subprocess.run([bash, "-n", script], check=False).returncode == 0
