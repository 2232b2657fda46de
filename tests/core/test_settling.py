"""Answers corrected by what a watch saw change: what left is out, what came is in, all else stays.

Instances are lines, `node address` and what is not usual of them: `own` for a service's own
address, `:port`, `#tag`, `w5` for the weight, `warning`, `odd`. Answers are made and read by
dnspython.
"""

from __future__ import annotations

import functools
import random
import sys
from collections.abc import Callable
from ipaddress import ip_address
from itertools import pairwise
from types import FrameType
from typing import Any

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.core.settling import Instance, Settling, corrected, settling
from consulfwd.core.subjects import form_of
from consulfwd.dns import const
from consulfwd.dns.message import Message, read_reply
from consulfwd.dns.names import from_text
from consulfwd.dns.wire import HEADER
from tests.dns.packets import lines, packet, question

DOMAINS = [from_text("consul"), from_text("alt.test")]
WEB = "web.service.consul"


@functools.cache
def instance(line: str) -> Instance:
    """An instance as the watch tells it."""
    name, address, *rest = line.split()
    packed = b"" if "odd" in rest else ip_address(address).packed
    node = from_text(f"{name}.node.dc1")[:-1]
    target = from_text(f"{packed.hex()}.addr.dc1")[:-1] if "own" in rest else node
    told = {word[0]: word[1:] for word in rest if word[0] in ":w#" and word != "warning"}
    return Instance(
        node=node,
        target=b"" if "odd" in rest else target,
        host=packed,
        ipv4=packed if len(packed) == 4 else b"",
        ipv6=packed if len(packed) == 16 else b"",
        port=int(told.get(":", "80")),
        tags=frozenset(word[1:] for word in rest if word[0] == "#"),
        weight=int(told.get("w", "1")),
        passing="warning" not in rest,
        odd="odd" in rest,
    )


def those(text: str) -> frozenset[Instance]:
    return frozenset(instance(line) for line in text.splitlines() if line.strip())


def change(before: str, *after: str) -> Settling:
    """What settles after some changes, one after the other."""
    state = None
    was = those(before)
    for text in after:
        now = those(text)
        state = settling(state, was, now, 1.0)
        was = now
    assert state is not None
    return state


def reply(asked: str, *records: str, rcode: int = 0, flags: str = "QR AA RD") -> Message:
    """An agent's reply; a record is `an 10.0.0.1` or written out."""
    name, rtype = asked.split()
    full = []
    for record in records:
        words = record.split()
        short = len(words) == 2 or (words[0] == "an" and len(words) == 5)
        data = " ".join(words[1:])
        full.append(f"an {name}. 0 IN {rtype} {data}" if short else record)
    sent = packet(asked, *full, rcode=rcode, flags=flags, edns=1232)
    return read_reply(sent, question(asked).lower())


def wire(asked: str, message: Message) -> bytes:
    counts = message.answers, message.authorities
    flags = message.flags & ~const.RCODE_MASK | message.rcode
    head = HEADER.pack(flags, 1, *counts, len(message.ends) - sum(counts))
    return b"\0\0" + head + question(asked).lower() + message.body


def correct(state: Settling, asked: str, message: Message) -> Message:
    name, rtype = asked.lower().split()
    form = form_of(from_text(name), DOMAINS, srv=rtype == "srv")
    assert form is not None
    return corrected(state, form, question(asked).lower(), message)


def shown(asked: str, message: Message) -> list[str]:
    """An answer's rcode and records, short: `10.0.0.1`, `1 1 80 n1.node.dc1.consul.`, `ad ...`."""
    head, _, *records = lines(wire(asked, message))
    found = [head.split()[-1]] if "NOERROR" not in head else []
    for record in records:
        section, owner, _, _, rtype, data = record.split(maxsplit=5)
        if section == "an":
            assert owner.lower() == f"{asked.split()[0]}.".lower()
            found.append(data)
        else:
            found.append(f"{section} {owner} {rtype} {data}" if section == "ad" else section)
    return sorted(found)


def after(state: Settling, asked: str, message: Message) -> list[str]:
    return shown(asked, correct(state, asked, message))


THREE = """
    n1 10.0.0.1 #blue
    n2 10.0.0.2
    n3 10.0.0.3 own :8080 #blue
"""
SOA = "au consul. 0 IN SOA ns.consul. hostmaster.consul. 7 3600 600 86400 0"
N1, N2 = "n1.node.dc1.consul.", "n2.node.dc1.consul."
SRV1, SRV2 = f"an 1 1 80 {N1}", f"an 1 1 80 {N2}"
AD1, AD2 = f"ad {N1} 0 IN A 10.0.0.1", f"ad {N2} 0 IN A 10.0.0.2"


# -- what left, what came -------------------------------------------------------------------------

NAMES = ["web.service.consul", "web.service.dc1.consul", "web.service.dc1.dc.consul",
         "WEB.Service.CONSUL", "web.service.alt.test", "_web._tcp.service.consul"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_who_left_is_out_and_who_came_is_in(name: str) -> None:
    state = change("n1 10.0.0.1\nn2 10.0.0.2", "n2 10.0.0.2\nn3 10.0.0.3")
    asked = f"{name} A"
    old = reply(asked, "an 10.0.0.2", "an 10.0.0.1")
    assert after(state, asked, old) == ["10.0.0.2", "10.0.0.3"]
    # One that knows part of it already, and one that knows all.
    assert after(state, asked, reply(asked, "an 10.0.0.2")) == ["10.0.0.2", "10.0.0.3"]
    new = reply(asked, "an 10.0.0.3", "an 10.0.0.2")
    assert correct(state, asked, new) is new


def test_an_ipv6_address() -> None:
    state = change("n1 fd00::1\nn2 10.0.0.2", "n2 10.0.0.2\nn3 fd00::3\nn4 fd00::4 own")
    asked = f"{WEB} AAAA"
    assert after(state, asked, reply(asked, "an fd00::1")) == ["fd00::3", "fd00::4"]
    asked = f"{WEB} A"
    old = reply(asked, "an 10.0.0.2")
    assert correct(state, asked, old) is old


def test_srv_and_the_addresses_of_its_targets() -> None:
    state = change("n1 10.0.0.1\nn2 10.0.0.2", "n2 10.0.0.2\nn3 10.9.0.3 own :8080 w7\nn4 fd00::4")
    asked = f"{WEB} SRV"
    assert after(state, asked, reply(asked, SRV1, SRV2, AD1, AD2)) == [
        f"1 1 80 {N2}",
        "1 1 80 n4.node.dc1.consul.",
        "1 7 8080 0a090003.addr.dc1.consul.",
        "ad 0a090003.addr.dc1.consul. A 10.9.0.3",
        f"ad {N2} A 10.0.0.2",
        "ad n4.node.dc1.consul. AAAA fd00::4",
    ]


@pytest.mark.parametrize("name", ["blue.web.service.consul", "_web._blue.service.consul"])
def test_only_those_with_the_tag_count(name: str) -> None:
    asked = f"{name} A"
    state = change(THREE, THREE + "n4 10.0.0.4\nn5 10.0.0.5 #blue #v1\nn6 10.0.0.6 #bl")
    old = reply(asked, "an 10.0.0.1", "an 10.0.0.3")
    assert after(state, asked, old) == ["10.0.0.1", "10.0.0.3", "10.0.0.5"]
    assert after(change(THREE, "n2 10.0.0.2"), asked, old) == ["NXDOMAIN"]


def test_a_tag_that_moves_changes_nothing_for_the_plain_name() -> None:
    state = change("n1 10.0.0.1 #primary\nn2 10.0.0.2", "n1 10.0.0.1\nn2 10.0.0.2 #primary")
    asked = "primary.web.service.consul A"
    assert after(state, asked, reply(asked, "an 10.0.0.1")) == ["10.0.0.2"]
    asked = f"{WEB} A"
    old = reply(asked, "an 10.0.0.1", "an 10.0.0.2")
    assert correct(state, asked, old) is old


def test_a_port_that_changes() -> None:
    state = change("n1 10.0.0.1\nn2 10.0.0.2", "n1 10.0.0.1 :81\nn2 10.0.0.2")
    asked = f"{WEB} SRV"
    assert after(state, asked, reply(asked, SRV1, SRV2, AD1, AD2)) == [
        f"1 1 80 {N2}", f"1 1 81 {N1}", f"ad {N1} A 10.0.0.1", f"ad {N2} A 10.0.0.2",
    ]  # fmt: skip
    asked = f"{WEB} A"
    old = reply(asked, "an 10.0.0.1", "an 10.0.0.2")
    assert correct(state, asked, old) is old


@pytest.mark.parametrize("now", ["w5", "w5 warning"])
def test_a_weight_that_changes(now: str) -> None:
    state = change("n1 10.0.0.1\nn2 10.0.0.2", f"n1 10.0.0.1 {now}\nn2 10.0.0.2")
    asked = f"{WEB} SRV"
    assert after(state, asked, reply(asked, SRV1, f"an 1 9 80 {N2}", AD1, AD2)) == [
        # What did not change has whatever weight the agent says.
        f"1 5 80 {N1}", f"1 9 80 {N2}", f"ad {N1} A 10.0.0.1", f"ad {N2} A 10.0.0.2",
    ]  # fmt: skip


def test_two_services_on_one_node_and_port_have_the_weight_of_either() -> None:
    # Consul shows one of them, which one is by chance.
    state = change("n1 10.0.0.1", "n1 10.0.0.1 w5 #a\nn1 10.0.0.1 w6 #b")
    asked = f"{WEB} SRV"
    for weight in (5, 6):
        old = reply(asked, f"an 1 {weight} 80 {N1}", AD1)
        assert correct(state, asked, old) is old
    assert after(state, asked, reply(asked, SRV1, AD1)) == [f"1 5 80 {N1}", f"ad {N1} A 10.0.0.1"]


def test_an_address_that_changes() -> None:
    state = change("n1 10.0.0.1\nn2 10.0.0.2", "n1 10.0.0.11\nn2 10.0.0.2")
    asked = f"{WEB} A"
    old = reply(asked, "an 10.0.0.1", "an 10.0.0.2")
    assert after(state, asked, old) == ["10.0.0.11", "10.0.0.2"]
    # SRV says the same, but what it points to has another address.
    asked = f"{WEB} SRV"
    assert after(state, asked, reply(asked, SRV1, SRV2, AD1, AD2)) == [
        f"1 1 80 {N1}", f"1 1 80 {N2}", f"ad {N1} A 10.0.0.11", f"ad {N2} A 10.0.0.2",
    ]  # fmt: skip
    state = change("n1 10.0.0.1", "n1 fd00::1")
    assert after(state, asked, reply(asked, SRV1, AD1)) == [f"1 1 80 {N1}", f"ad {N1} AAAA fd00::1"]


def test_an_address_of_its_own_instead_of_the_nodes() -> None:
    own, node = "n1 10.0.0.1 own", "n1 10.0.0.1"
    by_hex = "0a000001.addr.dc1.consul."
    asked = f"{WEB} SRV"
    old = reply(asked, SRV1, AD1)
    assert after(change(node, own), asked, old) == [
        f"1 1 80 {by_hex}", f"ad {by_hex} A 10.0.0.1",
    ]  # fmt: skip
    old = reply(asked, f"an 1 1 80 {by_hex}", f"ad {by_hex} 0 IN A 10.0.0.1")
    assert after(change(own, node), asked, old) == [f"1 1 80 {N1}", f"ad {N1} A 10.0.0.1"]
    asked = f"{WEB} A"
    old = reply(asked, "an 10.0.0.1")
    assert correct(change(own, node), asked, old) is old


def test_two_instances_with_one_address() -> None:
    two, one = "n1 10.0.0.1 :80\nn1 10.0.0.1 :81", "n1 10.0.0.1 :80"
    asked = f"{WEB} A"
    old = reply(asked, "an 10.0.0.1")
    assert correct(change(two, one), asked, old) is old
    assert correct(change(one, two), asked, old) is old
    assert after(change("n2 10.0.0.2", two), asked, reply(asked, "an 10.0.0.2")) == ["10.0.0.1"]
    asked = f"{WEB} SRV"
    assert after(change(two, one), asked, reply(asked, SRV1, f"an 1 1 81 {N1}", AD1)) == [
        f"1 1 80 {N1}", f"ad {N1} A 10.0.0.1",
    ]  # fmt: skip


def test_names_are_spelled_as_consul_does_and_compared_without_case() -> None:
    state = change("Web-1 10.0.0.1\nweb-2 10.0.0.2", "web-2 10.0.0.2\nWEB-3 10.0.0.3")
    asked = "web.SERVICE.Consul SRV"
    old = reply(
        asked,
        "an 1 1 80 Web-1.node.dc1.consul.",
        "an 1 1 80 Web-2.node.dc1.consul.",
        "ad Web-1.node.dc1.consul. 0 IN A 10.0.0.1",
        "ad Web-2.node.dc1.consul. 0 IN A 10.0.0.2",
    )
    assert after(state, asked, old) == [
        "1 1 80 WEB-3.node.dc1.consul.",
        "1 1 80 Web-2.node.dc1.consul.",
        "ad WEB-3.node.dc1.consul. A 10.0.0.3",
        "ad Web-2.node.dc1.consul. A 10.0.0.2",
    ]


def test_targets_are_under_the_domain_the_agent_gives() -> None:
    """Before 1.11 that was its own, whatever domain was asked for."""
    asked = "web.service.alt.test SRV"
    state = change("n1 10.0.0.1\nn2 10.0.0.2", "n2 10.0.0.2\nn3 10.0.0.3")
    n3 = "1 1 80 n3.node.dc1"
    assert f"{n3}.consul." in after(state, asked, reply(asked, SRV1, SRV2, AD1, AD2))
    assert f"1 1 80 {N1}" not in after(state, asked, reply(asked, SRV1, SRV2, AD1, AD2))
    alt = "n2.node.dc1.alt.test."
    old = reply(asked, f"an 1 1 80 {alt}", f"ad {alt} 0 IN A 10.0.0.2")
    assert f"{n3}.alt.test." in after(state, asked, old)
    # Where there is nothing, the SOA says it.
    state = change("", "n3 10.0.0.3")
    assert f"{n3}.consul." in after(state, asked, reply(asked, SOA, rcode=3))
    alt_soa = "au alt.test. 0 IN SOA ns.alt.test. hostmaster.alt.test. 7 3600 600 86400 0"
    assert f"{n3}.alt.test." in after(state, asked, reply(asked, alt_soa, rcode=3))
    assert f"{n3}.alt.test." in after(state, asked, reply(asked, rcode=3))


# -- several changes ------------------------------------------------------------------------------


def test_changes_within_one_window_add_up() -> None:
    asked = f"{WEB} A"
    a, b, c = "n1 10.0.0.1\n", "n2 10.0.0.2\n", "n3 10.0.0.3\n"
    one = reply(asked, "an 10.0.0.1", "an 10.0.0.2")
    state = change(a + b, b, b + c)
    assert state == Settling(1.0, those(a), those(c), those(b + c))
    assert after(state, asked, one) == ["10.0.0.2", "10.0.0.3"]
    # It left and came back: whatever an agent says of the time between.
    state = change(a + b, b, a + b)
    assert state == Settling(1.0, frozenset(), those(a), those(a + b))
    assert correct(state, asked, one) is one
    assert after(state, asked, reply(asked, "an 10.0.0.2")) == ["10.0.0.1", "10.0.0.2"]
    # It came and left again.
    state = change(b, a + b, b)
    assert state == Settling(1.0, those(a), frozenset(), those(b))
    assert after(state, asked, one) == ["10.0.0.2"]
    # The first changes have settled, the last has not.
    later = settling(None, those(a + b), those(b), 3.0)
    assert later == Settling(3.0, those(a), frozenset(), those(b))


# -- none -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rtype", ["A", "SRV"])
def test_the_last_one_gone(rtype: str) -> None:
    asked = f"{WEB} {rtype}"
    old = reply(asked, "an 10.0.0.1") if rtype == "A" else reply(asked, SRV1, AD1)
    found = correct(change("n1 10.0.0.1", ""), asked, old)
    assert shown(asked, found) == ["NXDOMAIN"]
    assert found.negative
    assert found.rcode == const.NXDOMAIN


def test_only_another_family_is_left() -> None:
    asked = f"{WEB} A"
    old = reply(asked, "an 10.0.0.1")
    found = correct(change("n1 10.0.0.1\nn6 fd00::6", "n6 fd00::6"), asked, old)
    assert shown(asked, found) == []
    assert found.negative
    assert found.rcode == const.NOERROR
    # With no one left of the other family either, there is no such name.
    asked = f"{WEB} AAAA"
    nodata = reply(asked, SOA)
    assert after(change("n1 10.0.0.1", ""), asked, nodata) == ["NXDOMAIN", "au"]
    assert correct(change("n1 10.0.0.1", "n1 10.0.0.1 #v2"), asked, nodata) is nodata


def test_the_first_one_back() -> None:
    state = change("", "n1 10.0.0.1")
    asked = f"{WEB} A"
    found = correct(state, asked, reply(asked, SOA, rcode=3))
    assert shown(asked, found) == ["10.0.0.1"]
    assert found.positive
    assert found.matched
    assert found.ttl == 0
    asked = f"{WEB} SRV"
    denied = reply(asked, SOA, rcode=3)
    assert after(state, asked, denied) == [f"1 1 80 {N1}", f"ad {N1} A 10.0.0.1"]
    # There is such a name now, though not of this type.
    asked = f"{WEB} AAAA"
    assert after(state, asked, reply(asked, SOA, rcode=3)) == ["au"]
    # An agent that denies it while it has been there all along has reasons of its own.
    state = change("n1 10.0.0.1", "n1 10.0.0.1\nn2 10.0.0.2")
    for kind in ("A", "AAAA", "SRV"):
        denied = reply(f"{WEB} {kind}", SOA, rcode=3)
        assert correct(state, f"{WEB} {kind}", denied) is denied
    # Some versions deny names of this form whatever there is.
    asked = "web.service.dc1.dc.consul A"
    denied = reply(asked, SOA, rcode=3)
    assert correct(change("", "n1 10.0.0.1"), asked, denied) is denied
    asked = "web.service.dc.consul A"
    denied = reply(asked, SOA, rcode=3)
    assert after(change("", "n1 10.0.0.1"), asked, denied) == ["10.0.0.1"]
    # Nothing of this tag has changed.
    asked = "blue.web.service.consul A"
    denied = reply(asked, SOA, rcode=3)
    assert correct(state, asked, denied) is denied


# -- what is not shown, or not all ----------------------------------------------------------------


def test_warnings_are_added_only_where_agents_show_them() -> None:
    """They may be set to answer with nothing but what passes."""
    asked = f"{WEB} A"
    state = change("n1 10.0.0.1", "n1 10.0.0.1\nn2 10.0.0.2 warning")
    old = reply(asked, "an 10.0.0.1")
    assert correct(state, asked, old) is old
    state = change("n1 10.0.0.1 warning", "n1 10.0.0.1 warning\nn2 10.0.0.2 warning")
    assert after(state, asked, old) == ["10.0.0.1", "10.0.0.2"]
    # Where it turned from passing just now, it is no sign.
    state = change("n1 10.0.0.1", "n1 10.0.0.1 warning\nn2 10.0.0.2 warning")
    assert correct(state, asked, old) is old


def test_the_last_one_that_passes_gone() -> None:
    asked = f"{WEB} A"
    old = reply(asked, "an 10.0.0.1")
    # It is known that agents leave out what warns ...
    state = change("n1 10.0.0.1\nn2 10.0.0.2 warning", "n2 10.0.0.2 warning")
    assert after(state, asked, old) == ["NXDOMAIN"]
    # ... and it is not: better than to send anyone where nobody is.
    state = change("n1 10.0.0.1", "n1 10.0.0.2 warning")
    assert after(state, asked, old) == ["10.0.0.2"]


def test_who_shows_but_a_part_is_not_made_to_show_more() -> None:
    """As with `a_record_limit`, with a reply that was cut, or with an agent that is ahead."""
    asked = f"{WEB} A"
    four = THREE + "n4 10.0.0.4"
    old = reply(asked, "an 10.0.0.1")
    assert correct(change(THREE, four), asked, old) is old
    two = reply(asked, "an 10.0.0.1", "an 10.0.0.2")
    left = "n2 10.0.0.2\nn3 10.0.0.3 own :8080 #blue"
    assert after(change(THREE, left), asked, two) == ["10.0.0.2"]
    # As many instead as there were, if there were none left.
    assert after(change(THREE, left), asked, old) == ["10.0.0.2"]


def test_an_answer_of_another_moment_is_not_mixed_with_what_came() -> None:
    state = change("n1 10.0.0.1", "n1 10.0.0.2")
    later = reply(f"{WEB} A", "an 10.0.0.3")
    assert shown(f"{WEB} A", correct(state, f"{WEB} A", later)) == ["10.0.0.3"]
    both = reply(f"{WEB} A", "an 10.0.0.1", "an 10.0.0.3")
    assert shown(f"{WEB} A", correct(state, f"{WEB} A", both)) == ["10.0.0.3"]


def test_a_truncated_reply_stays_so() -> None:
    asked = f"{WEB} A"
    cut = reply(asked, "an 10.0.0.1", "an 10.0.0.2", flags="QR AA TC")
    found = correct(change(THREE, "n2 10.0.0.2\nn3 10.0.0.3 own :8080 #blue"), asked, cut)
    assert shown(asked, found) == ["10.0.0.2"]
    assert found.truncated
    # Of what is not there nothing can be missing.
    found = correct(change(THREE, ""), asked, cut)
    assert shown(asked, found) == ["NXDOMAIN"]
    assert not found.truncated


@pytest.mark.parametrize("rtype", ["A", "AAAA"])
def test_what_may_be_an_alias_is_left_alone(rtype: str) -> None:
    asked = f"{WEB} {rtype}"
    old = reply(asked, "an 10.0.0.1" if rtype == "A" else "an fd00::1")
    both = "n1 10.0.0.1\nn2 fd00::1\n"
    assert correct(change(both, "n9 10.0.0.9 odd"), asked, old) is old
    # The alias itself is gone; the agent may have answered with the others.
    alias = reply(asked, f"an {WEB}. 0 IN CNAME db.example.test.")
    assert correct(change(both + "n9 10.0.0.9 odd", both), asked, alias) is alias


def test_srv_to_a_name_of_elsewhere_is_left_alone() -> None:
    asked = f"{WEB} SRV"
    state = change("n1 10.0.0.1\nn9 10.0.0.9 odd", "n9 10.0.0.9 odd :81")
    old = reply(asked, SRV1, "an 1 1 80 db.example.test.", AD1)
    assert after(state, asked, old) == ["1 1 80 db.example.test."]
    # It is not invented either: what it is like only the agent knows.
    old = reply(asked, SRV1, AD1)
    assert correct(state, asked, old) is old


@pytest.mark.parametrize("rtype", ["TXT", "ANY", "CNAME", "SOA"])
def test_other_types_are_left_alone(rtype: str) -> None:
    asked = f"{WEB} {rtype}"
    old = reply(asked, f"an {WEB}. 0 IN A 10.0.0.1")
    assert correct(change(THREE, ""), asked, old) is old


@pytest.mark.parametrize("name", ["web.connect.consul", "n1.node.consul"])
def test_other_kinds_are_left_alone(name: str) -> None:
    asked = f"{name} A"
    old = reply(asked, "an 10.0.0.1")
    assert correct(change(THREE, ""), asked, old) is old


@pytest.mark.parametrize("rcode", [1, 2, 5])
def test_errors_are_left_alone(rcode: int) -> None:
    asked = f"{WEB} A"
    old = reply(asked, rcode=rcode)
    assert correct(change("", "n1 10.0.0.1"), asked, old) is old


@pytest.mark.parametrize("size", [1, 3, 15])
def test_a_body_that_cannot_be_read_is_left_alone(size: int) -> None:
    asked = f"{WEB} A"
    old = reply(asked, "an 10.0.0.1")
    old.body = old.body[:size]
    assert correct(change(THREE, ""), asked, old) is old


def test_a_target_too_long_for_a_name_is_left_alone() -> None:
    long = ".".join(["l" * 61] * 4)
    state = change("n1 10.0.0.1", f"n1 10.0.0.1\n{long[:-6]} 10.0.0.2")
    asked = f"{WEB} SRV"
    old = reply(asked, SRV1, AD1)
    assert correct(state, asked, old) is old
    asked = f"{WEB} A"
    assert after(state, asked, reply(asked, "an 10.0.0.1")) == ["10.0.0.1", "10.0.0.2"]


# -- what stays -----------------------------------------------------------------------------------


def test_what_the_agent_said_besides_stays() -> None:
    asked = f"{WEB} SRV"
    old = reply(
        asked,
        f"an {WEB}. 7 IN SRV 1 1 80 {N1}",
        f"an {WEB}. 9 IN SRV 1 1 80 {N2}",
        f"an {WEB}. 9 IN SRV 1 1 80 0a000003.addr.dc1.consul.",
        f"ad {N1} 7 IN A 10.0.0.1",
        f'ad {N1} 7 IN TXT "rack=r1"',
        f"ad {N2} 5 IN A 10.0.0.2",
        f'ad {N2} 5 IN TXT "rack=r2"',
        "ad 0a000003.addr.dc1.consul. 5 IN A 10.0.0.3",
        # Metadata belongs to the node, whatever address its service has.
        'ad n3.node.dc1.consul. 5 IN TXT "rack=r3"',
        flags="QR AA RD RA AD",
    )
    now = "n2 10.0.0.2\nn3 10.0.0.3 own\nn4 10.0.0.4"
    found = correct(change("n1 10.0.0.1\nn2 10.0.0.2\nn3 10.0.0.3 own", now), asked, old)
    assert found.flags == old.flags
    assert found.edns is old.edns is not None
    assert found.size == old.size
    assert found.ttl == 7
    assert lines(wire(asked, found))[2:] == [
        f"an {WEB}. 9 IN SRV 1 1 80 {N2}",
        f"an {WEB}. 9 IN SRV 1 1 80 0a000003.addr.dc1.consul.",
        # How long it may be kept is what the agent said of others.
        f"an {WEB}. 7 IN SRV 1 1 80 n4.node.dc1.consul.",
        f"ad {N2} 5 IN A 10.0.0.2",
        f'ad {N2} 5 IN TXT "rack=r2"',
        "ad 0a000003.addr.dc1.consul. 5 IN A 10.0.0.3",
        'ad n3.node.dc1.consul. 5 IN TXT "rack=r3"',
        "ad n4.node.dc1.consul. 7 IN A 10.0.0.4",
    ]


def test_more_than_fits_into_a_message_comes_without_addresses() -> None:
    named = [f"node-with-a-name-of-some-length-{n} 10.1.{n // 250}.{n % 250}" for n in range(800)]
    asked = f"{WEB} SRV"
    found = correct(change("", "\n".join(named)), asked, reply(asked, SOA, rcode=3))
    assert found.answers == len(found.ends) == 800
    assert len(found.body) < 65000


# -- cost -----------------------------------------------------------------------------------------


def work(call: Callable[[], object]) -> int:
    """How many lines of code a call runs."""
    count = 0

    def trace(frame: FrameType, event: str, what: Any) -> Callable[..., Any]:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("rtype", ["A", "SRV"])
def test_the_cost_is_linear(rtype: str) -> None:
    def cost(number: int) -> int:
        named = [f"n{n} 10.1.{n // 250}.{n % 250}" for n in range(number)]
        asked = f"{WEB} {rtype}"
        half = number // 2
        old = answer(asked, those("\n".join(named[:-half])))
        state = change("\n".join(named[:-half]), "\n".join(named[half // 2 :]))
        return work(lambda: correct(state, asked, old))

    assert cost(1000) < 11 * cost(100)


# -- any change -----------------------------------------------------------------------------------


def answer(asked: str, healthy: frozenset[Instance], strict: bool = False) -> Message:
    """What Consul answers when these are healthy, and it may be only those that pass."""
    name, rtype = asked.split()
    tag = name.partition(".web.")[0] if ".web." in name else ""
    there = [one for one in healthy if one.passing or not strict]
    there = [one for one in there if not tag or tag in one.tags]
    random.Random(len(there)).shuffle(there)
    records: dict[str, None] = {}
    beside: dict[str, None] = {}
    for one in there:
        target = dns.name.from_wire(one.target + from_text("consul"), 0)[0].to_text()
        kind = "A" if one.ipv4 else "AAAA"
        text = str(ip_address(one.host))
        if rtype == "SRV":
            records[f"an {name}. 0 IN SRV 1 {one.weight} {one.port} {target}"] = None
            beside[f"ad {target} 0 IN {kind} {text}"] = None
        elif rtype == kind:
            records[f"an {name}. 0 IN {rtype} {text}"] = None
    soa = [] if records else [SOA]
    return reply(asked, *records, *soa, *beside, rcode=0 if there else 3)


@st.composite
def healthy_instances(draw: st.DrawFn) -> frozenset[Instance]:
    """At most one per node, as with a usual service."""
    found = []
    for number in range(5):
        if draw(st.booleans()):
            own = draw(st.sampled_from(["", "own"]))
            addresses = [f"10.0.{number}.1", f"10.0.{number}.2", f"fd00::{number}"]
            address = draw(st.sampled_from(addresses))
            words = draw(st.sampled_from(["", ":81", "#blue", "#blue :82", "w3", "#blue w4"]))
            found.append(instance(f"n{number} {address} {own} {words}"))
    return frozenset(found)


ASKED = [f"{name} {rtype}" for name in (WEB, "blue.web.service.consul")
         for rtype in ("A", "AAAA", "SRV")]  # fmt: skip


@given(st.lists(healthy_instances(), min_size=2, max_size=5), st.sampled_from(ASKED))
def test_any_old_answer_becomes_the_new_one(states: list[frozenset[Instance]], asked: str) -> None:
    """However many of the changes an agent has not heard of."""
    state = None
    for before, now in pairwise(states):
        state = settling(state, before, now, 1.0)
    assert state is not None
    new = answer(asked, states[-1])
    assert set(shown(asked, correct(state, asked, new))) - {"au"} == set(shown(asked, new)) - {"au"}
    for old in states:
        found = correct(state, asked, answer(asked, old))
        assert set(shown(asked, found)) - {"au"} == set(shown(asked, new)) - {"au"}


@given(healthy_instances(), healthy_instances(), st.sampled_from(ASKED), st.booleans(), st.data())
def test_who_left_is_never_handed_out_and_nobody_is_invented(
    before: frozenset[Instance],
    now: frozenset[Instance],
    asked: str,
    strict: bool,
    data: st.DataObject,
) -> None:
    """With warnings too, at agents that show them and at those that do not."""

    def warned(instances: frozenset[Instance]) -> frozenset[Instance]:
        warning = data.draw(st.sets(st.sampled_from(sorted(instances)))) if instances else set()
        return frozenset(one._replace(passing=one not in warning) for one in instances)

    before, now = warned(before), warned(now)
    old = answer(asked, before, strict)
    found = shown(asked, correct(settling(None, before, now, 1.0), asked, old))
    assert set(found) - {"au", "NXDOMAIN"} <= set(shown(asked, answer(asked, now)))
