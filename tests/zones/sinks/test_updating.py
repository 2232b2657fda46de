"""A plan brought into force by updates, at a model of a server: read, changed, verified, undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dns.rrset
import pytest

from consulfwd.apply.change import Applied
from consulfwd.apply.steps import apply
from consulfwd.config.addresses import Endpoint
from consulfwd.config.zones import UpdateTarget
from consulfwd.dns import names
from consulfwd.errors import ApplyError
from consulfwd.zones.model import Records, RRset, difference
from consulfwd.zones.sinks import updates
from consulfwd.zones.sinks.faults import Fault
from consulfwd.zones.sinks.rfc2136 import UpdatedZone
from consulfwd.zones.sinks.work import Pushing
from consulfwd.zones.target import Base, Push
from tests.zones.made import ORIGIN, records, shown
from tests.zones.sinks.model import HERE, THERE, Model, Net

WEB = {"web A": "10.0.0.1 10.0.0.2", "db A": "10.0.0.3"}
NEW = {"web A": "10.0.0.2 10.0.0.4", "mail A": "10.0.0.5"}
Hook = Callable[[Endpoint, str], None]


class Clock:
    """Time that passes only while somebody waits, or is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def target(net: Net, clock: Clock | None = None, **given: Any) -> UpdatedZone:
    settings = UpdateTarget(**{"servers": tuple(net.models), **given})
    return UpdatedZone(settings, names.from_text(ORIGIN), exchange=net, clock=clock or Clock())


def push(zone: UpdatedZone, wanted: Records, base: Base | None = None, **more: Any) -> Applied:
    """Bring what is wanted into force, as a publisher does."""
    base = base or zone.read()
    clock = Clock()
    work = Pushing(zone, Push(base, difference(base.ours, wanted), **more))
    return apply(work, sleep=clock.sleep, clock=clock)


def at(net: Net, what: str, number: int, do: Callable[[], None]) -> Hook:
    """Have something done before the message of that kind and number (from 1 on)."""
    seen = 0

    def hook(server: Endpoint, kind: str) -> None:
        nonlocal seen
        seen += kind == what
        if kind == what and seen == number:
            do()

    return hook


def fail(fault: Fault) -> Callable[[], None]:
    def raising() -> None:
        raise fault

    return raising


@pytest.fixture
def model() -> Model:
    return Model(records(WEB))


@pytest.fixture
def net(model: Model) -> Net:
    return Net(here=model)


def test_a_plan_is_brought_into_force_in_one_message(net: Net, model: Model) -> None:
    zone = target(net)
    assert push(zone, records(NEW)).places == (zone.where,)
    assert model.records == records(NEW)
    assert (model.accepted, model.serial) == (1, 2)
    assert model.asked == ["SOA", "AXFR", "SOA", "UPDATE", "SOA", "SOA", "IXFR"]
    assert zone.read().ours == records(NEW)


def test_nothing_is_transferred_where_nothing_changed(net: Net, model: Model) -> None:
    zone = target(net)
    push(zone, records(NEW))
    model.asked.clear()
    for _ in range(100):
        assert push(zone, records(NEW)) == Applied()
    assert set(model.asked) == {"SOA"}
    assert (model.accepted, model.serial) == (1, 2)


def test_what_others_changed_is_transferred_alone_and_known(net: Net, model: Model) -> None:
    zone = target(net)
    zone.read()
    before = dict(model.records)
    model.records.update(records({"other A": "10.0.0.9"}))
    model.publish(before)
    model.asked.clear()
    base = zone.read()
    assert model.asked == ["SOA", "IXFR"]
    assert shown(base.ours)["other A"] == "10.0.0.9"
    assert (base.mark, base.serial) == ("2", 2)
    # A server may have no list of changes, and give all there is.
    model.increments = False
    model.publish(model.records)
    model.records.update(records({"other A": "10.0.0.8"}))
    assert shown(zone.read().ours)["other A"] == "10.0.0.8"


def test_a_server_set_back_to_an_older_zone_is_read_as_a_whole(net: Net, model: Model) -> None:
    model.serial = 9
    zone = target(net)
    zone.read()
    model.serial, model.records = 4, records({"web A": "10.0.0.7"})
    assert zone.read() == Base("4", records({"web A": "10.0.0.7"}), {}, 4)


def test_changed_since_it_was_read_nothing_is_done_and_it_is_named(net: Net, model: Model) -> None:
    zone = target(net)
    base = zone.read()
    before = dict(model.records)
    model.records.update(records({"other A": "10.0.0.9"}))
    model.publish(before)
    with pytest.raises(ApplyError, match=r"changed by somebody else .*\(1 is 2\)") as caught:
        push(zone, records(NEW), base)
    assert "other.svc.example.com. A" in str(caught.value)
    assert model.accepted == 0


def test_changed_between_the_look_and_the_update_nothing_is_done(net: Net, model: Model) -> None:
    def other() -> None:
        before = dict(model.records)
        model.records.update(records({"web A": "10.0.0.99"}))
        model.publish(before)

    zone = target(net)
    net.before = at(net, "UPDATE", 1, other)
    with pytest.raises(ApplyError, match=r"web\.svc\.example\.com\. A"):
        push(zone, records(NEW))
    assert model.accepted == 0
    assert shown(model.records)["web A"] == "10.0.0.99"
    # The next plan is made of what is there now.
    push(zone, records(NEW))
    assert model.records == records(NEW)


def test_a_server_that_keeps_its_serial_for_a_moment_loses_nothing(net: Net, model: Model) -> None:
    """Knot takes several updates at once and raises its serial once for them."""

    def other() -> None:
        model.pending = dict(model.records)
        model.records.update(records({"web A": "10.0.0.99"}))

    zone = target(net)
    net.before = at(net, "UPDATE", 1, other)
    with pytest.raises(ApplyError, match=r"web\.svc\.example\.com\. A"):
        push(zone, records(NEW))
    assert model.accepted == 0
    assert shown(model.records)["web A"] == "10.0.0.99"


def test_a_plan_of_several_messages(
    net: Net, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates, "ROOM", 180)
    zone = target(net)
    push(zone, records(NEW))
    assert model.records == records(NEW)
    assert model.accepted == 3
    assert model.asked.count("UPDATE") == 3


@pytest.mark.parametrize("number", [1, 2, 3])
def test_what_fails_half_way_is_taken_back(
    net: Net, model: Model, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(updates, "ROOM", 180)
    net.before = at(net, "UPDATE", number, fail(Fault("did not answer", unsure=True)))
    zone = target(net)
    with pytest.raises(ApplyError, match=r"may be updated or not.*did not answer.*rolled back"):
        push(zone, records(NEW))
    assert model.records == records(WEB)
    push(zone, records(NEW))
    assert model.records == records(NEW)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_what_was_taken_without_a_reply_is_seen_there(
    net: Net, model: Model, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(updates, "ROOM", 180)
    net.after = at(net, "UPDATE", number, fail(Fault("did not answer", unsure=True)))
    push(target(net), records(NEW))
    assert model.records == records(NEW)
    assert model.accepted == 3


def test_what_may_have_been_taken_is_taken_back_once_that_is_known(
    net: Net, model: Model
) -> None:
    """It was taken, and the server is silent until it is to be taken back."""
    fault = Fault("did not answer", unsure=True)
    silent = False

    def after(server: Endpoint, what: str) -> None:
        nonlocal silent
        if what == "UPDATE" and not silent:
            silent = True
            raise fault

    def before(server: Endpoint, what: str) -> None:
        nonlocal silent
        if silent and what == "SOA":
            net.after = net.before = lambda server, what: None
            raise fault

    net.after, net.before = after, before
    with pytest.raises(ApplyError, match=r"may be updated or not.*rolled back"):
        push(target(net), records(NEW))
    assert model.records == records(WEB)
    assert model.accepted == 2


def test_half_way_it_is_not_taken_back_over_somebody_elses_change(
    net: Net, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates, "ROOM", 180)

    def other() -> None:
        before = dict(model.records)
        model.records.update(records({"web A": "10.0.0.9"}))
        model.publish(before)

    zone = target(net)
    net.before = at(net, "UPDATE", 2, other)
    with pytest.raises(ApplyError, match="changes are not taken back"):
        push(zone, records(NEW))
    # Nothing that was there is lost, and the next plan goes on from there.
    assert shown(model.records) == {"db A": "10.0.0.3", "mail A": "10.0.0.5", "web A": "10.0.0.9"}
    push(zone, records(NEW))
    assert model.records == records(NEW)


def test_who_loses_the_lock_half_way_stops_at_once(
    net: Net, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates, "ROOM", 180)
    asked = 0

    def may() -> str:
        nonlocal asked
        asked += 1
        return "the lock is lost" if asked > 2 else ""

    zone = target(net)
    with pytest.raises(ApplyError, match=r"updated by 2 of 3 messages: the lock is lost") as caught:
        push(zone, records(NEW), may=may)
    # Who has it now plans for what is there: nothing more is written, not even to take back.
    assert "not taken back: the lock is lost" in str(caught.value)
    assert model.accepted == 2
    assert shown(model.records) == {
        "db A": "10.0.0.3", "mail A": "10.0.0.5", "web A": "10.0.0.2 10.0.0.4",
    }  # fmt: skip


def test_what_the_server_does_not_show_afterwards_is_taken_back(
    net: Net, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = model._order

    def leaves_out(rrset: dns.rrset.RRset) -> None:
        if "mail" not in str(rrset.name):
            order(rrset)

    monkeypatch.setattr(model, "_order", leaves_out)
    with pytest.raises(ApplyError, match=r"does not show mail\.svc\.example\.com\. A"):
        push(target(net), records(NEW))
    assert model.records == records(WEB)


# Several primaries.


@pytest.fixture
def two() -> Net:
    """Two addresses of the same zone."""
    model = Model(records(WEB))
    return Net(here=model, there=model)


def refuse(server: Endpoint) -> Hook:
    def hook(where: Endpoint, what: str) -> None:
        if where == server:
            raise Fault("cannot be reached")

    return hook


def test_the_next_primary_is_tried_with_a_message_of_its_own(two: Net) -> None:
    zone = target(two)
    two.before = refuse(HERE)
    push(zone, records(NEW))
    assert two.models[THERE].records == records(NEW)
    assert len({message.id for message in two.sent}) == len(two.sent)


def test_a_primary_that_works_again_is_the_first_again(two: Net) -> None:
    clock = Clock()
    zone = target(two, clock)
    asked: list[Endpoint] = []
    down = {HERE}

    def hook(where: Endpoint, what: str) -> None:
        asked.append(where)
        if where in down:
            raise Fault("cannot be reached")

    two.before = hook
    zone.read()
    assert asked == [HERE, THERE, THERE]
    asked.clear()
    zone.read()
    assert asked == [THERE]
    # The other one fails: the failure of the first is forgotten once it works.
    down.clear()
    down.add(THERE)
    asked.clear()
    zone.read()
    assert asked == [THERE, HERE, HERE]
    asked.clear()
    down.clear()
    zone.read()
    assert asked == [HERE]
    clock.now += 600
    asked.clear()
    zone.read()
    assert asked == [HERE]


def test_where_no_primary_can_each_is_told(two: Net) -> None:
    zone = target(two)

    def hook(where: Endpoint, what: str) -> None:
        raise Fault(f"is port {where.port} of a dead host", "see to it")

    two.before = hook
    with pytest.raises(ApplyError) as caught:
        zone.read()
    assert str(caught.value) == (
        "updates of svc.example.com. at 192.0.2.53:53, 192.0.2.54:53: could not be read, and is not"
        " changed: 192.0.2.53:53 is port 53 of a dead host; 192.0.2.54:53 is port 53 of a dead host"
        " (see to it)"
    )


@pytest.mark.parametrize("taken", [False, True])
def test_one_that_falls_silent_may_have_taken_it(two: Net, taken: bool) -> None:
    """The second one has the same zone: what the first took is not taken for somebody else's."""
    hook = at(two, "UPDATE", 1, fail(Fault("did not answer", unsure=True)))
    if taken:
        two.after = hook
    else:
        two.before = hook
    zone = target(two)
    push(zone, records(NEW))
    assert two.models[THERE].records == records(NEW)
    assert two.models[HERE].accepted == 1


# Ownership.


def test_a_zone_that_is_not_there_as_such_is_told() -> None:
    net = Net(here=Model(zone="example.com"))
    with pytest.raises(ApplyError, match=r"has no zone svc\.example\.com\., which") as caught:
        target(net).read()
    assert "`ownership`" in caught.value.mend
    net = Net(here=Model(zone="example.org"))
    with pytest.raises(ApplyError, match="refuses queries"):
        target(net).read()


def test_an_origin_outside_of_the_subtree_is_told(net: Net) -> None:
    with pytest.raises(ApplyError, match="the origin is not below the subtree lab"):
        target(net, ownership="subtree", subtree=f"lab.{ORIGIN}").read()
    assert target(net, ownership="subtree", subtree="example.com").read().ours == records(WEB)


WIDE = {
    "example.com. A": "10.0.0.1", "www.example.com. A": "10.0.0.2", "web A": "10.0.0.3",
    "svc.example.com. A": "10.0.0.4",
}  # fmt: skip


def test_a_subtree_of_a_zone_of_others(net: Net) -> None:
    model = Model(records(WIDE), zone="example.com")
    zone = target(Net(here=model), ownership="subtree", subtree=ORIGIN)
    base = zone.read()
    assert shown(base.ours) == {"web A": "10.0.0.3"}
    push(zone, records(NEW))
    others = {key: data for key, data in records(WIDE).items() if key not in records(WEB)}
    assert model.records == {**others, **records(NEW)}


def test_marked_names_in_a_zone_of_others() -> None:
    model = Model(records(WIDE), zone="example.com")
    zone = target(Net(here=model), ownership="registry", owner="one")
    assert zone.read().ours == {}
    mine = records({"db A": "10.0.0.5", "www CNAME": ["db.svc.example.com."]})
    push(zone, mine)
    marks = records(
        {f"_consulfwd.{name} TXT": ['"consulfwd-owner=one"'] for name in ("db", "www")}, ttl=300
    )
    assert model.records == {**records(WIDE), **mine, **marks}
    # Each name and its mark came in one message.
    assert model.accepted == 1
    assert zone.read().ours == mine
    other = target(Net(here=model), ownership="registry", owner="two")
    assert other.read().ours == {}
    with pytest.raises(ApplyError, match=r"these are not ours: db\.svc\.example\.com\. A"):
        push(other, records({"db A": "10.0.0.6"}))
    push(zone, {})
    assert model.records == records(WIDE)


@pytest.mark.parametrize(
    "key", ["example.com. A", "www.example.com. A", "svc.example.com. A", "web MX"]
)
def test_what_is_not_ours_is_refused_by_name(key: str) -> None:
    model = Model(records(WIDE), zone="example.com")
    zone = target(Net(here=model), ownership="subtree", subtree=ORIGIN)
    made = records({key: "10.9.9.9"}) if key.endswith(" A") else {}
    if not made:
        made = {key._replace(type=15): one for key, one in records({"web A": "10.9.9.9"}).items()}
    base = zone.read()
    with pytest.raises(ApplyError, match="not changed, as these are not ours"):
        push(zone, {**base.ours, **made}, base)
    assert model.accepted == 0


def test_ttls_are_compared_and_changed(net: Net, model: Model) -> None:
    """A TTL alone is a change, and made once."""
    zone = target(net)
    push(zone, records(WEB, ttl=60))
    assert model.records == records(WEB, ttl=60)
    assert push(zone, records(WEB, ttl=60)) == Applied()
    assert all(rrset == RRset(60, rrset.data) for rrset in zone.read().ours.values())
