"""The servers' own checkers take every file that is generated for the version installed here."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from consulfwd.apply.commands import run as checked
from consulfwd.generate.requests import jobs
from consulfwd.servers.target import parse_version
from consulfwd.servers.targets import TARGETS
from tests.generate.sites import OPTIONS, SITES, requests
from tests.integration.generating import run
from tests.integration.namespaces import Host

CHECKED = [(name, options) for name, options in OPTIONS if TARGETS[name].check]


@pytest.fixture
def interfaces() -> Iterator[None]:
    """A host that has those the sites name: some checkers look for them."""
    host = Host("checking")
    host.ip("link add eth0 type veth peer name br-1.5")
    with host.inside():
        yield
    host.close()


@pytest.mark.usefixtures("interfaces")
@pytest.mark.parametrize(
    ("name", "options"), CHECKED, ids=lambda one: one if isinstance(one, str) else "-".join(one)
)
def test_every_site(
    name: str, options: frozenset[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin")))
    target = TARGETS[name]
    version = parse_version(target, run([*target.ask_version]))
    found = 0
    for request in requests(target, version, options):
        asked = dataclasses.replace(request, dest=tmp_path / "consul.conf")
        files = [file for job in jobs(asked) for file in job.files]
        for file in files:
            (tmp_path / file.path.name).write_text(file.text)
        for file in files:
            place = str(tmp_path / file.path.name)
            ran = checked([word.replace("{file}", place) for word in target.check], timeout_s=60)
            assert not ran.wrong, f"{request.settings}: {ran.wrong}\n{ran.output}"
        found += 1
    # nftables can redirect to this host only.
    assert found >= (1 if name == "nftables" else len(SITES))


def test_powerdns_recursor_takes_its_settings(tmp_path: Path) -> None:
    """Its checker reads a whole configuration."""
    target = TARGETS["pdns-recursor"]
    version = parse_version(target, run([*target.ask_version]))
    folder = tmp_path / "recursor.d"
    folder.mkdir()
    (tmp_path / "recursor.conf").write_text(f"include-dir={folder}\nsocket-dir={tmp_path}\n")
    for request in requests(target, version, frozenset()):
        asked = dataclasses.replace(request, dest=tmp_path / "consul.zones")
        zones, settings = (job.files[0] for job in jobs(asked))
        (tmp_path / "consul.zones").write_text(zones.text)
        (folder / "consul.conf").write_text(settings.text)
        run(["pdns_recursor", f"--config-dir={tmp_path}", "--config=check"])
    # It finds what is none.
    (folder / "consul.conf").write_text("no-such-setting=1\n")
    with pytest.raises(AssertionError, match="no-such-setting"):
        run(["pdns_recursor", f"--config-dir={tmp_path}", "--config=check"])
