"""Why an instance is in a zone, or is not: what a person finds who asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from consulfwd.config.zones import DampingSettings
from consulfwd.dns import names
from consulfwd.zones.memory import Memory
from consulfwd.zones.reasons import Meant, Reasons
from consulfwd.zones.seen import Service
from consulfwd.zones.steady import Penalised
from consulfwd.zones.zone import Zone
from tests.zones.made import ORIGIN, catalog, instance, records, service, settings

WEB = service("web", "n1.lan 10.0.0.1:80 primary", "!n2.lan 10.0.0.2:80 v1", "-n3 10.0.0.3:80")
DB = service("db", "n1.lan 10.0.0.1:5432")


def asked(
    word: str, *services: Service, memory: Memory | None = None, doubt: str = "", **values: Any
) -> Meant:
    known = memory or Memory()
    zone = Zone(settings(**values), 0, known)
    zone.see(catalog(*(services or (WEB, DB)), doubt=doubt), 0)
    return Reasons(zone, known).of(word)


def rows(meant: Meant) -> list[tuple[str, ...]]:
    """Each instance: its node, the names that lead to it, and why it is out."""
    return [
        (one.whose.node, " ".join(map(shown, one.at)), "; ".join(one.why))
        for one in meant.instances
    ]


def shown(name: bytes) -> str:
    return names.to_text(name).removesuffix(f".{ORIGIN}.")


@pytest.mark.parametrize("word", ["web", "WEB", f"web.{ORIGIN}", f"web.{ORIGIN}.", "_web._tcp"])
def test_a_name_has_all_instances_of_its_service(word: str) -> None:
    assert rows(asked(word)) == [
        ("n1.lan", "web", ""),
        ("n2.lan", "", "unhealthy"),
        ("n3", "", "in maintenance"),
    ]


def test_the_name_of_a_tag_has_those_with_the_tag() -> None:
    assert rows(asked("primary.web", tags=["*"])) == [("n1.lan", "web primary.web", "")]
    assert rows(asked("v1.web", tags=["*"])) == [("n2.lan", "", "unhealthy")]
    assert asked("v2.web", tags=["*"]).said == ("no instance of 'web' has the tag 'v2'",)
    (said,) = asked("primary.web").said
    assert said == "'primary' is not among the `tags` of the zone's settings"


@pytest.mark.parametrize("word", ["n1.lan", "n1", "10.0.0.1"])
def test_a_node_has_its_instances_of_all_services(word: str) -> None:
    found = asked(word)
    assert rows(found) == [("n1.lan", "db", ""), ("n1.lan", "web", "")]
    assert [shown(one) for one in found.names] == ["db", "web"]


def test_an_instance_is_found_by_its_id_and_by_the_name_of_its_address() -> None:
    assert rows(asked("web-n2.lan")) == [("n2.lan", "", "unhealthy")]
    found = asked("0a000001.addr", srv=True)
    assert [one.whose.service for one in found.instances] == ["db", "web"]


def test_the_last_one_there_is_and_one_that_waits() -> None:
    before = service("web", "a 10.0.0.1", "b 10.0.0.2")
    zone = Zone(settings(removal_delay=5), 0)
    zone.see(catalog(before), 0)
    zone.wake(5)
    zone.see(catalog(service("web", "!a 10.0.0.1", "!b 10.0.0.2")), 10)
    waiting = "unhealthy: that must last for removal_delay"
    assert rows(Reasons(zone, Memory()).of("web")) == [
        ("a", "web", waiting), ("b", "web", waiting),
    ]  # fmt: skip
    zone.wake(15)
    kept = "unhealthy, and kept as the last there is"
    assert rows(Reasons(zone, Memory()).of("a")) == [("a", "web", kept)]


def test_one_that_is_damped_is_told_for_how_long() -> None:
    damping = DampingSettings(enabled=True)
    whose = instance("web", "a 10.0.0.1").whose
    memory = Memory(penalised=(Penalised(whose, 6_000.0, True),))
    there = service("web", "a 10.0.0.1", "b 10.0.0.2")
    found = asked("web", there, memory=memory, damping=damping)
    held = "it comes and goes: held back by damping"
    # From 6,000 to 750 it takes three half-lives of 15 minutes.
    again = "penalty 6000: offered again after about 45 min if it stays well"
    assert rows(found) == [("a", "", f"{held}; {again}"), ("b", "web", "")]


def test_what_the_settings_make_of_warnings() -> None:
    there = service("web", "~a 10.0.0.1", "b 10.0.0.2")
    why = "its checks warn, and the zone has `warning: withdraw`"
    assert rows(asked("web", there, warning="withdraw")) == [("a", "", why), ("b", "web", "")]
    assert rows(asked("web", there)) == [("a", "web", ""), ("b", "web", "")]


def test_a_name_that_cannot_be_and_one_that_is_another_s() -> None:
    bad = service("my_web", "a 10.0.0.1")
    limits = "letters, digits and hyphens between them, 63 in a label at most"
    for word in ("my_web", "a"):
        assert rows(asked(word, bad)) == [("a", "", f"'my_web' is no name: {limits}")]
    both = service("v1.web", "x 10.0.0.9"), service("web", "a 10.0.0.1 v1")
    found = asked("v1.web", *both, tags=["*"])
    assert rows(found) == [("x", "v1.web", ""), ("a", "web", "")]
    assert found.said == (f"'web': the name v1.web.{ORIGIN}. is that of 'v1.web'",)


def test_an_address_that_no_client_could_use() -> None:
    ((_, at, why),) = rows(asked("web", service("web", "a 127.0.0.1")))
    assert at == ""
    assert why == "its address is '127.0.0.1': a client would ask itself (loopback)"


def test_a_reverse_zone_is_asked_by_name_or_address() -> None:
    origin = "0.0.10.in-addr.arpa"
    for word in ("1", "1.0.0.10.in-addr.arpa", "10.0.0.1"):
        found = asked(word, WEB, origin=origin, names_in=ORIGIN)
        assert [one.whose.node for one in found.instances] == ["n1.lan"]
        assert [names.to_text(one) for one in found.names] == ["1.0.0.10.in-addr.arpa."]


def test_what_nobody_knows_is_told_with_what_it_may_be() -> None:
    (said,) = asked("nobody").said
    assert said == (
        "Consul has no service, node, instance or address 'nobody' that the zone takes"
        " (the agents' own datacenter), or the token may not see it"
    )
    first, second = asked(f"test.{ORIGIN}", services=["*", "!test"], datacenters=["dc2"]).said
    assert first == "'test' is not among the `services` of the zone's settings"
    assert "(dc2)" in second
    assert asked("an alias", aliases={"www": "web"}).instances == ()
    # Whatever it is that somebody types.
    for word in ("", ".", "..", "a" * 64, "\n", "ü", "\\256", "@"):
        assert asked(word).instances == ()


def test_an_alias_has_its_records_and_doubts_are_told() -> None:
    found = asked("www", aliases={"www": "web"})
    assert [shown(one) for one in found.names] == ["www"]
    in_doubt = service("web", "a 10.0.0.1", doubt="it is not proved")
    found = asked("web", in_doubt, doubt="no leader")
    assert found.said == (
        "'web': nothing of it is withdrawn: it is not proved", "no name goes just now: no leader",
    )  # fmt: skip


def test_what_is_gone_from_consul_is_found_where_it_still_is() -> None:
    zone = Zone(settings(), 0)
    zone.see(catalog(WEB), 0)
    reasons = Reasons(zone, Memory())
    held = records({"old A": "10.0.0.9", "other A": "10.0.0.9 10.0.0.8", "web A": "10.0.0.1"})
    assert sorted(map(shown, reasons.left("10.0.0.9", held))) == ["old", "other"]
    assert list(map(shown, reasons.left("old", held))) == ["old"]
    assert reasons.left("nobody", held) == set()
