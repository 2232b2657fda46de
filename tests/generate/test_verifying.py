"""What is asked of a server after its files came into force, and what is thought of the replies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from consulfwd.config import Settings
from consulfwd.generate.asking import Reply
from consulfwd.generate.building import build
from consulfwd.generate.model import NameServer, Site
from consulfwd.generate.verifying import works
from consulfwd.servers.target import EVERY_KIND

SERVER = NameServer("127.0.0.1")
AGENT, FAR = NameServer("10.0.0.11", 8600), NameServer("10.2.0.11", 8600)
CORP = NameServer("10.9.9.9")
SETTINGS: dict[str, Any] = {
    "consul": {
        "agents": ["10.0.0.11"],
        "datacenters": {"dc2": {"agents": ["10.2.0.11"]}},
        "reverse": ["10.0.0.0/16", "10.7.0.0/16"],
    },
    "forward": {"corp.example": ["10.9.9.9"]},
}
# What Consul says of a name, whoever is asked for it: a cluster with IPv4 addresses.
KNOWN: dict[tuple[str, str], Reply] = {
    **{
        (f"consul.service.{zone}", rtype): Reply("NOERROR", records)
        for zone in ("consul", "dc2.consul", "dc2.dc.consul")
        for rtype, records in (
            ("A", ("10.0.0.11", "10.0.0.12")),
            ("AAAA", ()),
            ("SRV", ("1 1 8300 n1.node.dc1.consul.",)),
        )
    },
    ("11.0.0.10.in-addr.arpa", "PTR"): Reply("NOERROR", ("n1.node.dc1.consul.",)),
    ("corp.example", "SOA"): Reply("NOERROR", ("ns hostmaster 1 2 3 4 5",)),
}
SERVFAIL, NXDOMAIN = Reply("SERVFAIL"), Reply("NXDOMAIN")
SILENT = Reply(fault="no reply within 2 s")
Said = Mapping[tuple[NameServer, str, str], Reply]


class World:
    """Servers that say what Consul says, but for what is `said` to be otherwise.

    In `said` the name "" is every name, and the type "" every type. `asked` is every question.
    """

    def __init__(self, said: Said | None = None, takes_s: float = 0.0) -> None:
        self.said = said or {}
        self.asked: list[tuple[NameServer, str, str]] = []
        self.now = 0.0
        self.validates = False
        self._takes_s = takes_s
        self.told: list[str] = []

    def ask(self, server: NameServer, name: str, rtype: str, dnssec: bool = False) -> Reply:
        self.asked.append((server, name, rtype))
        self.now += self._takes_s
        if dnssec and self.validates:
            return SERVFAIL
        for key in ((server, name, rtype), (server, name, ""), (server, "", "")):
            if key in self.said:
                return self.said[key]
        return KNOWN.get((name, rtype), NXDOMAIN)

    def wrong(self, made: Site) -> str:
        return works(
            SERVER, made, ask=self.ask, clock=lambda: self.now, tell=self.told.append
        )


def site(**options: Any) -> Site:
    return build(Settings(**SETTINGS), (9, 18), **options)


def test_a_server_that_says_what_consul_says() -> None:
    world = World()
    assert world.wrong(site()) == ""
    assert {server for server, *_ in world.asked} == {SERVER}
    asked = [(name, rtype) for _, name, rtype in world.asked]
    (nobody,) = (name for name, _ in asked if name.endswith(".service.consul") and "-" in name)
    assert asked[:4] == [
        ("consul.service.consul", "A"),
        ("consul.service.consul", "AAAA"),
        ("consul.service.consul", "SRV"),
        (nobody, "A"),
    ]
    # One question at least for each zone; of a reverse zone, for what is known to be in it.
    for name, rtype in (
        ("consul.service.dc2.consul", "AAAA"),
        ("consul.service.dc2.dc.consul", "AAAA"),
        ("11.0.0.10.in-addr.arpa", "PTR"),
        ("1.1.7.10.in-addr.arpa", "PTR"),
        ("corp.example", "SOA"),
    ):
        assert (name, rtype) in asked


def test_clients_that_ask_for_dnssec_and_get_nothing_are_told_of() -> None:
    world = World()
    world.validates = True
    assert world.wrong(site()) == ""
    assert world.told == [
        "consul.service.consul A at 127.0.0.1:53: SERVFAIL for clients that ask for DNSSEC; it"
        " validates for them, and no exception is made for consul"
    ]


@pytest.mark.parametrize(
    ("ttl", "own", "told"),
    [(0, 0, False), (1, 0, False), (2, 0, True), (6, 5, False), (7, 5, True)],
)
def test_what_is_kept_for_longer_than_consul_says_is_told(ttl: int, own: int, told: bool) -> None:
    def addresses(seconds: int) -> Reply:
        return Reply("NOERROR", ("10.0.0.11",), ttl=seconds)

    question = ("consul.service.consul", "A")
    world = World({(SERVER, *question): addresses(ttl), (AGENT, *question): addresses(own)})
    assert world.wrong(site()) == ""
    assert world.told == (
        [
            f"consul.service.consul A at 127.0.0.1:53 may be kept for {ttl} s, by what"
            f" 10.0.0.11:8600 says for {own} s: another setting of the server's keeps what is gone"
            " for so long"
        ]
        if told
        else []
    )


def test_a_private_zone_that_the_server_answers_itself() -> None:
    """With its own SOA; what Consul denies has Consul's, if any comes through."""
    question = ("1.1.7.10.in-addr.arpa", "PTR")
    itself, consul = Reply("NXDOMAIN", soa="10.in-addr.arpa"), Reply("NXDOMAIN", soa="consul")
    assert World({(SERVER, *question): consul}).wrong(site()) == ""
    world = World({(SERVER, *question): itself, (AGENT, *question): consul})
    assert world.wrong(site()) == (
        "1.1.7.10.in-addr.arpa PTR at 127.0.0.1:53: NXDOMAIN, while 10.0.0.11:8600 itself says"
        " NXDOMAIN with the SOA of consul"
    )
    # Whoever is asked may ask others, who have such zones.
    assert World({(SERVER, *question): itself, (AGENT, *question): itself}).wrong(site()) == ""


def test_a_denial_from_outside_of_a_zone_is_told_as_such() -> None:
    """Before Consul 1.11 those of an alternative domain are."""
    question = ("consul.service.consul", "AAAA")
    denied = Reply("NOERROR", soa="sd.example")
    world = World({(SERVER, *question): SERVFAIL, (AGENT, *question): denied})
    assert world.wrong(site()) == (
        "consul.service.consul AAAA at 127.0.0.1:53: SERVFAIL, while 10.0.0.11:8600 itself says"
        " NOERROR with no records, with the SOA of sd.example, which some take from within consul"
        " alone"
    )


def test_a_made_up_name_is_another_each_time() -> None:
    world = World()
    for _ in range(2):
        world.wrong(site())
    names = [name for _, name, _ in world.asked if name.startswith("consulfwd-")]
    assert len(names) == 2 * len({name.partition(".")[2] for name in names})
    assert len(names) == len(set(names))


def test_aaaa_below_a_zone_that_was_cut_too_deep() -> None:
    world = World({(SERVER, "consul.service.dc2.consul", "AAAA"): SERVFAIL})
    assert world.wrong(site()) == (
        "consul.service.dc2.consul AAAA at 127.0.0.1:53: SERVFAIL,"
        " while 10.2.0.11:8600 itself says NOERROR with no records"
    )


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({("consul.service.consul", "AAAA"): SERVFAIL}, "consul.service.consul AAAA"),
        ({("consul.service.consul", "A"): Reply("NOERROR")}, "consul.service.consul A "),
        ({("consul.service.consul", "SRV"): Reply("NOERROR")}, "consul.service.consul SRV"),
        ({("consul.service.consul", ""): NXDOMAIN}, "consul.service.consul A "),
        ({("", ""): SILENT}, "no reply within 2 s"),
        ({("corp.example", "SOA"): Reply("REFUSED")}, "corp.example SOA"),
        # It answers for private zones itself, with nothing.
        ({("11.0.0.10.in-addr.arpa", "PTR"): NXDOMAIN}, "11.0.0.10.in-addr.arpa PTR"),
        ({("1.1.7.10.in-addr.arpa", "PTR"): SERVFAIL}, "1.1.7.10.in-addr.arpa PTR"),
    ],
)
def test_what_is_wrong_is_said_with_who_knows_better(
    said: dict[tuple[str, str], Reply], wrong: str
) -> None:
    found = World({(SERVER, *key): reply for key, reply in said.items()}).wrong(site())
    assert found.startswith(wrong) or wrong in found
    assert " itself says " in found


def test_a_name_that_is_not_there_must_be_denied() -> None:
    world = World()
    anything = Reply("NOERROR", ("192.0.2.1",))

    def ask(server: NameServer, name: str, rtype: str, dnssec: bool = False) -> Reply:
        made_up = server == SERVER and name.startswith("consulfwd-")
        return anything if made_up else world.ask(server, name, rtype)

    found = works(SERVER, site(), ask=ask)
    assert found.startswith("consulfwd-")
    assert "NOERROR with 1 record, while 10.0.0.11:8600 itself says NXDOMAIN" in found


def test_what_the_servers_of_a_zone_do_not_know_is_held_against_nobody() -> None:
    # dc2 is down, an older Consul knows no dc2.dc, a reverse name is SERVFAIL before Consul 1.18.
    unknown = {
        (server, name, ""): reply
        for server in (SERVER, AGENT, FAR, CORP)
        for name, reply in (
            ("consul.service.dc2.consul", SERVFAIL),
            ("consul.service.dc2.dc.consul", NXDOMAIN),
            ("1.1.7.10.in-addr.arpa", SERVFAIL),
            ("corp.example", SILENT),
        )
    }
    world = World(unknown)
    assert world.wrong(site()) == ""
    # That an answer is none is for whoever asks; that nobody is there should be known.
    (told,) = world.told
    assert told.endswith("replies: corp.example")
    # Of such a zone nothing further is asked.
    asked = [(server, name) for server, name, _ in world.asked if "dc2.consul" in name]
    assert asked == [
        (SERVER, "consul.service.dc2.consul"),
        (FAR, "consul.service.dc2.consul"),
    ]


def test_a_server_whose_fault_it_is_is_told_of_alone() -> None:
    world = World(
        {
            (SERVER, "corp.example", "SOA"): SILENT,
            (CORP, "corp.example", "SOA"): SILENT,
            (SERVER, "consul.service.dc2.consul", "A"): SERVFAIL,
        }
    )
    assert "consul.service.dc2.consul A" in world.wrong(site())
    assert world.told == []


def test_of_consuls_own_domain_somebody_must_know() -> None:
    nobody = {(server, "", ""): SILENT for server in (SERVER, AGENT, FAR)}
    world = World(nobody)
    assert world.wrong(site()) == (
        "consul.service.consul A at 127.0.0.1:53: no reply within 2 s,"
        " and whom it asks says nothing better"
    )
    # No further zone was looked at.
    assert {name for _, name, _ in world.asked} == {"consul.service.consul"}


def test_a_cluster_with_ipv6_alone() -> None:
    six = {
        (server, f"consul.service.{zone}", rtype): Reply("NOERROR", records)
        for server in (SERVER, AGENT, FAR)
        for zone in ("consul", "dc2.consul", "dc2.dc.consul")
        for rtype, records in (("A", ()), ("AAAA", ("fd00::11",)))
    }
    assert World(six).wrong(site()) == ""
    lost = {**six, (SERVER, "consul.service.dc2.consul", "AAAA"): Reply("NOERROR")}
    assert World(lost).wrong(site()) == (
        "consul.service.dc2.consul A at 127.0.0.1:53: NOERROR with no records,"
        " while 10.2.0.11:8600 itself says NOERROR with 1 record of AAAA"
    )


def test_a_datacenter_the_agents_of_the_domain_do_not_know() -> None:
    made = site(kinds=EVERY_KIND - {"datacenter"})
    assert World().wrong(made) == ""
    unknown = {(SERVER, "consul.service.dc2.consul", ""): NXDOMAIN}
    found = World(unknown).wrong(made)
    assert "while 10.2.0.11:8600 itself says NOERROR with 2 records" in found
    assert found.endswith("with --to consulfwd)")


def test_zones_without_a_place_of_their_own_are_looked_at_too() -> None:
    settings = {**SETTINGS, "listen": ["127.0.0.1:5300"]}
    made = build(Settings(**settings), (9, 18), to="consulfwd")
    world = World()
    assert world.wrong(made) == ""
    assert (SERVER, "consul.service.dc2.consul", "AAAA") in world.asked


def test_it_comes_to_an_end() -> None:
    given: dict[str, Any] = {"consul": {"agents": ["10.0.0.11"], "reverse": ["11.0.0.0/9"]}}
    made = build(Settings(**given), (9, 18))
    assert len(made.zones) == 129
    refused = {
        (SERVER, f"1.1.{n}.11.in-addr.arpa", "PTR"): Reply("REFUSED") for n in range(128)
    }
    assert World(refused).wrong(made).count("REFUSED") == 3
    # Nobody answers for the reverse names, and each question takes its time.
    silent = {
        (server, f"1.1.{n}.11.in-addr.arpa", "PTR"): SILENT
        for n in range(128)
        for server in (SERVER, AGENT)
    }
    world = World(silent, takes_s=2.0)
    assert world.wrong(made) == ""
    assert len(world.asked) < 10
    assert len(world.told) == 1
