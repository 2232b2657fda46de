"""Whatever checks find, in whatever order: what always holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from tests.failover.site import NAME, ONE, OTHER, TWO, Site, settings

ROUNDS = st.lists(
    st.tuples(*[st.sampled_from(("ok", "fail", "error"))] * 3), min_size=1, max_size=30
)
INTERVAL = 10.0


class Count:
    """One address counted in the plainest way."""

    def __init__(self, fall: int, rise: int) -> None:
        self.fall, self.rise, self.in_a_row = fall, rise, 0
        self.up: bool | None = None

    def saw(self, result: str) -> None:
        if result == "error":
            return
        well = result == "ok"
        self.in_a_row = 0 if well is self.up else self.in_a_row + 1
        wanted = 1 if self.up is None else self.fall if self.up else self.rise
        if self.in_a_row >= wanted:
            self.up, self.in_a_row = well, 0


@how(max_examples=150, deadline=None)
@given(rounds=ROUNDS, fall=st.integers(1, 4), rise=st.integers(1, 4))
def test_as_counted_plainly(rounds: list[tuple[str, ...]], fall: int, rise: int) -> None:
    # One network: it is never the line.
    pools = [ONE, TWO], ["192.0.2.3"]
    site = Site(settings(*pools, fall=fall, rise=rise, flapping={"rise_max": 1}))
    counts = [Count(fall, rise) for _ in range(3)]
    begun = False
    for results in rounds:
        site.now += INTERVAL
        for count, result in zip(counts, results, strict=True):
            count.saw(result)
        site.check(a1=results[0], a2=results[1], a3=results[2])
        ups = [one.up for one in counts]
        begun = begun or True in ups or None not in ups
        found = site.book.given(NAME)
        if not begun:
            assert found is None
            continue
        assert found is not None
        assert [one.up for one in site.book.view(NAME).addresses] == ups
        if True in ups:
            pool = 0 if True in ups[:2] else 1
            assert found.pool == pool
            all_of = [[*pools[0], *pools[1]][at] for at in ((0, 1), (2,))[pool] if ups[at]]
            assert [str(one.ip) for one in found.addresses] == all_of
        else:
            assert found.pool is None
        assert 1 <= found.ttl <= 30


@how(max_examples=150, deadline=None)
@given(
    before=st.lists(st.sampled_from(("ok", "fail", "error")), max_size=8),
    took=st.floats(0, 5),
    fall=st.integers(1, 5),
    died=st.floats(0, 0.999),
)
def test_no_cache_holds_the_dead_for_longer(
    before: list[str], took: float, fall: int, died: float
) -> None:
    """From the death on: fall x interval, what the last check takes, and the least TTL."""
    site = Site(settings(fall=fall, rise=1, ttl=600, ttl_min=1, flapping={"rise_max": 1}))
    start = site.now
    site.check(a1="ok", a2="ok")
    death, held_until = start, start
    script = [*before, "ok", *["fail"] * (fall + 1)]
    for number, result in enumerate(script):
        # A check begins at each interval, and says so once it is done; people ask all the time.
        for share in (0.0, 0.3, 0.6, 0.9):
            asked = start + number * INTERVAL + share * INTERVAL
            if asked < site.now:
                continue
            site.now = asked
            found = site.book.given(NAME)
            if found is not None and str(found.addresses[0].ip) == ONE:
                held_until = max(held_until, site.now + found.ttl)
        begins = start + (number + 1) * INTERVAL
        lasts = took if result == "fail" else 0.0
        site.now = begins + lasts
        if result == "ok" and number == len(before):
            death = begins + died
        site.check(a1=result, a2="ok", took=lasts)
        if result == "ok":
            held_until = site.now
    assert str(site.book.given(NAME).addresses[0].ip) == OTHER  # type: ignore[union-attr]
    assert held_until <= death + fall * INTERVAL + took + 1
