"""What a report looks like: the table, JSON, Markdown, the page; whatever strangers registered."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from consulfwd.audit import against, layout, without
from consulfwd.audit.markdown import escaped, markdown, mermaid
from consulfwd.audit.page import page
from consulfwd.audit.report import Report
from consulfwd.audit.shown import data, table
from consulfwd.audit.svg import svg
from consulfwd.audit.wording import summary
from tests.audit.sites import instance, node, report, service, site

HOSTILE = '<script>alert(1)</script>"\'`|\n\x1b[31m\u202e]--> end\n```\n&#x41;'
A, B, C = (node(name, f"10.{n}.0.1") for n, name in enumerate("abc", 1))
TAGS = {"html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "ul", "li", "b"}
TAGS |= {"code", "span", "div", "svg", "defs", "marker", "path", "g", "rect", "text"}


def crowd() -> Report:
    """The dashboard that needs one Crowd."""
    needs = [("dashboard", "portal"), ("portal", "crowd"), ("crowd", "lost")]
    return report(
        site(
            service("dashboard", A, B),
            service("portal", A, B),
            service("crowd", C),
            service("gone", instance(C, healthy=False)),
            service("fine", A, B, C),
            needs=needs,
        )
    )


def hostile(name: str = HOSTILE) -> Report:
    bad = node(name, name, name)
    return report(
        site(
            service(name, bad),
            service(name + "2", A, B),
            needs=[(name + "2", name), (name, name + "3")],
            nodes=(A, B, bad),
        )
    )


def text(made: Report) -> str:
    return "\n".join(line for _, line in table(made))


def test_a_table() -> None:
    assert text(crowd()) == "\n".join(
        [
            "4 critical",
            "  none-healthy: gone",
            "      gone is down: its one instance is not healthy",
            "      mend: see what its checks say, or deregister it",
            "  one-instance: crowd",
            "      crowd falls with c: it has one instance",
            "      mend: run a second instance on another host",
            "  hidden-dependency: dashboard -> crowd",
            "      dashboard, though on several nodes, falls with crowd, which falls with c"
            " (dashboard -> portal -> crowd)",
            "      mend: run a second crowd elsewhere, or have dashboard do without it for a while",
            "  hidden-dependency: portal -> crowd",
            "      portal, though on several nodes, falls with crowd, which falls with c",
            "      mend: run a second crowd elsewhere, or have portal do without it for a while",
            "",
            "1 warning",
            "  unknown-dependency: lost",
            "      crowd may fall with lost, of which Consul knows nothing",
            "      mend: register it (with a check), or mend the name",
            "",
            "what falls with what",
            "  c: crowd; and what needs them: dashboard, portal",
            "",
            "4 critical, 1 warning",
            "looked at 5 services, 9 instances, 3 nodes, 3 servers, 3 dependencies, the"
            " configuration of 0 agents, by 39 rules",
        ]
    )


def test_nothing_found_is_said_with_what_was_looked_at() -> None:
    said = text(report(site(service("web", A, B))))
    assert said.startswith("nothing found\nlooked at 1 service, 2 instances, 2 nodes, 3 servers,")


def test_a_baseline_tells_what_is_new_and_what_is_gone() -> None:
    made = crowd()
    known = [one.key for one in made.findings if one.id != "unknown-dependency"]
    later = against(made, [*known, "one-node:old"])
    assert [one.key for one in later.news] == ["unknown-dependency:lost"]
    assert (later.fails("critical"), later.fails("warning")) == (False, True)
    assert "unknown-dependency: lost  (new)" in text(later)
    assert "gone since the baseline\n  one-node:old" in text(later)
    assert summary(later).endswith("; 1 new, 1 gone")
    assert data(later)["gone"] == ["one-node:old"]
    assert not against(made, [one.key for one in made.findings]).fails("note")


def test_what_is_ignored_is_told_with_its_reason_and_is_not_gone() -> None:
    reasons = {"none-healthy:gone": "it moves", "hidden-dependency:*": "known"}
    made = without(crowd(), reasons)
    assert [one.id for one in made.findings] == ["one-instance", "unknown-dependency"]
    assert "ignored\n  none-healthy:gone: it moves\n" in text(made)
    assert against(made, ["none-healthy:gone"]).changes == against(made, []).changes


def test_fails_from_a_severity_on() -> None:
    warns = report(site(service("web", A, instance(B, checks=0))))
    assert [warns.fails(one) for one in ("critical", "warning", "note")] == [False, True, True]


class Seen(HTMLParser):
    """The tags of a page, with what could run in them; its style and its texts."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.metas: dict[str, str] = {}
        self.style = ""
        self._in_style = False
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        found = dict(attrs)
        if tag == "meta" and found.get("http-equiv"):
            self.metas[str(found["http-equiv"])] = str(found["content"])
        self._in_style = tag == "style"

    def handle_data(self, text: str) -> None:
        if self._in_style:
            self.style += text
            self._in_style = False


@pytest.mark.parametrize("make", [crowd, hostile])
def test_a_page_has_no_script_and_allows_nothing_but_its_own_style(make: Any) -> None:
    seen = Seen(page(make(), "today"))
    assert seen.tags <= TAGS
    assert not {one for one in seen.attributes if one.startswith("on") or one == "style"}
    assert not {"src", "href", "xlink:href"} & seen.attributes
    digest = base64.b64encode(hashlib.sha256(seen.style.encode()).digest()).decode()
    assert seen.metas["Content-Security-Policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert "prefers-color-scheme: dark" in seen.style
    assert "url(" not in seen.style
    assert "@import" not in seen.style


def test_names_of_strangers_stay_texts_everywhere() -> None:
    made = hostile()
    assert "<script" not in page(made, "<b>")
    drawn = ElementTree.fromstring(svg(layout.picture(made)))
    assert drawn.tag.endswith("svg")
    for said in (text(made), markdown(made), page(made, "now"), json.dumps(data(made))):
        assert all(one == "\n" or one.isprintable() for one in said)
    chart = mermaid(made)
    assert not re.search(r'[<>`](?!br>)', chart.replace("<br>", "").replace("-->", "").replace(
        "==>", "").replace("-.->", ""))  # fmt: skip
    # A table of Markdown has as many cells in each row.
    rows = [line for line in markdown(made).splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {5}
    assert "```" not in markdown(made).replace("```mermaid", "").replace("\n```\n", "")


def test_long_names_are_cut_in_the_picture_and_whole_in_json() -> None:
    made = hostile("x" * 500)
    assert '"x' + "x" * 499 + '"' in json.dumps(data(made))
    assert max(map(len, text(made).splitlines())) < 600
    assert re.findall(r'class="name"[^>]*>([^<]*)<', svg(layout.picture(made)))[0].startswith("xxx")


def test_the_picture_has_columns_from_who_needs_to_what_is_needed() -> None:
    drawn = layout.picture(crowd())
    kinds = {one.name: (one.kind, one.column) for one in drawn.boxes}
    assert kinds == {
        "dashboard": ("hidden", 0),
        "portal": ("hidden", 1),
        "crowd": ("alone", 2),
        "lost": ("unknown", 3),
        "gone": ("down", 3),
        "c": ("node", 4),
    }
    hot = {(one.source[2:], one.target[2:]) for one in drawn.arrows if one.hot}
    assert hot == {("dashboard", "portal"), ("portal", "crowd"), ("crowd", "c")}
    assert (drawn.left_out, drawn.apart) == (0, 1)
    # What goes on over a column has a place in it, between the boxes.
    (over,) = [one for one in drawn.arrows if one.target == "n:c"]
    assert len(over.by) == 1
    assert over.by[0] in drawn.columns[3]


def test_boxes_do_not_overlap_and_stay_inside() -> None:
    count = 60
    services = [service(f"s{n}", *((A,) if n % 3 == 0 else (B, C))) for n in range(count)]
    needs = [(f"s{n}", f"s{n * 2 + k}") for n in range(count // 2) for k in (1, 2)]
    made = report(site(*services, needs=needs))
    drawn = ElementTree.fromstring(svg(layout.picture(made)))
    width, height = float(drawn.attrib["width"]), float(drawn.attrib["height"])
    boxes = [
        (float(one.attrib["x"]), float(one.attrib["y"]))
        for one in drawn.iter("{http://www.w3.org/2000/svg}rect")
    ]
    assert len(boxes) == count + 1
    for number, (x, y) in enumerate(boxes):
        assert 0 < x <= width - 190
        assert 0 < y <= height - 40
        for other_x, other_y in boxes[number + 1 :]:
            assert abs(x - other_x) >= 190 or abs(y - other_y) >= 40


def test_of_very_many_those_of_hidden_needs_are_drawn() -> None:
    services = [service(f"s{n:04}", A) for n in range(3000)]
    services += [service("zz", B, C)]
    made = report(site(*services, needs=[("zz", "s2999")]))
    drawn = layout.picture(made)
    assert {"zz", "s2999"} <= {one.name for one in drawn.boxes}
    assert sum(one.kind != "node" for one in drawn.boxes) == layout.MOST
    assert drawn.left_out == 3001 - layout.MOST
    assert "more are not drawn" in page(made, "now")
    assert len(page(made, "now")) < 500_000
    assert len(text(made).splitlines()) < 700
    assert "  and 2901 more (--json has all)" in text(made)


def test_a_circle_is_drawn_too() -> None:
    made = report(site(*(service(n, A, B) for n in "pq"), needs=[("p", "q"), ("q", "p")]))
    assert svg(layout.picture(made)).count('class="arrow') == 2
    assert layout.picture(report(site(service("web", A, B)))).boxes == ()
    assert svg(layout.picture(report(site()))) == ""


def test_mermaid() -> None:
    assert mermaid(crowd()).splitlines()[:8] == [
        "flowchart LR",
        '    n0("dashboard<br>2 instances on 2")',
        '    n1("portal<br>2 instances on 2")',
        '    n2("crowd<br>1 instance")',
        '    n3("lost<br>not in the catalog")',
        '    n4("gone<br>down")',
        '    n5[/"c<br>node#58; 1 service only here"/]',
        "    n2 --> n3",
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("web-1", "web-1"),
        ("a|b", r"a\|b"),
        ("- x", r"\- x"),
        ("<b>", "&lt;b&gt;"),
        ("`x` *y* [z]", r"\`x\` \*y\* \[z\]"),
        ("a\nb", r"a\\nb"),
    ],
)
def test_markdown_is_escaped(given: str, expected: str) -> None:
    assert escaped(given) == expected
