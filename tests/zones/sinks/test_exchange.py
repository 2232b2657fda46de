"""Messages to servers that misbehave: a script for each connection, over real sockets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.tsig
import pytest

from consulfwd.dns import const
from consulfwd.errors import ApplyError
from consulfwd.zones.model import Key, RRset
from consulfwd.zones.sinks import exchange as module
from consulfwd.zones.sinks.faults import CONFLICTS
from tests.coreless import our_time
from tests.zones.made import ORIGIN, records, shown
from tests.zones.sinks.peers import (
    APEX,
    HASTY,
    KEY,
    PATIENT,
    SECRET,
    WEB,
    Answer,
    Server,
    adding,
    altered,
    code,
    made,
    read_fault,
    reply,
    target,
)

OTHER = dns.tsig.Key("publisher", "b3RoZXIgc2VjcmV0IGhlcmU=", "hmac-sha256")


def unsigned(message: dns.message.Message, send: Callable[[bytes], None]) -> None:
    response = made(message, *APEX)
    response.tsig = None
    send(response.to_wire())


def signed_otherwise(message: dns.message.Message, send: Callable[[bytes], None]) -> None:
    response = made(message, *APEX)
    response.use_tsig(OTHER)
    assert message.mac is not None
    response.request_mac = message.mac
    send(response.to_wire())


def silent(message: dns.message.Message, send: Callable[[bytes], None]) -> None:
    time.sleep(1.5)


def closed(message: dns.message.Message, send: Callable[[bytes], None]) -> None:
    """Close the connection without a word."""


def another(message: dns.message.Message, send: Callable[[bytes], None]) -> None:
    response = made(message, *APEX)
    response.id ^= 1
    send(response.to_wire())


def rubbish(message: dns.message.Message, send: Callable[[bytes], None]) -> None:
    send(b"\xff" * 40)


@pytest.fixture(params=[False, True], ids=["plain", "signed"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    found = Server(KEY if request.param else None)
    yield found
    found.close()


@pytest.fixture
def signed() -> Iterator[Server]:
    found = Server(KEY)
    yield found
    found.close()


@pytest.fixture
def plain() -> Iterator[Server]:
    found = Server(None)
    yield found
    found.close()


def test_a_zone_is_read(server: Server, tmp_path: Path) -> None:
    server.answers["AXFR"] = reply(*APEX, WEB, APEX[0])
    base = target(server, tmp_path).read()
    assert (shown(base.ours), base.serial) == ({"web A": "10.0.0.1"}, 5)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (code(dns.rcode.REFUSED), "refuses transfers of svc.example.com. (REFUSED)"),
        (code(dns.rcode.NOTAUTH), "is not authoritative for svc.example.com., or does not know"),
        (code(dns.rcode.SERVFAIL), "failed at transfers"),
        (code(dns.rcode.NOTIMP), "takes no transfers"),
        (code(dns.rcode.FORMERR), "does not understand transfers"),
        (code(dns.rcode.NOERROR), "gave a transfer that cannot be used: a message without records"),
        (reply(APEX[0], APEX[0]), "gave a transfer that cannot be used: the zone is empty"),
        (reply(WEB, *APEX), "gave a transfer that cannot be used: it begins with web.svc"),
        (
            reply("example.org. SOA a. b. 5 1 1 1 1", *APEX),
            "gave a transfer that cannot be used: it begins with example.org.",
        ),
        (
            reply(*APEX, WEB, APEX[0].replace(" 5 ", " 6 ")),
            "gave a transfer that cannot be used: its last SOA record is not its first",
        ),
        (reply(*APEX, WEB), "ended the connection in the middle of a reply"),
        (closed, "ended the connection in the middle of a reply"),
        (silent, "did not answer within 0.5 s"),
        (another, "sent a reply to something else"),
        (rubbish, "sent a reply to something else"),
    ],
)
def test_what_is_no_zone_is_told_and_never_empty(
    server: Server, tmp_path: Path, answer: Answer, why: str
) -> None:
    server.answers["AXFR"] = answer
    fault = read_fault(server, tmp_path, HASTY if answer is silent else PATIENT)
    if server.key is None or not why.startswith("sent"):
        assert fault.startswith(why)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (code(dns.rcode.NOTAUTH, dns.rcode.BADKEY), "does not know the key publisher. (BADKEY)"),
        (code(dns.rcode.NOTAUTH, dns.rcode.BADSIG), "has another secret for the key publisher."),
        (code(dns.rcode.NOTAUTH, dns.rcode.BADTIME), "has a clock that differs by minutes"),
        (code(dns.rcode.NOTAUTH, dns.rcode.BADTRUNC), "wants longer signatures (BADTRUNC)"),
        (signed_otherwise, "signed wrongly with the key publisher."),
        (unsigned, "did not sign its reply"),
    ],
)
@pytest.mark.parametrize("what", ["SOA", "AXFR"])
def test_signatures_that_fail_are_told(
    signed: Server, tmp_path: Path, what: str, answer: Answer, why: str
) -> None:
    signed.answers[what] = answer
    assert read_fault(signed, tmp_path).startswith(why)


def test_unsigned_in_the_middle_is_as_the_standard_has_it_but_not_at_the_end(
    signed: Server, tmp_path: Path
) -> None:
    def answer(message: dns.message.Message, send: Callable[[bytes], None]) -> None:
        send(made(message, *APEX, WEB).to_wire())
        last = made(message, APEX[0])
        last.tsig = None
        send(last.to_wire())

    signed.answers["AXFR"] = answer
    assert read_fault(signed, tmp_path).startswith("did not sign its reply")


def test_one_that_is_not_authoritative_is_told(plain: Server, tmp_path: Path) -> None:
    def answer(message: dns.message.Message, send: Callable[[bytes], None]) -> None:
        response = made(message, APEX[0])
        response.flags &= ~dns.flags.AA
        send(response.to_wire())

    plain.answers["SOA"] = answer
    assert read_fault(plain, tmp_path).startswith("does not serve the zone of svc.example.com.")


def test_nobody_there(tmp_path: Path) -> None:
    server = Server(None)
    server.close()
    assert "cannot be reached (Connection refused)" in read_fault(server, tmp_path)


def test_a_zone_without_end_is_given_up(
    plain: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(message: dns.message.Message, send: Callable[[bytes], None]) -> None:
        send(made(message, *APEX).to_wire())
        for number in range(10_000):
            send(made(message, f"web{number}.svc.example.com. A 10.0.0.1").to_wire())

    plain.answers["AXFR"] = endless
    monkeypatch.setattr(module, "TRANSFER_RECORDS", 50)
    assert read_fault(plain, tmp_path).startswith("sent more than 51 records")
    monkeypatch.setattr(module, "TRANSFER_RECORDS", 10**9)
    monkeypatch.setattr(module, "TRANSFER_OCTETS", 5_000)
    assert "octets" in read_fault(plain, tmp_path)


def test_a_transfer_that_trickles_is_given_up(
    plain: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trickle(message: dns.message.Message, send: Callable[[bytes], None]) -> None:
        send(made(message, *APEX).to_wire())
        for number in range(50):
            time.sleep(0.1)
            send(made(message, f"web{number}.svc.example.com. A 10.0.0.1").to_wire())

    plain.answers["AXFR"] = trickle
    monkeypatch.setattr(module, "TRANSFER_TIME", 0.5)
    start = our_time()
    assert read_fault(plain, tmp_path).startswith("did not answer within")
    assert our_time() - start < 3


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (code(dns.rcode.REFUSED), "not updated: .*refuses updates of svc.*allow-update"),
        (code(dns.rcode.NOTAUTH), "not updated: .*is not authoritative"),
        (code(dns.rcode.NOTZONE), r"not updated: .*not in its zone svc.* \(NOTZONE\)"),
        (code(dns.rcode.NOTIMP), "not updated: .*takes no updates.*dnsupdate=yes"),
        (code(dns.rcode.SERVFAIL), "not updated: .*journal.*max-records-per-type"),
        (code(dns.rcode.NXRRSET), "changed by somebody else since it was read"),
        (code(dns.rcode.YXRRSET), "changed by somebody else since it was read"),
        (code(dns.rcode.YXDOMAIN), "changed by somebody else since it was read"),
        (code(dns.rcode.NXDOMAIN), "changed by somebody else since it was read"),
        (closed, "may be updated or not: .*ended the connection"),
        (silent, "may be updated or not: .*did not answer within"),
    ],
)
def test_updates_that_fail_are_told_with_their_mend(
    server: Server, tmp_path: Path, answer: Answer, why: str
) -> None:
    server.answers["AXFR"] = reply(*APEX, WEB, APEX[0])
    server.answers["UPDATE"] = answer
    zone = target(server, tmp_path)
    change = adding(zone)
    if answer is silent:
        zone.exchange = module.Exchange(HASTY)
    with pytest.raises(ApplyError, match=why):
        change.put()


def test_the_key_is_in_no_message(signed: Server, tmp_path: Path) -> None:
    signed.answers["AXFR"] = code(dns.rcode.REFUSED)
    zone = target(signed, tmp_path)
    (tmp_path / "key").write_text(f"{SECRET} and more")
    with pytest.raises(ApplyError, match="holds no key") as caught:
        zone.read()
    assert SECRET not in str(caught.value)
    # It is read anew each time.
    (tmp_path / "key").write_text(SECRET)
    signed.answers["AXFR"] = reply(*APEX, APEX[0])
    assert zone.read().ours == {}


def test_records_of_another_class_are_left_out() -> None:
    message = dns.message.make_query(ORIGIN, "A")
    message.answer.append(dns.rrset.from_text("x.svc.example.com.", 3, "CH", "TXT", '"x"'))
    message.answer.append(dns.rrset.from_text("WEB.svc.example.com.", 3, "IN", "A", "10.0.0.1"))
    (found,) = module.records_of(message.answer)
    assert {Key(found.name, found.type): RRset(found.ttl, frozenset({found.data}))} == records(
        {"web A": "10.0.0.1"}, ttl=3
    )


# What a message must be, besides its records.


def to_question(message: dns.message.Message) -> None:
    message.question = [dns.rrset.from_text("else.example.com.", 0, "IN", "AXFR")]


def to_opcode(message: dns.message.Message) -> None:
    message.set_opcode(dns.opcode.NOTIFY)


def to_query(message: dns.message.Message) -> None:
    message.flags &= ~dns.flags.QR


def to_truncated(message: dns.message.Message) -> None:
    message.flags |= dns.flags.TC


def to_another_class(message: dns.message.Message) -> None:
    message.answer.insert(1, dns.rrset.from_text("x.svc.example.com.", 3, "CH", "TXT", '"x"'))


SOMETHING_ELSE = "sent a reply to something else"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (to_question, SOMETHING_ELSE),
        (to_opcode, SOMETHING_ELSE),
        (to_query, SOMETHING_ELSE),
        (to_truncated, "sent a truncated reply by TCP"),
        (to_another_class, "sent records of another class"),
    ],
)
def test_a_transfer_that_answers_something_else_is_refused(
    server: Server, tmp_path: Path, change: Callable[[dns.message.Message], None], why: str
) -> None:
    server.answers["AXFR"] = altered(change, *APEX, WEB, APEX[0])
    assert read_fault(server, tmp_path).startswith(why)


@pytest.mark.parametrize("what", ["SOA", "UPDATE"])
@pytest.mark.parametrize("change", [to_question, to_opcode, to_query, to_truncated])
def test_a_reply_that_answers_something_else_is_refused(
    server: Server, tmp_path: Path, what: str, change: Callable[[dns.message.Message], None]
) -> None:
    server.answers["AXFR"] = reply(*APEX, WEB, APEX[0])
    if what == "SOA":
        server.answers[what] = altered(change, APEX[0])
        assert read_fault(server, tmp_path).startswith("sent ")
        return
    server.answers[what] = altered(change)
    planned = adding(target(server, tmp_path))
    with pytest.raises(ApplyError, match=r"may be updated or not: .* sent "):
        planned.put()


def test_a_reply_with_another_number_leaves_open_what_was_done(
    server: Server, tmp_path: Path
) -> None:
    server.answers["AXFR"] = reply(*APEX, WEB, APEX[0])
    server.answers["UPDATE"] = another
    planned = adding(target(server, tmp_path))
    with pytest.raises(ApplyError, match="may be updated or not: "):
        planned.put()


@pytest.mark.parametrize("rcode", [*CONFLICTS, const.NOERROR])
def test_what_an_update_came_to_is_not_believed_unsigned(
    signed: Server, tmp_path: Path, rcode: int
) -> None:
    def change(message: dns.message.Message) -> None:
        message.set_rcode(dns.rcode.Rcode(rcode))

    signed.answers["AXFR"] = reply(*APEX, WEB, APEX[0])
    signed.answers["UPDATE"] = altered(change, signed=False)
    planned = adding(target(signed, tmp_path))
    with pytest.raises(ApplyError, match=r"may be updated or not: .*did not sign its reply"):
        planned.put()


def test_that_a_name_is_not_there_is_not_believed_unsigned(
    signed: Server, tmp_path: Path
) -> None:
    def change(message: dns.message.Message) -> None:
        message.set_rcode(dns.rcode.NXDOMAIN)

    signed.answers["SOA"] = altered(change, APEX[0], signed=False)
    assert read_fault(signed, tmp_path).startswith("did not sign its reply")


# Transfers of several messages, and their signatures (RFC 8945 section 5.3.1).


def in_messages(*parts: tuple[list[str], bool]) -> Answer:
    """Answer with messages of these records, each signed or not."""

    def answer(message: dns.message.Message, send: Callable[[bytes], None]) -> None:
        context = None
        for lines, with_key in parts:
            one = made(message, *lines)
            if not with_key:
                one.tsig = None
            wire = one.to_wire(multi=True, tsig_ctx=context)
            if one.tsig is not None:
                context = one.tsig_ctx
            elif context is not None:
                context.update(wire)
            send(wire)

    return answer


def hosts(number: int, *, signed: bool = False) -> list[tuple[list[str], bool]]:
    return [([f"web{one}.svc.example.com. A 10.0.0.1"], signed) for one in range(number)]


@pytest.mark.parametrize(
    "parts",
    [
        [(APEX, True), *hosts(3, signed=True), ([APEX[0]], True)],
        [(APEX, True), *hosts(99), ([APEX[0]], True)],
    ],
    ids=["each", "first and last"],
)
def test_messages_between_two_signed_ones_may_be_unsigned(
    signed: Server, tmp_path: Path, parts: list[tuple[list[str], bool]]
) -> None:
    signed.answers["AXFR"] = in_messages(*parts)
    assert len(target(signed, tmp_path).read().ours) == len(parts) - 2


@pytest.mark.parametrize(
    "parts",
    [
        [(APEX, False), *hosts(1), ([APEX[0]], True)],
        [(APEX, True), *hosts(3, signed=True), ([APEX[0]], False)],
        [(APEX, True), *hosts(100), ([APEX[0]], True)],
        [(APEX, False), *hosts(1), ([APEX[0]], False)],
    ],
    ids=["not the first", "not the last", "too many", "none"],
)
def test_but_neither_the_first_nor_the_last_nor_too_many(
    signed: Server, tmp_path: Path, parts: list[tuple[list[str], bool]]
) -> None:
    signed.answers["AXFR"] = in_messages(*parts)
    assert read_fault(signed, tmp_path).startswith("did not sign its reply")


def test_what_somebody_puts_between_signed_messages_is_not_believed(
    signed: Server, tmp_path: Path
) -> None:
    def answer(message: dns.message.Message, send: Callable[[bytes], None]) -> None:
        first = made(message, *APEX)
        send(first.to_wire(multi=True))
        foreign = made(message, WEB)
        foreign.tsig = None
        send(foreign.to_wire())
        last = made(message, APEX[0])
        send(last.to_wire(multi=True, tsig_ctx=first.tsig_ctx))

    signed.answers["AXFR"] = answer
    assert read_fault(signed, tmp_path).startswith("signed wrongly with the key publisher.")


# Connections that end, or drip.


@pytest.mark.parametrize("what", ["SOA", "AXFR", "UPDATE"])
def test_cut_at_any_octet_nothing_is_believed(
    server: Server, tmp_path: Path, what: str
) -> None:
    server.answers["AXFR"] = reply(*APEX, WEB, APEX[0])
    server.answers["UPDATE"] = reply()
    # Signatures make it long, and each octet of one is like the others.
    length, cut, step = 1, 0, 1 if server.key is None else 6

    def some(kind: str, data: bytes, send: Callable[[bytes], None]) -> None:
        nonlocal length
        if kind == what:
            length = len(data)
            data = data[:cut]
        send(data)

    server.wrapped = some
    change = adding(target(server, tmp_path)) if what == "UPDATE" else None
    zone = target(server, tmp_path)
    while cut < length:
        if change is None:
            with pytest.raises(ApplyError, match="in the middle of a reply"):
                zone.read()
        else:
            with pytest.raises(ApplyError, match=r"may be updated or not: .*in the middle"):
                change.put()
        cut += step
    assert cut > 20
    assert target(server, tmp_path).read() if change is None else zone.read()


@pytest.mark.parametrize("what", ["SOA", "AXFR", "UPDATE"])
def test_what_drips_is_given_up(plain: Server, tmp_path: Path, what: str) -> None:
    plain.answers["AXFR"] = reply(*APEX, WEB, APEX[0])
    plain.answers["UPDATE"] = reply()

    def drip(kind: str, data: bytes, send: Callable[[bytes], None]) -> None:
        for octet in data if kind == what else b"":
            send(bytes((octet,)))
            time.sleep(0.01)
        if kind != what:
            send(data)

    plain.wrapped = drip
    start = our_time()
    if what == "UPDATE":
        zone = target(plain, tmp_path)
        change = adding(zone)
        # What is read before that may take its time.
        zone.exchange = module.Exchange(0.1)
        with pytest.raises(ApplyError, match=r"may be updated or not: .*within 0\.1 s"):
            change.put()
    else:
        assert read_fault(plain, tmp_path, 0.1).startswith("did not answer within 0.1 s")
    assert our_time() - start < 2


# Several servers.


def test_each_server_gets_a_message_signed_for_it(signed: Server, tmp_path: Path) -> None:
    """What was signed for the first one, and sent again, the second would not take."""
    second = Server(KEY)
    try:
        seen: list[tuple[int, bytes | None]] = []

        def noted(answer: Answer) -> Answer:
            def noting(message: dns.message.Message, send: Callable[[bytes], None]) -> None:
                assert message.had_tsig
                seen.append((message.id, message.mac))
                answer(message, send)

            return noting

        for one in (signed, second):
            one.answers["AXFR"] = reply(*APEX, WEB, APEX[0])
        zone = target(signed, tmp_path, more=[second.place])
        change = adding(zone)
        signed.answers["UPDATE"] = noted(code(dns.rcode.REFUSED))
        second.answers["UPDATE"] = noted(reply())
        second.answers["SOA"] = reply(APEX[0].replace(" 5 ", " 6 "))
        second.answers["AXFR"] = reply(APEX[0].replace(" 5 ", " 6 "), APEX[1], WEB,
                                       "db.svc.example.com. A 10.0.0.2",
                                       APEX[0].replace(" 5 ", " 6 "))  # fmt: skip
        change.put()
        assert change.verify() == ""
        assert len({number for number, _ in seen}) == len({mac for _, mac in seen}) == 2
    finally:
        second.close()
