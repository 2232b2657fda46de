"""What whoever has files generated is told beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from consulfwd.config import Settings
from consulfwd.generate.cautions import cautions
from consulfwd.generate.requests import Request, jobs
from consulfwd.servers.target import Version
from consulfwd.servers.targets import TARGETS

DC2: dict[str, Any] = {"datacenters": {"dc2": {"agents": ["10.2.0.11"]}}}
ETC = "etc/systemd/resolved.conf.d"


def said(server: str, root: Path, version: Version = (), **fields: Any) -> list[str]:
    target = TARGETS[server]
    given: dict[str, Any] = {"consul": fields.pop("consul", {}), "listen": ["127.0.0.1:5300"]}
    request = Request(target, Settings(**given), version or target.newest, **fields)
    return cautions(request, jobs(request), root)


def write(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("server", ["bind", "resolved", "resolver"])
def test_datacenters_that_cannot_be_asked_apart(server: str, tmp_path: Path) -> None:
    (told,) = said(server, tmp_path, consul=DC2)
    assert told.startswith("consul.datacenters: ")
    assert "names of dc2; they go to the agents of the domain" in told
    assert said(server, tmp_path) == []
    assert said("bind", tmp_path, consul=DC2, to="consulfwd") == []
    assert said("unbound", tmp_path, consul=DC2) == []


def test_other_files_with_servers_of_resolved(tmp_path: Path) -> None:
    other = write(tmp_path, f"{ETC}/vpn.conf", "[Resolve]\n#DNS=10.1.1.1\nDNS = 10.5.0.53 # home\n")
    main = write(tmp_path, "etc/systemd/resolved.conf", "[Resolve]\nDomains=~corp.example\nDNS=\n")
    write(tmp_path, "etc/systemd/other.conf", "DNS=10.1.1.1\n")
    first, second = said("resolved", tmp_path, (252,))
    assert first.startswith(f"{other} has 'DNS = 10.5.0.53 # home': systemd-resolved joins")
    assert second.startswith(f"{main} has 'Domains=~corp.example': ")
    # A delegate has servers of its own.
    assert said("resolved", tmp_path, (258,)) == []


def test_files_that_are_not_in_force_are_not_told_of(tmp_path: Path) -> None:
    # Ours as it was before, and one that another folder hides.
    write(tmp_path, f"{ETC}/consul.conf", "DNS=10.0.0.1:8600\n")
    write(tmp_path, "usr/lib/systemd/resolved.conf.d/consul.conf", "DNS=10.1.1.1\n")
    write(tmp_path, f"{ETC}/site.conf", "Cache=no\n")
    write(tmp_path, "run/systemd/resolved.conf.d/site.conf", "DNS=10.1.1.1\n")
    # What is the same does no harm; a folder is no file.
    write(tmp_path, f"{ETC}/same.conf", "Domains=~consul\n")
    (tmp_path / ETC / "folder.conf").mkdir()
    assert said("resolved", tmp_path, (252,)) == []
    hidden = write(tmp_path, "usr/lib/systemd/resolved.conf.d/vendor.conf", "DNS=10.1.1.1\n")
    (told,) = said("resolved", tmp_path, (252,))
    assert told.startswith(str(hidden))


def test_what_stands_there_is_told_as_plain_text(tmp_path: Path) -> None:
    write(tmp_path, f"{ETC}/vpn.conf", f"DNS=10.5.0.53\x1b[2J{'x' * 100}\n")
    (told,) = said("resolved", tmp_path, (252,))
    assert told.isprintable()
    assert len(told) < 400


def test_settings_of_powerdns_that_give_way(tmp_path: Path) -> None:
    written = "include-dir=/etc/powerdns/recursor.d\nforward-zones-file=/etc/powerdns/site.zones\n"
    path = write(tmp_path, "etc/powerdns/recursor.conf", written)
    (told,) = said("pdns-recursor", tmp_path, (4, 8))
    assert told.startswith(f"{path} has 'forward-zones-file=/etc/powerdns/site.zones': ")
    write(tmp_path, "etc/powerdns/recursor.conf", "forward-zones-file=/etc/powerdns/consul.zones\n")
    assert said("pdns-recursor", tmp_path, (4, 8)) == []
