"""systemd-resolved's files by their names, and what one of them takes back of another."""

from __future__ import annotations

from pathlib import Path

from consulfwd.lint import Wanted, check

AGENTS = "DNS=10.0.0.11:8600 10.0.0.12:8600\nDomains=~consul\n"


def found(path: Path) -> list[tuple[int, str]]:
    report = check(path, Wanted(version="252"), lambda _: {}, lambda _: None)
    return [(one.line, one.code) for one in report.findings]


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_drop_in_takes_back_the_servers_of_the_main_file(tmp_path: Path) -> None:
    main = written(tmp_path / "resolved.conf", "[Resolve]\nDNS=192.0.2.1\nDNSSEC=yes\n")
    drop_in = tmp_path / "resolved.conf.d" / "consul.conf"
    written(drop_in, f"[Resolve]\n{AGENTS}")
    assert (2, "resolved-shared-list") in found(main)
    written(drop_in, f"[Resolve]\nDNS=\n{AGENTS}DNSSEC=no\n")
    assert found(main) == found(drop_in) == [(3, "resolved-all-names")]


def test_a_section_that_is_not_read_in_a_file_of_this_name(tmp_path: Path) -> None:
    ignored = [(1, "resolved-ignored")]
    for name in ("resolved.conf.d/consul.conf", "resolved.conf"):
        assert found(written(tmp_path / "one" / name, f"[Network]\n{AGENTS}")) == ignored
    link = tmp_path / "two" / "eth0.network"
    assert (1, "resolved-ignored") in found(written(link, f"[Resolve]\n{AGENTS}"))
    assert found(written(link, f"[Network]\n{AGENTS}")) == []
    drop_in = tmp_path / "two" / "eth0.network.d" / "consul.conf"
    assert found(written(drop_in, f"[Network]\n{AGENTS}")) == []
