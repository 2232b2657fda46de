"""What commands say of a server that does not run, and what they say of a bad file."""

from __future__ import annotations

import pytest

from consulfwd.apply import running
from consulfwd.apply.commands import Ran, shell

SHOW = "show --property=Id --property=LoadState --property=ActiveState --property=After"
NO_PID = '2026/01/01 10:00:00 [error] 7#7: open() "/run/nginx.pid" failed (2: No such file)'
CHECKED = shell("nginx -t -q && nginx -s reload")
# The tools as they are, the words of each from the program itself.
NOBODY: list[tuple[tuple[str, ...], int, str]] = [
    (("anything",), 75, ""),
    (shell("check && { is-there || exit 75; }"), 75, "no"),
    (CHECKED, 1, NO_PID),
    (CHECKED, 1, 'nginx: [error] open() "/run/nginx.pid" failed (2: No such file or directory)'),
    (CHECKED, 1, 'nginx: [error] invalid PID number "" in "/run/nginx.pid"'),
    (CHECKED, 1, "nginx: [alert] kill(4711, 1) failed (3: No such process)"),
    (("systemctl", "reload", "unbound"), 1, "unbound.service is not active, cannot reload."),
    (shell("sudo systemctl reload a; true"), 1, "a.service is not active, cannot reload."),
    (("service", "nginx", "reload"), 1, "nginx.service is not active, cannot reload."),
    (("invoke-rc.d", "nginx", "reload"), 1, "nginx.service is not active, cannot reload.\n"
     'invoke-rc.d: initscript nginx, action "reload" failed.'),
    (shell("/etc/init.d/nginx reload"), 1, "Reloading nginx configuration (via systemctl): nginx."
     "servicenginx.service is not active, cannot reload.\n failed!"),
    (shell("systemctl kill -s HUP a"), 1, "Failed to kill unit a.service: Unit a.service not "
     "loaded."),
    (shell("systemctl kill --kill-whom=main -s HUP a"), 1, "Failed to kill unit a.service: No main "
     "process to kill"),
    (("rndc", "reconfig"), 1, "rndc: connect failed: 127.0.0.1#953: connection refused"),
    (("unbound-control", "reload"), 1, "[1] unbound-control[2:0] error: connect: Connection "
     "refused for 127.0.0.1 port 8953"),
    (("/usr/sbin/unbound-control", "reload"), 1, "[1] unbound-control[2:0] error: connect: No such "
     "file or directory for /run/unbound.ctl"),
    (("rec_control", "reload-zones"), 1, "Fatal: Unable to connect to remote "
     "'/run/pdns-recursor/pdns_recursor.controlsocket': No such file or directory"),
    (("consul", "reload"), 1, 'Error reloading: Put "http://127.0.0.1:8500/v1/agent/reload": dial '
     "tcp 127.0.0.1:8500: connect: connection refused"),
    (shell("killall -HUP dnsmasq"), 1, "dnsmasq: no process found"),
    (("docker", "kill", "-s", "HUP", "web"), 1, "Error response from daemon: Cannot kill "
     "container: web: Container 3b0c5 is not running"),
    (shell("docker exec web nginx -s reload"), 1, "Error response from daemon: container 3b0c5 is "
     "not running"),
    (shell("curl -sf -X POST 127.0.0.1:9090/-/reload"), 7, ""),
    (("service", "unbound", "reload"), 7, ""),
    (shell("/etc/init.d/unbound reload"), 7, ""),
]  # fmt: skip
SOMEBODY: list[tuple[tuple[str, ...], int | None, str]] = [
    (("anything",), 0, ""),
    (("anything",), 1, ""),
    (("anything",), 7, ""),
    (("anything",), -15, ""),
    (("anything",), None, NO_PID),
    # Words of one program in the mouth of another.
    (("my-reload",), 1, NO_PID),
    (shell("curl http://127.0.0.1:9/"), 22, "rndc: connect failed: x: connection refused"),
    (shell("pkill -HUP haproxy"), 1, ""),
    (shell("check && curl -sf 127.0.0.1:9090/-/reload"), 7, ""),
    (CHECKED, 1, 'nginx: [emerg] open() "/etc/nginx/none.conf" failed (2: No such file or dir)'),
    (CHECKED, 1, "nginx: [emerg] invalid port in upstream"),
    (("systemctl", "reload", "unbound"), 1, "Job for unbound.service failed."),
    (("systemctl", "reload", "unbuond"), 5, "Unit unbuond.service not found."),
    (("systemctl", "reload", "a"), 1, "Failed to connect to bus: Host is down"),
    (shell("/etc/init.d/nginx reload"), 1, "Reloading nginx configuration (via systemctl): nginx."
     "serviceJob for nginx.service failed."),
    (("systemctl", "kill", "-s", "HUP", "a"), 1, "Failed to kill unit a.service: Access denied"),
    (("rndc", "reconfig"), 1, "rndc: 'reconfig' failed: failure"),
    (shell("rndc reload"), 1, "rndc: 'reload' failed: unexpected token"),
    (shell("unbound-control reload"), 1, "/etc/unbound/unbound.conf.d/x.conf:6: error: unknown "
     "keyword 'x'\n[1] unbound-control[4:0] fatal error: could not read config file"),
    (shell("service unbound reload || exit 7"), 7, ""),
]


@pytest.mark.parametrize(("command", "code", "said"), NOBODY)
def test_nobody_was_there(command: tuple[str, ...], code: int, said: str) -> None:
    assert running.nobody_there(Ran(command, "failed", f"before\n{said}\n", code))
    # It did what it was to do, whatever it says.
    assert not running.nobody_there(Ran(command, "", said, 0))


@pytest.mark.parametrize(("command", "code", "said"), SOMEBODY)
def test_somebody_was_there(command: tuple[str, ...], code: int | None, said: str) -> None:
    assert not running.nobody_there(Ran(command, "failed", said, code))


@pytest.mark.parametrize(
    ("command", "question", "starting"),
    [
        ("systemctl reload a", f"systemctl {SHOW} a", "systemctl reload-or-restart a"),
        ("systemctl -q try-restart a", f"systemctl {SHOW} a", "systemctl restart a"),
        ("systemctl reload a b", f"systemctl {SHOW} a b", "systemctl reload-or-restart a b"),
        (
            "/bin/systemctl --user --no-block try-reload-or-restart a@1.service",
            f"/bin/systemctl --user {SHOW} a@1.service",
            "/bin/systemctl --user reload-or-restart a@1.service",
        ),
        # These start what does not run: that was asked for.
        ("systemctl restart a", None, None),
        ("systemctl reload-or-restart a", None, None),
        ("systemctl start a", None, None),
        # What they mean cannot be told from the words alone.
        ("systemctl -H host reload a", None, None),
        ("systemctl reload", None, None),
        ("systemctl", None, None),
        ("nginx -s reload", None, None),
        ("nginx -t && systemctl reload nginx", None, None),
        ("systemctl reload $UNIT", None, None),
        ("systemctl reload a\nfalse", None, None),
    ],
)
def test_systemd_is_asked_before(command: str, question: str | None, starting: str | None) -> None:
    text = shell(command)
    asked = running.question(text)
    assert asked == (None if question is None else tuple(question.split()))
    if starting is not None:
        assert running.starting(text) == tuple(starting.split())
        assert running.question(command.split()) == asked
    elif "reload" not in command.split()[1:2]:
        assert running.starting(text) == text


def test_systemd_is_asked_of_ourselves_too() -> None:
    command = ("systemctl", "reload", "a")
    asked = ("systemctl", *SHOW.split(), "a", "we.service")
    assert running.question(command, "we.service") == asked
    # Another systemd does not know us.
    for which in ("--user", "--machine=x"):
        other = running.question(("systemctl", which, "reload", "a"), "we.service")
        assert other == ("systemctl", which, *SHOW.split(), "a")


def unit(load: str, active: str, name: str = "a", after: str = "") -> str:
    """A unit as `systemctl show` has it."""
    return f"Id={name}.service\nAfter={after}\nLoadState={load}\nActiveState={active}\n"


@pytest.mark.parametrize(
    ("said", "nobody"),
    [
        (unit("loaded", "active"), False),
        (unit("loaded", "reloading"), False),
        (unit("loaded", "inactive"), True),
        (unit("loaded", "failed"), True),
        # It has read its file, or will: a reload would wait for it.
        (unit("loaded", "activating"), True),
        (unit("loaded", "deactivating"), True),
        (unit("masked", "inactive"), True),
        # One of two is there to be told.
        (unit("loaded", "inactive") + "\n" + unit("loaded", "active"), False),
        # A pattern that fits none.
        ("", True),
        # A mistyped name: the reload itself says so.
        (unit("not-found", "inactive"), False),
        (unit("loaded", "inactive") + "\n" + unit("not-found", "inactive"), False),
    ],
)
def test_what_systemd_answers(said: str, nobody: bool) -> None:
    assert running.answered(Ran(("systemctl",), "", said.strip(), 0)) == (nobody, False)
    # Our own unit, which is starting, counts for nothing of that.
    us = unit("loaded", "activating", "we")
    told = "\n\n".join(one for one in (said.strip(), us.strip()) if one)
    assert running.answered(Ran(("systemctl",), "", told, 0), "we.service") == (nobody, False)
    # systemd could not be asked.
    failed = Ran(("systemctl",), "failed with exit code 1", said, 1)
    assert running.answered(failed) == (False, False)


@pytest.mark.parametrize(
    ("active", "after", "waits"),
    [
        ("activating", "b.service we.service", True),
        ("deactivating", "we.service", True),
        ("reloading", "we.service", True),
        # We have no job that could be waited for.
        ("active", "b.service we.service", False),
        ("activating", "b.service", False),
        ("activating", "", False),
    ],
)
def test_who_is_ordered_after_us_waits_while_we_start(active: str, after: str, waits: bool) -> None:
    said = unit("loaded", "active", "a", after) + "\n" + unit("loaded", active, "we")
    found = running.answered(Ran(("systemctl",), "", said.strip(), 0), "we.service")
    assert found == (False, waits)
    # As long as one does not know who one is.
    assert not running.answered(Ran(("systemctl",), "", said.strip(), 0)).waits


def test_what_is_told_at_once() -> None:
    command = shell("systemctl --no-block --user reload a b")
    words = ("systemctl", "--user", "--job-mode=ignore-dependencies", "reload", "a", "b")
    assert running.at_once(command) == words
