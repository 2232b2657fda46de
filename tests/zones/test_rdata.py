"""Record data as text and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.dns import const
from consulfwd.errors import WireError
from consulfwd.zones.rdata import from_text, to_text


@pytest.mark.parametrize(
    ("rtype", "text"),
    [
        (const.A, "10.0.0.1"),
        (const.AAAA, "2001:db8::1"),
        (const.CNAME, "a\\.b.example.com."),
        (const.PTR, "web.example.com."),
        (const.NS, "."),
        (const.SRV, "1 0 65535 a.example.com."),
        (const.TXT, '"a" "b;c \\"\\\\\\010\\255" ""'),
        (const.MX, "\\# 4 000a0000"),
        (65_000, "\\# 0"),
    ],
)
def test_there_and_back(rtype: int, text: str) -> None:
    assert to_text(rtype, from_text(rtype, text)) == text


@pytest.mark.parametrize(
    ("rtype", "text"),
    [
        (const.A, "10.0.0"),
        (const.A, "\\# 4 0a0000"),
        (const.A, "\\# 1 0"),
        (const.AAAA, "10.0.0.1"),
        (const.CNAME, "example.com"),
        (const.CNAME, "Example.com."),
        (const.CNAME, "a..b."),
        (const.CNAME, "a" * 64 + "."),
        (const.SRV, "1 2 3"),
        (const.SRV, "1 2 65536 a."),
        (const.SRV, "1 2 3 a. b."),
        (const.TXT, ""),
        (const.TXT, "a"),
        (const.TXT, '"a'),
        (const.TXT, '"a""b"'),
        (const.TXT, '"\\256"'),
        (const.TXT, '"\\a"'),
        (const.TXT, '"\n"'),
        (const.TXT, f'"{"a" * 256}"'),
        (const.TXT, '"\u00e4"'),
        (const.MX, "10 a."),
        (const.SOA, ""),
    ],
)
def test_what_it_is_not(rtype: int, text: str) -> None:
    with pytest.raises(WireError):
        from_text(rtype, text)


@given(st.sampled_from([1, 2, 5, 12, 16, 28, 33, 15, 99]), st.binary(max_size=300))
def test_any_data_exactly(rtype: int, data: bytes) -> None:
    text = to_text(rtype, data)
    assert text.isascii()
    assert text.isprintable()
    assert from_text(rtype, text) == data


@given(st.sampled_from([1, 2, 5, 12, 16, 28, 33, 15]), st.text(max_size=60))
def test_any_text_is_data_or_an_error_of_ours(rtype: int, text: str) -> None:
    try:
        data = from_text(rtype, text)
    except WireError:
        return
    assert from_text(rtype, to_text(rtype, data)) == data
