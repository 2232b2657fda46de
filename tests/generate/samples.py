"""The samples beside the templates: what each template makes of examples/generate.yml.

`python -m tests.generate.samples` writes them anew, after a template was changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from consulfwd.config import load
from consulfwd.generate.building import build
from consulfwd.servers.target import Output, Target, Version
from consulfwd.servers.targets import TARGETS
from consulfwd.template.renderer import SUFFIX, Renderer

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "bind-templates"
EXAMPLE = ROOT / "examples" / "generate.yml"
RENEW = "python -m tests.generate.samples"


def version_for(target: Target, output: Output) -> Version:
    """The newest version of the server the file is for."""
    return target.newest if output.suits(target.newest) else (*output.max_version, 99)


def samples() -> Iterator[tuple[Path, str]]:
    """Each sample file, and what belongs there."""
    settings = load(EXAMPLE, {}, {}).settings
    renderer = Renderer()
    for target in TARGETS.values():
        include = target.outputs[0].places[0]
        for output in target.outputs:
            version = version_for(target, output)
            whole = target.whole_needs_recursors
            site = build(settings, version, whole=whole, include=include, kinds=target.kinds)
            sample = FOLDER / output.template.removesuffix(SUFFIX)
            yield (
                sample.with_name(f"{sample.name}.sample"),
                renderer.render(output.template, {"site": site}),
            )


def main() -> None:
    """Write the samples."""
    for path, text in samples():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
