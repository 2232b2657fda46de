"""What is known of a server that configuration is written for: files, checkers, reloads, versions.

What belongs here: the form of these facts. Must not know how a file is made, put in place or
checked, nor run anything. What is in the files is said by the templates.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from consulfwd.errors import UsageError

To = Literal["agents", "consulfwd"]
Version = tuple[int, ...]
Command = tuple[str, ...]
# What a zone is: a domain of Consul's, a datacenter in one, reverse names, what `forward` names.
ZoneKind = Literal["consul", "datacenter", "reverse", "forward"]
CONSUL: ZoneKind = "consul"
DATACENTER: ZoneKind = "datacenter"
REVERSE: ZoneKind = "reverse"
FORWARD: ZoneKind = "forward"
EVERY_KIND = frozenset({CONSUL, DATACENTER, REVERSE, FORWARD})


@dataclass(frozen=True)
class Beside:
    """Files the server reads together with ours: `lines` in them matter, and `why`.

    `places` are patterns; a file hides those of its name in the folders behind its own.
    """

    places: tuple[str, ...]
    lines: re.Pattern[str]
    why: str


@dataclass(frozen=True)
class Output:
    """A file: its template, and where it goes.

    Of `places` the first whose folder exists is taken, else the first. `optional` is the option
    that asks for it ("" if it always belongs). `checked` is whether the server's checker can read
    it by itself. It is for versions from `min_version` to `max_version`, both included and each as
    exact as it is written: up to (257,) means 257.9 too. `beside` are files that may undo what
    stands in it.
    """

    template: str
    places: tuple[str, ...]
    mode: int = 0o644
    optional: str = ""
    checked: bool = True
    min_version: Version = ()
    max_version: Version = ()
    beside: Beside | None = None

    def suits(self, version: Version) -> bool:
        """Whether it is for this version of the server."""
        if version[: len(self.min_version)] < self.min_version:
            return False
        return not self.max_version or version[: len(self.max_version)] <= self.max_version


@dataclass(frozen=True)
class Target:
    """A server.

    `check` reads one file by itself, `whole` what is installed; no words: there is none. `reload`
    are the commands, in order, that make the server use what is installed, then `forget` for each
    zone that lies in no other one, or once `forget_all` if they are many: what it was told of these
    names before. In commands, "{file}" is the file (the candidate, or the installed one) and
    "{zone}" a zone.
    `ask_version` prints the version, found by `version_pattern`; `newest` is assumed where it
    cannot be asked; nothing is written for what came before `oldest`. `whole_needs_recursors` is
    whether the whole configuration (the optional file, if there is one) answers for all other
    names too. `to` is whom its zones go to unless said otherwise. `asked_at` is where it is asked
    whether it works, None for nowhere; where it listens as the settings say, it is asked there.
    `package` is Debian's, with the checker. `kinds` are those of the zones its files have; names of
    the others go where the rest of the domain goes.
    """

    name: str
    title: str
    outputs: tuple[Output, ...]
    newest: Version
    oldest: Version
    check: Command = ()
    whole: Command = ()
    reload: tuple[Command, ...] = ()
    forget: Command = ()
    forget_all: Command = ()
    ask_version: Command = ()
    version_pattern: str = r"(\d+(?:\.\d+)*)"
    whole_needs_recursors: bool = False
    to: To = "agents"
    asked_at: str | None = "127.0.0.1"
    package: str = ""
    kinds: frozenset[ZoneKind] = EVERY_KIND

    def files(self, version: Version, options: Collection[str] = ()) -> tuple[Output, ...]:
        """Return the files for this version, and for the options asked for ("named_conf")."""
        return tuple(
            one
            for one in self.outputs
            if one.suits(version) and (not one.optional or one.optional in options)
        )


def parse_version(target: Target, output: str) -> Version:
    """Return the version in what `ask_version` printed. Raises UsageError if there is none."""
    found = re.search(target.version_pattern, output)
    if found is None:
        first = next(iter(output.strip().splitlines()), "")
        raise UsageError(
            f"no version of {target.title} in what {' '.join(target.ask_version)} says:"
            f" {first[:80]!r} (name it with --server-version)"
        )
    return read_version(found[1])


def known_version(target: Target, text: str) -> Version:
    """Return a version that files can be written for. Raises UsageError for impossible ones.

    One that is newer than all known is taken for like the newest, within reason.
    """
    version = read_version(text)
    if version < target.oldest or version[0] > 2 * target.newest[0] + 1:
        oldest, newest = (".".join(map(str, one)) for one in (target.oldest, target.newest))
        raise UsageError(
            f"--server-version: there is no {target.title} {text} to write for"
            f" (known are {oldest} to {newest})"
        )
    return version


def read_version(text: str) -> Version:
    """Return `9.18` as (9, 18). Raises UsageError for anything but numbers and dots."""
    if not re.fullmatch(r"\d{1,4}(\.\d{1,4}){0,3}", text, re.ASCII):
        raise UsageError(f"{text!r} is no version: write numbers and dots, such as 9.18")
    return tuple(map(int, text.split(".")))
