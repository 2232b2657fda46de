"""Updates where others are at work: who signs, writes elsewhere, forwards; serials that lie.

All at a model of a server.
"""

from __future__ import annotations

import dns.rdatatype
import dns.rrset
import dns.update
import pytest

from consulfwd.apply.change import Applied
from consulfwd.apply.steps import apply
from consulfwd.config.addresses import Endpoint
from consulfwd.dns import const, names
from consulfwd.errors import ApplyError
from consulfwd.zones.model import Key, Records, RRset, difference
from consulfwd.zones.sinks import updates
from consulfwd.zones.sinks.faults import Fault
from consulfwd.zones.sinks.rfc2136 import UpdatedZone
from consulfwd.zones.sinks.updating import UpdateChange
from consulfwd.zones.sinks.work import Pushing
from consulfwd.zones.target import Push
from tests.zones.made import ORIGIN, records
from tests.zones.sinks.model import HERE, THERE, Forwarding, Model, Net, data_of
from tests.zones.sinks.test_updating import NEW, WEB, WIDE, Clock, at, fail, push, target


@pytest.fixture
def model() -> Model:
    return Model(records(WEB))


@pytest.fixture
def net(model: Model) -> Net:
    return Net(here=model)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """NEW is three messages."""
    monkeypatch.setattr(updates, "ROOM", 180)


# Changes of no concern.


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_zone_that_is_signed_meanwhile_is_updated_all_the_same(
    net: Net, model: Model, small: None, number: int
) -> None:
    """BIND signs by itself, after updates and when signatures age: each is a new serial."""
    net.before = at(net, "UPDATE", number, lambda: model.publish(model.records))
    push(target(net), records(NEW))
    assert model.records == records(NEW)
    assert model.accepted == 3
    assert model.asked.count("UPDATE") == 4


def test_signed_between_the_plan_and_its_start_it_is_still_the_plan(
    net: Net, model: Model
) -> None:
    zone = target(net)
    base = zone.read()
    model.publish(model.records)
    push(zone, records(NEW), base)
    assert model.records == records(NEW)


def test_what_is_written_elsewhere_in_a_zone_of_others_is_of_no_concern() -> None:
    model = Model(records(WIDE), zone="example.com")
    net = Net(here=model)

    def elsewhere() -> None:
        before = dict(model.records)
        model.records.update(records({"www.example.com. A": f"10.1.0.{model.serial}"}))
        model.publish(before)

    zone = target(net, ownership="subtree", subtree=ORIGIN)
    base = zone.read()
    elsewhere()
    net.before = at(net, "UPDATE", 1, elsewhere)
    push(zone, records(NEW), base)
    assert records(NEW).items() <= model.records.items()
    assert model.records.items() >= records({"www.example.com. A": "10.1.0.2"}).items()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_what_others_write_to_other_names_meanwhile_is_left_to_the_next_plan(
    net: Net, model: Model, small: None, number: int
) -> None:
    def other() -> None:
        before = dict(model.records)
        model.records.update(records({"other A": "10.0.0.9"}))
        model.publish(before)

    net.before = at(net, "UPDATE", number, other)
    zone = target(net)
    push(zone, records(NEW))
    assert zone.read().ours == model.records == records({**NEW, "other A": "10.0.0.9"})


def test_what_is_delegated_meanwhile_is_not_written_into(net: Net, model: Model) -> None:
    def delegated() -> None:
        before = dict(model.records)
        model.records.update(records({"lab NS": ["ns.example.net."]}))
        model.publish(before)

    net.before = at(net, "UPDATE", 1, delegated)
    with pytest.raises(ApplyError, match=r"changed by somebody else.*lab\.svc\.example\.com\. NS"):
        push(target(net), records({**WEB, "web.lab A": "10.0.0.1"}))
    assert model.accepted == 0


def test_each_message_requires_the_very_soa_record(net: Net, model: Model, small: None) -> None:
    soas: list[frozenset[bytes]] = []

    def before(server: Endpoint, what: str) -> None:
        if what == "UPDATE":
            message = net.sent[-1]
            assert isinstance(message, dns.update.UpdateMessage)
            (found,) = (
                one for one in message.prerequisite if one.rdtype == dns.rdatatype.SOA
            )
            assert found.deleting is None
            soas.append(data_of(found))
            assert soas[-1] == {model.soa}

    net.before = before
    push(target(net), records(NEW))
    assert len(set(soas)) == len(soas) == 3


def test_a_zone_that_changes_all_the_time_is_given_up(net: Net, model: Model) -> None:
    def always(server: Endpoint, what: str) -> None:
        if what == "UPDATE":
            model.publish(model.records)

    net.before = always
    with pytest.raises(ApplyError, match="changed by somebody else since it was read"):
        push(target(net), records(NEW))
    assert model.asked.count("UPDATE") == 5
    assert (model.records, model.accepted) == (records(WEB), 0)


def test_what_fails_is_taken_back_though_it_was_signed_meanwhile(
    net: Net, model: Model, small: None
) -> None:
    def fails() -> None:
        model.publish(model.records)
        raise Fault("did not answer", unsure=True)

    net.before = at(net, "UPDATE", 3, fails)
    with pytest.raises(ApplyError, match=r"did not answer.*rolled back"):
        push(target(net), records(NEW))
    assert model.records == records(WEB)


# The lock.


def test_who_loses_the_lock_while_a_server_is_silent_does_not_ask_the_next(model: Model) -> None:
    two = Net(here=model, there=model)
    lost = ""

    def silence() -> None:
        nonlocal lost
        lost = "the lock is lost"
        raise Fault("did not answer within 5 s", unsure=True)

    two.before = at(two, "UPDATE", 1, silence)
    with pytest.raises(ApplyError, match="not updated: the lock is lost"):
        push(target(two), records(NEW), may=lambda: lost)
    assert model.asked.count("UPDATE") == 0


def test_who_loses_the_lock_does_not_send_a_message_again(net: Net, model: Model) -> None:
    lost = ""

    def signed() -> None:
        nonlocal lost
        lost = "the lock is lost"
        model.publish(model.records)

    net.before = at(net, "UPDATE", 1, signed)
    with pytest.raises(ApplyError, match="the lock is lost"):
        push(target(net), records(NEW), may=lambda: lost)
    assert (model.asked.count("UPDATE"), model.records) == (1, records(WEB))


# Servers that leave something out.


def test_what_cannot_be_taken_back_is_named(
    net: Net, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that adds, and does not delete, as it spells a record otherwise than it says."""
    order = model._order

    def adds_only(rrset: dns.rrset.RRset) -> None:
        if rrset.deleting is None:
            order(rrset)

    monkeypatch.setattr(model, "_order", adds_only)
    with pytest.raises(ApplyError, match=r"took the update, but does not show web\.svc") as caught:
        push(target(net), records({**WEB, "web A": "10.0.0.4"}))
    assert "not taken back, as it is not what was sent: web.svc" in str(caught.value)


@pytest.mark.parametrize("ownership", ["zone", "registry"])
def test_an_alias_that_is_left_out_is_sent_once_more(ownership: str) -> None:
    """Knot, where it signs, does not take one in place of addresses at once."""
    model = Model()
    zone = target(Net(here=model), ownership=ownership)
    push(zone, records(WEB))
    model.signs = True
    wanted = records({"web A": "10.0.0.1", "db CNAME": ["web.svc.example.com."]})
    push(zone, wanted)
    assert zone.read().ours == wanted
    push(zone, records(WEB))
    assert zone.read().ours == records(WEB)


def carried(zone: UpdatedZone, wanted: Records) -> UpdateChange:
    """A change, carried out as a publisher does it."""
    base = zone.read()
    change = zone.change(Push(base, difference(base.ours, wanted)))
    assert change.plan()
    change.put()
    assert change.verify() == ""
    change.settle()
    return change


@pytest.mark.parametrize("ownership", ["zone", "registry"])
def test_a_set_that_a_server_does_not_take_costs_itself_alone(ownership: str) -> None:
    """BIND takes 100 records of a type at a name, if nobody says otherwise."""
    model = Model(most=3)
    zone = target(Net(here=model), ownership=ownership)
    many = {"web A": "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4"}
    fit = {f"web{number} A": "10.0.0.1" for number in range(40)}
    change = carried(zone, records({**fit, **many}))
    assert zone.read().ours == records(fit)
    assert [names.to_text(one.act.key.name) for one in change.left] == ["web.svc.example.com."]
    assert "failed at updates" in change.left[0].why
    assert model.asked.count("UPDATE") < 15
    # The next plan is for it again, and for what else there is.
    change = carried(zone, records({**fit, **many, "db A": "10.0.0.9"}))
    assert zone.read().ours == records({**fit, "db A": "10.0.0.9"})
    assert len(change.left) == 1
    # It alone is an error: nothing was done.
    with pytest.raises(ApplyError, match="failed at updates"):
        push(zone, records({**fit, "db A": "10.0.0.9", **many}))
    model.most = 100
    push(zone, records({**fit, **many}))
    assert zone.read().ours == records({**fit, **many})


def test_what_no_message_can_hold_costs_itself_alone(
    net: Net, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A set that is to have another TTL is replaced as a whole, or not at all."""
    many = {"many A": " ".join(f"10.0.1.{number}" for number in range(30))}
    zone = target(net)
    push(zone, records({**WEB, **many}))
    monkeypatch.setattr(updates, "ROOM", 400)
    wanted = {**records(NEW), **records(many, ttl=60)}
    change = carried(zone, wanted)
    assert zone.read().ours == {**records(NEW), **records(many)}
    (left,) = change.left
    assert (names.to_text(left.act.key.name), left.why) == (
        "many.svc.example.com.", "its name needs more than a message holds",
    )  # fmt: skip
    with pytest.raises(ApplyError, match=r"not changed: many\.svc.*more than a message") as caught:
        push(zone, wanted)
    assert "fewer instances" in caught.value.mend


def test_a_server_that_fails_at_all_is_not_asked_for_each(model: Model) -> None:
    model.most = 0
    zone = target(Net(here=model))
    with pytest.raises(ApplyError, match="failed at updates"):
        push(zone, records({f"web{number} A": "10.0.0.1" for number in range(500)}))
    assert model.asked.count("UPDATE") < 40
    assert model.records == records(WEB)


def test_where_much_fails_all_is_taken_back(model: Model) -> None:
    model.most = 2
    many = {f"web{number} A": "10.0.0.1 10.0.0.2 10.0.0.3" for number in range(11)}
    with pytest.raises(ApplyError, match="failed at updates"):
        push(target(Net(here=model)), records({**WEB, "new A": "10.0.0.9", **many}))
    assert model.records == records(WEB)


def test_one_soa_query_without_a_reply_after_an_update_is_no_failure(
    net: Net, model: Model
) -> None:
    """The zone is read: it shows what became of it."""
    zone = target(net)
    base = zone.read()
    net.before = at(net, "SOA", 2, fail(Fault("did not answer", unsure=True)))
    push(zone, records(NEW), base)
    assert model.records == records(NEW)
    assert model.accepted == 1


# Serials that do not tell.


def test_a_serial_that_stays_is_no_reason_to_take_a_push_for_failed(
    net: Net, model: Model, small: None
) -> None:
    model.stays = True
    zone = target(net)
    assert push(zone, records(NEW)).places
    assert model.records == records(NEW)
    assert (model.accepted, model.serial) == (3, 1)
    # Read for the plan, after the first message, which shows what kind it is, and in the end.
    assert model.asked.count("AXFR") == 3
    assert push(zone, records(NEW)) == Applied()
    # An alias in the place of addresses is looked for once more.
    alias = records({"db CNAME": ["web.svc.example.com."], "web A": "10.0.0.1"})
    push(zone, records(WEB))
    push(zone, alias)
    assert model.records == alias
    push(zone, records(WEB))
    assert model.records == records(WEB)


def test_what_changed_without_a_new_serial_is_seen_within_the_hour(net: Net, model: Model) -> None:
    clock = Clock()
    zone = target(net, clock)
    first = zone.read()
    model.records.update(records({"web A": "10.0.0.99"}))
    clock.now += 3_000
    assert zone.read() == first
    clock.now += 600
    later = zone.read()
    assert later.ours == model.records
    # Whoever plans must not take it for what it was.
    assert (later.mark, later.serial) == ("1+1", 1)
    model.asked.clear()
    for _ in range(20):
        clock.now += 120
        assert zone.read().mark == "1+1"
    assert model.asked.count("AXFR") == 0
    clock.now += 3_600
    assert zone.read().mark == "1+1"
    assert model.asked.count("AXFR") == 1
    push(zone, records(WEB))
    assert model.records == records(WEB)
    assert zone.read().mark == "2"


def test_two_primaries_of_the_same_serial_may_hold_something_else() -> None:
    net = Net(here=Model(records(WEB)), there=Model(records(NEW)))
    zone = target(net)
    assert zone.read().mark == "1"

    def down(server: Endpoint, what: str) -> None:
        if server == HERE:
            raise Fault("cannot be reached")

    net.before = down
    base = zone.read()
    assert (base.mark, base.ours) == ("1+1", records(NEW))


# A secondary that forwards updates.


def forwarded(primary: Model, after: float) -> tuple[UpdatedZone, Clock]:
    """A zone at a secondary that pulls so long (seconds) after a change."""
    secondary = Forwarding(primary)
    clock = Clock()
    net = Net(here=secondary)
    sent = [0.0]

    def before(server: Endpoint, what: str) -> None:
        if what == "UPDATE":
            sent[0] = clock.now
        if clock.now >= sent[0] + after:
            secondary.pull()

    net.before = before
    zone = target(net, clock)
    zone._sleep = clock.sleep
    return zone, clock


@pytest.mark.parametrize("after", [0.0, 0.3, 3.0])
def test_updates_may_go_through_a_secondary(model: Model, small: None, after: float) -> None:
    zone, clock = forwarded(model, after)
    base = zone.read()
    work = Pushing(zone, Push(base, difference(base.ours, records(NEW))))
    apply(work, sleep=clock.sleep, clock=clock)
    assert model.records == records(NEW)
    assert model.accepted == 3
    assert clock.now < 15


def test_a_secondary_that_does_not_pull_is_told_and_nothing_is_sent_after_it(
    model: Model, small: None
) -> None:
    zone, clock = forwarded(model, 1_000.0)
    base = zone.read()
    work = Pushing(zone, Push(base, difference(base.ours, records(NEW))))
    with pytest.raises(ApplyError, match=r"took the update, but does not show mail") as caught:
        apply(work, sleep=clock.sleep, clock=clock)
    assert "secondary that forwards updates" in caught.value.mend
    assert model.accepted == 1
    assert clock.now < 15


def test_a_secondary_that_refuses_is_passed_over(model: Model) -> None:
    net = Net(here=model, there=model)

    def before(server: Endpoint, what: str) -> None:
        if server == HERE and what == "UPDATE":
            raise Fault("refuses updates of svc.example.com. (REFUSED)")

    net.before = before
    push(target(net), records(NEW))
    assert model.records == records(NEW)
    assert net.models[THERE].accepted == 1


# Names of others.


@pytest.mark.parametrize(
    ("theirs", "wanted"),
    [
        ({"web CNAME": ["x.example.net."]}, {"web A": "10.0.0.1"}),
        ({"lab NS": ["ns.example.net."]}, {"web.lab A": "10.0.0.1"}),
        ({"lab NS": ["ns.example.net."]}, {"lab A": "10.0.0.1"}),
        ({f"{ORIGIN}. NS": ["ns1.svc.example.com."]}, {"ns1 A": "10.0.0.1"}),
        ({"_consulfwd.web TXT": ['"consulfwd-owner=two"']}, {"web A": "10.0.0.1"}),
        ({"web TXT": ['"theirs"']}, {"web CNAME": ["x.example.net."]}),
    ],
)
def test_a_name_that_cannot_be_ours_is_refused_before_anything_is_sent(
    theirs: dict[str, str | list[str]], wanted: dict[str, str | list[str]]
) -> None:
    """Who plans leaves such names out, by the same rule: see `guards.clear_of`."""
    model = Model(records(theirs))
    zone = target(Net(here=model), ownership="registry", owner="one")
    base = zone.read()
    assert base.ours == {}
    with pytest.raises(ApplyError, match="not changed, as these are not ours"):
        push(zone, records(wanted), base)
    assert model.asked.count("UPDATE") == 0


def test_beside_a_redirect_but_not_below_it() -> None:
    """Below a DNAME record nothing is served (RFC 6672 section 2.4)."""
    dname = Key(names.from_text(f"lab.{ORIGIN}"), const.DNAME)
    theirs = {dname: RRset(30, frozenset({names.from_text("example.net")}))}
    model = Model(dict(theirs))
    zone = target(Net(here=model))
    push(zone, records({"lab A": "10.0.0.1"}))
    assert zone.read().ours == records({"lab A": "10.0.0.1"})
    with pytest.raises(ApplyError, match=r"not ours: web\.lab\.svc"):
        push(zone, records({"lab A": "10.0.0.1", "web.lab A": "10.0.0.1"}))
    assert model.records == {**theirs, **records({"lab A": "10.0.0.1"})}


def test_a_wildcard_of_others_is_left_and_in_nobodys_way() -> None:
    """Names that are there are not made of it (RFC 4592 section 3.3.1)."""
    theirs = records({"* A": "10.9.9.9", "* TXT": ['"any"']})
    model = Model(dict(theirs))
    zone = target(Net(here=model), ownership="registry")
    push(zone, records({"web A": "10.0.0.1"}))
    assert {**theirs, **records({"web A": "10.0.0.1"})}.items() <= model.records.items()
    push(zone, {})
    assert model.records == theirs
