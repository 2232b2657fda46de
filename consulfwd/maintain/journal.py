"""What a run has begun, on disk, so that the next one can end it: whatever becomes of this one.

What belongs here: its form, read strictly, and its file, which one process has at a time. Must not
know: what is done about it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from consulfwd.errors import ApplyError
from consulfwd.zones.disk import FOLDER, Document, have_folder, only_one

_LARGEST = 1 << 20
_FORM = 1
_RUN = re.compile(r"[0-9a-f]{16}", re.ASCII)
_SESSION = re.compile(r"[0-9a-f-]{36}|", re.ASCII)


@dataclass(frozen=True)
class Out:
    """One that was taken out, or is about to be: the node, its address, the ID ("": all of it)."""

    node: str
    address: str
    id: str


@dataclass(frozen=True)
class Journal:
    """One run: for what, by which command, since when (time of day); what it holds in Consul.

    `locks` are keys that `session` may hold; `out` is who is out; `done` are nodes and IDs that it
    is over with. `left` says that who is out is to stay out, whatever else is done on this host.
    """

    run: str
    kind: str
    name: str
    command: tuple[str, ...]
    begun: float
    session: str = ""
    locks: tuple[str, ...] = ()
    out: Out | None = None
    done: tuple[tuple[str, str], ...] = ()
    left: bool = False

    def write(self) -> bytes:
        """Return it as octets."""
        return json.dumps({"form": _FORM, **asdict(self)}, indent=1).encode()


def read(data: bytes) -> Journal:
    """Return what octets say. Raises ValueError for what is none of our writing."""
    try:
        found = json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict) or found.get("form") != _FORM:
        raise ValueError("it is of another form")
    out = found.get("out")
    return Journal(
        _matching(found, "run", _RUN),
        _word(found, "kind"),
        _word(found, "name"),
        _texts(found.get("command")),
        _number(found.get("begun")),
        _matching(found, "session", _SESSION),
        _texts(found.get("locks")),
        None if out is None else _out(out),
        tuple(_pair(one) for one in _list(found.get("done"))),
        found.get("left") is True,
    )


def _word(fields: Mapping[str, object], name: str) -> str:
    if not isinstance(found := fields.get(name), str):
        raise ValueError(f"{name} is no text")
    # Half a letter raises ValueError, too: it could not be asked for.
    found.encode()
    return found


def _matching(fields: Mapping[str, object], name: str, form: re.Pattern[str]) -> str:
    if not form.fullmatch(found := _word(fields, name)):
        raise ValueError(f"{name} is none")
    return found


def _list(found: object) -> Sequence[object]:
    if not isinstance(found, list):
        raise ValueError("something is no list")
    return found


def _texts(found: object) -> tuple[str, ...]:
    texts = [one for one in _list(found) if isinstance(one, str)]
    if len(texts) != len(_list(found)):
        raise ValueError("something in a list is no text")
    "".join(texts).encode()
    return tuple(texts)


def _number(found: object) -> float:
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 <= found < 1e11:
        raise ValueError("something is no time")
    return float(found)


def _pair(found: object) -> tuple[str, str]:
    texts = _texts(found)
    if len(texts) != 2:
        raise ValueError("something is no pair")
    return texts[0], texts[1]


def _out(found: object) -> Out:
    if not isinstance(found, dict):
        raise ValueError("out is none")
    return Out(_word(found, "node"), _word(found, "address"), _word(found, "id"))


def folder(environ: Mapping[str, str]) -> Path:
    """Return where journals are: as the service manager says, of root, or of this user."""
    if given := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(given)
    if os.geteuid() == 0:
        return FOLDER
    state = environ.get("XDG_STATE_HOME", "")
    home = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return home / "consulfwd"


def stem(kind: str, name: str) -> str:
    """Return what the files of one thing are called, without what they end in."""
    return f"maintain-{kind}@{quote(name, safe='')}"


class Book:
    """The journal of one thing, while this process alone has it."""

    def __init__(self, folder: Path, stem: str) -> None:
        self.path = folder / f"{stem}.json"
        self._document = Document(self.path, _LARGEST)
        self._lock = folder / f"{stem}.lock"
        self._held = -1

    def take(self) -> bool:
        """Have it alone; return False where another process has. Raises ApplyError."""
        if self._held >= 0:
            return True
        try:
            have_folder(self._lock.parent)
            self._held = only_one(self._lock)
        except BlockingIOError:
            return False
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise ApplyError(
                str(self._lock), f"cannot be had: {why}", "--state names another directory"
            ) from None
        return True

    def load(self) -> Journal | None:
        """Return what the last run left there, None where nothing. Raises ApplyError."""
        data = self._document.load()
        if data is None:
            return None
        try:
            return read(data)
        except ValueError as error:
            mend = "see who is in maintenance by its reason, then remove the file"
            raise ApplyError(str(self.path), f"is not a journal of ours: {error}", mend) from None

    def save(self, journal: Journal) -> None:
        """Have it hold this. Raises ApplyError."""
        self._document.save(journal.write())

    def remove(self) -> None:
        """Have it hold nothing. Raises ApplyError."""
        self._document.remove()

    def close(self) -> None:
        """Have it no more. The file that is locked stays: another process may have it open."""
        held, self._held = self._held, -1
        if held >= 0:
            os.close(held)


def left(folder: Path) -> Iterator[Book]:
    """Yield the journals of runs that are over and did not end; each is had until it is closed."""
    for path in sorted(folder.glob("maintain-*@*.json")):
        book = Book(folder, path.stem)
        with suppress(ApplyError):
            if book.take():
                yield book
