"""The configuration of one server: which files, with what in them, and what brings it into force.

What belongs here: from a request (a server, settings, options) to `Job`s. Must not know any
grammar (that is in the templates), nor how a job is carried out (`apply`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from consulfwd.apply import commands
from consulfwd.apply.jobs import File, Job, nothing_to_verify
from consulfwd.config import Settings
from consulfwd.errors import UsageError
from consulfwd.generate.model import NameServer, Site, build
from consulfwd.servers.target import Output, Target, To, Version
from consulfwd.template.renderer import Renderer

# What would end the quotes of a path in some configuration.
_BREAKING = {ord(one): None for one in "\"'\\\n\r\0"}
# The agents the catalog names, by datacenter ("" is the local one).
Found = Mapping[str, Sequence[NameServer]]


@dataclass(frozen=True)
class Request:
    """What was asked for: the files of `target`, in a `version` of it.

    `options` ask for optional files. `templates` are folders whose templates come before the
    packaged ones. `dest` is where the first file goes instead of its usual place. With `reload`
    the server is to use what was written (told so by the shell command `reload_by`, if there is
    one, else as usual), and `verify` returns what is wrong with it then.
    """

    target: Target
    settings: Settings
    version: Version
    to: To = "agents"
    options: frozenset[str] = frozenset()
    templates: tuple[Path, ...] = ()
    dest: Path | None = None
    reload: bool = True
    reload_by: str = ""
    verify: Callable[[], str] = nothing_to_verify

    @property
    def whole(self) -> bool:
        """Whether the server's whole configuration is written, for all other names too."""
        optional = any(one.optional for one in self.target.outputs)
        return self.target.whole_needs_recursors and (bool(self.options) or not optional)

    @property
    def listens_as_set(self) -> bool:
        """Whether who answers then listens where the settings say: it, or consulfwd itself."""
        return self.target.to == "consulfwd" or (self.whole and self.to == "agents")


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
    if (dest := str(paths[0])) != dest.translate(_BREAKING):
        raise UsageError(f"{dest!r}: no path with quotes, backslashes or line breaks is included")
    site = _site(request, found, include=str(paths[0].absolute()))
    renderer = Renderer(request.templates)
    made = []
    for output, path in zip(outputs, paths, strict=True):
        text = renderer.render(output.template, {"site": site})
        made.append(
            Job(
                files=(File(path, text),),
                check=target.check if output.checked else (),
                whole=target.whole,
                reload=_reload(request, paths[0]),
                verify=request.verify if request.reload else nothing_to_verify,
            )
        )
    return made


def usual_place(output: Output) -> Path:
    """Return where a file goes: the first of its usual places whose folder there is."""
    places = [Path(one) for one in output.places]
    return next((one for one in places if one.parent.is_dir()), places[0])


def _reload(request: Request, path: Path) -> tuple[tuple[str, ...], ...]:
    if not request.reload:
        return ()
    if request.reload_by:
        return (commands.shell(request.reload_by),)
    stands_for = {"{domain}": request.settings.consul.domain, "{file}": str(path)}
    made = []
    for command in request.target.reload:
        words = list(command)
        for name, value in stands_for.items():
            words = [word.replace(name, value) for word in words]
        made.append(tuple(words))
    return tuple(made)


def _site(request: Request, found: Found | None, include: str) -> Site:
    return build(
        request.settings,
        request.version,
        to=request.to,
        found=found,
        whole=request.whole,
        include=include,
    )
