"""packaging/consulfwd.service under a systemd of its own: rights, reload, restart, watchdog."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.coreless import HeldUp
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
SOCKET = "/run/consulfwd/serve/serve.sock"


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
    # Folders for what is remembered of names that move and for a query log are its own, and empty.
    remembered, logs, written = sorted(
        one.relative_to(service.layer)
        for one in service.layer.rglob("*")
        if str(one.lstat().st_uid) == uid
    )
    assert str(remembered) == "var/lib/private/consulfwd-serve"
    assert str(logs) == "var/log/private/consulfwd"
    assert written.match("var/tmp/systemd-private-*/tmp/its")
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


@pytest.mark.parametrize("by", ["CONSULFWD_CONFIG=/etc/consulfwd/other.yml",
                                "OPTIONS=-c /etc/consulfwd/other.yml"])  # fmt: skip
def test_the_check_before_a_reload_reads_what_the_server_does(host: Machine, by: str) -> None:
    other = "/etc/consulfwd/other.yml"
    dropin(host, f'[Service]\nEnvironment="{by}"\n')
    host.write(other, settings(listen='["127.0.0.3:53"]'))
    # What nobody reads may be wrong.
    host.write(SETTINGS, settings(rest="nonsense: 1"))
    host.sh(f"systemctl start {UNIT}")
    assert answer(host, "localhost", address="127.0.0.3") is not None
    host.sh(f"systemctl reload {UNIT}")
    host.write(other, settings(listen='["127.0.0.3:53"]', rest="nonsense: 1"))
    host.write(SETTINGS, settings())
    since = cursor(host)
    said = host.sh(f"systemctl reload {UNIT} && echo taken", check=False)
    assert "taken" not in said
    wait(lambda: "other.yml:3: nonsense" in journal(host, since), "the mistake", AGAIN_S)
    assert "not reloaded" not in journal(host, since)
    restore(host)


def test_the_journal_knows_what_is_grave(service: Machine) -> None:
    since = cursor(service)
    service.write(SETTINGS, settings(rest="nonsense: 1\nrubbish: 1"))
    service.sh(f"systemctl kill --signal=HUP --kill-whom=main {UNIT}")
    wait(lambda: "rubbish" in journal(service, since), "all of it in the journal", AGAIN_S)
    written = service.run("journalctl", "--quiet", "--output=json", f"--unit={UNIT}")
    # As systemd-journald has it: a decimal number as text.
    told = {
        entry["MESSAGE"]: entry["PRIORITY"]
        for entry in map(json.loads, written.splitlines())
        if entry.get("_PID") == str(main_pid(service)) and isinstance(entry["MESSAGE"], str)
    }
    assert told[f"INFO listening on {LISTEN}:53 (UDP and TCP)"] == "6"
    assert told["ERROR not reloaded, the old settings stay in force:"] == "3"
    assert {told[text] for text in told if SETTINGS in text} == {"3"}
    assert len([text for text in told if SETTINGS in text]) == 2


def waits(host: Machine, since: str) -> list[float]:
    """How long each start of the service came after the end of the one before (seconds)."""
    lines = host.run(
        "journalctl", "--quiet", "--output=short-unix", f"--unit={UNIT}", f"--after-cursor={since}"
    ).splitlines()
    found, ended = [], 0.0
    for line in lines:
        at = float(line.split()[0])
        if "systemd[1]: " in line and "Main process exited" in line:
            ended = at
        elif "systemd[1]: Starting " in line and ended:
            found.append(at - ended)
    return found


def test_what_cannot_begin_is_tried_ever_later_and_at_once_when_it_is_asked_for(
    host: Machine,
) -> None:
    host.write(SETTINGS, settings(rest="nonsense: 1"))
    since, held, begun = cursor(host), HeldUp(host.pid), time.monotonic()
    said = host.sh(f"systemctl start {UNIT} && echo started", check=False)
    # Whoever starts it is told without waiting.
    assert time.monotonic() - begun < 5 + held.seconds()
    assert "started" not in said
    wait(lambda: len(waits(host, since)) >= 3, "three more", AGAIN_S)
    # How long it takes to fail is the machine's matter; how long it is waited then is not.
    gaps = waits(host, since)
    for before, after in itertools.pairwise(gaps[:3]):
        assert after > before + 0.5, gaps
    host.write(SETTINGS, settings())
    host.sh(f"systemctl restart {UNIT}")
    assert found(answer(host, CONSUL_NAME)) == ["127.0.0.1"]
    restore(host)


def test_addresses_that_come_later_are_listened_on(host: Machine) -> None:
    later = ["192.168.56.99", "fd00:56::99"]
    every = ", ".join(f'"{one}"' for one in (LISTEN, *later))
    host.write(SETTINGS, settings(listen=f"[{every}]"))
    host.sh(f"systemctl start {UNIT}")
    try:
        assert found(answer(host, CONSUL_NAME)) == ["127.0.0.1"]
        assert f"not on {later[0]}:53, [{later[1]}]:53" in shown(host, "StatusText")
        # An interface of its own, as a bridge or a VPN is.
        host.sh(
            "ip link add later type veth peer name other; ip link set other up;"
            " ip address add 192.168.56.99/32 dev later; ip address add fd00:56::99/128 dev later;"
            " ip link set later up"
        )
        listening = f"listening on {LISTEN}:53, {later[0]}:53, [{later[1]}]:53;"
        wait(lambda: shown(host, "StatusText").startswith(listening), "both of them", AGAIN_S)
        for address in later:
            for over in ("+notcp", "+tcp"):
                ask = ["dig", "+short", "+tries=1", over, f"@{address}", CONSUL_NAME]
                assert host.run(*ask) == "127.0.0.1\n"
    finally:
        host.sh("ip link del later 2>/dev/null || true")
        restore(host)


def test_none_of_the_addresses_is_waited_for_ever_longer_and_found(host: Machine) -> None:
    # At boot, before the network is there.
    host.write(SETTINGS, settings(listen='["192.168.56.98:53"]'))
    host.sh(f"systemctl start --no-block {UNIT}")
    wait(lambda: int(shown(host, "NRestarts")) >= 1, "another try", AGAIN_S)
    host.sh("ip address add 192.168.56.98/32 dev lan")
    try:
        wait(lambda: shown(host, "ActiveState") == "active", "it to run", AGAIN_S)
        assert host.run("dig", "+short", "@192.168.56.98", CONSUL_NAME) == "127.0.0.1\n"
    finally:
        host.sh("ip address del 192.168.56.98/32 dev lan")
        restore(host)


def test_a_killed_server_is_back_in_a_second_however_often(service: Machine) -> None:
    for times in range(1, 6):
        pid, held, killed = main_pid(service), HeldUp(service.pid), time.monotonic()
        service.sh(f"systemctl kill --signal=KILL --kill-whom=main {UNIT}")
        back(service, pid)
        begun = int(shown(service, "ExecMainStartTimestampMonotonic")) / 1e6
        assert begun - killed < 2 + held.seconds(), times
    assert shown(service, "NRestarts") == "5"


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
    try:
        host.sh(f"systemctl start {UNIT}")
        pid, since = main_pid(host), cursor(host)
        host.sh(f"systemctl kill --signal=STOP --kill-whom=main {UNIT}")
        # The socket holds some 270: on a busy machine the next process may be long in coming.
        load = Load(host, every_s=0.2)
        try:
            back(host, pid)
        finally:
            sent, lost, faults = load.stop()
        said = journal(host, since)
        assert sent > 1
        # To be aborted it goes on, and may have read some of those it finds before the signal is
        # with it: these, the first, are lost with it. Whatever it has not read is answered.
        assert (load.unanswered, faults) == ([*range(1, lost + 1)], []), said
        assert lost < sent / 2, (lost, sent)
        assert "Watchdog timeout" in said
        # Where the loop stood.
        assert "Fatal Python error: Aborted" in said
        assert "most recent call first" in said
    finally:
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


def test_the_group_of_the_settings_may_look(host: Machine) -> None:
    host.write(SETTINGS, settings() + "admin: {group: adm}\n")
    dropin(host, "[Service]\nSupplementaryGroups=adm\n")
    look = ["/opt/consulfwd/bin/consulfwd", "check", "agents"]
    nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup"]
    try:
        host.sh(f"systemctl start {UNIT}")
        assert host.run("stat", "--format=%a %G", SOCKET).strip() == "660 adm"
        assert "1 of 1 agents up" in host.run(*nobody, "--groups=adm", *look)
        assert "permission denied" in host.run(*nobody, "--clear-groups", *look, check=False)
    finally:
        restore(host)


def test_a_token_only_root_may_read_is_handed_over(host: Machine) -> None:
    token = "consul.token"
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
