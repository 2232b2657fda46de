"""packaging/host-dns on a host with programs, consulfwd and systemd-resolved: there and back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.alone import (
    ADDRESS,
    CONSUL_NAME,
    LISTEN,
    PACKAGING,
    SETTINGS,
    UNIT,
    alone,
    dropin,
    restore,
    settings,
)
from tests.e2e.machines import LAN, Machine
from tests.e2e.site import OUTSIDE_NAME, Layer

# Where scripts/install-test-tools keeps the package's file.
PACKAGES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "consulfwd/packages")
PLAIN = f"search outside.test\nnameserver {ADDRESS}\noptions ndots:2\n"
KEPT = "/etc/resolv.conf.before-consulfwd"
OF_RESOLVED = "/run/systemd/resolve"
NAMES = (CONSUL_NAME, OUTSIDE_NAME)
OURS, OTHERS = ["127.0.0.1", "198.51.100.80"], ["", "198.51.100.80"]


@pytest.fixture(scope="module")
def host(layer: Layer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    assert PACKAGES.is_dir(), "no package of systemd-resolved: scripts/install-test-tools --e2e"
    with alone(tmp_path_factory.mktemp("host"), layer, {PACKAGES: Path("/packages")}) as made:
        yield made


@pytest.fixture
def plain(host: Machine) -> Iterator[Machine]:
    """The host with an ordinary resolv.conf."""
    host.sh("rm -f /etc/resolv.conf; systemctl stop systemd-resolved 2>/dev/null || true")
    host.write("/etc/resolv.conf", PLAIN)
    yield host
    restore(host)


@pytest.fixture
def stub(host: Machine) -> Iterator[Machine]:
    """The host with systemd-resolved, which has its server from a link, and consulfwd by its side.

    The programs' queries take its stub, and consulfwd has that server as its recursor.
    """
    # It is started more often here than systemd takes for healthy.
    host.sh(
        "rm -f /etc/systemd/system/systemd-resolved.service; systemctl daemon-reload;"
        " [ -e /lib/systemd/systemd-resolved ] || dpkg --install /packages/systemd-resolved_*.deb;"
        " ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf;"
        " systemctl reset-failed systemd-resolved",
        timeout=180.0,
    )
    resolved_has(host, "", link=ADDRESS)
    serve(host, f"resolv_conf: {OF_RESOLVED}/resolv.conf")
    yield host
    host.sh(f"{PACKAGING}/host-dns resolved --undo; {PACKAGING}/host-dns resolv.conf --undo")
    restore(host)


def resolved_has(host: Machine, server: str, link: str) -> None:
    """Have systemd-resolved know this server from its settings, and this one from the link."""
    text = f"[Resolve]\nDNS={server}\nLLMNR=no\nMulticastDNS=no\n"
    host.write("/etc/systemd/resolved.conf", text)
    host.sh(f"systemctl restart systemd-resolved; resolvectl dns {LAN} '{link}'")


def serve(host: Machine, recursors: str) -> None:
    """Run consulfwd with this line about its recursors."""
    host.write(SETTINGS, settings(rest=recursors))
    host.sh(f"systemctl restart {UNIT}")


def does(host: Machine, words: str) -> list[str]:
    """Run host-dns, which must succeed; the lines it says."""
    return host.sh(f"{PACKAGING}/host-dns {words}").splitlines()


def fails(host: Machine, words: str) -> str:
    """Run host-dns, which must fail and leave the host as it is; what it says."""
    before = state(host)
    *said, code = host.sh(f"{PACKAGING}/host-dns {words}; echo $?").splitlines()
    assert code == "1", said
    assert state(host) == before
    return "\n".join(said)


def state(host: Machine) -> list[str]:
    """All there is below /etc, with owners, modes, times and content, and what resolved made."""
    return host.sh(
        "cd /; find etc -printf '%p %y %m %U:%G %l\\n' | sort;"
        " find etc ! -type d -printf '%p %T@\\n' | sort;"
        " find etc -type f -print0 | sort --zero-terminated | xargs --null sha256sum;"
        " if systemctl --quiet is-active systemd-resolved; then"
        f" cat {OF_RESOLVED}/*resolv.conf; resolvectl dns; resolvectl domain; fi"
    ).splitlines()


def looked_up(host: Machine) -> list[str]:
    """What the C library finds for `NAMES`; "" for what it does not find."""
    found = [host.run("getent", "ahostsv4", name, check=False).split() for name in NAMES]
    return [words[0] if words else "" for words in found]


def test_resolv_conf_and_back(plain: Machine) -> None:
    serve(plain, f"resolv_conf: {KEPT}")
    before = state(plain)
    assert looked_up(plain) == OTHERS
    assert "neither resolv.conf nor resolved is in force" in fails(plain, "status")
    for again in ("", " already"):
        # Its recursors are in the file that is kept, and known a second after that is there.
        said = does(plain, f"resolv.conf --outside {OUTSIDE_NAME}")
        assert said[-1].startswith(f"host-dns: resolv.conf: in force{again or ';'}")
        assert looked_up(plain) == OURS
    assert plain.sh("cat /etc/resolv.conf").splitlines()[1:] == [
        "search outside.test", "nameserver 127.0.0.1", "options edns0 ndots:2",
    ]  # fmt: skip
    assert does(plain, "status") == [
        "host-dns: 127.0.0.1:53 answers",
        "host-dns: resolv.conf: in force",
        f"host-dns: looked up as programs do: {CONSUL_NAME}: 127.0.0.1",
    ]
    assert state(plain) != before
    for said_then in ("undone", "not in force"):
        assert does(plain, "resolv.conf --undo") == [f"host-dns: resolv.conf: {said_then}"]
        assert state(plain) == before
    assert looked_up(plain) == OTHERS


def test_nothing_is_changed_while_consulfwd_does_not_run(plain: Machine) -> None:
    assert "nobody answers DNS at 127.0.0.1:53, so nothing was changed" in fails(
        plain, "resolv.conf"
    )
    serve(plain, "")
    assert f"set 'resolv_conf: {KEPT}'" in fails(plain, "resolv.conf")
    assert "systemd-resolved does not run here" in fails(plain, "resolved")


def test_nothing_is_changed_without_the_program(plain: Machine) -> None:
    serve(plain, f"resolv_conf: {KEPT}")
    before = state(plain)
    said = plain.sh(f"CONSULFWD=/nonexistent {PACKAGING}/host-dns resolv.conf", check=False)
    assert "there is no program /nonexistent" in said
    assert state(plain) == before


def test_nothing_is_changed_while_consulfwd_has_no_recursors(plain: Machine) -> None:
    # Nobody there answers.
    serve(plain, 'recursors: ["192.168.56.250"]')
    said = fails(plain, f"resolv.conf --outside {OUTSIDE_NAME}")
    assert f"consulfwd does not find {OUTSIDE_NAME}, which this host finds now" in said
    assert looked_up(plain) == OTHERS


def test_settings_are_read_as_the_service_reads_them(plain: Machine) -> None:
    token = "/run/credentials/consulfwd.service/consul.token"
    plain.write("/etc/consulfwd/consul.token", "a-token\n", "600")
    agent = f"{{address: {LISTEN}, token_file: {token}}}"
    for name, rest in ((SETTINGS, "nonsense: 1"), ("/etc/consulfwd/other.yml", "")):
        lines = f"resolv_conf: {KEPT}\n{rest}"
        plain.write(name, settings(consul=f"agents: [{agent}]", rest=lines))
    # Root is shown no such file, and would read another one.
    dropin(
        plain,
        "[Service]\nLoadCredential=consul.token:/etc/consulfwd/consul.token\n"
        "Environment=CONSULFWD_CONFIG=/etc/consulfwd/other.yml\n",
    )
    plain.sh(f"systemctl restart {UNIT}")
    said = does(plain, f"resolv.conf --outside {OUTSIDE_NAME}")
    assert "resolv.conf: in force" in said[-1]
    assert looked_up(plain) == OURS
    # A file that root may read, and the service may not, is one that cannot be read.
    does(plain, "resolv.conf --undo")
    plain.sh("chmod 600 /etc/consulfwd/other.yml")
    assert "consulfwd's settings cannot be read" in fails(plain, "resolv.conf")
    plain.sh("rm /etc/consulfwd/other.yml /etc/consulfwd/consul.token")


def test_what_does_not_work_is_taken_back(stub: Machine) -> None:
    for step in ("resolv.conf", "resolved"):
        said = fails(stub, f"{step} --name nothing.outside.test")
        assert "nothing.outside.test cannot be looked up that way, so everything is put" in said
    assert looked_up(stub) == OTHERS


def test_resolved_and_back(stub: Machine) -> None:
    before = state(stub)
    assert looked_up(stub) == OTHERS
    assert "Global: 127" not in stub.sh("resolvectl dns")
    for again in ("", " already"):
        said = does(stub, f"resolved --outside {OUTSIDE_NAME}")
        assert said[-1].startswith(f"host-dns: resolved: in force{again}")
        assert looked_up(stub) == OURS
    # Its stub is asked, and passes everything to consulfwd only.
    assert stub.run("readlink", "/etc/resolv.conf").strip() == f"..{OF_RESOLVED}/stub-resolv.conf"
    assert stub.sh("resolvectl dns").split("\n")[0] == "Global: 127.0.0.1"
    assert "host-dns: resolved: in force" in does(stub, "status")
    for said_then in ("undone", "not in force"):
        assert does(stub, "resolved --undo") == [f"host-dns: resolved: {said_then}"]
        assert state(stub) == before
    assert looked_up(stub) == OTHERS


def test_resolv_conf_past_systemd_resolved_and_back(stub: Machine) -> None:
    before = state(stub)
    said = does(stub, "resolv.conf")
    assert f"the nameservers before it are in {OF_RESOLVED}/resolv.conf" in said[-1]
    assert looked_up(stub) == OURS
    stub.sh("systemctl stop systemd-resolved")
    assert looked_up(stub) == OURS
    stub.sh("systemctl start systemd-resolved")
    assert does(stub, "resolv.conf --undo") == ["host-dns: resolv.conf: undone"]
    assert state(stub) == before


def test_consulfwd_and_systemd_resolved_are_kept_from_asking_each_other(stub: Machine) -> None:
    file = f"resolv_conf: {OF_RESOLVED}/stub-resolv.conf"
    for recursors in ("", file, 'recursors: ["127.0.0.53"]'):
        serve(stub, recursors)
        assert "they would ask each other" in fails(stub, "resolved")


def test_consulfwd_is_not_left_without_recursors(stub: Machine) -> None:
    resolved_has(stub, ADDRESS, link="")
    assert looked_up(stub) == OTHERS
    assert "would be left without recursors, so everything is put back" in fails(stub, "resolved")
    serve(stub, f'recursors: ["{ADDRESS}"]')
    does(stub, "resolved")
    assert looked_up(stub) == OURS
