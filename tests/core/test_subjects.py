"""Names read as Consul reads them, as real Consul of two generations was seen to."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.core.subjects import Form, Subject, form_of
from consulfwd.dns.names import from_text, join, labels_of
from consulfwd.errors import WireError

ZONE = from_text("consul")


def wire(name: str) -> bytes:
    """A name as the engine keeps it: on the wire, folded."""
    return from_text(name).lower()


def read(name: str, *, srv: bool = False, domains: Iterable[str] = ("consul",)) -> str:
    """What a name is about, in words: subject, then the tag it asks for."""
    form = form_of(wire(name), [wire(one) for one in domains], srv=srv)
    if form is None:
        return "-"
    return f"{form.subject}, tag {form.tag}" if form.tag else str(form.subject)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Services, with tags before the name. Tags may hold dots.
        ("web.service.consul", "service web"),
        ("WEB.Service.CONSUL", "service web"),
        ("v1.web.service.consul", "service web, tag v1"),
        ("a.b.web.service.consul", "service web, tag a.b"),
        ("80.port.web.service.consul", "service web, tag 80.port"),
        # RFC 2782: exactly two labels that begin so, the tag behind the name, tcp is no tag.
        ("_web._tcp.service.consul", "service web"),
        ("_web._v1.service.consul", "service web, tag v1"),
        ("_web._udp.service.consul", "service web, tag udp"),
        ("_web._.service.consul", "service web"),
        ("_web._tcp.service.dc2.consul", "service web in dc2"),
        ("_web.service.consul", "service _web"),
        ("_web.tcp.service.consul", "service tcp, tag _web"),
        ("tcp._web.service.consul", "service _web, tag tcp"),
        ("x._web._tcp.service.consul", "service _tcp, tag x._web"),
        ("_._tcp.service.consul", "-"),
        # Datacenters.
        ("web.service.dc2.consul", "service web in dc2"),
        ("v1.web.service.dc2.consul", "service web in dc2, tag v1"),
        ("web.service.dc2.dc.consul", "service web in dc2"),
        ("web.service.dc.consul", "service web in dc"),
        ("web.service.DC2.consul", "service web in dc2"),
        ("web.service.x.dc2.consul", "-"),
        ("web.service.other.peer.consul", "-"),
        ("web.service.default.ns.consul", "-"),
        ("web.service.default.ap.dc2.dc.consul", "-"),
        # The rightmost label that names a kind decides.
        ("node.service.consul", "service node"),
        ("service.service.consul", "service service"),
        ("web.service.service.consul", "service service, tag web"),
        ("web.service.node.consul", "node web.service"),
        ("web.service.query.consul", "-"),
        ("web.query.service.consul", "service query, tag web"),
        # The proxies of a service: what stands before it Consul ignores.
        ("web.connect.consul", "connect web"),
        ("web.connect.dc2.consul", "connect web in dc2"),
        ("_web._v1.connect.consul", "connect _v1, tag _web"),
        # Nodes, whose names may hold dots.
        ("n1.node.consul", "node n1"),
        ("n1.example.node.consul", "node n1.example"),
        ("n1.node.node.dc2.dc.consul", "node n1.node in dc2"),
        ("_a._b.node.consul", "node _a._b"),
        # Nobody can watch these.
        ("q.query.consul", "-"),
        ("_q._tcp.query.consul", "-"),
        ("web.virtual.consul", "-"),
        ("web.ingress.consul", "-"),
        ("0a000001.addr.dc1.consul", "-"),
        # Consul would not understand these.
        ("consul", "-"),
        ("service.consul", "-"),
        ("node.consul", "-"),
        ("web.consul", "-"),
        ("dc1.consul", "-"),
        ("_web._tcp.consul", "-"),
        ("web.service.consul.example", "-"),
        ("web.serviceconsul", "-"),
        ("consul.service", "-"),
        # An A question: nothing but a datacenter can stand behind the kind.
        ("web.service._x.consul", "service web in _x"),
    ],
)
def test_names(name: str, expected: str) -> None:
    assert read(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web.service.consul", "service web"),
        ("_web._v1.service.consul", "service web, tag v1"),
        # `service` may be left out where the last label that begins so stands.
        ("_web._tcp.consul", "service web"),
        ("_web._v1.consul", "service web, tag v1"),
        ("_web._tcp.dc2.consul", "service web in dc2"),
        ("_web._tcp.dc2.dc.consul", "service web in dc2"),
        ("_web.consul", "service _web"),
        ("web.service._x.consul", "service _x, tag web.service"),
        ("_web._tcp.service._x.consul", "service _x, tag _web._tcp.service"),
        ("_q._tcp.query.consul", "-"),
        ("web.consul", "-"),
        ("_web._tcp.a.b.consul", "-"),
    ],
)
def test_names_asked_for_srv(name: str, expected: str) -> None:
    assert read(name, srv=True) == expected


@pytest.mark.parametrize(
    "labels",
    [
        # One label with a dot in it is not two labels: Consul's DNS reads `a\.b` there.
        [b"a.b", b"service"],
        [b"v1.web", b"service"],
        [b"a.b", b"node"],
        [b"web", b"service", b"d.c"],
        [b"t.ag", b"web", b"service"],
        # What a URL is made of. Consul's HTTP API takes escapes off twice.
        [b"a/b", b"service"],
        [b"a%2fb", b"service"],
        [b"..", b"node"],
        [b"a?index=1", b"service"],
        [b"a#b", b"service"],
        [b"a b", b"service"],
        [b"a\\b", b"service"],
        [b"we\xe9b", b"service"],
        [b"web\0", b"service"],
        [b"web\r\nX: y", b"service"],
        [b"web", b"service", b"dc1&stale"],
        # An upper-case letter would not have been folded: nothing of ours.
        [b"Web", b"service"],
    ],
)
def test_odd_labels_are_left_alone(labels: list[bytes]) -> None:
    assert form_of(join([*labels, b"consul"]), [ZONE]) is None
    assert form_of(join([*labels, b"consul"]), [ZONE], srv=True) is None


def test_the_longest_domain_counts() -> None:
    domains = ("consul", "service.consul", "corp.example")
    assert read("web.service.corp.example", domains=domains) == "service web"
    assert read("web.service.consul", domains=domains) == "-"
    assert read("web.service.service.consul", domains=domains) == "service web"
    assert read("web.service.consul", domains=()) == "-"
    form = form_of(wire("web.service.corp.example"), [wire(one) for one in domains])
    assert form == Form(Subject("service", "web"), "", wire("corp.example"))


def test_a_domain_begins_at_a_label() -> None:
    assert read("web.service.notconsul") == "-"
    # Its octets end like the domain's, in the middle of a label.
    assert form_of(join([b"web", b"service", b"x\x06consul"]), [ZONE]) is None


def test_every_spelling_of_one_subject_is_one_subject() -> None:
    names = "web.service.consul", "v1.web.service.consul", "_web._v1.service.consul"
    found = [form_of(wire(name), [ZONE]) for name in names]
    assert {form and form.subject for form in found} == {Subject("service", "web")}
    # What an agent's own datacenter is called nobody says: a watch of its own.
    assert read("web.service.dc1.consul") != read("web.service.consul")


LABELS = st.one_of(
    st.sampled_from(
        [b"service", b"connect", b"node", b"query", b"virtual", b"addr", b"dc", b"_web", b"_tcp"]
    ),
    st.binary(min_size=1, max_size=5),
)


@given(st.lists(LABELS, max_size=6), st.booleans())
def test_any_name_is_read_or_left_alone(labels: list[bytes], srv: bool) -> None:
    try:
        name = join([*labels, b"consul"]).lower()
    except WireError:
        return
    form = form_of(name, [ZONE], srv=srv)
    if form is None:
        return
    said = b".".join(labels_of(name)[:-1]).decode()
    parts = (form.subject.name, form.tag, form.subject.datacenter)
    # All that Consul is asked for over HTTP stands in the name, and fits a URL as it is.
    assert all(one in said for one in parts)
    assert all(re.fullmatch("[a-z0-9._-]*", one) for one in parts)
    assert form.subject.name
