"""The picture as SVG, for a page that allows no script and no style but its own.

What belongs here: shapes; every text is escaped. Colours are classes of the page's style. Pure.
"""

from __future__ import annotations

from html import escape

from consulfwd.audit.layout import BETWEEN, Arrow, Box, Picture
from consulfwd.audit.wording import cut, plain

WIDTH, HEIGHT = 190, 40
ACROSS, DOWN = 256, 56
EDGE = 16
# So many characters a box has room for.
SHOWN = 24


COLOURS = """
:root { color-scheme: light dark; --back: #fff; --text: #1c2330; --dim: #566072; --line: #d5dae3;
  --card: #f6f8fb; --critical: #b3261e; --warning: #8a5a00; --note: #2a5db0; --good: #1d7a3a; }
@media (prefers-color-scheme: dark) { :root { --back: #12161d; --text: #e6eaf2; --dim: #9aa6b8;
  --line: #333c4a; --card: #1a2029; --critical: #ff8a80; --warning: #f2b84b; --note: #8ab4f8;
  --good: #6fd18b; } }
"""
SHAPES = """
svg text { font: 13px system-ui, sans-serif; fill: var(--text); }
svg .words { font-size: 11px; fill: var(--dim); }
svg rect { fill: var(--back); stroke: var(--good); stroke-width: 1.5; }
svg .alone rect, svg .down rect { stroke: var(--critical); stroke-width: 2.5; }
svg .hidden rect { stroke: var(--warning); stroke-width: 2.5; }
svg .down rect, svg .unknown rect { stroke-dasharray: 5 4; }
svg .unknown rect, svg .node rect, svg .rack rect { stroke: var(--dim); }
svg .node rect, svg .rack rect { fill: var(--card); }
svg .arrow { fill: none; stroke: var(--dim); stroke-width: 1.5; } svg .head { fill: var(--dim); }
svg .arrow.hot { stroke: var(--critical); } svg .head.hot { fill: var(--critical); }
svg .arrow.place { stroke-dasharray: 5 4; }
"""


def alone(picture: Picture) -> str:
    """Return the picture as a file of its own, with its style."""
    begin, head, rest = svg(picture).partition("<defs>")
    return f"{begin}<style>{COLOURS}{SHAPES}</style>\n{head}{rest}\n" if head else ""


def svg(picture: Picture) -> str:
    """Return the picture; "" where there is nothing to draw."""
    if not picture.boxes:
        return ""
    tall = [sum(map(_room, column)) for column in picture.columns]
    width = (len(tall) - 1) * ACROSS + WIDTH + 2 * EDGE
    height = max(tall) + 2 * EDGE
    places: dict[str, tuple[float, float]] = {}
    for number, column in enumerate(picture.columns):
        top = (height - tall[number]) / 2
        for key in column:
            places[key] = (EDGE + number * ACROSS, top + _room(key) / 2)
            top += _room(key)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}"'
        f' width="{width}" height="{height:g}" role="img" aria-labelledby="picture">',
        '<title id="picture">Who needs whom, and what falls with what</title>',
        "<defs>",
        *(_head(one) for one in ("need", "hot")),
        "</defs>",
    ]
    lines += [_arrow(one, places) for one in picture.arrows]
    for one in picture.boxes:
        lines += _box(one, *places[one.key])
    return "\n".join([*lines, "</svg>"])


def _head(name: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7"'
        f' orient="auto"><path class="head {name}" d="M0 0 L8 4 L0 8 Z"/></marker>'
    )


def _arrow(one: Arrow, places: dict[str, tuple[float, float]]) -> str:
    (x, y), (to_x, to_y) = places[one.source], places[one.target]
    kind = "hot" if one.hot else "need"
    dashed = " place" if one.place else ""
    if to_x > x:
        path = f"M{x + WIDTH:g} {y:g}"
        for key in (*one.by, one.target):
            (left, at), half = places[key], (ACROSS - WIDTH) / 2
            path += f" C{left - half:g} {y:g} {left - half:g} {at:g} {left:g} {at:g}"
            path += f" H{left + WIDTH:g}" if key in one.by else ""
            y = at
    else:
        # Back, as in a circle: from below to below.
        x, to_x, y, to_y = x + WIDTH / 2, to_x + WIDTH / 2, y + HEIGHT / 2, to_y + HEIGHT / 2
        path = f"M{x:g} {y:g} C{x:g} {y + 24:g} {to_x:g} {to_y + 24:g} {to_x:g} {to_y:g}"
    return f'<path class="arrow {kind}{dashed}" d="{path}" marker-end="url(#{kind})"/>'


def _room(key: str) -> float:
    """Return how much of a column something takes."""
    return DOWN / 2 if key.startswith(BETWEEN) else DOWN


def _box(one: Box, x: float, y: float) -> list[str]:
    y -= HEIGHT / 2
    round_ = 4 if one.kind in ("node", "rack") else 10
    return [
        f'<g class="box {one.kind}"><title>{escape(plain(one.name))}: {escape(one.words)}</title>',
        f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="{round_}"/>',
        f'<text class="name" x="{x + 10:g}" y="{y + 17:g}">{escape(_short(one.name))}</text>',
        f'<text class="words" x="{x + 10:g}" y="{y + 32:g}">{escape(one.words)}</text></g>',
    ]


def _short(name: str) -> str:
    return cut(plain(name), SHOWN)
