"""The unit: systemd takes it, its rights are one capability, and the documents show it as it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from consulfwd.config.credentials import FOLDER_VARIABLE
from consulfwd.config.load import DEFAULT_PATH
from consulfwd.notify import TELL_EVERY
from consulfwd.ops import places

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
    (begin,) = found["ExecStart"]
    assert begin == f"{PROGRAM} serve $OPTIONS"
    assert str(DEFAULT_PATH) == "/etc/consulfwd/consulfwd.yml"
    # Else newer systemd warns at each start.
    assert "OPTIONS=" in found["Environment"]
    check, hang_up = found["ExecReload"]
    # The same file, whoever names another, and in whichever way.
    assert check.endswith(" -- " + begin.replace(" serve ", " config check "))
    assert hang_up == "/bin/kill -HUP $MAINPID"


def test_nothing_is_waited_for_that_may_not_come(packaging: Path) -> None:
    found = settings((packaging / "consulfwd.service").read_text())
    assert found["After"] == ["network.target"]
    assert found["Wants"] == ["nss-lookup.target"]


def test_restarts_slow_down_for_what_cannot_begin_only(packaging: Path, tmp_path: Path) -> None:
    found = settings((packaging / "consulfwd.service").read_text())
    assert found["RestartSec"] == ["1"]
    (after,) = found["ExecStopPost"]
    sleeps, asked = tmp_path / "sleep", tmp_path / "systemctl"
    for program, text in ((sleeps, 'echo "sleeps $1"'), (asked, 'echo "$RESTARTS"')):
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    # As systemd takes the line apart.
    _, _, script = after.replace("$$", "$").replace("%n", "consulfwd.service").partition(" -c '")

    def slept(how: str, status: str, restarts: str) -> str:
        environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "RESTARTS": restarts}
        environ |= {"EXIT_CODE": how, "EXIT_STATUS": status}
        done = subprocess.run(
            ["/bin/sh", "-c", script.removesuffix("'")],
            env=environ, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout.strip()

    for status in ("2", "3", "203", "217", "243"):
        assert [slept("exited", status, n) for n in ("", "0", "1", "7", "8", "900")] == [
            f"sleeps {n}" for n in (0, 0, 1, 7, 8, 8)
        ]
    for how, status in (
        ("killed", "KILL"), ("killed", "2"), ("dumped", "ABRT"), ("exited", "0"), ("exited", "1"),
        ("exited", "130"), ("exited", "141"),
    ):  # fmt: skip
        assert slept(how, status, "900") == ""
    # Less than what systemd gives it.
    assert int(found["TimeoutStopSec"][0]) > 8


# What those that write files of others, and have servers read them, cannot have.
NOT_FOR_ALL = {
    # They are root's.
    "AmbientCapabilities", "CapabilityBoundingSet", "DynamicUser", "UMask",
    # Checkers and servers compile regular expressions, and Lua.
    "MemoryDenyWriteExecute",
    # Commands look for the processes they tell something.
    "ProtectProc",
    # Owners of files are set.
    "SystemCallFilter",
    # The server's alone.
    "FileDescriptorStoreMax", "LimitNOFILE", "LogsDirectory", "LogsDirectoryMode",
    "StateDirectory", "StateDirectoryMode",
    "TimeoutStartSec", "TimeoutStopSec",
    # Each has a folder of its own.
    "RuntimeDirectory",
}  # fmt: skip


def hardening(text: str) -> dict[str, list[str]]:
    """What stands in [Service] but what is run, and when."""
    service = text.partition("[Service]\n")[2].partition("[Install]\n")[0]
    others = ("Exec", "Environment", "Restart", "Type", "Watchdog", "KillMode")
    return {key: found for key, found in settings(service).items() if not key.startswith(others)}


@pytest.mark.parametrize("name", ["generate", "render"])
def test_units_of_what_keeps_files_current(packaging: Path, name: str) -> None:
    server = settings((packaging / "consulfwd.service").read_text())
    text = (packaging / f"consulfwd-{name}@.service").read_text()
    found = settings(text)
    words = {"generate": "generate %i --watch $OPTIONS", "render": "render --watch $OPTIONS"}[name]
    (begin,) = found["ExecStart"]
    assert begin.removesuffix(" ${RENDER}") == f"{PROGRAM} {words}"
    assert found["Environment"] == ["PYTHONFAULTHANDLER=1 OPTIONS="]
    # The same words: whoever names other settings in OPTIONS has those checked.
    check = begin.replace(PROGRAM, f"{PROGRAM} config check")
    among = server["ExecReload"][0].partition(PROGRAM)[0]
    assert found["ExecReload"] == [among + check, "/bin/kill -HUP $MAINPID"]
    for key in ("After", "Restart", "RestartSec", "ExecStopPost", "StartLimitIntervalSec"):
        assert found[key] == server[key]
    # As the server's, as far as that goes.
    wanted = hardening((packaging / "consulfwd.service").read_text())
    given = hardening(text)
    assert wanted.keys() >= NOT_FOR_ALL
    assert {key: given.get(key) for key in wanted.keys() - NOT_FOR_ALL} == {
        key: wanted[key] for key in wanted.keys() - NOT_FOR_ALL
    }
    assert given.keys() - wanted.keys() == {"ReadWritePaths"}
    assert found["SystemCallFilter"] == ["@system-service"]
    (rights,) = found["CapabilityBoundingSet"]
    assert not {"CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SYS_PTRACE"} & set(rights.split())


def test_the_unit_of_zones(packaging: Path) -> None:
    server = settings((packaging / "consulfwd.service").read_text())
    text = (packaging / "consulfwd-zones.service").read_text()
    found = settings(text)
    (begin,) = found["ExecStart"]
    assert begin == f"{PROGRAM} zone watch $OPTIONS"
    check = begin.replace(PROGRAM, f"{PROGRAM} config check")
    among = server["ExecReload"][0].partition(PROGRAM)[0]
    assert found["ExecReload"] == [among + check, "/bin/kill -HUP $MAINPID"]
    for key in ("After", "Restart", "RestartSec", "ExecStopPost", "StartLimitIntervalSec", "Type"):
        assert found[key] == server[key]
    # As the server's, but that it has no right, keeps a folder, and runs checkers of others.
    wanted, given = hardening((packaging / "consulfwd.service").read_text()), hardening(text)
    others = {"AmbientCapabilities", "CapabilityBoundingSet", "MemoryDenyWriteExecute", "UMask"}
    own = {"FileDescriptorStoreMax", "LimitNOFILE", "LogsDirectory", "LogsDirectoryMode"}
    own |= {"TimeoutStartSec", "TimeoutStopSec", "RuntimeDirectory", "StateDirectory"}
    assert {key: given.get(key) for key in wanted.keys() - others - own} == {
        key: wanted[key] for key in wanted.keys() - others - own
    }
    assert given["AmbientCapabilities"] == given["CapabilityBoundingSet"] == [""]
    assert given.keys() <= wanted.keys()
    # Two users that change with each start cannot have one folder.
    assert given["StateDirectory"] == ["consulfwd"]
    assert wanted["StateDirectory"] == ["consulfwd-serve"]


def test_both_units_of_those_differ_in_what_they_run_only(packaging: Path) -> None:
    both = [
        hardening((packaging / f"consulfwd-{name}@.service").read_text())
        for name in ("generate", "render")
    ]
    folders = [one.pop("RuntimeDirectory") for one in both]
    assert both[0] == both[1]
    assert folders == [["consulfwd/generate-%i"], ["consulfwd/render-%i"]]


def test_each_unit_has_a_folder_of_its_own_where_it_is_looked_at(packaging: Path) -> None:
    # One that several share is another's once the next of them starts, and gone once one ends.
    found = {
        path.name: settings(path.read_text())["RuntimeDirectory"]
        for path in packaging.glob("*.service")
    }
    assert len(found) == 4
    assert len({folder for (folder,) in found.values()}) == 4
    for (folder,) in found.values():
        # Where the commands look.
        assert Path("/run", folder).parent == places.RUN


def test_what_is_loaded_is_where_the_documents_say(project: Path) -> None:
    found = settings((project / "packaging" / "token.conf").read_text())
    (loaded,), environ = found["LoadCredential"], found["Environment"]
    name, _, file = loaded.partition(":")
    text = (project / "docs" / "operations.md").read_text()
    assert f"token_file: {name}}}" in text
    assert file in text
    # Where systemd has them, of the service with that drop-in (%n).
    assert environ == [f"{FOLDER_VARIABLE}=/run/credentials/%n"]
    assert f"{FOLDER_VARIABLE}=/run/credentials/consulfwd.service " in text


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
