"""What `python -m benchmarks` makes of its command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import parser
from benchmarks.choice import (
    CACHED_TTL,
    KINDS,
    REAL_ONLY,
    Step,
    chosen,
    chosen_rates,
    plan,
    takes_part,
    ttl_of,
)
from benchmarks.peers import Site
from consulfwd.errors import UsageError


def test_a_benchmark_has_the_agents_it_needs() -> None:
    assert plan("miss", None) == [Step("miss", "stub"), Step("miss", "real")]
    assert plan("miss", "real") == [Step("miss", "real")]
    assert plan("fresh", "both") == [Step("fresh", "real")]
    assert {step.name for step in plan("all", None)} == set(KINDS)


def test_light_agents_cannot_stand_for_real_ones() -> None:
    for name in REAL_ONLY:
        with pytest.raises(UsageError, match=f"{name} needs real Consul: leave out --upstream"):
            plan(name, "stub")
    with pytest.raises(UsageError, match="sizes needs light agents"):
        plan("sizes", "real")


def test_agents_off_the_host_are_light_ones() -> None:
    assert plan("miss", None, veth=True) == [Step("miss", "stub")]
    assert not {step.name for step in plan("all", None, veth=True)} & set(REAL_ONLY)
    with pytest.raises(UsageError, match="fresh needs real Consul: leave out --veth"):
        plan("fresh", None, veth=True)
    with pytest.raises(UsageError, match="--veth has light agents"):
        plan("miss", "real", veth=True)


def test_what_a_benchmark_is_about_takes_part() -> None:
    peers = chosen("floor,consulfwd,named")
    assert [peer.name for peer in peers] == ["floor", "consulfwd", "bind"]
    assert takes_part(peers, Step("cached", "stub"), 60) == peers
    assert takes_part(peers, Step("steady", "real"), 0) == peers
    assert takes_part(peers, Step("memory", "real"), 0) == peers[1:]
    ours, other = takes_part(peers, Step("miss", "stub"), 0)
    assert (ours.name, ours.note[:20], other) == ("consulfwd", "consul.watch.enabled", peers[2])


def test_another_build_runs_in_the_same_rounds(tmp_path: Path) -> None:
    peers = chosen("floor,consulfwd,bind", ["env", "A=b", "/other/consulfwd"])
    assert [peer.name for peer in peers] == ["floor", "consulfwd", "beside", "bind"]
    assert [peer.own for peer in peers] == [False, True, True, False]
    site = Site(tmp_path, 53, [], tmp_path, ["/this/consulfwd"])
    for ours, watching in ((peers, True), (takes_part(peers, Step("miss", "stub"), 60), False)):
        commands = [peer.command(site) for peer in ours if peer.own]
        assert commands[0][:2] == ["/this/consulfwd", "serve"]
        assert commands[1][:4] == ["env", "A=b", "/other/consulfwd", "serve"]
        assert ("watch" in (tmp_path / "consulfwd.yml").read_text()) is not watching
    assert [peer.name for peer in chosen("bind", ["/other/consulfwd"])] == ["bind"]


def test_the_ttl_is_chosen_where_it_is_not_what_is_measured() -> None:
    assert ttl_of(Step("cached", "stub"), None) == CACHED_TTL
    assert ttl_of(Step("cached", "stub"), 5) == 5
    assert ttl_of(Step("miss", "stub"), 5) == 5
    assert ttl_of(Step("steady", "stub"), 5) == CACHED_TTL
    assert ttl_of(Step("steady", "real"), 5) == ttl_of(Step("sizes", "stub"), 5) == 0


def test_rates_are_those_of_hosts_or_those_named() -> None:
    assert chosen_rates(None, None, 60) == [100, 1000, 5000]
    assert chosen_rates(None, None, 0) == [100, 500, 1000, 5000]
    assert chosen_rates("1000, 20", None, 0) == [20, 1000]
    assert chosen_rates("1000,20", 300, 60) == [300]
    for wrong in ("", "0", "10,x", "10,"):
        with pytest.raises(UsageError, match="is not queries per second"):
            chosen_rates(wrong, None, 0)


def test_options_and_benchmarks_are_documented() -> None:
    page = (Path(__file__).parents[2] / "docs/benchmarks.md").read_text()
    for name in KINDS:
        assert f"python -m benchmarks {name} " in page
    for action in parser()._actions:
        for option in action.option_strings:
            assert option in ("-h", "--help") or f"`{option}" in page or f", `{option}" in page
