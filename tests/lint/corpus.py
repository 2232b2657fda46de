"""The corpus: configurations of sites, each with what lint must find written beside it.

`# server: bind 9.18` at the top says whose file it is, and for which version; without one it is
the newest known. `# expect: CODE, CODE` stands on the line with the fault, `# expect next: CODE` on
the line before where no comment can follow. `# checker: accepts` or `refuses` is what the server's
own checker says of the file. In Lua, all that stands behind `--`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent / "corpus"
_EXPECT = re.compile(r"(?:#|--) expect( next)?: ([a-z0-9, -]+)$")


class Case(NamedTuple):
    """One file: where, whose, of which version, what is expected, what checkers say."""

    path: Path
    server: str
    version: str | None
    expected: list[tuple[int, str]]
    checker: str | None

    @property
    def name(self) -> str:
        return self.path.relative_to(FOLDER).as_posix()


def read_case(path: Path) -> Case:
    text = path.read_text()
    header = re.search(r"^(?:#|--) server: ([\w-]+)(?: ([\d.]+))?$", text, re.MULTILINE)
    assert header, path
    checker = re.search(r"^(?:#|--) checker: (accepts|refuses)$", text, re.MULTILINE)
    expected = [
        (number + bool(match[1]), code)
        for number, line in enumerate(text.splitlines(), 1)
        if (match := _EXPECT.search(line))
        for code in match[2].split(", ")
    ]
    return Case(path, header[1], header[2], sorted(expected), checker and checker[1])


CASES = [read_case(path) for path in sorted(FOLDER.rglob("*")) if path.is_file()]
