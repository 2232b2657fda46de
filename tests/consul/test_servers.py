"""Which servers of the catalog are asked, and in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.config import Agent, Endpoint, Seeds, Settings
from consulfwd.consul.servers import (
    MOST,
    NAMED_FOR,
    Change,
    Directory,
    Roster,
    addresses,
    peers,
)
from tests.consul.replies import servers

SEED = Agent(address="10.0.0.1", dns_port=8601, http_port=8501, token_file=None)
A, B, C, D = "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"


class Trusting(Roster):
    """One whose peers are whoever is in the catalog."""

    def heard(self, listed: Sequence[str]) -> Change:
        self.named(frozenset(listed), 0.0)
        return super().heard(listed)


def roster(*seeds: str, host: str = "host1") -> Roster:
    return Trusting([SEED.replace(address=one) for one in seeds or (A,)], host)


def hear(found: Roster, *addresses: str) -> Change:
    """The catalog lists these, and they are Raft's peers."""
    found.named(frozenset(addresses), 0.0)
    return found.heard(addresses)


def asked(found: Roster) -> list[str]:
    return [agent.address for agent in found.agents()]


def names(*found: str) -> tuple[str, ...]:
    return tuple(f"{one}:8601" for one in found)


def test_addresses_of_servers() -> None:
    found: list[Any] = servers(A, B, C)
    found[1]["Service"]["Address"] = "10.1.0.2"
    found[2]["Checks"][0]["Status"] = "critical"
    assert addresses(found) == [A, "10.1.0.2", C]
    assert addresses([]) == []


@pytest.mark.parametrize(
    "written",
    ["", "server-1", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "fe80::1", "fe80::1%eth0",
     "10.0.0.1:8600", "10.0.0", 7, None, ["10.0.0.1"]],
)  # fmt: skip
def test_what_is_not_an_address_is_left_out(written: object) -> None:
    found: list[Any] = servers(A, B)
    found[0]["Node"]["Address"] = written
    assert addresses(found) == [B]


def test_addresses_are_written_one_way() -> None:
    assert addresses(servers("2001:DB8:0::7", "::ffff:10.0.0.9")) == ["2001:db8::7", "10.0.0.9"]


def test_peers() -> None:
    assert peers(["10.0.0.1:8300", "[2001:DB8::7]:8300", "[::ffff:10.0.0.9]:8300"]) == {
        A, "2001:db8::7", "10.0.0.9"
    }  # fmt: skip
    assert peers(["server-1:8300", "10.0.0.1", "", "0.0.0.0:8300"]) == frozenset()


@pytest.mark.parametrize("parsed", [None, {}, "10.0.0.1:8300", [1], [["10.0.0.1:8300"]]])
def test_other_forms_of_peers_are_refused(parsed: object) -> None:
    with pytest.raises(ValueError, match="not a list of peers"):
        peers(parsed)


def stranger_free(*seeds: str) -> Roster:
    found = Roster([SEED.replace(address=one) for one in seeds or (A,)], "host1")
    found.named(frozenset((A, B, C)), 0.0)
    return found


def test_only_who_raft_knows_is_taken() -> None:
    found = stranger_free()
    assert found.heard([A, B, D]) == Change(names(B), ())
    assert (asked(found), found.strangers([A, B, D, D])) == ([A, B], [D])
    # Until it does.
    found.named(frozenset((A, B, D)), 1.0)
    assert found.heard([A, B, D]) == Change(names(D), ())


def test_nobody_is_taken_before_raft_s_peers_are_known() -> None:
    found = Roster([SEED], "host1")
    assert found.heard([A, B, C]) == Change((), ())
    assert found.strangers([A, B, C]) == [B, C]


def test_who_is_no_peer_any_more_goes_like_who_left_the_catalog() -> None:
    found = stranger_free()
    found.heard([A, B, C])
    found.named(frozenset((A, B)), 1.0)
    assert found.heard([A, B, C]) == Change((), ())
    assert found.heard([A, B, C]) == Change((), names(C))


def test_no_peers_at_all_are_not_believed() -> None:
    found = stranger_free()
    found.heard([A, B, C])
    found.named(frozenset(), 1.0)
    for _ in range(3):
        assert found.heard([A, B, C]) == Change((), ())


def test_a_seed_is_no_stranger() -> None:
    found = stranger_free(D)
    assert found.heard([A, B, D]) == Change(names(A, B), ())
    assert (found.strangers([D]), asked(found)[0]) == ([], D)


@pytest.mark.parametrize(
    ("listed", "now", "doubted"),
    [
        ([A, B], 1.0, False),
        ([A, B], NAMED_FOR - 0.1, False),
        ([A, B], NAMED_FOR, True),
        ([A, B, D], 1.0, True),
        # Of seeds alone there is nothing to ask.
        ([A], NAMED_FOR, False),
        ([], NAMED_FOR, False),
    ],
)
def test_when_it_is_asked_who_raft_knows(listed: list[str], now: float, doubted: bool) -> None:
    assert stranger_free().in_doubt(listed, now) is doubted


@pytest.mark.parametrize(
    "parsed", [None, {}, "x", 1, [1], [None], [{}], [{"Node": {}}], [{"Node": 1, "Service": {}}]]
)
def test_other_forms_are_refused(parsed: object) -> None:
    with pytest.raises(ValueError, match="not a list of servers"):
        addresses(parsed)


def test_new_ones_come_at_once_with_the_first_seeds_ports() -> None:
    found = roster(A)
    assert asked(found) == [A]
    assert found.heard([A, B, C]) == Change(names(B, C), ())
    assert sorted(asked(found)) == [A, B, C]
    assert asked(found)[0] == A
    assert {(one.dns_port, one.http_port) for one in found.agents()} == {(8601, 8501)}
    assert found.heard([A, B, C]) == Change((), ())
    assert found.heard([A, B, C, D]) == Change(names(D), ())


def test_the_first_seed_s_socket_is_its_own() -> None:
    found = Roster((SEED.replace(http_socket="/run/consul.sock"),), "host")
    hear(found, "10.0.0.2")
    assert found.agents()[1] == SEED.replace(address="10.0.0.2")


def test_one_that_is_missing_once_stays() -> None:
    found = roster(A)
    found.heard([A, B, C])
    for _ in range(3):
        assert found.heard([A, B]) == Change((), ())
        assert found.heard([A, B, C]) == Change((), ())
    assert found.heard([A, B]) == Change((), ())
    assert found.heard([A, B]) == Change((), names(C))
    assert asked(found) == [A, B]


def test_an_empty_list_is_never_believed() -> None:
    found = roster(A)
    found.heard([A, B, C])
    for _ in range(5):
        assert found.heard([]) == Change((), ())
    # Nor does it count as one of two replies in a row.
    found.heard([A, B])
    found.heard([])
    assert sorted(asked(found)) == [A, B, C]


def test_seeds_stay_whatever_the_catalog_says() -> None:
    found = roster(A, B)
    for _ in range(3):
        found.heard([C])
    assert asked(found) == [A, B, C]
    for _ in range(3):
        found.heard([A])
    assert asked(found) == [A, B]


def test_a_seed_is_not_there_twice() -> None:
    found = roster("2001:db8::1", "::ffff:10.0.0.2")
    assert found.heard(["2001:db8:0::1", "10.0.0.2", C]) == Change(names(C), ())


def test_loopback_only_where_a_seed_is() -> None:
    assert roster(A).heard(["127.0.0.2", "::1"]) == Change((), ())
    assert roster("127.0.0.1").heard(["127.0.0.1", "127.0.0.2", A]).came == names(A, "127.0.0.2")


@pytest.mark.parametrize(
    ("listening", "came"),
    [
        (("10.0.0.2", 8601), names(C, "127.0.0.2")),
        (("10.0.0.2", 53), names(B, C, "127.0.0.2")),
        (("0.0.0.0", 8601), names(B, C)),
        (("::", 8601), names(B, C, "127.0.0.2")),
    ],
)
def test_we_ourselves_are_not_asked(listening: tuple[str, int], came: tuple[str, ...]) -> None:
    endpoint = Endpoint(host=listening[0], port=listening[1])
    found = Roster([SEED.replace(address="127.0.0.1")], "host1", [endpoint])
    assert hear(found, B, C, "127.0.0.2").came == came


def test_the_order_differs_between_hosts_and_stays_on_one() -> None:
    others = [f"10.0.1.{n}" for n in range(5)]
    firsts: Counter[str] = Counter()
    for number in range(1000):
        found = roster(A, host=f"host{number}")
        found.heard([*others])
        order = asked(found)
        firsts[order[1]] += 1
        found.heard(others[::-1])
        assert asked(found) == order
    assert set(firsts) == set(others)
    assert max(firsts.values()) < 270
    # When one goes, the others keep their places.
    found = roster(A)
    found.heard(others)
    order = asked(found)
    for _ in range(2):
        found.heard([one for one in others if one != order[1]])
    assert asked(found) == [order[0], *order[2:]]


def test_no_more_than_so_many() -> None:
    many = [f"10.0.{n // 250}.{n % 250 + 1}" for n in range(3000)]
    found = roster(A, B)
    assert len(found.heard(many).came) == MOST - 2
    assert len(asked(found)) == MOST
    assert found.heard(many) == Change((), ())


@given(st.lists(st.lists(st.sampled_from([A, B, C, D, "127.0.0.1"]), max_size=5), max_size=20))
def test_invariants(replies: list[list[str]]) -> None:
    found = roster(A, B)
    for listed in replies:
        before = set(names(*asked(found)))
        change = found.heard(listed)
        after = [agent.name for agent in found.agents()]
        assert after[:2] == [*names(A, B)]
        assert len(set(after)) == len(after)
        assert set(after) == (before | set(change.came)) - set(change.went)
        # Whoever was listed is asked.
        assert set(names(*(one for one in listed if one != "127.0.0.1"))) <= set(after)


def settings(*seeds: str, catalog: bool = True, **more: Any) -> Settings:
    agents = tuple(SEED.replace(address=one) for one in seeds)
    consul: Any = {"agents": Seeds(agents) if catalog else agents, **more}
    return Settings(consul=consul)


def in_force(directory: Directory, found: Settings, datacenter: str = "") -> list[str]:
    consul = directory.in_force(found).consul
    agents = consul.datacenters[datacenter].agents if datacenter else consul.agents
    return [agent.address for agent in agents]


def test_settings_in_force() -> None:
    directory = Directory("host1")
    far = {"far": {"agents": Seeds([SEED.replace(address=C)])}, "near": {"agents": [D]}}
    found = settings(A, datacenters=far)
    directory.use(found)
    rosters = dict(directory)
    assert list(rosters) == ["", "far"]
    assert in_force(directory, found) == [A]
    hear(rosters[""], A, B)
    hear(rosters["far"], C, D)
    assert in_force(directory, found) == [A, B]
    assert in_force(directory, found, "far") == [C, D]
    assert in_force(directory, found, "near") == [D]
    assert directory.in_force(found).consul.policy == found.consul.policy


def test_a_reload_keeps_what_was_learned() -> None:
    directory = Directory("host1")
    directory.use(settings(A))
    hear(dict(directory)[""], A, B, C)
    # Another seed, which was learned before, and another port.
    found = settings(A, B)
    directory.use(found)
    assert in_force(directory, found) == [A, B, C]
    found = settings(B)
    directory.use(found)
    assert in_force(directory, found) == [B, C]
    assert hear(dict(directory)[""], A) == Change(names(A), ())
    # Seeds of another cluster: what was learned may not be theirs.
    found = settings("10.9.9.9")
    directory.use(found)
    assert in_force(directory, found) == ["10.9.9.9"]


def test_without_the_catalog_the_list_is_the_list() -> None:
    directory = Directory("host1")
    directory.use(settings(A))
    hear(dict(directory)[""], A, B)
    found = settings(A, catalog=False)
    directory.use(found)
    assert directory.in_force(found) is found
    assert list(directory) == []
