"""Draws what happened as a picture: a lane for each client, and for Icinga's link to the database.

`python -m tests.e2e.chart RESULTS PICTURES [PAGE]` draws the stories that a run left in RESULTS,
and puts their table between the two comments of PAGE that mark its place.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from html import escape
from pathlib import Path

from tests.e2e.story import SLOW_S, WAYS, Story, outage, table

LEFT, WIDTH, RIGHT = 168, 760, 12
ROW, TOP = 12, 44
# What is nearer together is shown as one.
GAP_S = 0.25
GOOD, SLOW, BAD, PALE = "#4c9a6a", "#d9a441", "#c0392b", "#dfe6e9"
BEGIN, END = "<!-- figures of a run: begin -->", "<!-- figures of a run: end -->"
ORDER = ("mysqld", "node", "leader", "bind", "restart", "rolling")


class _Picture:
    def __init__(self, story: Story) -> None:
        self._story = story
        self._parts: list[str] = []
        self._scale = WIDTH / max(story.end - story.begin, 1.0)
        self._y = TOP

    def draw(self) -> str:
        story = self._story
        self._marks()
        for way, label in WAYS.items():
            self._text(4, self._y + 10, label, bold=True)
            self._y += ROW + 2
            for what, text in (("name", "galeradb"), ("outside", "outside"), ("row", "rows")):
                self._text(LEFT - 8, self._y + 10, text, end=True)
                self._lane(
                    (one.at, one.took, bool(one.error), what != "row")
                    for one in story.within(way, what)
                )
                self._y += ROW + 2
            self._y += 8
        self._text(4, self._y + 11, "Icinga's database", bold=True)
        self._icinga()
        self._y += ROW + 8
        self._axis()
        height = self._y + 22
        width = LEFT + WIDTH + RIGHT
        body = "\n".join(self._parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            f' font-family="sans-serif" font-size="11" role="img">\n'
            f"<title>{escape(story.title)}: what three clients saw</title>\n"
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n{body}\n</svg>\n'
        )

    def _x(self, at: float) -> float:
        return LEFT + (at - self._story.begin) * self._scale

    def _text(
        self, x: float, y: float, text: str, *, bold: bool = False, end: bool = False
    ) -> None:
        weight = ' font-weight="bold"' if bold else ""
        anchor = ' text-anchor="end"' if end else ""
        self._parts.append(
            f'<text x="{x:.0f}" y="{y:.0f}"{weight}{anchor} fill="#2d3436">{escape(text)}</text>'
        )

    def _bar(self, x: float, width: float, colour: str) -> None:
        self._parts.append(
            f'<rect x="{x:.1f}" y="{self._y}" width="{max(width, 1.0):.1f}" height="{ROW}"'
            f' fill="{colour}"/>'
        )

    def _lane(self, done: Iterable[tuple[float, float, bool, bool]]) -> None:
        """Bars, those of one colour that touch as one."""
        self._bar(LEFT, WIDTH, PALE)
        runs: list[tuple[float, float, str]] = []
        for at, took, failed, looks in done:
            colour = BAD if failed else SLOW if took > SLOW_S and looks else GOOD
            # What went well is shown when it was done; what did not, for as long as it took.
            begin, end = self._x(at), self._x(at + took)
            if colour == GOOD:
                begin = max(end - 0.1 * self._scale, begin)
            if runs and runs[-1][2] == colour and begin - runs[-1][1] < GAP_S * self._scale:
                runs[-1] = (runs[-1][0], end, colour)
            else:
                runs.append((begin, end, colour))
        # The bad last, so that none is hidden.
        for begin, end, colour in sorted(runs, key=lambda run: run[2] == BAD):
            self._bar(begin, end - begin, colour)

    def _icinga(self) -> None:
        self._bar(LEFT, WIDTH, PALE)
        active = [one for one in self._story.icinga if one.active]
        for before, after in itertools.pairwise(active):
            width = self._x(after.at) - self._x(before.at)
            self._bar(self._x(before.at), width, GOOD if before.connected else BAD)

    def _marks(self) -> None:
        height = 3 * (4 * (ROW + 2) + 8) + ROW + 4
        for n, mark in enumerate(self._story.marks):
            x = self._x(mark.at)
            y = 11 + 11 * (n % 3)
            end = x > LEFT + WIDTH * 0.75
            self._text(x - 3 if end else x + 3, y, mark.text, end=end)
            self._parts.append(
                f'<line x1="{x:.1f}" y1="{y - 9}" x2="{x:.1f}" y2="{TOP + height}"'
                ' stroke="#2d3436" stroke-width="1" stroke-dasharray="3 3"/>'
            )

    def _axis(self) -> None:
        seconds = self._story.end - self._story.begin
        step = 5 if seconds <= 60 else 10
        for at in range(0, int(seconds) + 1, step):
            x = self._x(self._story.begin + at)
            self._text(x + 8, self._y + 12, f"{at} s", end=True)


def draw(story: Story) -> str:
    """The picture of a story, as SVG."""
    return _Picture(story).draw()


def _main(results: Path, pictures: Path, page: Path | None) -> None:
    stories = [Story.read(results / f"{name}.json") for name in ORDER]
    for story in stories:
        (pictures / f"case-{story.name}.svg").write_text(draw(story))
        print(f"{story.title}: Icinga without its database for {outage(story):.1f} s")
    text = table(stories)
    if page is None:
        print(text)
        return
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3:] else None)
