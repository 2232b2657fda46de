"""Health of upstreams: the table, what is counted before it, times, probes."""

from __future__ import annotations

import dataclasses
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consulfwd.core import order
from consulfwd.core.health import APART, MAX_PENALTY, Health
from consulfwd.core.states import TRANSITIONS, Event, State, transition
from consulfwd.core.upstreams import AGENT, LIMP, RECURSOR, Upstream
from tests.core.play import upstream

UP, SUSPECT, DOWN, PROBING = State.UP, State.SUSPECT, State.DOWN, State.PROBING
GOOD, BAD, SILENT, REFUSED, LIED, RISEN, LOOPED = Event

# The table once more, as it is meant: rows are states, columns events; `-` cannot happen.
MEANT = """
           good     bad      silent   refused  lied     risen    looped
up         up       suspect  suspect  down     suspect  -        down
suspect    suspect  down     down     down     suspect  up       down
down       probing  down     down     down     down     -        down
probing    probing  down     down     down     down     up       down
"""


def rows() -> dict[tuple[State, Event], State | None]:
    columns, *lines = MEANT.strip().splitlines()
    assert [Event[one.upper()] for one in columns.split()] == list(Event)
    return {
        (State(line.split()[0]), event): None if to == "-" else State(to)
        for line in lines
        for event, to in zip(Event, line.split()[1:], strict=True)
    }


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_state_and_event(state: State, event: Event) -> None:
    meant = rows()[state, event]
    if meant is None:
        with pytest.raises(KeyError):
            transition(state, event)
    else:
        assert transition(state, event) is meant


@pytest.mark.parametrize("state", [UP, DOWN])
def test_an_event_that_cannot_happen_changes_nothing(state: State) -> None:
    health, one = Health(), upstream("A")
    one.state = state
    before = snapshot(one)
    with pytest.raises(KeyError):
        health._apply(one, RISEN, 7.0, "cannot be")
    assert (snapshot(one), health.version, health.changes) == (before, 0, [])


def snapshot(one: Upstream) -> dict[str, object]:
    return {slot: getattr(one, slot) for slot in Upstream.__slots__}


class Patient:
    """One upstream and its health, with a clock that moves a second per event."""

    def __init__(self, name: str = "A", state: State = UP) -> None:
        self.health = Health()
        self.one = upstream(name)
        self.one.state = state
        self.now = 100.0

    def __call__(self, *events: str, pause: float = 1.0, rtt: float = 0.001) -> str:
        """Let events happen, and return the state as text."""
        for event in events:
            self.now += pause
            self.event(event, rtt)
        return self.one.state.value

    def event(self, event: str, rtt: float = 0.001) -> None:
        health, one, now = self.health, self.one, self.now
        if event == "good":
            health.good(one, now, rtt)
        elif event == "bad":
            health.bad(one, now, "answers SERVFAIL")
        elif event == "silent":
            health.silent(one, now, now - rtt)
        elif event == "refused":
            health.refused(one, now, "connection refused")
        else:
            health.lied(one, now)


@pytest.mark.parametrize("what", ["bad", "silent"])
@pytest.mark.parametrize(("name", "fall"), [("A", AGENT.fall), ("R", RECURSOR.fall)])
def test_falls_after_so_many_in_a_row(what: str, name: str, fall: int) -> None:
    patient = Patient(name)
    assert patient(*[what] * (fall - 1)) == "up"
    assert patient("good", *[what] * (fall - 1)) == "up"
    assert patient(what) == "suspect"
    assert patient(*[what] * (fall - 1)) == "suspect"
    assert patient(what) == "down"


@pytest.mark.parametrize("state", [SUSPECT, PROBING])
@pytest.mark.parametrize(("name", "rise"), [("A", AGENT.rise), ("R", RECURSOR.rise)])
def test_rises_after_so_many_in_a_row(state: State, name: str, rise: int) -> None:
    patient = Patient(name, state)
    assert patient(*["good"] * (rise - 1)) == state.value
    assert patient("good") == "up"


# What happens from a state on -> the states after each event.
SEQUENCES = {
    "up: refused, back": ("refused good good good", "down probing probing up"),
    "up: lies": ("lied good lied good good good", "suspect suspect suspect suspect suspect up"),
    "suspect: an error in between": ("good good bad good good good", "suspect " * 5 + "up"),
    "suspect: a silence in between": ("good good silent good good good", "suspect " * 5 + "up"),
    "suspect: refused": ("refused", "down"),
    "down: nothing new": ("bad silent refused lied", "down down down down"),
    "down: back and away again": ("good good silent good bad", "probing probing down probing down"),
    "probing: lies": ("lied", "down"),
    "probing: refused": ("refused", "down"),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_sequences(name: str) -> None:
    events, states = SEQUENCES[name]
    patient = Patient(state=State(name.partition(":")[0]))
    assert [patient(event) for event in events.split()] == states.split()


@pytest.mark.parametrize(("name", "fall"), [("A", AGENT.fall), ("R", RECURSOR.fall)])
def test_a_refusal_told_from_elsewhere_is_one_bad_sign(name: str, fall: int) -> None:
    patient = Patient(name)
    patient.one.on_host = False
    assert patient(*["refused"] * (fall - 1)) == "up"
    assert patient("good", *["refused"] * (fall - 1)) == "up"
    # It does not show that anybody is there.
    assert patient.one.last_reply == patient.now - (fall - 1)
    assert patient("refused") == "suspect"
    assert patient(*["refused"] * fall) == "down"
    assert {why for *_, why in patient.health.changes} == {"connection refused"}


@pytest.mark.parametrize(("on_host", "transport"), [(True, "udp"), (True, "tls"), (False, "tls")])
def test_a_refusal_by_the_kernel_or_of_a_connection_is_sure(on_host: bool, transport: str) -> None:
    patient = Patient()
    patient.one.on_host, patient.one.transport = on_host, transport
    assert patient("refused") == "down"


def test_one_that_answered_since_is_not_silent() -> None:
    patient = Patient()
    health, one = patient.health, patient.one
    health.good(one, 200.0, 0.001)
    for asked_at in (199.0, 199.9, 199.99):
        health.silent(one, 200.1, asked_at)
    assert (one.state, one.silent) == (UP, 0)
    health.silent(one, 200.3, 200.1)
    assert one.silent == 1


def test_changes_are_told_with_the_reason_and_counted() -> None:
    patient = Patient()
    patient("silent", "silent", "silent", "good", "good", "good", "refused")
    told = [(old.value, new.value, why) for _, old, new, why in patient.health.changes]
    assert told == [
        ("up", "suspect", "does not answer"),
        ("suspect", "up", "3 good replies in a row"),
        ("up", "down", "connection refused"),
    ]
    assert patient.health.version == 3


def test_what_was_queued_while_it_hung_does_not_make_it_well() -> None:
    patient = Patient(state=DOWN)
    patient.one.changed_at = 95.0
    assert patient("good", "good", "good", "good", pause=0.0, rtt=4.0) == "probing"
    assert patient.one.srtt == 0.001
    assert patient("good", "good", pause=0.1) == "up"


@pytest.mark.parametrize(("pause", "state"), [(APART, "up"), (APART - 0.001, "suspect")])
def test_many_replies_at_once_prove_no_more_than_one(pause: float, state: str) -> None:
    patient = Patient(state=SUSPECT)
    patient("good")
    assert patient("good", "good", pause=pause, rtt=0.0) == state


@pytest.mark.parametrize(("pause", "state"), [(APART, "down"), (APART - 0.001, "suspect")])
def test_many_silences_at_once_prove_no_more_than_one(pause: float, state: str) -> None:
    patient = Patient()
    patient("silent", "silent", "silent", pause=0.001)
    assert patient("silent", "silent", "silent", pause=pause, rtt=0.0) == state


def test_what_was_asked_before_it_was_suspect_does_not_make_it_down() -> None:
    patient = Patient()
    patient("silent", "silent", "silent")
    assert patient("silent", "silent", "silent", pause=0.1, rtt=1.0) == "suspect"


def test_a_reply_that_proves_nothing_is_a_sign_of_life_all_the_same() -> None:
    patient = Patient()
    patient("silent", "silent")
    patient.health.alive(patient.one, patient.now)
    assert (patient("silent"), patient.one.good) == ("up", 0)


def test_an_upstream_that_keeps_falling_must_prove_more_each_time() -> None:
    patient = Patient()
    needed = []
    for _ in range(6):
        patient("refused")
        replies = 0
        while patient("good", pause=0.1) != "up":
            replies += 1
        needed.append(replies + 1)
    rise = AGENT.rise
    assert needed == [rise, 2 * rise, 4 * rise, *[MAX_PENALTY * rise] * 3]


@pytest.mark.parametrize(("well_for", "needed"), [(-0.1, 2 * AGENT.rise), (0.1, AGENT.rise)])
def test_one_that_was_well_for_long_returns_as_the_first_time(well_for: float, needed: int) -> None:
    patient = Patient()
    patient("refused", "good", "good", "good")
    patient("refused", pause=AGENT.steady + well_for)
    assert patient(*["good"] * (needed - 1)) == "probing"
    assert patient("good") == "up"


def test_round_trip_times_are_estimated_as_by_rfc_6298() -> None:
    one = upstream("A", rtt=0)
    assert one.hedge_after() == AGENT.hedge_initial
    seen = []
    for rtt in (0.016, 0.016, 0.024):
        one.measured(rtt)
        seen.append((round(one.srtt, 6), round(one.rttvar, 6)))
    assert seen == [(0.016, 0.008), (0.016, 0.006), (0.017, 0.0065)]


@pytest.mark.parametrize(
    ("srtt", "rttvar", "after"),
    [
        (0.001, 0.0, 0.010),  # never sooner than the floor
        (0.010, 0.0, 0.030),  # three times the usual
        (0.010, 0.010, 0.050),  # or four deviations more
        (0.200, 0.0, 0.250),  # never later than the ceiling
    ],
)
def test_the_time_to_ask_another(srtt: float, rttvar: float, after: float) -> None:
    one = upstream("A")
    one.srtt, one.rttvar = srtt, rttvar
    assert one.hedge_after() == pytest.approx(after)


def test_one_late_reply_does_not_make_the_next_queries_wait_long() -> None:
    patient = Patient()
    patient("good", rtt=60.0)
    assert patient.one.srtt < AGENT.hedge_ceiling / 4
    patient("good", rtt=0.001)
    assert patient.one.hedge_after() <= AGENT.hedge_ceiling


def test_one_that_limped_is_soon_seen_to_limp_no_more() -> None:
    one = upstream("A", rtt=0.25)
    for _ in range(4):
        one.measured(0.001)
    assert one.srtt < LIMP / 2


def test_times_of_streams_are_left_out() -> None:
    patient = Patient()
    patient.health.good(patient.one, 101.0, 0.2, measure=False)
    assert (patient.one.srtt, patient.one.rttvar) == (0.001, 0.0)


def test_probes_come_at_once_then_ever_slower_and_never_stop() -> None:
    patient = Patient()
    patient("refused")
    fell, sent = patient.now, []
    for tick in range(4000):
        now = fell + tick / 1000
        if patient.health.probe_due([patient.one], now):
            sent.append(round(now - fell, 3))
            patient.health.silent(patient.one, now + 0.0005, now)
    pauses = [round(b - a, 3) for a, b in pairwise(sent)]
    assert sent[0] == pytest.approx(0.1, abs=0.002)
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 0.8, 0.8], abs=0.002)


def test_failing_queries_do_not_put_off_probes() -> None:
    patient = Patient()
    patient(*["refused"] * 50, pause=0.001)
    assert patient.health.probe_due([patient.one], patient.now + 0.1) == [patient.one]


def test_the_suspect_are_probed_steadily_and_the_well_not_at_all() -> None:
    health = Health()
    well, suspect = upstream("A"), upstream("B")
    health.lied(suspect, 100.0)
    sent = [
        tick for tick in range(1000) if health.probe_due([well, suspect], 100.0005 + tick / 1000)
    ]
    assert sent == [100, 200, 300, 400, 500, 600, 700, 800, 900]
    assert well.probe_at == 0


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["good", "bad", "silent", "refused", "lied", "probe"]),
        st.sampled_from([0.0, 0.001, 0.1, 1.0, 20.0]),
        st.sampled_from([0.0, 0.001, 0.3, 5.0]),
    ),
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from("AR"), EVENTS)
def test_invariants_on_random_walks(name: str, events: list[tuple[str, float, float]]) -> None:
    patient = Patient(name)
    health, one = patient.health, patient.one
    tuning = one.tuning
    for event, pause, rtt in events:
        patient.now += pause
        if event == "probe":
            health.probe_due([one], patient.now)
        else:
            patient.event(event, rtt)
        assert 0 <= one.good < max(one.needed, tuning.rise)
        assert 0 <= one.silent < tuning.fall
        assert one.state in (DOWN, PROBING) or one.bad < tuning.fall
        assert tuning.probe_first <= one.probe_pause <= tuning.probe_ceiling
        assert one.needed <= MAX_PENALTY * tuning.rise
        assert tuning.hedge_floor <= one.hedge_after() <= tuning.hedge_ceiling
        if one.state is not UP:
            assert one.probe_at <= patient.now + tuning.probe_ceiling, "it will be probed soon"
        assert health.version == len(health.changes)
    states = [UP, *(new for _, _, new, _ in health.changes)]
    for (_, old, new, _), before in zip(health.changes, states, strict=False):
        assert old is before
        assert new is not old
        assert new in {to for (state, _), to in TRANSITIONS.items() if state is old}
    # However it went: good replies bring it back.
    while one.state is not UP:
        assert one.good <= MAX_PENALTY * tuning.rise
        patient("good")


def test_the_thresholds_are_what_the_documentation_says() -> None:
    assert dataclasses.asdict(AGENT) == {
        "fall": 3, "rise": 3, "hedge_floor": 0.010, "hedge_initial": 0.020,
        "hedge_ceiling": 0.250, "probe_first": 0.100, "probe_ceiling": 0.800, "steady": 10.0,
    }  # fmt: skip
    assert order.MEASURE_AGAIN == 5.0
