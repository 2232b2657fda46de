"""packaging/consulfwd.service under a systemd of its own: rights, reload, restart, watchdog."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.e2e.alone import (
    CONSUL_NAME,
    LISTEN,
    SETTINGS,
    UNIT,
    Load,
    alone,
    answer,
    cursor,
    dropin,
    found,
    journal,
    restore,
    settings,
    shown,
)
from tests.e2e.machines import Machine
from tests.e2e.site import OUTSIDE_NAME, Layer, wait

CAP_NET_BIND_SERVICE = 1 << 10
# Where systemd takes the users it makes for a service from.
DYNAMIC_USERS = range(61184, 65520)
AGAIN_S = 60.0


@pytest.fixture(scope="module")
def host(layer: Layer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with alone(tmp_path_factory.mktemp("unit"), layer) as made:
        yield made


@pytest.fixture
def service(host: Machine) -> Iterator[Machine]:
    """The host with the service running."""
    host.sh(f"systemctl start {UNIT}")
    yield host
    restore(host)


def main_pid(host: Machine) -> int:
    return int(shown(host, "MainPID"))


def status(host: Machine) -> dict[str, str]:
    """What the kernel says of the server's process."""
    lines = host.sh(f"cat /proc/{main_pid(host)}/status").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def refused(host: Machine) -> bool:
    return answer(host, "localhost") is None and answer(host, "localhost", tcp=True) is None


def back(host: Machine, before: int) -> None:
    """Return when another process than `before` says that it is ready."""

    def ready() -> bool:
        return main_pid(host) not in (0, before) and shown(host, "ActiveState") == "active"

    wait(ready, "the next process", AGAIN_S)


def test_it_has_started_when_it_answers_and_is_gone_when_stopped(host: Machine) -> None:
    assert refused(host)
    host.sh(f"systemctl start {UNIT}")
    # Nobody listened before, and nothing is sent twice.
    for name, tcp in ((CONSUL_NAME, False), (CONSUL_NAME, True), (OUTSIDE_NAME, False)):
        assert found(answer(host, name, tcp=tcp)) == [
            "127.0.0.1" if name == CONSUL_NAME else "198.51.100.80"
        ]
    assert shown(host, "SubState") == "running"
    assert f"{LISTEN}:53" in shown(host, "StatusText")
    host.sh(f"systemctl stop {UNIT}")
    assert refused(host)
    assert (shown(host, "Result"), shown(host, "NFileDescriptorStore")) == ("success", "0")
    restore(host)


def test_its_rights_are_one_capability_and_a_user_made_for_it(service: Machine) -> None:
    found = status(service)
    rights = {key: int(value, 16) for key, value in found.items() if key.startswith("Cap")}
    assert rights == dict.fromkeys(
        ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), CAP_NET_BIND_SERVICE
    )
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    (uid,) = set(map(int, found["Uid"].split()))
    assert uid in DYNAMIC_USERS
    assert set(map(int, (found["Gid"] + " " + found["Groups"]).split())) == {uid}
    assert service.run("id", "--user", "consulfwd").strip() == str(uid)
    service.sh(f"systemctl stop {UNIT}")
    assert "no such user" in service.run("id", "--user", "consulfwd", check=False)


def test_it_writes_nowhere_and_sees_nothing_of_others(service: Machine) -> None:
    pid, uid = main_pid(service), status(service)["Uid"].split()[0]
    service.sh("umask 077; echo mine >/root/secret; echo mine >/tmp/secret; mkdir -p /home/someone")
    among_its_files = f"nsenter --target {pid} --mount --"
    for folder in ("/", "/etc", "/etc/consulfwd", "/opt/consulfwd", "/usr", "/var/lib", "/boot"):
        # Not even as root.
        said = service.sh(f"{among_its_files} touch {folder}/new", check=False)
        assert "Read-only file system" in said
    service.sh(f"{among_its_files} touch /tmp/its")
    assert not service.sh("ls /tmp | grep -x its", check=False)
    seen = service.sh(f"{among_its_files} ls -A /tmp /root /home /dev", check=False)
    assert not {"secret", "someone", "fuse", "tun", "net"} & set(seen.split()), seen
    # Nothing lies anywhere but what was now put where it may.
    service.sh(f"nsenter --target {pid} --mount setpriv --reuid {uid} touch /var/tmp/its")
    (written,) = [one for one in service.layer.rglob("*") if str(one.lstat().st_uid) == uid]
    assert written.relative_to(service.layer).match("var/tmp/systemd-private-*/tmp/its")
    limits = service.sh(f"cat /proc/{pid}/limits")
    assert {
        key: line.split()[words]
        for key, words in (("core", 4), ("open", 3))
        for line in limits.splitlines()
        if line.startswith(f"Max {key} ")
    } == {"core": "0", "open": "16384"}


def test_a_reload_is_taken_and_systemd_sees_its_begin_and_end(service: Machine) -> None:
    pid = main_pid(service)
    assert answer(service, "localhost", address="127.0.0.3") is None
    service.write(SETTINGS, settings(listen=f'["{LISTEN}:53", "127.0.0.3:53"]'))
    since = cursor(service)
    service.sh("systemctl log-level debug")
    try:
        service.sh(f"systemctl reload {UNIT}")
        wait(
            lambda: answer(service, "localhost", address="127.0.0.3") is not None,
            "an answer at the new address",
            AGAIN_S,
        )
        # Without `systemctl reload`, only what the server tells moves the unit to and fro.
        wait(lambda: "settings reloaded" in journal(service, since), "the log's line", AGAIN_S)
        since = cursor(service)
        service.sh(f"systemctl kill --signal=HUP --kill-whom=main {UNIT}")
        changes = ["Changed running -> reload", "Changed reload -> running"]
        wait(lambda: all(one in journal(service, since) for one in changes), "both", AGAIN_S)
    finally:
        service.sh("systemctl log-level info")
    assert [line.partition(": ")[2] for line in journal(service, since).splitlines()
            if "Changed " in line] == changes  # fmt: skip
    assert (main_pid(service), shown(service, "NRestarts")) == (pid, "0")


def test_a_reload_with_mistakes_fails_and_changes_nothing(service: Machine) -> None:
    pid = main_pid(service)
    service.write(SETTINGS, settings(listen='["127.0.0.3:53"]', rest="nonsense: 1"))
    said = service.sh(f"systemctl reload {UNIT} && echo taken", check=False)
    assert "Job for consulfwd.service failed" in said
    assert "taken" not in said
    wait(lambda: "nonsense" in journal(service), "the mistake in the journal", AGAIN_S)
    # The server was not even told.
    assert "not reloaded" not in journal(service)
    service.sh(f"systemctl kill --signal=HUP --kill-whom=main {UNIT}")
    wait(lambda: "the last reload was refused" in shown(service, "StatusText"), "status", AGAIN_S)
    wait(lambda: shown(service, "ActiveState") == "active", "its end", AGAIN_S)
    assert found(answer(service, CONSUL_NAME)) == ["127.0.0.1"]
    assert answer(service, "localhost", address="127.0.0.3") is None
    assert main_pid(service) == pid


def test_no_query_is_lost_in_a_restart(service: Machine) -> None:
    pid = main_pid(service)
    load = Load(service)
    try:
        wait(lambda: load.sent > 10, "queries", AGAIN_S)
        service.sh(f"systemctl restart {UNIT}")
        after = load.sent
        wait(lambda: load.sent > after + 10, "more queries", AGAIN_S)
    finally:
        sent, lost, faults = load.stop()
    assert sent > 20
    assert (lost, faults) == (0, [])
    assert main_pid(service) not in (0, pid)


def test_queries_to_a_killed_server_are_answered_by_the_next(service: Machine) -> None:
    pid = main_pid(service)
    # Between two queries: one that was read and not yet answered goes with the process.
    service.sh(f"systemctl kill --signal=KILL --kill-whom=main {UNIT}")
    load = Load(service)
    try:
        assert found(answer(service, CONSUL_NAME, tcp=True)) == ["127.0.0.1"]
        back(service, pid)
    finally:
        sent, lost, faults = load.stop()
    assert sent > 1
    assert (lost, faults) == (0, [])
    assert shown(service, "NRestarts") == "1"


def test_the_watchdog_mends_a_server_that_stands_still(host: Machine) -> None:
    dropin(host, "[Service]\nWatchdogSec=2\n")
    host.sh(f"systemctl start {UNIT}")
    pid, since = main_pid(host), cursor(host)
    host.sh(f"systemctl kill --signal=STOP --kill-whom=main {UNIT}")
    load = Load(host)
    try:
        back(host, pid)
    finally:
        sent, lost, faults = load.stop()
    assert sent > 1
    assert (lost, faults) == (0, [])
    said = journal(host, since)
    assert "Watchdog timeout" in said
    # Where the loop stood.
    assert "Fatal Python error: Aborted" in said
    assert "most recent call first" in said
    restore(host)


@contextlib.contextmanager
def agent_over_http(host: Machine, port: int) -> Iterator[list[str]]:
    """Hangs up on whoever asks; the tokens that came along."""
    tokens: list[str] = []
    with host.host.inside():
        listener = socket.create_server((LISTEN, port))

    def run() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    lines = connection.recv(65535).decode().splitlines()
                for line in lines:
                    key, _, value = line.partition(":")
                    if key.lower() == "x-consul-token":
                        tokens.append(value.strip())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield tokens
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


def test_a_token_only_root_may_read_is_handed_over(host: Machine) -> None:
    token = "/run/credentials/consulfwd.service/consul.token"
    host.write("/etc/consulfwd/consul.token", "first-token\n", "600")
    agent = f"{{address: {LISTEN}, http_port: 8599, token_file: {token}}}"
    host.write(SETTINGS, settings(consul=f"agents: [{agent}], quality: {{every: 1}}"))
    host.sh(
        f"mkdir -p /etc/systemd/system/{UNIT}.d;"
        f" cp /vagrant/packaging/token.conf /etc/systemd/system/{UNIT}.d/; systemctl daemon-reload"
    )
    with agent_over_http(host, 8599) as tokens:
        host.sh(f"systemctl start {UNIT}")
        wait(lambda: tokens, "a request with the token", AGAIN_S)
        assert set(tokens) == {"first-token"}
        # The check before a reload finds the file where the server does.
        host.sh(f"systemctl reload {UNIT}")
        host.write("/etc/consulfwd/consul.token", "second-token\n", "600")
        host.sh(f"systemctl restart {UNIT}")
        wait(lambda: "second-token" in tokens, "a request with the new token", AGAIN_S)
    host.sh("rm /etc/consulfwd/consul.token")
    host.sh(f"systemctl restart {UNIT} || true")
    wait(lambda: "status=243/CREDENTIALS" in journal(host), "it to fail", AGAIN_S)
    restore(host)
