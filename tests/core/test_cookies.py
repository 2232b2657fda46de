"""Whose cookies are right: by address, age and secret."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from consulfwd.core import cookies
from consulfwd.core.cookies import Cookies, Standing, server_cookie

NOW = 1_700_000_000.0
SECRET, OTHER = bytes(range(16)), bytes(16)
HERE, THERE = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))
CLIENT = b"\1" * 8


@pytest.mark.parametrize(
    ("secret", "address", "cookie"),
    [
        ("e5e973e5a6b2a43f48e7dc849e37bfcf", "198.51.100.100",
         "2464c4abcf10c957010000005cf79f111f8130c3eee29480"),
        ("dd3bdf9344b678b185a6f5cb60fca715", "2001:db8:220:1:59de:d0f4:8769:82b8",
         "22681ab97d52c298010000005cf7c57926556bd0934c72f8"),
    ],
)  # fmt: skip
def test_cookies_are_those_of_rfc_9018(secret: str, address: str, cookie: str) -> None:
    whole = bytes.fromhex(cookie)
    now = int.from_bytes(whole[12:16], "big")
    packed = ip_address(address).packed
    assert server_cookie(bytes.fromhex(secret), packed, whole[:8], now) == whole
    assert Cookies([bytes.fromhex(secret)], now).known(packed, whole, now) is Standing.RIGHT


def test_a_right_one_is_right_for_its_address_and_client_only() -> None:
    known = Cookies([SECRET], NOW)
    made = known.reply(HERE, CLIENT, NOW)
    assert made is not None
    assert known.known(HERE, CLIENT, NOW) is Standing.NEW
    assert known.known(HERE, made, NOW) is Standing.RIGHT
    assert known.known(HERE, made, NOW) is Standing.RIGHT
    assert known.known(THERE, made, NOW) is Standing.WRONG
    for at in range(len(made)):
        changed = made[:at] + bytes((made[at] ^ 1,)) + made[at + 1 :]
        assert known.known(HERE, changed, NOW) is Standing.WRONG
    assert known.known(HERE, made + b"\0", NOW) is Standing.WRONG
    assert known.known(HERE, made[:16], NOW) is Standing.WRONG


@pytest.mark.parametrize(
    ("age", "standing", "same"),
    [(-301, "WRONG", False), (-300, "RIGHT", True), (0, "RIGHT", True), (1799, "RIGHT", True),
     (1800, "RIGHT", False), (3600, "RIGHT", False), (3601, "WRONG", False)],
)  # fmt: skip
def test_how_long_it_holds_and_when_it_is_replaced(age: int, standing: str, same: bool) -> None:
    known = Cookies([SECRET], NOW)
    made = server_cookie(SECRET, HERE, CLIENT, NOW)
    then = NOW + age
    assert known.known(HERE, made, then) is Standing[standing]
    assert (known.reply(HERE, made, then) == made) is same


def test_what_was_right_is_looked_at_again_when_it_is_to_be_replaced() -> None:
    known = Cookies([SECRET], NOW)
    made = server_cookie(SECRET, HERE, CLIENT, NOW)
    assert known.known(HERE, made, NOW + 1799) is Standing.RIGHT
    assert known.reply(HERE, made, NOW + 1799) == made
    assert known.reply(HERE, made, NOW + 1800) != made
    assert known.known(HERE, made, NOW + 3601) is Standing.WRONG


def test_32_bits_of_seconds_come_to_an_end() -> None:
    now = float(2**32 + 5)
    made = server_cookie(SECRET, HERE, CLIENT, now - 10)
    assert Cookies([SECRET], now).known(HERE, made, now) is Standing.RIGHT


def test_a_secret_is_replaced_without_anybody_losing_his() -> None:
    known = Cookies([SECRET], NOW)
    made = known.reply(HERE, CLIENT, NOW)
    assert made is not None
    assert not known.due(NOW + cookies.SECRET_LASTS - 1)
    assert known.due(NOW + cookies.SECRET_LASTS)
    # The time of day was set back.
    assert known.due(NOW - 1)
    known.replace(OTHER, NOW + 60)
    assert known.known(HERE, made, NOW + 60) is Standing.RIGHT
    # One of the old secret is replaced at once.
    assert known.reply(HERE, made, NOW + 60) == server_cookie(OTHER, HERE, CLIENT, NOW + 60)
    known.replace(bytes(15) + b"\1", NOW + 120)
    assert known.known(HERE, made, NOW + 120) is Standing.WRONG


def test_made_up_cookies_cost_so_much_in_a_second_and_right_ones_go_on() -> None:
    known = Cookies([SECRET], NOW)
    made = server_cookie(SECRET, HERE, CLIENT, NOW)
    assert known.known(HERE, made, NOW) is Standing.RIGHT
    wrong = server_cookie(OTHER, THERE, CLIENT, NOW)
    for _ in range(cookies.MAX_HASHES):
        assert known.known(THERE, wrong, NOW) is Standing.WRONG
    assert known.reply(THERE, wrong, NOW) is None
    assert known.known(HERE, made, NOW) is Standing.RIGHT
    assert known.reply(HERE, made, NOW) == made
    assert known.reply(THERE, wrong, NOW + 1) is not None


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cookies, "MAX_KNOWN", 8)
    known = Cookies([SECRET], NOW)
    for number in range(50):
        address = bytes((192, 0, 2, number))
        made = server_cookie(SECRET, address, CLIENT, NOW)
        assert known.known(address, made, NOW) is Standing.RIGHT
        assert len(known._known) <= 8
