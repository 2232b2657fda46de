"""What whoever has files generated should know, and the files alone do not bring about.

What belongs here: what is hardly meant in a request, and what other files of the server undo. They
are read, nothing is changed; how it is told is up to who asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from consulfwd.apply.jobs import Job
from consulfwd.generate.requests import Request
from consulfwd.servers.target import DATACENTER, Beside

# Files of settings are small; nobody waits for what is none.
_LONGEST = 1 << 20


def cautions(request: Request, jobs: Sequence[Job], root: Path = Path("/")) -> list[str]:
    """Return what is to be told of these jobs, a line each; files are looked for below `root`."""
    return [*_datacenters(request), *_beside(request, jobs, root)]


def _datacenters(request: Request) -> Iterator[str]:
    names = request.settings.consul.datacenters
    if names and request.to == "agents" and DATACENTER not in request.target.kinds:
        title = request.target.title
        listed = ", ".join(names)
        yield (
            f"consul.datacenters: {title} cannot ask others about names of {listed}; they go to the"
            " agents of the domain, which must know these datacenters (WAN federation), or have"
            " consulfwd answer, with --to consulfwd"
        )


def _beside(request: Request, jobs: Sequence[Job], root: Path) -> Iterator[str]:
    outputs = request.target.files(request.version, request.options)
    for output, job in zip(outputs, jobs, strict=True):
        if output.beside is None:
            continue
        (file,) = job.files
        own = {line.strip() for line in file.text.splitlines()}
        for path in _others(output.beside, file.path, root):
            for line in _text(path).splitlines():
                if output.beside.lines.match(line) and line.strip() not in own:
                    yield f"{path} has {_shown(line)}: {output.beside.why}"


def _others(beside: Beside, ours: Path, root: Path) -> Iterator[Path]:
    """Yield the files that are in force beside ours."""
    hidden = {ours.name}
    for pattern in beside.places:
        found = sorted(root.glob(pattern.lstrip("/")))
        # A main file is not hidden by one of a folder, nor hides one.
        several = "*" in pattern
        yield from (path for path in found if not several or path.name not in hidden)
        hidden |= {path.name for path in found} if several else set()


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST).decode("utf-8", "replace")
    except OSError:
        return ""


def _shown(line: str) -> str:
    short = " ".join(line.split())
    return ascii(short if len(short) <= 60 else f"{short[:57]}...")
