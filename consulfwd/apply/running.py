"""Whether a reload command could tell anybody: what commands say of a server that does not run.

What belongs here: exit codes and words of commands, and how systemd is asked. Must not run
anything, nor know what follows from it.

A server that does not run reads its files when it starts, so that a reload which fails for that
reason says nothing against the file. Which reason it was is told in one of these ways, the first
by any command, the others by those that are known:

- the command ends with NOT_RUNNING;
- systemd is asked before (`question`): a `reload` of what has yet to start would wait for it,
  and it for us. Of what runs, and is ordered after the unit we are starting in, a `reload` waits
  for us too: it is told `at_once`;
- it says so in words of its own.

All else is a failure, and the file's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

from consulfwd.apply.commands import SHELL, Ran

# EX_TEMPFAIL of sysexits(3), "try again later": what a command ends with to say it.
NOT_RUNNING = 75

# What is asked of each unit. `is-active` would not do: to systemd before 256 it is one thing that
# there is no such unit, as when its name is mistyped, and that it does not run.
_STATE = tuple(f"--property={one}" for one in ("Id", "LoadState", "ActiveState", "After"))
_RUNS = {"active", "reloading", "refreshing"}
# Of those verbs that do nothing to what does not run: the one that starts it.
_STARTING = {
    "reload": "reload-or-restart",
    "try-reload-or-restart": "reload-or-restart",
    "reload-or-try-restart": "reload-or-restart",
    "force-reload": "reload-or-restart",
    "try-restart": "restart",
    "condrestart": "restart",
}
# Options that say which systemd is asked, and those that a question does without.
_WHICH = re.compile(r"--(user|system|(machine|host)=.+)")
_UNASKED = {"--no-block", "--quiet", "-q", "--no-ask-password"}

# Exit codes that say it: of init scripts "program is not running" (LSB), of curl(1) that nobody
# took its connection. pkill(1) has one for that, but the same for want of rights.
_LSB_NOT_RUNNING = 7
_INIT = {"service", "invoke-rc.d"}
_CODES = {"curl": 7}

# What programs say, each in lines of its own, when there is nobody to be told. A file of nginx that
# cannot be opened is an [emerg], a missing pid file an [error].
_WORDS = {
    "systemctl": (
        r"is not active, cannot reload|cannot be reloaded because it is inactive"
        r"|^Failed to kill unit \S+: (Unit \S+ not loaded|No main process to kill)"
    ),
    "nginx": (
        r'\[error\].*(open\(\) ".*" failed \(2: |invalid PID number "")'
        r"|\[alert\].*kill\(\d+, 1\) failed \(3: "
    ),
    "rndc": r"^rndc: connect failed: .*: connection refused",
    "unbound-control": r"error: connect: (Connection refused|No such file or directory)",
    "rec_control": r"Unable to connect to remote '.*': (Connection refused|No such file or dir)",
    "consul": r"^Error reloading: .*: connection refused",
    "docker": r"(?i:\bcontainer \S+ is not running)",
    "killall": r": no process found$",
}
# In a shell's text: more than one program and its words.
_MORE = re.compile(r"[^\w \t./:@%+,=-]")


def nobody_there(ran: Ran) -> bool:
    """Return whether a command failed because what it was to tell does not run."""
    if ran.code is None or ran.code <= 0:
        return False
    if ran.code == NOT_RUNNING:
        return True
    words = _words(ran.command)
    if words and ran.code == _code_of(words[0]):
        return True
    named = set(map(_speaks, words or re.split(r"[\s;&|(){}]+", ran.command[-1])))
    return any(
        re.search(said, ran.output, re.MULTILINE)
        for program, said in _WORDS.items()
        if program in named
    )


class Answer(NamedTuple):
    """What systemd says: nobody is there to be told, or whoever is would wait for us."""

    nobody: bool = False
    waits: bool = False


def question(command: Sequence[str], own: str = "") -> tuple[str, ...] | None:
    """Return the command that asks whether anybody is there to be told; None if nothing can.

    `own` is the unit we run in, if it is one of the system's.
    """
    found = _systemctl(command)
    if found is None:
        return None
    options, verb, units = found
    if verb not in _STARTING or not units:
        return None
    return (*options, "show", *_STATE, *units, *([own] if own and not options[1:] else ()))


def answered(ran: Ran, own: str = "") -> Answer:
    """Return what a `question` was answered.

    If that could not be asked, or there is no such unit, the command itself says more.
    """
    if ran.wrong:
        return Answer()
    units = [_properties(text) for text in ran.output.split("\n\n") if text]
    us = next((one for one in units if one.get("Id") == own), {})
    units = [one for one in units if one is not us]
    if any(one["LoadState"] == "not-found" for one in units):
        return Answer()
    after = {name for one in units for name in one["After"].split()}
    starts = bool(us) and us["ActiveState"] not in ("active", "inactive", "failed")
    nobody = not any(one["ActiveState"] in _RUNS for one in units)
    return Answer(nobody, waits=starts and own in after)


def _properties(text: str) -> dict[str, str]:
    lines = (line.partition("=") for line in text.splitlines())
    return {"LoadState": "", "ActiveState": "", "After": ""} | {one: said for one, _, said in lines}


def at_once(command: Sequence[str]) -> tuple[str, ...]:
    """Return the command of a `question` so that it waits for no other unit, as for ours."""
    found = _systemctl(command)
    assert found is not None
    options, verb, units = found
    return (*options, "--job-mode=ignore-dependencies", verb, *units)


def starting(command: Sequence[str]) -> tuple[str, ...]:
    """Return the command that tells a server which ran, but may have died of what it was told."""
    found = _systemctl(command)
    if found is None or found[1] not in _STARTING:
        return tuple(command)
    options, verb, units = found
    return (*options, _STARTING[verb], *units)


def _systemctl(command: Sequence[str]) -> tuple[tuple[str, ...], str, tuple[str, ...]] | None:
    """Return `systemctl` with the options that say which, the verb, the units; None for others."""
    words = _words(command)
    if not words or _name(words[0]) != "systemctl":
        return None
    options = [word for word in words[1:] if word.startswith("-") and word not in _UNASKED]
    rest = [word for word in words[1:] if not word.startswith("-")]
    if not rest or not all(map(_WHICH.fullmatch, options)):
        return None
    return (words[0], *options), rest[0], tuple(rest[1:])


def _words(command: Sequence[str]) -> tuple[str, ...]:
    """Return program and arguments; none for a shell's text that is more than that."""
    if len(command) != 3 or tuple(command[:2]) != (SHELL, "-c"):
        return tuple(command)
    return () if _MORE.search(command[2].strip()) else tuple(command[2].split())


def _name(word: str) -> str:
    return PurePath(word).name


def _speaks(word: str) -> str:
    """Return the program whose words are to be expected; init scripts pass on what systemd says."""
    return "systemctl" if _is_init(word) else _name(word)


def _is_init(program: str) -> bool:
    return _name(program) in _INIT or PurePath(program).parent == PurePath("/etc/init.d")


def _code_of(program: str) -> int | None:
    """Return what a program ends with to say that nobody is there, None if it has no such code."""
    return _LSB_NOT_RUNNING if _is_init(program) else _CODES.get(_name(program))
