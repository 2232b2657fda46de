"""What charts of zones have in common: colours for light and dark, texts, axes, and main().

A picture is an SVG whose colours follow the reader's: white paper, or dark where that is preferred.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path

# Class: what it sets, in light and in dark.
COLOURS = {
    "paper": ("fill", "#ffffff", "#0d1117"),
    "ink": ("fill", "#1f2328", "#e6edf3"),
    "soft": ("fill", "#59636e", "#9198a1"),
    "up": ("fill", "#3c9a5f", "#2f9e4f"),
    "down": ("fill", "#f4cfc9", "#6b2b28"),
    "held": ("fill", "#f3e2a9", "#4f3f10"),
    "area": ("fill", "#dbe7fb", "#172b4a"),
    "curve": ("stroke", "#1f5fbf", "#6cb0ff"),
    "other": ("stroke", "#b4552d", "#f0a070"),
    "limit": ("stroke", "#b3261e", "#ff8178"),
    "grid": ("stroke", "#d5dae0", "#30363d"),
    "axis": ("stroke", "#59636e", "#9198a1"),
}
_LINES = """.curve, .other { fill: none; stroke-width: 2; stroke-linejoin: round }
    .other { stroke-dasharray: 7 4 }
    .limit { stroke-dasharray: 4 4 }
    .title { font-size: 16px; font-weight: bold }
    .small { font-size: 12px }"""


class Picture:
    """Collects the parts of a picture."""

    def __init__(self, width: int, height: int, title: str, said: str) -> None:
        self.width, self.height = width, height
        self._title, self._said = title, said
        self._parts: list[str] = []

    def text(
        self, x: float, y: float, what: str, kind: str = "ink", anchor: str = "start"
    ) -> None:
        """Write something; `kind` are classes."""
        at = f'x="{x:.0f}" y="{y:.0f}"'
        placed = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self._parts.append(f'<text class="{kind}" {at}{placed}>{escape(what, quote=False)}</text>')

    def path(self, kind: str, steps: str) -> None:
        """Draw something."""
        self._parts.append(f'<path class="{kind}" d="{steps}"/>')

    def box(self, kind: str, x: float, y: float, width: float, height: float) -> None:
        """Draw a filled box."""
        self.path(kind, f"M{x:.1f} {y:.1f}h{width:.1f}v{height:.1f}h{-width:.1f}z")

    def line(self, kind: str, points: Iterable[tuple[float, float]]) -> None:
        """Draw a line through points."""
        self.path(kind, "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points))

    def __str__(self) -> str:
        light = " ".join(f".{name} {{ {kind}: {one} }}" for name, (kind, one, _) in COLOURS.items())
        dark = " ".join(f".{name} {{ {kind}: {one} }}" for name, (kind, _, one) in COLOURS.items())
        body = "\n  ".join(self._parts)
        return f"""<svg xmlns="http://www.w3.org/2000/svg" role="img" font-size="13" \
font-family="system-ui, 'DejaVu Sans', sans-serif" viewBox="0 0 {self.width} {self.height}">
  <title>{escape(self._title)}</title>
  <desc>{escape(self._said)}</desc>
  <style>
    {light}
    {_LINES}
    @media (prefers-color-scheme: dark) {{ {dark} }}
  </style>
  <path class="paper" d="M0 0h{self.width}v{self.height}H0z"/>
  {body}
</svg>
"""


def main(document: str, picture: Path, draw: Callable[[], str]) -> None:
    """Draw it, or say whether it is current."""
    parser = argparse.ArgumentParser(description=document)
    parser.add_argument("picture", nargs="?", type=Path, default=picture)
    parser.add_argument("--check", action="store_true", help="only say whether it is current")
    options = parser.parse_args()
    new = draw()
    if not options.check:
        options.picture.write_text(new, encoding="utf-8")
    elif options.picture.read_text(encoding="utf-8") != new:
        name = Path(sys.argv[0]).name
        sys.exit(f"{options.picture}: it is not current; run scripts/{name}")
