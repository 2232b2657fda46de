"""Files that change are noticed, those in folders too."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from consulfwd.keep import changes as module
from consulfwd.keep.changes import look_at


async def test_what_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK", 0.01)
    file, folder = tmp_path / "file", tmp_path / "folder"
    (folder / "bind").mkdir(parents=True)
    inside, beside = folder / "bind" / "consul.conf.j2", folder / "10-x.yml"
    changes = asyncio.Event()
    task = asyncio.create_task(look_at([file, folder], changes.set))

    async def noticed() -> None:
        await asyncio.wait_for(changes.wait(), 10)
        changes.clear()

    await asyncio.sleep(0.05)
    assert not changes.is_set()
    for change in (
        lambda: file.write_text("appears"),
        lambda: file.write_text("another length"),
        lambda: inside.write_text("one"),
        lambda: beside.write_text("one"),
        lambda: beside.write_text("more"),
        lambda: inside.rename(inside.with_name("renamed")),
        file.unlink,
    ):
        change()
        await noticed()
    task.cancel()
