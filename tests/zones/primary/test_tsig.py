"""TSIG on bytes, against dnspython's."""

from __future__ import annotations

import dns.message
import dns.rcode
import dns.tsig
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.dns import const, names
from consulfwd.errors import WireError
from consulfwd.zones.primary import transfers, tsig
from tests.zones.made import ORIGIN
from tests.zones.primary.pulled import KEY, KEYRING, NOW, SECRET, THEIR_KEY, Site, versions


def query(key: dns.tsig.Key = THEIR_KEY) -> bytes:
    """A signed query of dnspython's, made now by its clock."""
    found = dns.message.make_query(ORIGIN, "SOA")
    found.use_tsig({key.name: key}, key.name)
    return found.to_wire()


def time_of(data: bytes) -> float:
    found = tsig.find(data)
    assert found is not None
    return float(found.time)


def wrong(data: bytes, key: tsig.Key | None = KEY, late: float = 0) -> int:
    found = tsig.find(data)
    assert found is not None
    return tsig.wrong(key, data, found, found.time + late)


@pytest.mark.parametrize("algorithm", tsig.SIZES)
def test_theirs_is_good_and_ours_is_good_there(algorithm: str) -> None:
    theirs = dns.tsig.Key("transfer", SECRET, algorithm)
    ours = KEY._replace(algorithm=algorithm)
    data = query(theirs)
    assert wrong(data, ours) == 0
    found = tsig.find(data)
    assert found is not None
    signer = tsig.Signer(ours, found.mac)
    bare = dns.message.make_response(dns.message.make_query(ORIGIN, "SOA")).to_wire()
    signed = signer.sign(bare, found.time)
    assert len(signed) - len(bare) == signer.room
    read = dns.message.from_wire(signed, keyring={theirs.name: theirs}, request_mac=found.mac)
    assert read.had_tsig


@pytest.mark.parametrize(
    ("key", "late", "error"),
    [
        (None, 0, tsig.BADKEY),
        (KEY._replace(name=names.from_text("other")), 0, tsig.BADKEY),
        (KEY._replace(algorithm="hmac-sha512"), 0, tsig.BADKEY),
        (KEY._replace(secret=b"another"), 0, tsig.BADSIG),
        (KEY, 300, 0),
        (KEY, 301, tsig.BADTIME),
        (KEY, -300, 0),
        (KEY, -301, tsig.BADTIME),
        # Whose signature is bad is told of that, whatever its time.
        (KEY._replace(secret=b"another"), 301, tsig.BADSIG),
    ],
)
def test_what_is_wrong(key: tsig.Key | None, late: float, error: int) -> None:
    assert wrong(query(), key, late) == error


def test_any_bit_counts() -> None:
    data = query()
    found = tsig.find(data)
    assert found is not None
    for at in range(2, found.start):
        spoiled = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
        try:
            read = tsig.find(spoiled)
            good = read is not None and not tsig.wrong(KEY, spoiled, read, read.time)
        except WireError:
            good = False
        assert not good


@pytest.mark.parametrize(
    ("cut", "late", "error"),
    [
        (1, 0, tsig.BADTRUNC),
        (16, 0, tsig.BADTRUNC),
        (17, 0, None),
        # The time is looked at before what is policy (section 5.2).
        (16, 301, tsig.BADTIME),
    ],
)
def test_a_mac_that_is_cut(cut: int, late: int, error: int | None) -> None:
    data = query()
    found = tsig.find(data)
    assert found is not None
    mac = found.mac[:-cut]
    record = found.name + b"\0\xfa\0\xff\0\0\0\0"
    body = found.algorithm + found.time.to_bytes(6, "big") + found.fudge.to_bytes(2, "big")
    body += len(mac).to_bytes(2, "big") + mac + data[:2] + b"\0\0\0\0"
    spoiled = data[: found.start] + record + len(body).to_bytes(2, "big") + body
    if error is None:
        with pytest.raises(WireError):
            wrong(spoiled)
    else:
        assert wrong(spoiled, late=late) == error


def test_where_none_may_stand() -> None:
    data = query()
    found = tsig.find(data)
    assert found is not None
    record = data[found.start :]
    twice = data[:10] + b"\0\3" + data[12:] + record
    in_answer = data[:6] + b"\0\1\0\0\0\0" + data[12 : found.start - 11] + record
    of_class = data.replace(b"\0\xfa\0\xff", b"\0\xfa\0\x01")
    cut, longer = data[:-1], data[:-1] + b"\1"
    for spoiled in (twice, in_answer, of_class, cut, longer, data + b"\0"):
        with pytest.raises(WireError) as caught:
            tsig.find(spoiled)
        assert caught.value.rcode == const.FORMERR


def test_the_messages_of_one_answer_are_a_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "FULL", 1_000)
    site = Site(versions({f"web-{one} A": "10.0.0.1" for one in range(150)}))
    request = dns.message.make_query(ORIGIN, "AXFR")
    request.use_tsig(KEYRING, THEIR_KEY.name)
    data = request.to_wire()
    site.clock = lambda: time_of(data)
    messages = site.send(data)
    assert len(messages) > 2

    def read(wires: list[bytes]) -> None:
        context = None
        for one in wires:
            found = dns.message.from_wire(
                one, keyring=KEYRING, request_mac=request.mac, xfr=True, tsig_ctx=context,
                multi=True,
            )  # fmt: skip
            assert found.had_tsig
            context = found.tsig_ctx

    read(messages)
    for spoiled in (messages[1:], messages[:1] + messages[2:], messages[1::-1]):
        with pytest.raises(dns.tsig.BadSignature):
            read(spoiled)


@pytest.mark.parametrize(
    ("key", "late", "error"),
    [
        (dns.tsig.Key("nobody", SECRET, "hmac-sha256"), 0, dns.tsig.PeerBadKey),
        (dns.tsig.Key("transfer", b"other", "hmac-sha256"), 0, dns.tsig.PeerBadSignature),
        (THEIR_KEY, 1000, dns.tsig.PeerBadTime),
    ],
)
def test_what_a_client_is_told(key: dns.tsig.Key, late: float, error: type[Exception]) -> None:
    data = query(key)
    site = Site(versions({"web A": "10.0.0.1"}), clock=lambda: time_of(data) + late)
    (reply,) = site.send(data)
    assert reply[3] & 0xF == 9
    with pytest.raises(error):
        dns.message.from_wire(reply, keyring={key.name: key}, request_mac=b"")
    found = tsig.find(reply)
    assert found is not None
    # Only who has the secret is proved anything; and who is late is told the time (section 5.2.3).
    assert bool(found.mac) == bool(late)
    assert found.other == (int(site.clock()).to_bytes(6, "big") if late else b"")
    if late:
        request = tsig.find(data)
        assert request is not None
        assert tsig.wrong(KEY, reply, found, time_of(data), request.mac) == 0


def test_a_signature_of_another_secret_does_not_pass_for_the_zones() -> None:
    # Known here, for another zone: what it asks for is not its.
    other = Site(versions({"web A": "10.0.0.1"}), KEY._replace(secret=b"other"))
    assert other.send(query())[0][3] & 0xF == 9


@given(st.binary(max_size=600))
def test_whatever_the_octets(data: bytes) -> None:
    rcode: int | None = const.FORMERR
    try:
        tsig.find(data)
    except WireError as error:
        rcode = error.rcode
    assert rcode == const.FORMERR


def test_a_query_signed_long_ago_is_late() -> None:
    assert wrong(query(), late=NOW) == tsig.BADTIME
