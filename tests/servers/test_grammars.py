"""The grammars: what they make of text, and that a mistake is told with its line."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.errors import LintError
from consulfwd.lint.kinds import SERVERS, guess
from consulfwd.lint.versions import read_version
from consulfwd.servers import documents, lua
from consulfwd.servers.bind import grammar as bind
from consulfwd.servers.bind import written
from consulfwd.servers.coredns import grammar as corefile
from consulfwd.servers.dnsmasq import grammar as dnsmasq
from consulfwd.servers.findings import Context, questions, run
from consulfwd.servers.kind import ServerKind
from consulfwd.servers.pdns_recursor import grammar as pdns
from consulfwd.servers.resolved import grammar as resolved
from consulfwd.servers.syntax import SyntaxNode, everything
from consulfwd.servers.unbound import grammar as unbound
from consulfwd.servers.unbound import written as unbound_written


def shown(nodes: list[SyntaxNode] | tuple[SyntaxNode, ...], indent: str = "") -> list[str]:
    """Statements as lines: number, words, what is within deeper."""
    lines = []
    for node in nodes:
        lines.append(f"{indent}{node.line} {'|'.join(node.words)}")
        lines += shown(node.body, indent + "  ")
    return lines


def test_bind() -> None:
    text = """options { // one
  forwarders port 53 { 10.0.0.1; 10.0.0.2 port 54; }; /* two
  lines */ deny { 10/8; } except-from { "a b"; };
};
include "x//y"; # three
zone consul/24 IN { };"""
    assert shown(bind.parse(text, "f")) == [
        "1 options",
        "  2 forwarders|port|53",
        "    2 10.0.0.1",
        "    2 10.0.0.2|port|54",
        "  3 deny|except-from",
        "    3 10/8",
        "    3 a b",
        "5 include|x//y",
        "6 zone|consul/24|IN",
    ]


def test_unbound() -> None:
    text = """server: port: 53 # one
  verbosity:1
  local-zone: "a b." 'nodefault'
  interface:
    ::1
include: "x"
forward-zone:
  forward-addr: 10.0.0.1@8600#name"""
    assert shown(unbound_written.joined(unbound.parse(text, "f"))) == [
        "1 server",
        "  1 port|53",
        "  2 verbosity|1",
        "  3 local-zone|a b.|nodefault",
        "  4 interface|::1",
        "  6 include|x",
        "7 forward-zone",
        "  8 forward-addr|10.0.0.1@8600#name",
    ]


def test_dnsmasq() -> None:
    text = 'server = /consul/10.0.0.1#8600 # one\n#two\n\n domain-needed\ntxt="a # b"\nport='
    assert shown(dnsmasq.parse(text, "f")) == [
        "1 server|/consul/10.0.0.1#8600",
        "4 domain-needed",
        "5 txt|a # b",
        "6 port|",
    ]


def test_resolved() -> None:
    text = "# one\n[Resolve]\nDNS = 10.0.0.1 \\\n; not this\n  10.0.0.2\nDomains=\n"
    assert shown(resolved.parse(text, "f")) == [
        "2 Resolve",
        "  3 DNS|10.0.0.1|10.0.0.2",
        "  6 Domains",
    ]


def test_corefile() -> None:
    text = """consul:53,
a.consul { # one
  forward . "10.0.0.1" {
    max_fails 2
  }
  log
}
"""
    assert shown(corefile.parse(text, "f")) == [
        "1 consul:53,|a.consul",
        "  3 forward|.|10.0.0.1",
        "    4 max_fails|2",
        "  6 log",
    ]
    assert shown(corefile.parse("consul:53\nforward . 10.0.0.1\nerrors", "f")) == [
        "1 consul:53",
        "  2 forward|.|10.0.0.1",
        "  3 errors",
    ]
    assert shown(corefile.parse("forward . 10.0.0.1\nerrors", "f")) == [
        "1 forward|.|10.0.0.1",
        "2 errors",
    ]


def test_a_corefile_with_a_block_on_one_line() -> None:
    (block,) = corefile.parse("consul { forward . 10.0.0.1 }", "f")
    assert shown([block]) == ["1 consul", "  1 forward|.|10.0.0.1"]
    assert block.fault == "a block stands on one line, and CoreDNS takes its } for a word"
    assert block.mend == "consul {\n    forward . 10.0.0.1\n}"


def test_what_a_variable_of_lua_stands_for() -> None:
    text = """local a, b, c = {}, {'x'}, {}
a = {'1'}
b = {'2'}
c = '3' .. '4'
d = c .. e .. '5'
b[#b + 1] = 'more'
f(a, b, c .. ':53', d)
table.insert(a, 'more')
f(a, ...)
"""
    assert shown(lua.parse(text, "f"))[:9] == [
        "7 f",
        "  2 {}",
        "    2 1",
        "  7 ?|b",
        "  4 34:53",
        "  4 ?",
        "8 table.insert",
        "  8 ?|a",
        "  8 more",
    ]


def test_lua() -> None:
    text = """-- one --[[ two
--[==[ three
four ]] ]==] modules = {'a', "b\\n", [[
c]]}
local s = {'1.1.1.1', more = {x = 1; 2}, (1 + 2) * 3}
if f then policy.add(policy.all(policy.STUB(s)), "d" .. "e", function(a, b) return a end) end
view:addr "f" net.listen{'::', 53}
"""
    assert shown(lua.parse(text, "f")) == [
        "3 modules",
        "  3 {}",
        "    3 a",
        "    3 b\n",
        "    3 \nc",
        "6 policy.add",
        "  6 policy.all",
        "    6 policy.STUB",
        "      5 {}",
        "        5 1.1.1.1",
        "        5 more|{}",
        "          5 x|1",
        "          5 2",
        "        5 ?",
        "  6 de",
        "  6 function",
        "    6 ?|a",
        "    6 ?|b",
        "7 view:addr",
        "  7 f",
        "7 net.listen",
        "  7 {}",
        "    7 ::",
        "    7 53",
    ]


def test_variables_of_lua_do_not_multiply() -> None:
    text = "a = {1, 2}\nb = {a, a}\n"
    table, inner = "  2 {}", ["    1 {}", "      1 1", "      1 2"]
    assert shown(lua.parse(text + "f(b)", "f")) == ["3 f", table, *inner, *inner]
    lines = [f"a{n + 1} = {{a{n}, a{n}}}" for n in range(60)]
    (call,) = lua.parse("a0 = {1}\n" + "\n".join(lines) + "\nf(a60)", "f")
    assert len(list(everything([call]))) < 300
    text = "a = {" + "1, " * 500 + "}\nf(" + "a, " * 10_000 + ")"
    (call,) = lua.parse(text, "f")
    assert len(list(everything([call]))) < 120_000


def test_yaml() -> None:
    text = "a:\n  b: 1\n  c: [x, y]\n  d:\n    - e: {f: 2}\n      g: *h\n    - i\n---\nj: k\n"
    assert shown(documents.parse(text, "f")) == [
        "1 a",
        "  2 b|1",
        "  3 c|x|y",
        "  4 d|i",
        "    5 -",
        "      5 e",
        "        5 f|2",
        "9 j|k",
    ]


def test_pdns_recursor() -> None:
    text = """forward-zones=a=10.0.0.1;[::1]:53, b = 10.0.0.2 # one
x +=1, \\
 2
+c=10.0.0.3, 10.0.0.4
"""
    assert shown(pdns.parse(text, "f")) == [
        "1 forward|a|10.0.0.1|[::1]:53",
        "1 forward|b|10.0.0.2",
        "2 x|1|2",
        "4 forward|c|10.0.0.3|10.0.0.4",
    ]
    text = """recursor:
  forward_zones:
  - zone: a
    forwarders: [10.0.0.1]
  serve_rfc1918: false
"""
    assert shown(pdns.parse(text, "f")) == ["4 forward|a|10.0.0.1", "5 serve-rfc1918|false"]
    assert shown(pdns.parse("- zone: a\n  forwarders:\n  - 10.0.0.1", "f")) == [
        "2 forward|a|10.0.0.1"
    ]
    assert shown(pdns.parse('addNTA("a", "why")\naddDS("b", "x")', "f")) == ["1 nta|a"]


@pytest.mark.parametrize(
    ("text", "parts", "faults"),
    [
        (
            "options { recursion yes allow-query { any; }; };",
            ["1 options", "  1 recursion|yes", "  1 allow-query", "    1 any"],
            ["a ; is missing after recursion yes: allow-query became a part of it"],
        ),
        (
            "zone x { forwarders { 10.0.0.1; } forward only; };",
            ["1 zone|x", "  1 forwarders", "    1 10.0.0.1", "  1 forward|only",
             "  1 type|forward"],
            ["the zone x has no type",
             "a ; is missing after forwarders { ... }: forward became a part of it"],
        ),
        (
            "options { };n\nzone x { };",
            ["1 options", "1 n", "1 zone|x"],
            ["named does not know 'n', which stands before zone"],
        ),
        (
            "recursion no;\noptions { };",
            ["1 recursion|no", "2 options"],
            ["named does not know 'recursion' here"],
        ),
        ("recursion no;\nforward only;", ["1 recursion|no", "2 forward|only"], []),
        (
            "options { listen-on port 53 { any; }; zone-statistics yes; };\nzone options IN { };",
            ["1 options", "  1 listen-on|port|53", "    1 any", "  1 zone-statistics|yes",
             "2 zone|options|IN"],
            [],
        ),
    ],
)  # fmt: skip
def test_what_is_written_wrong_in_named_conf_is_read_as_meant(
    text: str, parts: list[str], faults: list[str]
) -> None:
    nodes = written.joined(bind.parse(text, "f"))
    assert shown(nodes) == parts
    found = [one for one in everything(nodes) if one.fault]
    assert [one.fault for one in found] == faults
    assert all(one.mend for one in found)


DEEP = 40


@pytest.mark.parametrize(
    ("server", "text", "said"),
    [
        ("bind", "\noptions { recursion yes }", "f:2: a ; is missing before the }"),
        ("bind", "options { };\nrecursion yes", "f:2: a ; is missing after this statement"),
        ("bind", "options { }\nzone x { };", "f:2: a ; is missing after the } before"),
        ("bind", "options {\n\n", "f:1: the { is never closed"),
        ("bind", "a;\n};", "f:2: a } without a {"),
        ("bind", 'a "b\nc', "f:1: a quoted text is not ended"),
        ("bind", "a;\n/* b", "f:2: a comment is not ended"),
        ("bind", "a {" * DEEP, "f:1: blocks are nested more than 32 deep"),
        ("bind", "a" + " { b; }" * DEEP + ";", "f:1: a ; is missing after one of the } before"),
        ("bind", "x {" + " a { }" * DEEP + ";};", "f:1: a ; is missing after one of the } before"),
        ("unbound", "port: 53", "f:1: port: stands before any section"),
        ("unbound", "server:\nports 53", "f:2: 'ports' is not the value of anything"),
        ("unbound", "53", "f:1: '53' is not the value of anything"),
        ("unbound", 'server:\nport: "53\n"', "f:2: a quoted text is not ended on its line"),
        ("dnsmasq", "port=53\n--server=x", "f:2: '--server=x' is not an option"),
        ("dnsmasq", 'txt="a', "f:1: a quoted text is not ended on its line"),
        ("resolved", "DNS=10.0.0.1", "f:1: 'DNS' stands before any section"),
        ("resolved", "[Resolve]\nDNS", "f:2: 'DNS' is not Key=value"),
        ("resolved", "[Resolve", "f:1: the name of a section has no ]"),
        ("coredns", ". {\n", "f:1: the { is never closed"),
        ("coredns", "errors\n}\n", "f:2: a } without a {"),
        ("coredns", 'errors "a\n', "f:1: a quoted text is not ended"),
        ("coredns", "a {\n" * DEEP, "f:33: blocks are nested more than 32 deep"),
        ("kresd", "\nf('a\n')", "f:2: a quoted text is not ended on its line"),
        ("kresd", "f(\ng(", "f:2: no ) closes what begins here"),
        ("kresd", "\n--[=[ a ]]", "f:2: --[=[ is never closed"),
        ("dnsdist", "f(" * DEEP, "f:1: is nested more than 32 deep"),
        ("pdns-recursor", "a=b\nc", "f:2: 'c' is not name=value"),
        ("pdns-recursor", "a:\n  b: [", "f:2: is not valid YAML: "),
        ("pdns-recursor", "a:\n " + "{b: " * DEEP, "f:2: is nested more than 32 deep"),
    ],
)
def test_a_mistake_is_told_with_its_line(server: str, text: str, said: str) -> None:
    one = SERVERS[server]
    with pytest.raises(LintError) as raised:
        one.joined(one.parse(text, "f"))
    assert str(raised.value).startswith(said)
    assert raised.value.mend
    assert raised.value.exit_code == 2


PIECES_TEXT = """
    { } ; " ' # // /* */ \\ = : , / ( ) [Resolve] DNS= Domains= ~consul consul consul. . ~ !
    options zone view acl server: server forward-zone: stub-zone: name: forward-addr: type forward
    forwarders port 8600 127.0.0.1 127.0.0.1@8600 127.0.0.1#8600 127.0.0.1:8600 ::1 fe80::1%lo
    server= server=/consul/ rev-server= dnssec errors cache forward . import include (x) only first
    min-cache-ttl 0 -1 99999999999999999999 ² access-control: 0.0.0.0/0 allow any
    10.in-addr.arpa private-address: module-config: success denial disable max_fails tls
    policy.add(policy.suffix(policy.STUB( policy.FORWARD( {todname('consul')})) policy.all
    net.listen( newServer({ address= pool= addAction( PoolAction( AllRule() QNameRule( setACL({
    -- [[ ]] ) ({ forward-zones= dnssec= recursor: forward_zones: - zone: forwarders: addNTA(
    local-zone: static auth-zone: secondary primary stub masters match-clients rewrite hosts"""
PIECES = st.sampled_from(PIECES_TEXT.split())
TEXTS = st.one_of(
    st.text(max_size=200),
    st.lists(PIECES | st.sampled_from([" ", "\n"]), max_size=60).map("".join),
    st.lists(PIECES | st.just("\n"), max_size=60).map(" ".join),
    st.lists(PIECES, max_size=30).map("\n".join),
)


@given(text=TEXTS, server=st.sampled_from(sorted(SERVERS)), version=st.sampled_from(["1.0", "999"]))
def test_no_text_raises_anything_but_our_error(text: str, server: str, version: str) -> None:
    guess(text)
    one = SERVERS[server]
    number = read_version(version)
    assert number is not None
    try:
        nodes = tuple(one.joined(one.parse(text, "f")))
    except LintError:
        return
    groups = tuple(one.groups(nodes, ("consul",)))
    asked = questions(groups, ("consul",))
    context = Context(nodes, groups, ("consul",), number, frozenset(), {}, one.spell)
    for found in run(one.rules, context):
        assert 1 <= found.line <= text.count("\n") + 1
    assert len(asked) <= sum(len(group.upstreams) for group in groups)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    "text",
    [
        "zone consul { type forward; forwarders { 1.1.1.1; }; };\n" * 750,
        'zone "10.in-addr.arpa" { };view a { allow-query { any; }; };\n' * 750,
        "options { };\n" + "a { b; } " * 10 + "{ } " * 3_000,
        "a:b " * 7_500,
        "server:\n" + "forward-zone:\nname: 10.in-addr.arpa\nlocal-zone: a transparent\n" * 750,
        ("server=" + "/consul" * 10_000 + "/1.1.1.1\n") * 2,
        "[Resolve]\nDNS=" + "1.1.1.1 " * 20_000 + "\nDomains=" + "consul " * 20_000,
        "consul " * 750 + "{\n" + "forward . 1.1.1.1\ncache\n" * 750 + "}\n",
        " " * 50_000 + "{",
        '"' * 50_001,
        "/*" * 25_000,
        "\\\n" * 25_000,
    ],
    ids=range(12),
)
def test_long_texts_take_no_time(server: str, text: str) -> None:
    before = time.process_time()
    look_at(SERVERS[server], text)
    assert time.process_time() - before < 1.5


def look_at(one: ServerKind, text: str) -> None:
    """All that is done with a text that names no more servers than may be."""
    guess(text)
    try:
        nodes = tuple(one.joined(one.parse(text, "f")))
    except LintError:
        return
    groups = tuple(one.groups(nodes, ("consul",)))
    if sum(len(group.upstreams) for group in groups) > 10_000:
        return  # refused
    context = Context(nodes, groups, ("consul",), (9, 20), frozenset(), {}, one.spell)
    run(one.rules, context)


@pytest.mark.parametrize(
    ("text", "version"),
    [("9.18.49-1~deb12u3-Debian", (9, 18, 49)), ("252", (252,)), ("2.90", (2, 90)), ("x1", None)],
)
def test_versions(text: str, version: tuple[int, ...] | None) -> None:
    assert read_version(text) == version


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("include-toplevel: /etc/unbound/*.conf", "unbound"),
        ("server:\n  verbosity: 1", "unbound"),
        ('include "/etc/bind/named.conf.options";', "bind"),
        ("// c\nzone consul in {\n", "bind"),
        ("no-resolv\n", "dnsmasq"),
        ("conf-dir = /etc/dnsmasq.d # all", "dnsmasq"),
        ("[Network]\nDNS=1.1.1.1", "resolved"),
        (".:53 {\n  errors\n}", "coredns"),
        ("import sites/*", "coredns"),
        (".:53 {\n  view x {\n    expr a\n  }\n}", "coredns"),
        ("a { forward . 10.0.0.1 }", "coredns"),
        ("view x {\n  recursion no;\n};", "bind"),
        ("dnssec=off\nforward-zones=a=10.0.0.1\n", "pdns-recursor"),
        ("+a=10.0.0.1\n", "pdns-recursor"),
        ("recursor:\n  forward_zones: []\n", "pdns-recursor"),
        ("-- c\npolicy.add(policy.all(policy.DENY))\n", "kresd"),
        ("newServer{address='10.0.0.1'}\n", "dnsdist"),
        ("# only a comment", None),
        ("", None),
    ],
)
def test_who_a_file_is_for(text: str, server: str | None) -> None:
    assert guess(text) == server
