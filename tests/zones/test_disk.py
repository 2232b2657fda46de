"""Documents of a zone on disk: whole, private, and nobody else's."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from consulfwd.errors import ApplyError
from consulfwd.zones.alone import is_taken
from consulfwd.zones.disk import FOLDER, Document, have_folder, name_of, only_one, state_folder
from consulfwd.zones.publish.audit import Audit
from consulfwd.zones.store import Store, Times
from consulfwd.zones.writing import files_of
from tests.zones.made import settings


def test_it_is_replaced_as_a_whole_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    document = Document(tmp_path / "zone.json", 100)
    assert document.load() is None
    before = os.umask(0)
    try:
        document.save(b"one")
        document.save(b"two")
    finally:
        os.umask(before)
    assert document.load() == b"two"
    assert stat.S_IMODE((tmp_path / "zone.json").stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["zone.json"]
    document.remove()
    document.remove()
    assert document.load() is None


def test_what_a_killed_process_left_is_no_document(tmp_path: Path) -> None:
    document = Document(tmp_path / "zone.json", 100)
    document.save(b"old")
    (tmp_path / ".zone.json.new").write_bytes(b"hal")
    assert document.load() == b"old"
    document.save(b"new")
    assert document.load() == b"new"


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"of somebody")
    (tmp_path / ".zone.json.new").symlink_to(victim)
    document = Document(tmp_path / "zone.json", 100)
    document.save(b"ours")
    assert victim.read_bytes() == b"of somebody"
    (tmp_path / "link.json").symlink_to(victim)
    with pytest.raises(ApplyError, match="cannot be read"):
        Document(tmp_path / "link.json", 100).load()


def test_what_is_too_large_or_no_file_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 101)
    with pytest.raises(ApplyError, match="larger than 100 octets"):
        Document(tmp_path / "large", 100).load()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ApplyError, match="is no file"):
        Document(tmp_path / "pipe", 100).load()
    (tmp_path / "folder").mkdir()
    with pytest.raises(ApplyError, match="is no file"):
        Document(tmp_path / "folder", 100).load()


def test_a_write_that_fails_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = Document(tmp_path / "zone.json", 100)
    document.save(b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ApplyError, match="cannot be written: no space left on device"):
        document.save(b"new")
    assert document.load() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["zone.json"]
    with pytest.raises(ApplyError, match="STATE_DIRECTORY"):
        Document(tmp_path / "missing" / "zone.json", 100).save(b"new")


def test_where_it_is() -> None:
    assert state_folder({}) == FOLDER
    assert state_folder({"STATE_DIRECTORY": "/a:/b"}) == Path("/a")
    assert state_folder({"STATE_DIRECTORY": "/a"}, Path("/c")) == Path("/c")
    assert name_of("svc.example.com.") == "zone-svc.example.com."
    assert name_of("svc.example.com", "in side/out") == "zone-svc.example.com@in side%2Fout"
    assert name_of("../etc") == "zone-..%2Fetc"


def test_what_root_writes_is_that_user_s_whose_folder_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = tmp_path.stat()
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda file, uid, gid: given.append((uid, gid)))
    Document(tmp_path / "zone.json", 100).save(b"one")
    Audit(tmp_path / "audit.jsonl").write("{}")
    have_folder(tmp_path / "primary")
    have_folder(tmp_path / "primary")
    assert is_taken(files_of(tmp_path, settings())) is False
    assert given == [(owner.st_uid, owner.st_gid)] * 4
    monkeypatch.setattr(os, "geteuid", lambda: owner.st_uid or 1)
    Document(tmp_path / "zone.json", 100).save(b"two")
    assert len(given) == 4


def test_a_memory_that_cannot_be_used_is_told_with_what_begins_anew(tmp_path: Path) -> None:
    document = Document(tmp_path / "a zone.json", 100)
    store = Store(document, Times())
    assert store.load() is None
    document.save(b"{}")
    with pytest.raises(ApplyError) as caught:
        store.load()
    assert str(caught.value).endswith(f"(`rm '{document.path}'` begins anew, without it)")


def test_a_lock_is_no_hard_link_to_what_is_somebody_else_s(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("root's")
    lock = tmp_path / "zone.lock"
    os.link(other, lock)
    with pytest.raises(OSError, match="hard link"):
        only_one(lock)
