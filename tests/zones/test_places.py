"""Which services of a datacenter are to be looked at."""

from __future__ import annotations

from consulfwd.consul.hints import Checked
from consulfwd.consul.values import Listed
from consulfwd.zones.places import Place


def test_what_is_said_of_a_service_is_of_all_that_are_called_so_but_for_case() -> None:
    """Consul answers for each of them with the instances of all."""
    place = Place("dc1")
    place.list_is([Listed(one, ()) for one in ("S1", "b", "s1")], lambda name: True, 10)
    (hub, _) = place.checks
    assert place.checks_are(hub, (), {}) == []
    found = place.checks_are(hub, (Checked("n1", "s1", "c"),), {})
    assert [one.name for one in found] == ["S1", "s1"]
    assert place.counts_are({"S1": 1, "b": 1, "s1": 1}) == []
    assert [one.name for one in place.counts_are({"S1": 2, "b": 1, "s1": 1})] == ["S1", "s1"]
    given = [Listed("S1", ("v1",)), Listed("b", ()), Listed("s1", ())]
    found = place.list_is(given, lambda name: True, 10).look
    assert [one.name for one in found] == ["S1", "s1"]
    del place.facts["s1"]
    assert [one.name for one in place.counts_are({"S1": 3, "b": 1, "s1": 1})] == ["S1"]
