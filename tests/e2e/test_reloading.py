"""Services and what writes their files, under a systemd: who runs, who waits, who ends.

What their commands say is in tests/apply/test_running.py, as seen here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from consulfwd.apply import running
from consulfwd.apply.commands import Ran, shell
from tests.e2e.alone import CONSUL_NAME, LISTEN, PACKAGING, alone, found
from tests.e2e.alone import answer as reply
from tests.e2e.machines import Machine
from tests.e2e.site import Layer, wait

# It reads its file when it starts and when it is told, and notes what it read; no file, no start.
READS = """\
[Unit]
After={after}
Wants={after}
[Service]
ExecStartPre=/bin/sh -c 'cat /etc/reads.conf >>/run/read'
ExecStart=/bin/sleep infinity
ExecReload=/bin/sh -c 'cat /etc/reads.conf >>/run/read; ! grep -q bad /etc/reads.conf'
"""
RENDER = """\
[Service]
Type=oneshot
ExecStart=/opt/consulfwd/bin/consulfwd render '/etc/reads.tpl:/etc/reads.conf:{command}'
"""
KEPT = "consulfwd-render@reads.service"
CONSULFWD = "/opt/consulfwd/bin/consulfwd"
SOON_S = 30.0


@pytest.fixture(scope="module")
def installed(layer: Layer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with alone(tmp_path_factory.mktemp("reloading"), layer) as made:
        yield made


@pytest.fixture
def host(installed: Machine) -> Iterator[Machine]:
    yield installed
    installed.sh(
        f"systemctl stop reads {KEPT} unbound nginx; systemctl reset-failed;"
        " rm -rf /run/read /etc/reads.conf* /etc/.reads* /etc/unbound/unbound.conf.d/consul.conf*",
        check=False,
    )


def render(host: Machine, text: str, *, check: bool = True) -> str:
    """Have the file say this, by its unit; what that says."""
    host.write("/etc/reads.tpl", f"{text}\n")
    return host.sh(
        "systemctl start render || { journalctl --sync; journalctl -q -o cat -u render -n 20; }",
        check=check,
    )


@pytest.mark.parametrize(
    "command",
    [
        "systemctl reload reads",
        "systemctl -q is-active reads || exit 75;"
        " systemctl --job-mode=ignore-dependencies reload reads",
    ],
    ids=["known", "its own"],
)
def test_a_service_starts_with_what_is_rendered_before(host: Machine, command: str) -> None:
    host.write("/etc/systemd/system/reads.service", READS.format(after="render.service"))
    host.write("/etc/systemd/system/render.service", RENDER.format(command=command))
    host.write("/etc/reads.tpl", "one\n")
    host.sh("systemctl daemon-reload")
    # Its start waits for the render, which does not wait for it.
    host.sh("systemctl start reads", timeout=30.0)
    assert host.sh("cat /run/read") == "one\n"
    # From then on it is told, though that is ordered after the render, which has not ended.
    render(host, "two")
    assert host.sh("cat /run/read") == "one\ntwo\n"
    # A file it refuses is taken back.
    assert "rolled back" in render(host, "bad")
    assert host.sh("cat /etc/reads.conf") == "two\n"
    assert host.sh("cat /run/read") == "one\ntwo\nbad\ntwo\n"
    # Stopped, it is not started by that, and finds the new file when it is.
    host.sh("systemctl stop reads; systemctl reset-failed")
    render(host, "three")
    assert host.run("systemctl", "is-active", "reads", check=False) == "inactive\n"
    assert host.sh("cat /etc/reads.conf; systemctl start reads; tail -n 1 /run/read") == (
        "three\nthree\n"
    )


def test_a_service_waits_for_what_keeps_its_file_current_and_not_for_ever(host: Machine) -> None:
    host.write("/etc/systemd/system/reads.service", READS.format(after=KEPT))
    host.write(
        "/etc/consulfwd/render/reads.env",
        "RENDER='/etc/reads.tpl:/etc/reads.conf:systemctl reload reads'\n"
        "OPTIONS=--quiescence 0.2:1\n",
    )
    host.write("/etc/reads.tpl", "one\n")
    host.sh(f"cp {PACKAGING}/consulfwd-render@.service /etc/systemd/system/")
    host.sh("systemctl daemon-reload; systemctl start reads", timeout=30.0)
    assert host.sh("cat /run/read").startswith("one\n")
    # It may have begun with an older one: it is told as soon as it can be.
    wait(lambda: host.sh("cat /run/read") == "one\none\n", "it to be told", SOON_S)
    # What is new when the other one starts again is told before that is up, to who is after it.
    host.sh(f"systemctl stop {KEPT}")
    host.write("/etc/reads.tpl", "two\n")
    host.sh(f"systemctl start {KEPT}", timeout=30.0)
    assert host.sh("cat /run/read") == "one\none\ntwo\n"


def told(host: Machine, command: str) -> Ran:
    """Run a reload command as consulfwd does."""
    *lines, code = host.sh(f"({command}) </dev/null 2>&1; code=$?; echo; echo $code").splitlines()
    return Ran(shell(command), code.strip("0") and "failed", "\n".join(lines).strip(), int(code))


UNBOUND, NGINX = "/etc/unbound/unbound.conf.d/consul.conf", "/etc/nginx/conf.d/consul.conf"
# Service, file, what it takes and what it does not; commands, and those that tell of a bad file
# before anybody is told, whoever runs.
SERVERS: list[tuple[str, str, str, str, list[str], list[str]]] = [
    (
        "nginx", NGINX, "server { listen 127.0.0.1:8081; }", "server { listen nowhere",
        ["systemctl reload nginx", "service nginx reload", "/etc/init.d/nginx reload",
         "invoke-rc.d nginx reload"],
        ["nginx -s reload", "nginx -t -q && nginx -s reload"],
    ),
    (
        "unbound", UNBOUND, "server:\n  port: 5335\nremote-control:\n  control-enable: yes\n"
        "  control-interface: /run/unbound.ctl", "server:\n  nonsense: yes",
        [],
        ["unbound-control reload", "unbound-checkconf && unbound-control reload",
         "unbound-checkconf && systemctl reload unbound"],
    ),
    (
        "named", "/etc/bind/named.conf", "", 'zone "x" { type nonsense; };',
        ["rndc reload", "rndc reconfig", "systemctl reload named"],
        ["named-checkconf && rndc reconfig"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "file", "good", "bad", "commands", "checked"), SERVERS, ids=[one[0] for one in SERVERS]
)
def test_what_commands_say_of_who_does_not_run_and_of_a_bad_file(
    host: Machine,
    name: str,
    file: str,
    good: str,
    bad: str,
    commands: list[str],
    checked: list[str],
) -> None:
    before = host.sh(f"cat {file} 2>/dev/null || true")
    try:
        host.write(file, f"{before}{good}\n")
        # It has run before: unbound's first start makes a key that its checker wants to see.
        host.sh(f"rm -f /etc/nginx/sites-enabled/*; systemctl start {name}; systemctl stop {name}")
        for command in (*commands, *checked):
            ran = told(host, command)
            assert ran.wrong, ran
            assert running.nobody_there(ran), ran
        host.write(file, f"{before}{bad}\n")
        for command in checked:
            ran = told(host, command)
            assert ran.wrong, ran
            assert not running.nobody_there(ran), ran
        host.write(file, f"{before}{good}\n")
        host.sh(f"systemctl start {name}")
        for command in (*commands, *checked):
            assert told(host, command).wrong == ""
        host.write(file, f"{before}{bad}\n")
        for command in (*commands, *checked):
            ran = told(host, command)
            assert ran.wrong, ran
            assert not running.nobody_there(ran), ran
    finally:
        host.write(file, before)
        host.sh(f"[ -s {file} ] || rm {file}; systemctl restart named; systemctl reset-failed")


def test_a_unit_that_is_not_there_is_no_service_that_does_not_run(host: Machine) -> None:
    host.write("/etc/reads.tpl", "one\n")
    for verb in ("reload", "try-restart", "try-reload-or-restart"):
        what = f"/etc/reads.tpl:/etc/reads.conf:systemctl {verb} raeds"
        said = host.sh(f"{CONSULFWD} render '{what}'; echo $?", check=False)
        assert "Unit raeds.service not found" in said
        assert said.endswith("\n1\n")
        assert host.sh("ls -A /etc | grep reads.conf", check=False) == ""


def test_a_file_by_which_a_server_ends_is_taken_back(host: Machine) -> None:
    # unbound takes the signal, and systemd may have done its work when it reads the file.
    what = f"/etc/reads.tpl:{UNBOUND}:systemctl reload unbound"
    host.write("/etc/reads.tpl", "server:\n  verbosity: 1\n")
    host.sh(f"systemctl start unbound; {CONSULFWD} render '{what}'")
    host.write("/etc/reads.tpl", "server:\n  nonsense: yes\n")
    said = host.sh(f"{CONSULFWD} render '{what}'; echo $?", check=False)
    assert "rolled back, what stood there before is in force again" in said
    assert said.endswith("\n1\n")
    assert host.sh(f"cat {UNBOUND}; systemctl is-active unbound").endswith(": 1\nactive\n")


def test_what_was_written_and_not_told_is_told_the_next_time(host: Machine) -> None:
    write = f"{CONSULFWD} generate unbound --write"
    check = f"{CONSULFWD} generate unbound --check >/dev/null; echo $?"

    def finds() -> bool:
        return found(reply(host, CONSUL_NAME, address=LISTEN)) == ["127.0.0.1"]

    # Killed before the reload, by it.
    host.sh("systemctl start unbound")
    host.sh(f"{write} --reload 'kill -KILL $PPID'", check=False)
    assert "8600" in host.sh(f"cat {UNBOUND}")
    assert not finds()
    assert host.sh(check) == "1\n"
    assert f"{UNBOUND} written, in force" in host.sh(write)
    assert finds()
    assert host.sh(check) == "0\n"
    # Nobody runs: it stays, and the service starts with it.
    host.sh(f"systemctl stop unbound; rm {UNBOUND}*")
    assert "in force once its server starts" in host.sh(write)
    host.sh("systemctl start unbound")
    assert finds()
    assert host.sh(check) == "1\n"
    host.sh(write)
    assert host.sh(check) == "0\n"
