"""Puts the settings together: files, environment, options -> Settings, or everything wrong.

Below the files, and only where nobody gives `consul.agents`, are Consul's own variables.

Each source is checked by itself first, so that a mistake in one is told even where another
overrides it; then they are joined, and what must hold between keys is checked. The only files
touched are the configuration and, to see that they can be read, those it names.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from consulfwd.config import cookie_secrets
from consulfwd.config.cautions import cautions
from consulfwd.config.credentials import is_token, located, why_unreadable
from consulfwd.config.dropins import FOLDER, open_to_all, read_all
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

# How sources sort in messages; between the first two are the files beside the main one.
_FILE, _BESIDE, _CONSUL, _ENVIRONMENT, _OPTIONS = 0, 1, 1000, 1001, 1002
_AGENTS = ("consul", "agents")
_NOT_HERE = "not needed for this; whoever runs the server must be able to"


class Loaded(NamedTuple):
    """Settings ready for use, and how they came about.

    `path` is the main file they were read from, if there is one. `origins` says for every key
    (dotted path) where its value comes from: "FILE:LINE", "environment NAME", "--OPTION" or
    "default". `warnings` are what is allowed but hardly meant, `passed_over` what of it is of no
    effect on these settings. `files` are all that were read, in order; they change with what
    stands at `places`, files and folders, which need not be there.
    """

    settings: Settings
    path: Path | None
    origins: dict[str, str]
    warnings: tuple[Problem, ...] = ()
    files: tuple[Path, ...] = ()
    places: tuple[Path, ...] = ()
    passed_over: tuple[Problem, ...] = ()


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
    *,
    over_http: bool = True,
) -> Loaded:
    """Return the settings: options over environment over files over Consul's over defaults.

    `path` None takes the file CONSULFWD_CONFIG names, or the default one if it exists; files in
    the folder conf.d beside it overlay it in the order of their names. `options` are lists of
    texts by name: listen, agent, recursor, domain, log_level. What `more` says against the
    settings is a warning. Raises ConfigError with every problem there is, in the order files,
    environment, options.

    `over_http` says whether agents are to be asked over HTTP with these settings: then a token or
    certificate that cannot be read is a problem. Else it is a warning, as others run what asks.
    """
    path = default_path(environ) if path is None else path
    main = DEFAULT_PATH if path is None else path
    beside, sources = read_all(main, _BESIDE)
    if path is not None:
        sources.insert(0, read(path, _FILE))
    sources += [from_environment(environ, _ENVIRONMENT), from_options(options, _OPTIONS)]
    if not any(len(walk(one.root, _AGENTS)) > len(_AGENTS) for one in sources):
        sources[:0] = _of_consul(environ)
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
    unreadable = [*_unreadable(settings, environ)]
    whole = [*settings.contradictions(), *(unreadable if over_http else ())]
    found += _located(root, whole, dropped)
    if found:
        raise ConfigError(_problems(found))
    without = [] if over_http else [one._replace(mend=_NOT_HERE) for one in unreadable]
    passed = [one for source in sources for one in source.doubted]
    passed += _located(root, without, dropped)
    said = [*cautions(settings), *_empty(settings, environ), *more(settings)]
    files = (*(() if path is None else (path,)), *beside)
    places = (main, main.parent / FOLDER)
    exposed = open_to_all((*files, main.parent / FOLDER), _FILE)
    warnings = _problems([*exposed, *passed, *_located(root, said, dropped)])
    return Loaded(settings, path, _origins(root), warnings, files, places, _problems(passed))


def _of_consul(environ: Mapping[str, str]) -> list[Source]:
    """Return what Consul's own variables say of the agent, if any of them is there."""
    if not any(name.startswith("CONSUL_") for name in environ):
        return []
    # Imported late: where they are not used nobody waits for it.
    from consulfwd.config.consul_variables import from_consul

    return [from_consul(environ, _CONSUL)]


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


def _unreadable(settings: Settings, environ: Mapping[str, str]) -> Iterable[Objection]:
    mend = "check the path and its permissions, or take the key out"
    for name, record in settings.failover.items():
        for where, file in record.check.files():
            if fault := why_unreadable(file, environ, mend):
                yield Objection(("failover", name, "check", *where), *fault)
    for path, agents in settings.agent_lists():
        for index, agent in enumerate(agents):
            for key, file in agent.files():
                if fault := why_unreadable(file, environ, mend):
                    yield Objection((*path, index, key), *fault)
            if agent.token_variable is not None:
                token = environ.get(agent.token_variable, "").strip()
                if not token or not is_token(token):
                    what = f"{agent.token_variable} {'holds no token' if token else 'is not set'}"
                    yield Objection(
                        (*path, index, "token_variable"), what, "set it, or take the key out"
                    )
    for fault in cookie_secrets.faults(settings.cookies.secret_file, environ):
        yield Objection(("cookies", "secret_file"), *fault)


def _empty(settings: Settings, environ: Mapping[str, str]) -> Iterable[Objection]:
    """Yield the token files that are yet to be written or read: DNS does not wait for them."""
    if settings.admin.token_file is not None:
        mend = "check the path and its permissions; until then the token's rights are nobody's"
        # DNS does not wait for it.
        if fault := why_unreadable(settings.admin.token_file, environ, mend):
            yield Objection(("admin", "token_file"), *fault)
    if cookie_secrets.open_to_all(settings.cookies.secret_file, environ):
        mend = "chmod 600 it, and have it belong to the user of the service"
        yield Objection(("cookies", "secret_file"), "anybody on this host may read it", mend)
    for path, agents in settings.agent_lists():
        for index, agent in enumerate(agents):
            with contextlib.suppress(OSError, ValueError):
                if agent.token_file and not located(agent.token_file, environ).stat().st_size:
                    what = "is empty: the agent is not asked over HTTP until it holds a token"
                    mend = "write it, or take the key out"
                    yield Objection((*path, index, "token_file"), what, mend)


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
