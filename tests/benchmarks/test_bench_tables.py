"""The tables of `sizes` and `memory`."""

from __future__ import annotations

from benchmarks.memory import Held
from benchmarks.sizes import CACHED, RECORDS, TCP, Sized, names_of
from benchmarks.tables import memory, sizes
from benchmarks.upstream import service_names
from tests.benchmarks.figures import sample, server


def test_each_size_has_names_of_its_own() -> None:
    names = service_names(100)
    found = [names_of(names, records) for records in RECORDS]
    assert [len(one) for one in found] == [20] * len(RECORDS)
    assert {name for one in found for name in one} == set(names)
    # The first is asked until the server answers, with what has three records.
    assert (RECORDS[0], found[0][0]) == (3, names[0])


def test_a_large_answer_is_told_beside_a_small_one() -> None:
    def sized(records: int, us: float) -> Sized:
        ours = server("consulfwd", sample(cpu_us=us, hot_share=0.01), sample(cpu_us=us))
        return Sized(CACHED, records, [ours, server("bind", sample(cpu_us=5.0))])

    lines = sizes([sized(3, 10.0), sized(10, 12.0), sized(30, 25.0)]).splitlines()
    assert lines[0] == CACHED
    assert "3 records us  10 records us  30 records us  30/3" in lines[2]
    assert lines[3].split()[2:6] == ["10.0", "12.0", "25.0", "2.50"]
    assert "1.0%" in lines[3]
    assert lines[4].split()[2:6] == ["5.0", "5.0", "5.0", "1.00"]


def test_of_one_size_ours_is_told_beside_the_others() -> None:
    ours, its = server("consulfwd", sample(cpu_us=100.0)), server("bind", sample(cpu_us=200.0))
    lines = sizes([Sized(TCP, 500, [ours, its])]).splitlines()
    assert lines[4].split()[2:5] == ["200.0", "200.0..200.0", "0.50"]


def test_memory_is_told_with_the_watches_it_holds() -> None:
    held = Held("consulfwd", "1.0", "", [], [], 41.0, 58.25, 60.0, 8, 128, 15000, 0)
    other = Held("bind", "9", "a note", [], [], 30.0, 36.0, 36.0, 4, None, 15000, 0)
    lines = memory([held, other]).splitlines()
    words = ["consulfwd", "1.0", "41.0", "58.2", "60.0", "8", "128", "15000", "0"]
    assert lines[1].split() == words
    assert lines[2].split()[6] == "-"
    assert lines[3] == "  bind: a note"
