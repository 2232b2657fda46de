"""What dnsperf is told to ask."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.asking import Load, read_report, spelled
from benchmarks.tools import find
from consulfwd.errors import StartError

LOAD = Load(["web0.service.consul", "web1.service.consul"], 2, 4, 20, None, edns=False, core=1)


def test_a_name_has_as_many_spellings_as_its_letters_allow() -> None:
    name = "web0.service.consul"
    found = {spelled(name, number) for number in range(2**10)}
    assert len(found) == 2**10
    assert {one.lower() for one in found} == {name}
    assert spelled(name, 0) == name
    assert spelled(name, 1) == "Web0.service.consul"
    assert spelled(name, 0b1000) == "web0.Service.consul"
    assert spelled(name, 2**16 - 1) == name.upper()
    assert spelled(name, 2**16) == name


def test_names_are_asked_in_turn_and_each_time_in_another_spelling(tmp_path: Path) -> None:
    def lines(load: Load) -> list[str]:
        return load.write(tmp_path / "queries").read_text().splitlines()

    assert lines(LOAD) == ["web0.service.consul A", "web1.service.consul A"]
    first = lines(replace(LOAD, spellings=3, first_spelling=1))
    more = lines(replace(LOAD, spellings=3, first_spelling=4))
    assert len({*first, *more, *lines(LOAD)}) == 14
    assert [line.lower() for line in first] == [line.lower() for line in lines(LOAD)] * 3


def test_the_command_has_what_was_chosen() -> None:
    if find("dnsperf") is None:
        pytest.skip("needs dnsperf")
    plain = " ".join(LOAD.command(Path("q"), 53))
    assert "-q 20 -l 2" in plain
    assert not {"-Q", "-m", "-e"} & set(plain.split())
    paced = replace(LOAD, rate=500, tcp=True, edns=True).command(Path("q"), 53, "-n", "3")
    assert " ".join(paced).endswith("-q 20 -n 3 -Q 500 -m tcp -e")


def test_a_load_that_failed_is_an_error() -> None:
    with pytest.raises(StartError, match="dnsperf failed:\nno such host"):
        read_report(["dnsperf"], 1, "no such host", "")
