"""The units of what keeps files current, under a systemd of its own: ready, reload, rights."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.alone import PACKAGING, SETTINGS, alone, restore, settings
from tests.e2e.machines import Machine
from tests.e2e.site import Layer, wait

RENDER, GENERATE = "consulfwd-render@nodes", "consulfwd-generate@bind"
TEMPLATE, DEST, ENV = "/etc/consulfwd/nodes.tpl", "/etc/nodes", "/etc/consulfwd/render/nodes.env"
# CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_KILL, CAP_NET_BIND_SERVICE.
RIGHTS = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 5 | 1 << 10
AGAIN_S = 60.0


@pytest.fixture(scope="module")
def installed(layer: Layer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with alone(tmp_path_factory.mktemp("kept"), layer) as made:
        made.sh(f"cp {PACKAGING}/consulfwd-*@.service /etc/systemd/system/")
        made.sh("systemctl daemon-reload")
        yield made


@pytest.fixture
def host(installed: Machine) -> Iterator[Machine]:
    yield installed
    installed.sh(
        f"systemctl stop {RENDER} {GENERATE}; systemctl reset-failed {RENDER} {GENERATE} || true;"
        f" rm -rf {DEST}* /etc/consulfwd/render /etc/consulfwd/generate /etc/bind/consul.conf*"
        f" /run/told /etc/systemd/system/{RENDER}.service.d /etc/consulfwd/other.yml"
    )
    restore(installed)


@pytest.fixture
def rendering(host: Machine) -> Machine:
    """The host with a template that is kept current."""
    host.write(TEMPLATE, "{% for one in nodes() %}{{ one.name }}\n{% endfor %}")
    # Two words, quoted as the file wants it; and a signal to who may be told something.
    host.write(ENV, f"RENDER='{TEMPLATE}:{DEST}:echo told >>/run/told; systemctl reload named'\n")
    host.sh(f"systemctl start {RENDER}")
    return host


def shown(host: Machine, unit: str, name: str) -> str:
    return host.run("systemctl", "show", f"--property={name}", "--value", unit).strip()


def test_it_is_up_when_its_file_is_in_force(rendering: Machine) -> None:
    assert rendering.sh(f"cat {DEST} /run/told").split() == ["alone", "told"]
    assert shown(rendering, RENDER, "ActiveState") == "active"
    said = shown(rendering, RENDER, "StatusText")
    assert said.startswith(f"keeping {DEST} current since ")
    assert "; all in force, written last " in said
    rendering.sh(f"systemctl stop {RENDER}")
    assert shown(rendering, RENDER, "Result") == "success"
    assert rendering.sh(f"cat {DEST}") == "alone\n"


def test_a_reload_reads_all_again_or_leaves_what_is_in_force(rendering: Machine) -> None:
    rendering.sh(f"systemctl reload {RENDER}")
    rendering.write(SETTINGS, settings(rest="nonsense: 1"))
    said = rendering.sh(f"systemctl reload {RENDER} && echo taken", check=False)
    assert "taken" not in said
    rendering.sh(f"systemctl kill --signal=HUP --kill-whom=main {RENDER}")
    refused = "the last reload was refused"
    wait(lambda: refused in shown(rendering, RENDER, "StatusText"), "its status", AGAIN_S)
    wait(lambda: shown(rendering, RENDER, "ActiveState") == "active", "its end", AGAIN_S)
    rendering.write(TEMPLATE, "still {{ nodes() | length }}\n")
    wait(lambda: rendering.sh(f"cat {DEST}") == "still 1\n", "the next text", AGAIN_S)
    assert shown(rendering, RENDER, "NRestarts") == "0"


def test_the_check_before_a_reload_reads_what_it_does(host: Machine) -> None:
    other = "/etc/consulfwd/other.yml"
    token = settings(consul="agents: [{address: 127.0.0.1, token_file: consul.token}]")
    host.write(TEMPLATE, "one\n")
    host.write(ENV, f"RENDER='{TEMPLATE}:{DEST}:true'\nOPTIONS=-c {other} --quiescence 0.2:1\n")
    host.write(other, token)
    # What nobody reads may be wrong; and what only root may read is handed over.
    host.write(SETTINGS, settings(rest="nonsense: 1"))
    host.write("/etc/consulfwd/consul.token", "a-token\n", "600")
    host.sh(
        f"install -D -m 644 -t /etc/systemd/system/{RENDER}.service.d {PACKAGING}/token.conf;"
        f" systemctl daemon-reload; systemctl start {RENDER}; systemctl reload {RENDER}"
    )
    host.write(SETTINGS, settings())
    host.write(other, f"{token}nonsense: 1\n")
    said = host.sh(f"systemctl reload {RENDER} && echo taken", check=False)
    assert "taken" not in said
    assert f"{other}:4: nonsense" in host.sh(
        f"journalctl --sync; journalctl -q -o cat -u {RENDER} -n 20"
    )
    host.sh("rm /etc/consulfwd/consul.token")


def test_its_rights_are_those_it_takes(rendering: Machine) -> None:
    pid = shown(rendering, RENDER, "MainPID")
    lines = rendering.sh(f"cat /proc/{pid}/status").splitlines()
    found = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
    for key in ("CapPrm", "CapEff", "CapBnd"):
        assert int(found[key][0], 16) == RIGHTS
    assert (found["NoNewPrivs"], found["Seccomp"]) == (["1"], ["2"])
    among_its_files = f"nsenter --target {pid} --mount --"
    for folder in ("/", "/usr", "/opt/consulfwd"):
        assert "Read-only" in rendering.sh(f"{among_its_files} touch {folder}/new", check=False)
    # What is there keeps its owner and mode.
    rendering.sh(f"chown nobody:adm {DEST}; chmod 640 {DEST}")
    rendering.write(TEMPLATE, "another\n")
    wait(lambda: rendering.sh(f"cat {DEST}") == "another\n", "the next text", AGAIN_S)
    assert rendering.sh(f"stat --format='%U:%G %a' {DEST}") == "nobody:adm 640\n"


def test_it_is_back_when_it_was_killed(rendering: Machine) -> None:
    pid = shown(rendering, RENDER, "MainPID")
    rendering.sh(f"systemctl kill --signal=KILL --kill-whom=main {RENDER}")

    def back() -> bool:
        new = shown(rendering, RENDER, "MainPID")
        return new not in ("0", pid) and shown(rendering, RENDER, "ActiveState") == "active"

    wait(back, "the next process", AGAIN_S)
    # All was in force: nobody was told anything.
    assert rendering.sh("cat /run/told") == "told\n"


def test_without_its_file_it_is_not_tried(host: Machine) -> None:
    said = host.sh(f"systemctl start {RENDER} && echo started", check=False)
    assert "Assertion failed" in said
    assert "started" not in said
    assert shown(host, RENDER, "NRestarts") == "0"


def test_generate_follows_the_settings_and_has_the_server_take_them(host: Machine) -> None:
    host.write(
        "/etc/consulfwd/generate/bind.env",
        'OPTIONS=--verify none --reload "echo told >>/run/told; systemctl reload named"\n',
    )
    host.sh(f"systemctl start {GENERATE}")
    assert "127.0.0.1 port 8600" in host.sh("cat /etc/bind/consul.conf")
    assert host.sh("cat /run/told") == "told\n"
    assert "BIND" in shown(host, GENERATE, "StatusText")
    host.write(SETTINGS, settings(consul="agents: [127.0.0.1, 192.168.56.99]"))
    wait(lambda: "192.168.56.99" in host.sh("cat /etc/bind/consul.conf"), "it", AGAIN_S)
    wait(lambda: host.sh("cat /run/told") == "told\ntold\n", "the server to be told", AGAIN_S)
