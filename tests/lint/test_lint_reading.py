"""Files and what they include: found, noted where missing, bounded."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from consulfwd.errors import LintError, UsageError
from consulfwd.lint import Report, Wanted, check, folders, judged, read, reading
from consulfwd.servers.kind import ServerKind
from consulfwd.servers.target import Version

NEVER = Wanted(version="9.18")


def lint(path: Path, **wanted: Any) -> Report:
    return check(path, NEVER._replace(**wanted), lambda _: {}, lambda _: None)


def codes(report: Report) -> list[str]:
    return [f"{Path(one.file).name}:{one.line} {one.code}" for one in report.findings]


def write(folder: Path, **files: str) -> Path:
    """Write files, `a__b` as a/b, with .conf; return the first."""
    paths = [folder / (name.replace("__", "/") + ".conf") for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return paths[0]


ZONE = "zone consul { type forward; forward only; forwarders { 10.0.0.1 port 8600; }; };"


def test_bind_reads_what_is_included_from_its_directory(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        named=f'options {{ directory "{tmp_path}/sub"; dnssec-validation no;'
        '\n  include "o.conf"; };\n'
        'include "part.conf"; include "z*.conf";',
        sub__o="clients-per-query 0;\nmin-cache-ttl 5; edns-udp-size 4096;",
        part="\ndlz x { };",
        z1=ZONE,
        z2="key k { };\ntrusted-keys { };",
    )
    report = lint(path)
    assert codes(report) == [
        "o.conf:2 bind-ttl-floor",
        "z1.conf:1 single-agent",
        "z2.conf:2 bind-obsolete-option",
    ]


def test_unbound_goes_on_with_the_section_after_an_include(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        unbound='server:\n  include: "d/*.conf"\n  discard-timeout: 0\n  cache-min-ttl: 1\n',
        d__1="edns-buffer-size: 4096\ndomain-insecure: consul",
        d__2="forward-zone:\nname: consul\nforward-addr: 10.0.0.1@8600\nserver:",
    )
    assert codes(lint(path)) == ["unbound.conf:4 unbound-ttl-floor", "2.conf:3 single-agent"]


def test_dnsmasq_reads_folders_by_suffix(tmp_path: Path) -> None:
    write(
        tmp_path,
        d__a="server=/consul/10.0.0.1#8600",
        d__b="min-cache-ttl=1",
    )
    (tmp_path / "d/c.bak").write_text("filterwin2k")
    (tmp_path / "d/.hidden.conf").write_text("filterwin2k")
    (tmp_path / "d/d.conf~").write_text("filterwin2k")
    one, two, three = (
        "a.conf:1 single-agent",
        "b.conf:1 dnsmasq-ttl-floor",
        "c.bak:1 dnsmasq-filterwin2k",
    )
    for suffixes, expected in (
        ("", [one, two, three]),
        (",*.conf", [one, two]),
        (",.bak", [one, two]),
        (",.conf,.x", [three]),
    ):
        path = write(tmp_path, dnsmasq=f"conf-dir={tmp_path}/d{suffixes}\nconf-file=none")
        report = lint(path)
        assert codes(report) == expected
        assert f"{path}:2: none is not there to be read" in report.notes


def test_coredns_imports_snippets_and_files(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        Corefile="(say) {\n  errors\n}\n(more) {\n import say\n cache\n}\n"
        "consul {\n import more\n import up.conf\n}\n",
        up="forward . 10.0.0.1:8600\n",
    )
    assert codes(lint(path)) == ["Corefile.conf:6 coredns-cache-floor", "up.conf:1 single-agent"]
    path = write(tmp_path, Corefile="(a) {\n import b\n}\n(b) {\n import a\n}\nx {\n import a\n}")
    with pytest.raises(LintError, match=":2: 'b' imports itself"):
        lint(path)
    lines = [f"(a{n}) {{\n import a{n + 1}\n import a{n + 1}\n}}" for n in range(40)]
    path = write(
        tmp_path, Corefile="\n".join([*lines, "(a40) {\n errors\n}", "x {\n import a0\n}"])
    )
    with pytest.raises(LintError, match="too much is imported"):
        lint(path)


def test_what_includes_itself_ends_in_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, a='include "b.conf";', b='\ninclude "a.conf";')
    with pytest.raises(LintError, match=r"b.conf:2: .*a.conf includes itself"):
        lint(path)
    path = write(tmp_path, **{f"f{n}": f'include "f{n + 1}.conf";' for n in range(12)})
    with pytest.raises(LintError, match=r"f9.conf:1: files are included more than 10 deep"):
        lint(path)


def test_where_a_relative_name_starts_is_guessed_but_never_held_against_a_file(
    tmp_path: Path,
) -> None:
    # A part of a configuration: named stands elsewhere, and has another file of that name there.
    path = write(tmp_path, consul=f'include "consul.conf";\ninclude "c*.conf";\n{ZONE}')
    report = lint(path)
    assert codes(report) == ["consul.conf:3 single-agent"]
    assert report.notes[:1] == (f"{path}:1: consul.conf is not there to be read",)
    # Where it says itself where names start, that file is this one.
    path.write_text(f'options {{ directory "{tmp_path}"; }};\ninclude "consul.conf";\n')
    with pytest.raises(LintError, match=r"consul.conf:2: .*consul.conf includes itself"):
        lint(path)


def test_names_in_included_files_start_where_those_of_the_first_do(tmp_path: Path) -> None:
    files = {"d__a": 'include "d/b.conf";\n', "d__b": ZONE, "d__d__b": "}"}
    (tmp_path / "d" / "d").mkdir(parents=True)
    path = write(tmp_path, named='include "d/a.conf";\n', **files)
    assert codes(lint(path)) == ["b.conf:1 single-agent"]
    # Only CoreDNS goes by the file that has the name.
    path = write(
        tmp_path,
        Corefile="consul {\n errors\n import d/x.conf\n}\n",
        d__x="import y.conf\n",
        d__y="forward . 10.0.0.1:8600\n",
        y="forward . 10.0.0.1:8600 10.0.0.2:8600\n",
    )
    assert codes(lint(path, version="1.9")) == ["y.conf:1 single-agent"]


def test_dnsmasq_passes_over_a_file_it_has_read(tmp_path: Path) -> None:
    server = "server=/consul/10.0.0.1#8600\n"
    path = write(tmp_path, d__a=f"conf-dir={tmp_path}/d\n{server}",
                 d__b=f"conf-file={tmp_path}/d/a.conf\nmin-cache-ttl=1\n")  # fmt: skip
    report = lint(path, server="dnsmasq", version="2.90")
    assert codes(report) == ["a.conf:2 single-agent", "b.conf:2 dnsmasq-ttl-floor"]
    assert [one.name for one in report.files] == ["a.conf", "b.conf"]


def test_who_reads_a_folder_once_does_not_read_it_again_from_there(tmp_path: Path) -> None:
    again = f"quiet=yes\nallow-from=127.0.0.0/8\ninclude-dir={tmp_path}/d\n"
    path = write(tmp_path, recursor=f"{again}dnssec=off\n",
                 d__a=f"{again}forward-zones-recurse=consul=10.0.0.1:8600\n")  # fmt: skip
    report = lint(path, server="pdns-recursor", version="4.8")
    assert [one.name for one in report.files] == ["recursor.conf", "a.conf"]
    assert "a.conf:4 single-agent" in codes(report)
    again = f'includeDirectory("{tmp_path}/e")\n'
    server = 'newServer({address="10.0.0.1:8600", pool="consul"})\n'
    path = write(tmp_path, dnsdist=again, e__a=f"{again}{server}")
    report = lint(path, server="dnsdist", version="1.9")
    assert [one.name for one in report.files] == ["dnsdist.conf", "a.conf"]


def test_too_many_files_end_in_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_FILES", 3)
    path = write(tmp_path, a='include "b*.conf";', b1="", b2="", b3="")
    with pytest.raises(LintError, match="is one included file too many"):
        lint(path)
    monkeypatch.setattr(reading, "MAX_FILES", 4)
    assert codes(lint(path)) == []


def test_a_mistake_in_an_included_file_is_told_with_its_place(tmp_path: Path) -> None:
    path = write(tmp_path, a='include "b.conf";', b="\nzone {")
    with pytest.raises(LintError, match=r"b.conf:2: the { is never closed"):
        lint(path)


def test_what_is_not_there_or_no_file_is_noted(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path = write(tmp_path, a='include "gone.conf";\ninclude "folder";\ninclude "g*.conf";')
    notes = lint(path).notes
    assert f"{path}:1: gone.conf is not there to be read" in notes
    assert f"{path}:2: {tmp_path}/folder cannot be read: Is a directory" in notes
    assert f"{path}:3: g*.conf is not there to be read" in notes
    assert f"{path}: sends no names under consul as far as it could be read" in notes


def test_notes_do_not_grow_without_end(tmp_path: Path) -> None:
    path = write(tmp_path, a='include "gone.conf";\n' * 200)
    notes = lint(path).notes
    assert notes[99:101] == (
        f"{path}:100: gone.conf is not there to be read",
        "and more that is not there to be read",
    )
    assert len(notes) == 102  # the last says that no names are sent anywhere


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"options {\n\0", r":2: holds binary data"),
        (b"\x7fELF" + bytes(100), ":1: holds binary data"),
        (b"acl a { };\n" * 250_001, "makes it more than 500000 lines and statements"),
        (b"# nothing\n", "does not look like a file of any server"),
        (b"a" * (reading.MAX_FILE + 1), "is larger than 4 MiB"),
        (b"options { \xff }\n", ":1: a ; is missing before the }"),
    ],
)
def test_what_cannot_be_read_ends_in_one_error(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "named.conf"
    path.write_bytes(data)
    with pytest.raises(LintError, match=said):
        lint(path)


def test_what_is_no_file_ends_in_one_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path, "cannot be read: Is a directory"),
        (tmp_path / "pipe", "is not a file"),
        (Path("/dev/null"), "is not a file"),
        (tmp_path / "none", "cannot be read: No such file"),
        (tmp_path / ("x" * 300), "cannot be read: File name too long"),
        (tmp_path / "a\0b", "cannot be read: embedded null"),
    ):
        with pytest.raises(LintError, match=said):
            lint(path)


@pytest.mark.parametrize(
    "text",
    [
        f"zone {'1.' * 500_000}10.in-addr.arpa {{ type forward; forwarders {{ 10.0.0.1; }}; }};",
        f"forward-zone:\nname: {'1.' * 500_000}10.in-addr.arpa\nforward-addr: 10.0.0.1\nserver:\n",
    ],
)
def test_a_name_of_endless_labels_takes_no_time(tmp_path: Path, text: str) -> None:
    found = codes(lint(write(tmp_path, a=text)))
    assert any(one.endswith(("bind-empty-zone", "unbound-local-zone")) for one in found)


def test_many_zones_with_many_servers_take_no_time(tmp_path: Path) -> None:
    zones = ", ".join(f"a{n}.consul" for n in range(9_000))
    path = write(tmp_path, a=f"{zones} {{\n forward . {'10.0.0.1 ' * 50_000}\n}}\n")
    with pytest.raises(LintError, match="sends names to more than 10000 servers"):
        lint(path)


def test_patterns_hold_in_folders_too_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    other = ZONE.replace("consul", "dc2.consul")
    path = write(tmp_path, a='include "d*/[xy].conf";', d1__x=ZONE, d1__z=ZONE, d2__y=other)
    (tmp_path / ".d3").mkdir()
    (tmp_path / ".d3/x.conf").write_text("}")
    (found,) = lint(path, ignored=frozenset({"bind-zone-below"})).findings
    assert (found.code, found.file, found.also) == (
        "single-agent",
        str(tmp_path / "d1/x.conf"),
        ((str(tmp_path / "d2/y.conf"), 1),),
    )


@pytest.mark.parametrize("include", ["e*/none*", "*/*/../*/none*"])
def test_a_pattern_does_not_look_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, include: str
) -> None:
    monkeypatch.setattr(folders, "MAX_LOOKED_AT", 20)
    path = write(tmp_path, a=f'include "{include}";\n' * 9, e__1="", e__2="", e__3="", f__1="")
    with pytest.raises(LintError, match=r"a.conf:\d: looks for files among more than"):
        lint(path)


def test_an_endless_pattern_matches_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, a=f'include "{"a?*" * 100_000}";')
    (note, _) = lint(path).notes
    assert len(note) < 5_000


def test_what_many_views_share_is_looked_through_once(tmp_path: Path) -> None:
    settings = (
        f"allow-recursion {{ {'a; ' * 20_000}}}; validate-except {{ {'a; ' * 60_000}consul; }};"
        f"{'disable-empty-zone a; ' * 10_000} clients-per-query 0;"
    )
    zone = ZONE.replace("8600;", "8600; 10.0.0.2 port 8600;")
    views = "".join(
        f"view v{n} {{ match-clients {{ 10.{n}.0.0/16; }}; {zone} }};\n" for n in range(256)
    )
    before = time.process_time()
    assert codes(lint(write(tmp_path, a=f"options {{ {settings} }};\n{views}"))) == []
    assert time.process_time() - before < 3


def test_what_is_no_file_is_not_even_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    opened: list[str] = []
    monkeypatch.setattr(os, "open", lambda path, flags: opened.append(path))
    with pytest.raises(LintError, match="is not a file"):
        lint(tmp_path / "pipe")
    assert opened == []


def test_what_the_kernel_makes_up_is_not_read() -> None:
    assert reading.read_text(Path("/proc/self/status")) == ""


def test_more_servers_than_can_be_meant_end_in_one_error(tmp_path: Path) -> None:
    path = write(tmp_path, r="[Resolve]\nDNS=" + "10.0.0.1 " * 200 + "\nDomains=" + "~consul " * 60)
    with pytest.raises(LintError, match="sends names to more than 10000 servers"):
        lint(path)


def test_the_version_is_given_asked_or_the_newest(tmp_path: Path) -> None:
    path = write(tmp_path, named="options { dnssec-enable no; dnssec-validation no; };")

    def version(written: str | None, found: Version | None) -> tuple[Version, str, str]:
        def installed(server: ServerKind) -> Version | None:
            assert server.title == "BIND"
            return found

        wanted = Wanted(version=written, ignored=frozenset({"not-sent"}))
        report = check(path, wanted, lambda _: {}, installed)
        worst = sorted(one.code for one in report.findings)[-1]
        return report.version, report.origin, worst

    assert version("9.16", (9, 18)) == ((9, 16), "given", "bind-obsolete-option")
    assert version(None, (9, 18, 49)) == ((9, 18, 49), "installed", "bind-dnssec-enable")
    assert version(None, None) == ((9, 20), "newest known", "bind-dnssec-enable")
    with pytest.raises(UsageError, match="'nine' is no version, such as"):
        version("nine", None)


def test_codes_can_be_ignored(tmp_path: Path) -> None:
    path = write(tmp_path, named=ZONE)
    assert codes(lint(path)) == ["named.conf:1 single-agent"]
    assert codes(lint(path, ignored=frozenset({"single-agent"}))) == []
    with pytest.raises(UsageError, match="there is no code 'singel-agent'"):
        lint(path, ignored=frozenset({"singel-agent"}))


def test_other_domains_and_consulfwd_itself(tmp_path: Path) -> None:
    path = write(tmp_path, named=ZONE)
    assert codes(lint(path, domains=("Corp.example.",))) == ["named.conf:1 not-sent"]
    assert codes(lint(path, domains=("corp", "CONSUL."))) == [
        "named.conf:1 not-sent",
        "named.conf:1 single-agent",
    ]
    assert codes(lint(path, own=frozenset({("10.0.0.1", 8600)}))) == []


def test_a_public_resolver_is_not_taken_for_an_agent_without_its_port(tmp_path: Path) -> None:
    path = write(tmp_path, a="[Resolve]\nDNS=10.0.0.1:8600 8.8.8.8\nDomains=~consul\n")
    found = codes(lint(path, version="252"))
    assert found == ["a.conf:2 agent-public", "a.conf:2 resolved-all-names"]


def test_a_global_address_is_not_yet_that_of_a_public_resolver(tmp_path: Path) -> None:
    path = write(tmp_path, a="[Resolve]\nDNS=10.0.0.1:8600 2a01:e0a:5::11\nDomains=~consul\n")
    found = codes(lint(path, version="252"))
    assert found == ["a.conf:2 agent-port", "a.conf:2 resolved-all-names"]


def test_the_mend_of_dnssec_enable_has_the_domain_that_is_meant(tmp_path: Path) -> None:
    path = write(tmp_path, a="options { dnssec-enable no; dnssec-validation no; };")
    found = {one.code: one for one in lint(path, domains=("corp",)).findings}
    assert 'validate-except { "corp"; };' in found["bind-dnssec-enable"].mend


def test_drop_ins_of_a_folder_are_one_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "resolved.conf.d"
    folder.mkdir()
    (folder / "00-consul.conf").write_text("[Resolve]\nDNS=10.0.0.1:8600\nDomains=~consul\n")
    (folder / "provider.conf").write_text("[Resolve]\nDNS=192.0.2.3\n")
    (folder / "not.txt").write_text("[Resolve]\nDNS=192.0.2.4\n")
    expected = [
        "00-consul.conf:2 resolved-all-names",
        "00-consul.conf:2 single-agent",
        "provider.conf:2 resolved-shared-list",
    ]
    for path in (folder, folder / "00-consul.conf", folder / "provider.conf"):
        report = lint(path, version="252")
        assert sorted(codes(report)) == expected
    (tmp_path / "resolved.conf").write_text("[Resolve]\nDNSSEC=yes\n")
    for path in (tmp_path / "resolved.conf", folder / "provider.conf"):
        report = lint(path, version="252")
        assert sorted(codes(report)) == [*expected, "resolved.conf:2 resolved-dnssec"]
    assert codes(lint(write(tmp_path, alone="[Resolve]\nDNS=192.0.2.3\n"), version="252")) == [
        "alone.conf:1 not-sent"
    ]


def test_a_folder_of_another_server_is_read_when_it_is_named(tmp_path: Path) -> None:
    write(tmp_path, d__1="server=/consul/10.0.0.1#8600", d__2="min-cache-ttl=1")
    assert codes(lint(tmp_path / "d")) == ["1.conf:1 single-agent", "2.conf:1 dnsmasq-ttl-floor"]
    assert codes(lint(tmp_path / "d/2.conf", server="dnsmasq", version=None)) == [
        "2.conf:1 dnsmasq-ttl-floor",
        "2.conf:1 not-sent",
    ]


def test_files_given_together_are_parts_of_one_configuration(tmp_path: Path) -> None:
    paths = [
        write(tmp_path, options="options { dnssec-validation no; clients-per-query 0; };"),
        write(tmp_path, local=ZONE),
    ]
    found = [read(path, NEVER, lambda _: None) for path in paths]
    reports = [judged(one, NEVER, lambda _: {}, found) for one in found]
    assert [codes(report) for report in reports] == [[], ["local.conf:1 single-agent"]]
    assert codes(judged(found[0], NEVER, lambda _: {})) == ["options.conf:1 not-sent"]


def test_one_cause_in_many_places_is_told_once(tmp_path: Path) -> None:
    views = "".join(
        f"view v{n} {{\n match-clients {{ 10.{n}.0.0/16; }};\n {ZONE} }};\n" for n in range(9)
    )
    report = lint(write(tmp_path, a=f"options {{ validate-except {{ consul; }}; }};\n{views}"))
    assert [(one.line, one.code, len(one.also)) for one in report.findings] == [
        (2, "bind-clients-per-query", 8),
        (4, "single-agent", 8),
    ]


@pytest.mark.parametrize(
    ("text", "wanted", "line", "said"),
    [
        ("server=/notconsul/10.0.0.1#8600", {}, 1, "notconsul is another domain"),
        ("server=/dc.internal/10.0.0.1#8600", {}, 1, "dc.internal is sent to agents instead"),
        ("no-poll\nserver=/corp/10.0.0.53", {"domains": ("sd.corp",)}, 2,
         "its names are asked where those of corp are, at 10.0.0.53"),
        ("server=/consul/10.0.0.1#8600", {"domains": ("consul", "sd.example")}, 1,
         "sd.example is sent to no agent: consul is sent to agents instead"),
        ("server=10.0.0.53", {}, 1, "consul is sent to no agent: no zone here is for it"),
    ],
)  # fmt: skip
def test_a_domain_that_is_not_sent_is_told(
    tmp_path: Path, text: str, wanted: dict[str, Any], line: int, said: str
) -> None:
    report = lint(write(tmp_path, a=text), version=None, **wanted)
    (found,) = [one for one in report.findings if one.code == "not-sent"]
    assert found.line == line
    assert said in found.what
    domain = wanted.get("domains", ("consul",))[-1]
    assert f"server=/{domain}/" in found.mend
    assert ("lint with --domain dc.internal" in found.mend) == ("dc.internal" in text)


def test_what_is_sent_to_a_zone_around_it_may_go_to_agents(tmp_path: Path) -> None:
    path = write(tmp_path, a="server=/corp/10.0.0.1#8600\nserver=/corp/10.0.0.2#8600\nall-servers")
    assert codes(lint(path, version=None, domains=("sd.corp",))) == []


@pytest.mark.parametrize(
    ("zones", "said"),
    [
        (["service.consul"], "only service.consul goes to agents: not host1.node.consul and"
         " web.query.consul"),
        (["dc2.consul", "node.consul"], "only dc2.consul and node.consul go to agents: not"
         " web.service.consul and web.query.consul"),
        ([f"{part}.consul" for part in ("service", "node", "query", "virtual", "addr")],
         "only service.consul, node.consul, query.consul and 2 more go to agents: not names of"
         " other datacenters"),
    ],
)  # fmt: skip
def test_a_domain_that_is_partly_sent_is_told(
    tmp_path: Path, zones: list[str], said: str
) -> None:
    lines = [f"server=/{zone}/10.0.0.{end}#8600" for zone in zones for end in (1, 2)]
    report = lint(write(tmp_path, a="\n".join([*lines, "all-servers"])), version=None)
    (found,) = report.findings
    assert (found.code, found.line, found.what) == ("part-sent", 1, said)
    assert found.mend == "server=/consul/10.0.0.1#8600\nserver=/consul/10.0.0.2#8600"


def test_what_was_not_read_may_send_the_domain(tmp_path: Path) -> None:
    path = write(tmp_path, a='include "gone"; options { recursion no; };')
    assert codes(lint(path, ignored=frozenset({"bind-validation"}))) == []
    other = ZONE.replace("consul", "consul.local")
    path = write(tmp_path, a=f'include "gone"; {other}')
    assert codes(lint(path)) == ["a.conf:1 not-sent"]


def test_what_is_missing_is_missed_in_the_file_that_was_given(tmp_path: Path) -> None:
    path = write(tmp_path, main='include: "d/*.conf"\n', d__a="\nserver:\n discard-timeout: 0\n")
    assert codes(lint(path)) == ["main.conf:1 not-sent"]
    assert codes(lint(tmp_path / "d")) == ["a.conf:2 not-sent"]


def test_reverse_names_of_dnsmasq_are_no_domain_of_consuls(tmp_path: Path) -> None:
    text = "local-service\nrev-server=172.16.0.0/12,10.0.0.1#8600\n"
    (found,) = lint(write(tmp_path, a=text), server="dnsmasq").findings
    assert found.code == "not-sent"
    assert found.mend == "server=/consul/127.0.0.1#8600"


def test_a_part_that_is_sent_to_nobody_is_the_domains(tmp_path: Path) -> None:
    agents = "server=/consul/10.0.0.1#8600\nserver=/consul/10.0.0.2#8600\nall-servers\n"
    path = write(tmp_path, a=f"local-service\nlocal=/service.consul/\n{agents}")
    (found,) = lint(path, server="dnsmasq").findings
    assert (found.code, found.line) == ("no-agents", 2)
    assert found.mend.startswith("take it out: ")


def test_keywords_of_bind_may_have_capitals(tmp_path: Path) -> None:
    agents = "10.0.0.1 Port 8600; 10.0.0.2 PORT 8600;"
    text = 'Options { DNSSEC-Validation No; Clients-Per-Query 0; };\nZone "Consul" {'
    path = write(tmp_path, a=f"{text} Type Forward; Forward Only; Forwarders {{ {agents} }}; }};")
    assert lint(path).findings == ()


def test_names_all_go_to_agents_in_some_views_only(tmp_path: Path) -> None:
    views = "".join(
        f"view v{n} {{ match-clients {{ 10.{n}.0.0/16; }}; forwarders {{ {servers} }}; }};\n"
        for n, servers in enumerate(("10.0.0.1 port 8600; 10.0.0.2 port 8600;", "10.0.0.53;"))
    )
    options = "options { dnssec-validation no; clients-per-query 0; };\n"
    assert codes(lint(write(tmp_path, a=options + views))) == ["a.conf:1 not-sent"]
    first = views.split("\n")[0]
    assert codes(lint(write(tmp_path, a=options + first))) == ["a.conf:2 all-sent"]


def test_what_one_file_says_holds_for_those_given_with_it(tmp_path: Path) -> None:
    paths = [
        write(tmp_path, main="no-resolv\nall-servers\n"),
        write(
            tmp_path,
            part="interface=lo\nserver=/consul/10.0.0.1#8600\nserver=/consul/10.0.0.2#8600",
        ),
    ]
    wanted = Wanted(server="dnsmasq")
    found = [read(path, wanted, lambda _: None) for path in paths]
    assert [codes(judged(one, wanted, lambda _: {}, found)) for one in found] == [[], []]
    assert [codes(judged(one, wanted, lambda _: {})) for one in found] == [
        ["main.conf:1 dnsmasq-open", "main.conf:1 not-sent"],
        ["part.conf:2 dnsmasq-one-at-a-time"],
    ]
    folder = write(tmp_path, dnsmasq__part="cache-size=1\nserver=/consul/10.0.0.1#8600\n").parent
    assert "1 dnsmasq-open" in str(codes(lint(folder / "part.conf", server="dnsmasq")))
    folder = folder.rename(tmp_path / "dnsmasq.d")
    assert codes(lint(folder / "part.conf", server="dnsmasq")) == ["part.conf:2 single-agent"]
