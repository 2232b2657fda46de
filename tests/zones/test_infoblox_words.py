"""What replies of the WAPI are worth, and what they say."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.zones.sinks.infoblox_words import (
    Answer,
    Verdict,
    parsed,
    refusal,
    said,
    verdict,
)
from tests.zones.wapi_rules import CONFLICT, DATA, NOT_FOUND, PROTO, Refused


def wapi(code: str, text: str, status: int = 400) -> Answer:
    refused = Refused(code, text, status)
    return Answer(refused.status, json.dumps(refused.body).encode())


def page(status: int, text: str) -> Answer:
    return Answer(status, f"<html><head><title>{text}</title></head></html>".encode())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(200, b"[]"), Verdict.TAKEN),
        (Answer(201, b'"ref"'), Verdict.TAKEN),
        (page(401, "Authorization Required"), Verdict.LOGIN),
        (Answer(301, b""), Verdict.ELSEWHERE),
        (Answer(302, b""), Verdict.ELSEWHERE),
        (page(200, "Grid Manager"), Verdict.ELSEWHERE),
        (Answer(200, b'\r\n<HTML><HEAD><META HTTP-EQUIV="REFRESH">'), Verdict.ELSEWHERE),
        (wapi(PROTO, "Write operations: read-only API access", 403), Verdict.ELSEWHERE),
        (wapi(PROTO, "This member is not the Grid Master"), Verdict.ELSEWHERE),
        (wapi(PROTO, "not a grid master candidate"), Verdict.ELSEWHERE),
        (Answer(429, b""), Verdict.LATER),
        (page(500, "Internal Server Error"), Verdict.UNSURE),
        (page(503, "Service Unavailable"), Verdict.UNSURE),
        (Answer(204, b""), Verdict.UNSURE),
        (wapi(CONFLICT, "The record 'x' already exists."), Verdict.REFUSED),
        (wapi(CONFLICT, "The record 'not the master' already exists."), Verdict.REFUSED),
        (wapi(DATA, "You have read-only permission for that record", 403), Verdict.REFUSED),
        (wapi(NOT_FOUND, "Reference x not found", 404), Verdict.REFUSED),
    ],
)
def test_what_becomes_of_a_request(answer: Answer, expected: Verdict) -> None:
    assert verdict(answer) is expected


@pytest.mark.parametrize(
    ("answer", "what", "mend", "alone"),
    [
        (page(401, "401"), "the user publisher or the password is refused", "locked", False),
        (page(403, "You don't have permission to access /wapi/v2.11/record:a on this server."),
         "may not use the WAPI", "API access", False),
        (wapi(PROTO, "Unknown extensible attribute: Publisher"), "extensible attribute",
         "Administration > Extensible Attributes, type String", False),
        (Answer(400, b"Version 2.99 not supported"), "older than that WAPI", "`urls`", False),
        (wapi(PROTO, "Unknown argument/field: 'dns_name'"), "does not know", "version", False),
        (wapi(DATA, "Write permission for the A record 'x' is needed for this operation.", 403),
         "may not do that", "let the group of publisher", True),
        (wapi(CONFLICT, "Write permission for the resource record type 'A' in the zone 'x' is"
                        " required for this operation."),
         "may not do that", "let the group of publisher", True),
        (wapi(CONFLICT, "The action is not allowed. A parent was not found."),
         "no zone for it", "make the zone", True),
        (wapi(CONFLICT, "The record 'x' already exists."), "already exists", "", True),
        (wapi(CONFLICT, "The record 'no.permission.x' already exists."), "it is refused", "", True),
        (wapi(DATA, "The zone 'x' is locked by 'admin'."), "the zone is locked", "unlock", False),
        (wapi(NOT_FOUND, "Reference x not found", 404), "it is not there", "", True),
    ],
)  # fmt: skip
def test_a_refusal_says_what_and_how_to_mend_it(
    answer: Answer, what: str, mend: str, alone: bool
) -> None:
    error = refusal("here", "publisher", answer)
    assert what in error.what
    assert mend in error.mend
    assert error.alone is alone
    # What is there by now decides where somebody was faster, and nowhere else.
    assert error.late is (mend == "" and answer.status in (400, 404))
    assert f"HTTP {answer.status}" in error.what


def test_the_text_of_strangers_is_one_short_line() -> None:
    answer = wapi(DATA, "a\n\x1b[31mb\t" + "x" * 5000)
    found = said(answer)
    assert found.text.startswith("a [31mb xxx")
    assert found.text.isprintable()
    assert len(found.text) <= 300


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"[]", b"5", b'{"text": 5, "code": []}', b"[" * 100_000]
)
def test_errors_may_be_of_any_form(body: bytes) -> None:
    assert said(Answer(400, body)).code == ""
    assert refusal("here", "publisher", Answer(400, body)).alone


@given(st.binary(max_size=200))
def test_any_body_is_json_or_is_not(body: bytes) -> None:
    try:
        parsed(Answer(200, body))
    except ValueError as error:
        assert len(str(error)) <= 300  # noqa: PT017
