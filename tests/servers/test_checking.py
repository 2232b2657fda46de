"""What servers' own checkers say becomes findings, by the form each of them has."""

from __future__ import annotations

from pathlib import Path

import pytest

from consulfwd.apply import commands
from consulfwd.errors import LintError
from consulfwd.servers.checking import MAX_FINDINGS, ask_checker
from consulfwd.servers.targets import TARGETS


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file, on a host without any checker."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(commands, "MORE_PATHS", (str(tmp_path),))
    path = tmp_path / "named.conf"
    path.write_text("options {};\n")
    return path


def install(folder: Path, program: str, says: str, code: int) -> None:
    """Put a checker where it is found, which says this and ends so."""
    path = folder / program
    path.write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{says}\nEND\nexit {code}\n")
    path.chmod(0o755)


SAID = {
    "bind": (
        "named-checkconf",
        "{file}:3: missing ';' before 'allow-query'\nother.conf:9: unknown option 'n'",
        [
            ("{file}", 3, "missing ';' before 'allow-query'"),
            ("other.conf", 9, "unknown option 'n'"),
        ],
    ),
    "unbound": (
        "unbound-checkconf",
        "{file}:14: error: unknown keyword '2001'\n{file}:14: error: stray ':'\n"
        "{file}:14: error: stray ':'\nread {file} failed: 3 errors in configuration file",
        [("{file}", 14, "unknown keyword '2001'; stray ':'")],
    ),
    "dnsmasq": (
        "dnsmasq",
        "\ndnsmasq: bad option at line 2 of {file}",
        [("{file}", 2, "bad option")],
    ),
    "dnsdist": (
        "dnsdist",
        'Fatal Lua error: [string "chunk"]:5: attempt to call global \'x\' (a nil value)\n'
        'stack traceback:\n\t[string "chunk"]:5: in main chunk',
        [("{file}", 5, "attempt to call global 'x' (a nil value)")],
    ),
    "kresd": (
        "luajit",
        "{file}:2: '}' expected near 'c'",
        [("{file}", 2, "'}' expected near 'c'")],
    ),
}


@pytest.mark.parametrize("server", SAID)
def test_what_is_refused_has_its_line(server: str, named: Path) -> None:
    program, says, expected = SAID[server]
    install(named.parent, program, says.replace("{file}", str(named)), 1)
    found = ask_checker(TARGETS[server], named, "named.conf")
    assert [(one.file, one.line, one.what) for one in found] == [
        (file.replace("{file}", "named.conf"), line, f"{program} says: {text}")
        for file, line, text in expected
    ]
    assert {(one.code, one.severity) for one in found} == {("checker-refuses", "error")}
    assert all(one.mend.startswith(f"correct it, and ask again: {program}") for one in found)


def test_what_is_only_warned_of(named: Path) -> None:
    says = "[1] unbound-checkconf[2:0] error: duplicate forward zone consul. ignored.\n"
    install(named.parent, "unbound-checkconf", f"{says}unbound-checkconf: no errors in {named}", 0)
    (one,) = ask_checker(TARGETS["unbound"], named, "named.conf")
    assert (one.line, one.code, one.severity) == (1, "checker-warns", "warning")
    assert one.what == "unbound-checkconf says: error: duplicate forward zone consul. ignored."


@pytest.mark.parametrize("says", ["", "dnsmasq: syntax check OK."])
def test_nothing_is_said_of_what_is_well(named: Path, says: str) -> None:
    install(named.parent, "dnsmasq", says, 0)
    assert ask_checker(TARGETS["dnsmasq"], named, "named.conf") == []


def test_a_refusal_without_a_place_is_one_all_the_same(named: Path) -> None:
    install(named.parent, "named-checkconf", "out of memory", 2)
    (one,) = ask_checker(TARGETS["bind"], named, "named.conf")
    assert (one.line, one.what) == (1, "named-checkconf says: out of memory")
    install(named.parent, "named-checkconf", "", 1)
    (one,) = ask_checker(TARGETS["bind"], named, "named.conf")
    assert one.what == "named-checkconf says: it refuses the file, and does not say why"


def test_findings_do_not_grow_without_end(named: Path) -> None:
    says = "\n".join(f"{named}:{number}: unknown option" for number in range(1, 100))
    install(named.parent, "named-checkconf", says, 1)
    assert len(ask_checker(TARGETS["bind"], named, "named.conf")) == MAX_FINDINGS


def test_the_recursor_is_asked_about_its_main_file_alone(named: Path) -> None:
    says = "Nov 29 msg=\"Unable to parse\" reason=\"Trying to set unknown setting 'bogus'\""
    install(named.parent, "pdns_recursor", says, 1)
    main = named.with_name("recursor.conf")
    main.write_text("bogus=1\n")
    (one,) = ask_checker(TARGETS["pdns-recursor"], main, "recursor.conf")
    assert one.what == "pdns_recursor says: Trying to set unknown setting 'bogus'"
    assert f"--config-dir={named.parent}" in one.mend
    with pytest.raises(LintError, match=r"checks recursor\.conf or recursor\.yml alone"):
        ask_checker(TARGETS["pdns-recursor"], named, "named.conf")


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("bind", "was not checked: named-checkconf is not installed here .install bind9-utils"),
        ("coredns", "was not checked: CoreDNS has no checker for a file"),
        ("resolved", "was not checked: systemd-resolved has no checker"),
    ],
)
def test_nobody_to_ask_is_an_error(server: str, said: str, named: Path) -> None:
    with pytest.raises(LintError, match=said):
        ask_checker(TARGETS[server], named, "named.conf")


def test_knot_resolver_6_has_another_checker_for_its_yaml(named: Path) -> None:
    path = named.with_name("config.yaml")
    path.write_text("forward:\n")
    install(path.parent, "luajit", "config.yaml:1: '=' expected near ':'", 1)
    with pytest.raises(LintError, match="kresctl is not installed") as caught:
        ask_checker(TARGETS["kresd"], path, str(path))
    assert "knot-resolver6" in str(caught.value)
    install(path.parent, "kresctl", "", 0)
    assert ask_checker(TARGETS["kresd"], path, str(path)) == []
