"""`consulfwd generate bind --watch`: BIND's forwarders follow Consul's catalog, on real parts."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consulfwd.dev.child import Child, Guard
from consulfwd.dev.real import RealCluster, Registration
from consulfwd.template.renderer import packaged
from tests.integration.asking import At, ask, data
from tests.integration.recursors import own_copy, tool
from tests.integration.services import GALERA
from tests.loopback import free_port

HOST = "127.0.0.1"
SERVICE, NAME = "forwarders", "galeradb.service.consul"
PATIENCE_S, QUIESCENCE = 60.0, "0.5:3"
NAMED_CONF = """\
key "rndc" {{ algorithm hmac-sha256; secret "aGFyZGx5IGEgc2VjcmV0IHRvIGFueW9uZQ=="; }};
controls {{ inet {host} port {control} allow {{ {host}; }} keys {{ "rndc"; }}; }};
options {{
    directory "{folder}";
    listen-on port {port} {{ {host}; }};
    listen-on-v6 {{ none; }};
    pid-file none;
    recursion yes;
    dnssec-validation no;
    session-keyfile none;
}};
include "{folder}/consul.conf";
"""
RNDC_CONF = """\
key "rndc" {{ algorithm hmac-sha256; secret "aGFyZGx5IGEgc2VjcmV0IHRvIGFueW9uZQ=="; }};
options {{ default-server {host}; default-port {control}; default-key "rndc"; }};
"""


class Site:
    """BIND that includes `file`, and a `generate --watch` that keeps that; `reload` counts."""

    def __init__(self, folder: Path, cluster: RealCluster, guard: Guard) -> None:
        self.folder = folder
        self.cluster = cluster
        self.file = folder / "consul.conf"
        self.templates = folder / "templates"
        self.port, control = free_port(HOST), free_port(HOST)
        shutil.copytree(packaged() / "bind", self.templates / "bind")
        names = {"folder": folder, "host": HOST, "port": self.port, "control": control}
        (folder / "named.conf").write_text(NAMED_CONF.format(**names))
        (folder / "rndc.conf").write_text(RNDC_CONF.format(**names))
        self.file.write_text("// nothing yet\n")
        self._reloads = folder / "reloads"
        rndc = f"{tool('rndc')} -c {folder}/rndc.conf"
        self._reload = (
            f"{rndc} reconfig && {rndc} flushtree consul && date >> {self._reloads}"
        )
        command: list[str | Path] = [own_copy("named", folder), "-g", "-n", "1"]
        command += ["-c", folder / "named.conf"]
        self.bind = Child("named", command, folder / "named.log", guard)
        self._guard = guard

    @property
    def at(self) -> At:
        return HOST, self.port

    def reloads(self) -> int:
        return len(self._reloads.read_text().splitlines()) if self._reloads.exists() else 0

    def forwarders(self) -> set[str]:
        """Who is named in the file."""
        words = self.file.read_text().split()
        return {word for word in words if word.startswith("127.") and "/" not in word}

    @contextmanager
    def watching(self) -> Iterator[Child]:
        settings = self.folder / "consulfwd.yml"
        agents = [
            f"{{address: {one.address}, dns_port: {one.dns_port}, http_port: {one.http_port}}}"
            for one in self.cluster.servers
        ]
        settings.write_text(f"consul:\n  agents: [{', '.join(agents)}]\n")
        words: list[str | Path] = ["generate", "bind", "-c", settings, "--watch", "--from-catalog"]
        words += ["--service", SERVICE, "--dest", self.file, "--templates", self.templates]
        words += ["--quiescence", QUIESCENCE, "--reload", self._reload]
        words += ["--verify", f"{HOST}:{self.port}"]
        python = [sys.executable, "-X", "dev", "-W", "error", "-m", "consulfwd.cli.main"]
        child = Child("generate", [*python, *words], self.folder / "generate.log", self._guard)
        child.start()
        try:
            yield child
        finally:
            child.kill()


def resolves(at: At) -> bool:
    try:
        return data(ask(at, NAME)) == GALERA
    except OSError:
        return False


@pytest.fixture
def site(cluster: RealCluster, guard: Guard, tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, cluster, guard)
    made.bind.start()
    yield made
    made.bind.kill()
    for n in range(3):
        cluster.deregister(f"forwarder{n}")


def test_forwarders_follow_the_catalog(site: Site) -> None:
    cluster = site.cluster
    addresses = [one.address for one in cluster.servers]
    nodes = [
        Registration(f"forwarder{n}", SERVICE, address=address, port=53)
        for n, address in enumerate(addresses)
    ]
    cluster.register_all(nodes[:1])
    with site.watching() as watch:
        log = watch.log

        def until(true: Callable[[], object], what: str) -> None:
            watch.wait_until(true, what, PATIENCE_S)

        until(lambda: site.reloads() == 1, "the first file is written")
        assert site.forwarders() == set(addresses[:1])
        until(lambda: resolves(site.at), "BIND asks the one forwarder")
        # Two changes shortly after each other: one reload.
        cluster.register_all(nodes[1:2])
        cluster.register_all(nodes[2:])
        until(lambda: site.forwarders() == set(addresses), "all three are named")
        until(lambda: site.reloads() == 2, "one reload")
        assert resolves(site.at)

        good = site.file.read_text()
        template = site.templates / "bind" / "consul.conf.j2"
        whole = template.read_text()
        template.write_text("zone {{ site.domian }};\n")
        cluster.deregister("forwarder0")
        until(lambda: "domian" in log.read_text(), "an alarm")
        assert site.file.read_text() == good
        # Tried again, and told no more.
        cluster.deregister("forwarder1")
        assert resolves(site.at)

        # BIND itself refuses what the template makes now.
        template.write_text('zone "{{ site.domain }}" { type forward; forwarders };\n')
        cluster.deregister("forwarder2")
        until(lambda: "named-checkconf" in log.read_text(), "another alarm")
        assert log.read_text().count("domian") == 1
        assert site.file.read_text() == good
        template.write_text(whole)
        cluster.register_all(nodes[:2])
        until(lambda: site.forwarders() == set(addresses[:2]), "mended")
        until(lambda: site.reloads() == 3, "a third reload, for the first good file")
        until(lambda: resolves(site.at), "BIND asks the two")
