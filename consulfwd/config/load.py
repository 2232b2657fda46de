"""Puts the settings together: file, environment, options -> Settings, or everything wrong.

Each source is checked by itself first, so that a mistake in one is told even where another
overrides it; then they are joined, and what must hold between keys is checked. The only files
touched are the configuration and, to see that they can be read, those it names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

from consulfwd.config.cautions import cautions
from consulfwd.config.environment import FILE_VARIABLE, from_environment, from_options
from consulfwd.config.keys import Objections, leaves, read_section
from consulfwd.config.objections import KeyPath, Objection, dotted
from consulfwd.config.settings import Settings
from consulfwd.config.source import read
from consulfwd.config.tree import PlacedProblem, Source, TreeNode, overlay, plain, sweep, walk
from consulfwd.config.wording import printable
from consulfwd.errors import ConfigError, Problem

DEFAULT_PATH = Path("/etc/consulfwd/consulfwd.yml")
MAX_PROBLEMS = 100

_FILE, _ENVIRONMENT, _OPTIONS = range(3)


class Loaded(NamedTuple):
    """Settings ready for use, and how they came about.

    `path` is the file they were read from, if any. `origins` says for every key (dotted path)
    where its value comes from: "FILE:LINE", "environment NAME", "--OPTION" or "default".
    `warnings` are what is allowed but hardly meant.
    """

    settings: Settings
    path: Path | None
    origins: dict[str, str]
    warnings: tuple[Problem, ...] = ()


def default_path(environ: Mapping[str, str]) -> Path | None:
    """Return the file that is read when no option names one, or None when there is none."""
    if named := environ.get(FILE_VARIABLE, "").strip():
        return Path(named)
    try:
        DEFAULT_PATH.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        # It may well be there: better to fail on reading it than to pass it over.
        return DEFAULT_PATH
    return DEFAULT_PATH


def load(
    path: Path | None,
    environ: Mapping[str, str],
    options: Mapping[str, object],
    more: Callable[[Settings], Iterable[Objection]] = lambda settings: (),
) -> Loaded:
    """Return the settings: options over environment over file over defaults.

    `path` None takes the file CONSULFWD_CONFIG names, or the default one if it exists. `options`
    are lists of texts by name: listen, agent, recursor, domain. What `more` says against the
    settings is a warning. Raises ConfigError with every problem there is, in the order file,
    environment, options.
    """
    path = default_path(environ) if path is None else path
    sources = [from_environment(environ, _ENVIRONMENT), from_options(options, _OPTIONS)]
    if path is not None:
        sources.insert(0, read(path, _FILE))
    found: list[PlacedProblem] = []
    dropped: set[KeyPath] = set()
    root = TreeNode({}, sources[0].root.place, ())
    for source in sources:
        if source.root.content:
            _check(source)
        found += source.found
        dropped |= source.dropped
        root = overlay(root, source.root)
    if len(found) > MAX_PROBLEMS:
        raise ConfigError(_problems(found))
    settings, misfits = _read(root)
    assert not misfits, "what does not fit was taken out of each source"
    whole = [*settings.contradictions(), *_unreadable(settings)]
    found += _located(root, whole, dropped)
    if found:
        raise ConfigError(_problems(found))
    said = (*cautions(settings), *more(settings))
    warnings = _problems(_located(root, said, dropped))
    return Loaded(settings, path, _origins(root), warnings)


def _check(source: Source) -> None:
    """Move everything that does not fit the settings from the source's tree to its problems."""
    # A part that is taken out can be missed by what it was a part of: look again without it.
    while len(source.found) <= MAX_PROBLEMS and (misfits := _read(source.root)[1]):
        unfit: set[int] = set()
        for misfit in misfits:
            trail = walk(source.root, misfit.path)
            node = trail[-1]
            unfit.add(id(node))
            known = (*node.path, *misfit.path[len(trail) - 1 :]) in source.dropped
            if len(source.found) > MAX_PROBLEMS:
                return
            if not known:
                source.found.append(
                    PlacedProblem(node.place, dotted(node.path), misfit.what, misfit.mend)
                )
        sweep(source, unfit)


def _read(root: TreeNode) -> tuple[Settings, Objections]:
    """Return the settings a tree gives, and what does not fit; either is of use, not both."""
    misfits = Objections(Settings, MAX_PROBLEMS + 1)
    data = plain(root)
    assert isinstance(data, dict)
    return read_section(Settings, data, (), misfits), misfits


def _located(
    root: TreeNode, objections: Iterable[Objection], dropped: set[KeyPath]
) -> list[PlacedProblem]:
    """Return the objections with their places, without those a dropped value takes part in."""
    around = {path[:end] for path in dropped for end in range(len(path))}

    def complete(key: KeyPath) -> bool:
        trail = walk(root, key)
        path = (*trail[-1].path, *key[len(trail) - 1 :])
        above = (path[:end] for end in range(1, len(path) + 1))
        return path not in around and dropped.isdisjoint(above)

    located = []
    for one in objections:
        if one.unless is not None and len(walk(root, one.unless)) > len(one.unless):
            continue
        if all(complete(key) for key in (one.path, *one.also)):
            node = walk(root, one.path)[-1]
            located.append(PlacedProblem(node.place, dotted(node.path), one.what, one.mend))
        if len(located) > MAX_PROBLEMS:
            break
    return located


def _unreadable(settings: Settings) -> Iterable[Objection]:
    for path, agents in settings.agent_lists():
        for index, agent in enumerate(agents):
            for key, file in (("ca_file", agent.ca_file), ("token_file", agent.token_file)):
                if file is not None and (what := _why_unreadable(file)):
                    mend = "check the path and its permissions, or take the key out"
                    yield Objection((*path, index, key), f"{file} {what}", mend)


def _why_unreadable(file: Path) -> str | None:
    try:
        mode = file.stat().st_mode
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not S_ISREG(mode):
        return "is not a file"
    return None if os.access(file, os.R_OK) else "may not be read"


def _problems(found: list[PlacedProblem]) -> tuple[Problem, ...]:
    found.sort(key=lambda one: one.place)
    problems = []
    for one in found[:MAX_PROBLEMS]:
        where = f"{one.place.text}: {one.path}" if one.path else one.place.text
        problems.append(Problem(printable(where), printable(one.what), printable(one.mend)))
    if len(found) > MAX_PROBLEMS:
        problems.append(Problem(found[MAX_PROBLEMS].place.text, "there is more to mend after this"))
    return tuple(problems)


def _origins(root: TreeNode) -> dict[str, str]:
    origins = {}
    for path, _ in leaves(Settings):
        trail = walk(root, path)
        origins[".".join(path)] = trail[-1].place.text if len(trail) > len(path) else "default"
    return origins
