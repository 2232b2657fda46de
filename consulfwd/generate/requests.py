"""The configuration of one server: which files, with what in them, and what brings it into force.

What belongs here: from a request (a server, settings, options) to `Job`s. Must not know any
grammar (that is in the templates), nor how a job is carried out (`apply`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from consulfwd.apply import commands
from consulfwd.apply.jobs import File, Job, nothing_to_verify
from consulfwd.apply.places import Links, led_to
from consulfwd.config import Settings
from consulfwd.errors import UsageError
from consulfwd.generate.building import build
from consulfwd.generate.model import NameServer, Site
from consulfwd.servers.target import DATACENTER, Output, Target, To, Version
from consulfwd.template.renderer import Renderer

# What would end the quotes of a path in some configuration.
_BREAKING = frozenset("\"'\\")
# Each takes a command.
MOST_FORGOTTEN = 32
# The agents the catalog names, by datacenter ("" is the local one).
Found = Mapping[str, Sequence[NameServer]]


@dataclass(frozen=True)
class Request:
    """What was asked for: the files of `target`, in a `version` of it.

    `options` ask for optional files. `templates` are folders whose templates come before the
    packaged ones. `dest` is where the first file goes instead of its usual place; `links` says
    what is done where a place is a link into another directory. With `reload` the server is to
    use what was written (told so by the shell command `reload_by`, if there is one, else as
    usual); then `asked_at`, if anywhere, it is asked whether it works.
    """

    target: Target
    settings: Settings
    version: Version
    to: To = "agents"
    options: frozenset[str] = frozenset()
    templates: tuple[Path, ...] = ()
    dest: Path | None = None
    links: Links = "refuse"
    reload: bool = True
    reload_by: str = ""
    asked_at: NameServer | None = None

    @property
    def whole(self) -> bool:
        """Whether the server's whole configuration is written, for all other names too."""
        optional = any(one.optional for one in self.target.outputs)
        return self.target.whole_needs_recursors and (bool(self.options) or not optional)

    @property
    def listens_as_set(self) -> bool:
        """Whether who answers then listens where the settings say: it, or consulfwd itself."""
        return self.target.to == "consulfwd" or (self.whole and self.to == "agents")

    @property
    def followed(self) -> Settings:
        """The settings, without the datacenters whose agents the files do not name."""
        if DATACENTER in self.target.kinds and self.to == "agents":
            return self.settings
        return self.settings.replace(consul=self.settings.consul.replace(datacenters={}))


def jobs(request: Request, found: Found | None = None) -> list[Job]:
    """Return what installs the files, one job for each. Raises TemplateError and UsageError.

    They share the commands that reload the server, so that they come into force together.
    """
    target = request.target
    outputs = target.files(request.version, request.options)
    unknown = request.options - {one.optional for one in target.outputs}
    if unknown:
        raise UsageError(f"{target.title} has no {', '.join(sorted(unknown))}")
    if not outputs:
        version = ".".join(map(str, request.version))
        raise UsageError(f"{target.title} {version} cannot be told of Consul by a file")
    paths = [usual_place(output) for output in outputs]
    if request.dest is not None:
        paths[0] = request.dest
    if not _includable(dest := str(paths[0])):
        raise UsageError(f"{dest!r}: no path with quotes, backslashes or line breaks is included")
    _look_at_places(target, paths)
    site = _site(request, found, include=str(paths[0].absolute()))
    renderer = Renderer(request.templates)
    verify = _verify(request, site)
    reload = _reload(request, paths[0], site)
    made = []
    for output, path in zip(outputs, paths, strict=True):
        text = renderer.render(output.template, {"site": site})
        made.append(
            Job(
                files=(File(path, text, request.links),),
                check=target.check if output.checked else (),
                whole=target.whole,
                reload=reload,
                verify=verify,
            )
        )
    return made


def usual_place(output: Output) -> Path:
    """Return where a file goes: the first of its usual places whose folder there is."""
    places = [Path(one) for one in output.places]
    return next((one for one in places if one.parent.is_dir()), places[0])


def _look_at_places(target: Target, paths: Sequence[Path]) -> None:
    """Raise UsageError where two files would be one: the last would be all there is."""
    found: dict[Path, Path] = {}
    for path in paths:
        first = found.setdefault(led_to(path), path)
        if first is not path:
            raise UsageError(
                f"{first} is where another of the files for {target.title} goes, which includes"
                " this one (name another file with --dest)"
            )


def _includable(path: str) -> bool:
    """Whether a path may stand in a configuration: nothing in it ends quotes, or a line."""
    return path.isprintable() and not _BREAKING & set(path)


def _verify(request: Request, site: Site) -> Callable[[], str]:
    if request.asked_at is None or not request.reload:
        return nothing_to_verify
    # Asking takes a library that printing a file does without.
    from consulfwd.generate.verifying import works

    return functools.partial(works, request.asked_at, site)


def _reload(request: Request, path: Path, site: Site) -> tuple[tuple[str, ...], ...]:
    if not request.reload:
        return ()
    if request.reload_by:
        return (commands.shell(request.reload_by),)
    target = request.target
    made = [tuple(word.replace("{file}", str(path)) for word in one) for one in target.reload]
    names = site.outermost if target.forget else ()
    if len(names) > MOST_FORGOTTEN:
        made.append(target.forget_all)
    else:
        made += [tuple(word.replace("{zone}", name) for word in target.forget) for name in names]
    return tuple(made)


def _site(request: Request, found: Found | None, include: str) -> Site:
    return build(
        request.settings,
        request.version,
        to=request.to,
        found=found,
        whole=request.whole,
        include=include,
        kinds=request.target.kinds,
    )
