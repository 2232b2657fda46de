"""The files beside the main one: `conf.d/*.yml`, read after it in the order of their names.

What belongs here: which they are. What is in them is read by `source`, and joined in `load`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from stat import S_ISCHR, S_ISDIR, S_ISREG, S_IWOTH

from consulfwd.config.source import read
from consulfwd.config.tree import Place, PlacedProblem, Source, TreeNode
from consulfwd.config.wording import printable

FOLDER = "conf.d"
ENDING = ".yml"
MOST = 100
# What a file that was meant to be read might end in; backups end otherwise.
_MEANT = (".yml", ".yaml", ".conf", ".json")


def read_all(main: Path, rank: int) -> tuple[list[Path], list[Source]]:
    """Return the files beside `main` that were read, in order, and what they say.

    They have the ranks behind `rank`; what is said of the folder itself has that. A folder that
    is not there is an empty one. Raises nothing.
    """
    folder = main.parent / FOLDER
    about = Source(TreeNode({}, Place(rank, 0, 0, printable(str(folder))), ()))
    paths = [folder / name for name in _names(folder, main, about)]
    return paths, [about, *(_read(path, rank + n) for n, path in enumerate(paths, start=1))]


def open_to_all(places: Iterable[Path], rank: int) -> Iterator[PlacedProblem]:
    """Yield the files and folders that anybody on this host may write to."""
    for path in places:
        try:
            mode = path.stat().st_mode
        except OSError:
            continue  # told by who reads it
        if mode & S_IWOTH and (S_ISREG(mode) or S_ISDIR(mode)):
            place = Place(rank, 0, 0, printable(str(path)))
            what = "may be written to by anybody here, who then says where names are asked"
            yield PlacedProblem(place, "", what, f"chmod o-w {printable(str(path))}")


def _owner(path: Path) -> int:
    """Return whose a file or folder is; root's if none can tell."""
    try:
        return path.stat().st_uid
    except OSError:
        return 0


def _names(folder: Path, main: Path, about: Source) -> list[str]:
    place = about.root.place

    def refuse(what: str, mend: str) -> list[str]:
        about.found.append(PlacedProblem(place, "", what, mend))
        return []

    try:
        names = sorted(one.name for one in folder.iterdir())
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        what, mend = "is not a folder: nothing is read from it", "name it otherwise"
        about.doubted.append(PlacedProblem(place, "", what, mend))
        return []
    except OSError as error:
        user = os.geteuid()
        what = f"cannot be listed: {error.strerror}"
        return refuse(what, f"let user {user} read it: chmod, chgrp")
    # In a folder where anybody may make one, it would not be whose the main file is.
    if (owner := _owner(folder)) not in (0, os.geteuid(), _owner(main)):
        return refuse(f"belongs to user {owner}", "chown it to who owns the main file, or to root")
    # Hidden ones are a package's or an editor's on the way.
    named = [one for one in names if one.endswith(ENDING) and not one.startswith(".")]
    for one in names:
        if one.lower().endswith(_MEANT) and not one.endswith(ENDING) and one[0] != ".":
            path = place._replace(text=printable(str(folder / one)))
            what = f"is passed over: what is read there ends in {ENDING}"
            about.doubted.append(PlacedProblem(path, "", what, "rename it, or take it out"))
    if len(named) > MOST:
        return refuse(f"holds {len(named)} files, {MOST} at most are read", "join some of them")
    return named


def _read(path: Path, rank: int) -> Source:
    try:
        mode = path.stat().st_mode
    except OSError:
        return read(path, rank)  # which says why not
    # One that is waited for, such as a pipe, would keep everything from starting. A link to
    # /dev/null masks a file of that name elsewhere.
    if S_ISREG(mode) or S_ISDIR(mode) or S_ISCHR(mode):
        return read(path, rank)
    place = Place(rank, 0, 0, printable(str(path)))
    source = Source(TreeNode({}, place, ()))
    source.found.append(PlacedProblem(place, "", "is not a file", "take it out of there"))
    return source
