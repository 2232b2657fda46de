"""What a reply of the WAPI is worth, and what it says, in words with the mend.

What belongs here: statuses, codes and texts of errors. Must not know: what was asked, connections.
Pure. An error is JSON with `Error`, `code` and `text`; where the web server before the WAPI
refuses, it is a page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from consulfwd.errors import ApplyError

# What comes where somebody was faster. The first one also where a right or a zone is missing.
_CONFLICT, _NOT_FOUND = "Client.Ibap.Data.Conflict", "Client.Ibap.Data.NotFound"
_LONGEST = 300
# What a grid member or a master candidate says: it sends on to the master, or takes no changes.
_ELSEWHERE = re.compile(
    r"not (?:the |a |an )?(?:active )?(?:grid )?master|master candidate"
    r"|read[- ]only (?:api|mode|member|node)",
    re.I,
)
_ATTRIBUTE = re.compile(r"unknown extensible attribute", re.I)
_VERSION = re.compile(r"version .{1,40} not supported", re.I)
_ARGUMENT = re.compile(r"unknown (?:argument|field|object type)", re.I)
_LOCKED = re.compile(r"\bis locked\b", re.I)
# Names and values that an error quotes are of strangers, and say nothing of what it is.
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_PARENT = re.compile(r"\bparent was not found", re.I)
_PERMISSION = re.compile(r"permission|not authori[sz]ed|access denied", re.I)


class Answer(NamedTuple):
    """A reply: `retry_after` is for how many seconds it wants to be left alone, if it says so."""

    status: int
    body: bytes
    retry_after: float | None = None


class Verdict(Enum):
    """What becomes of a request by its answer."""

    TAKEN = "taken"
    LOGIN = "the user is not known"
    ELSEWHERE = "it is not the grid master"
    LATER = "it wants to be left alone"
    UNSURE = "it failed, perhaps after the fact"
    REFUSED = "it is refused"


class Said(NamedTuple):
    """What an error says, fit for one line."""

    code: str
    text: str


class Refusal(ApplyError):
    """The WAPI refuses what is asked. `alone` says that others may be taken all the same.

    `late` says that somebody was faster, so that what is there now decides.
    """

    def __init__(self, where: str, what: str, mend: str, *, alone: bool, late: bool) -> None:
        self.alone = alone
        self.late = late
        super().__init__(where, what, mend)


def verdict(answer: Answer) -> Verdict:
    """Return what becomes of a request."""
    status = answer.status
    if status == 200 and answer.body[:256].lstrip().startswith(b"<"):
        # A member's web server sends its visitors on by a page.
        return Verdict.ELSEWHERE
    if status in (200, 201):
        return Verdict.TAKEN
    if status == 401:
        return Verdict.LOGIN
    if 300 <= status < 400:
        return Verdict.ELSEWHERE
    if status == 429:
        return Verdict.LATER
    if status >= 500 or status < 300:
        return Verdict.UNSURE
    if status in (400, 403) and _ELSEWHERE.search(_unquoted(said(answer).text)):
        return Verdict.ELSEWHERE
    return Verdict.REFUSED


def said(answer: Answer) -> Said:
    """Return what an error says of itself."""
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        page = re.sub(r"<[^>]*>", " ", answer.body[:4096].decode("utf-8", "replace"))
        return Said("", _line(page))
    if not isinstance(found, dict):
        return Said("", "")
    text = found.get("text") or found.get("Error")
    return Said(_field(found, "code"), _line(text) if isinstance(text, str) else "")


def refusal(where: str, user: str, answer: Answer) -> Refusal:
    """Return the error that an answer comes to."""
    code, text = said(answer)
    what, mend, alone = _advice(answer.status, user, _unquoted(text))
    told = f": {text}" if text else ""
    # Where there is an advice it is about more than what was there before.
    late = code in (_CONFLICT, _NOT_FOUND) and not mend
    return Refusal(where, f"{what} (HTTP {answer.status}{told})", mend, alone=alone, late=late)


def _advice(status: int, user: str, text: str) -> tuple[str, str, bool]:
    if status == 401:
        mend = "see whether password_file holds it, and whether the account is locked or expired"
        return f"the user {user} or the password is refused", mend, False
    if _ATTRIBUTE.search(text):
        mend = (
            "an administrator makes it once: Administration > Extensible Attributes, type String, "
            'or POST extensibleattributedef {"name": NAME, "type": "STRING"}'
        )
        return "the grid does not have the extensible attribute of the settings", mend, False
    if _VERSION.search(text):
        return "the grid is older than that WAPI", "give its version in `urls`", False
    if _ARGUMENT.search(text):
        mend = "give a version from 2.0 on in `urls`, as far as the grid has it"
        return "that WAPI does not know what it is asked for", mend, False
    if status == 403 and not _PERMISSION.search(text.replace("have permission to access /", "")):
        mend = "give the group of that user API access, from this host too"
        return f"the user {user} may not use the WAPI", mend, False
    if _PERMISSION.search(text):
        mend = f"let the group of {user} read and write the records of that zone in that view"
        return f"the user {user} may not do that", mend, True
    if _PARENT.search(text):
        return "the grid has no zone for it", "make the zone there, or give its `view`", True
    if _LOCKED.search(text):
        mend = "let whoever locked it in the grid unlock it; it is served meanwhile as it is"
        return "the zone is locked", mend, False
    if status == 404:
        return "it is not there", "", True
    return "it is refused", "", True


def parsed(answer: Answer) -> Any:
    """Return what a reply holds. Raises ValueError where that is not JSON."""
    try:
        return json.loads(answer.body)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON, or was cut ({error})"[:_LONGEST]) from None


def _unquoted(text: str) -> str:
    return _QUOTED.sub("''", text)


def _field(found: Mapping[str, object], name: str) -> str:
    value = found.get(name)
    return _line(value) if isinstance(value, str) else ""


def _line(text: str) -> str:
    """Return a stranger's text as one line."""
    words = "".join(one if one.isprintable() else " " for one in text[: 4 * _LONGEST]).split()
    return " ".join(words)[:_LONGEST]
