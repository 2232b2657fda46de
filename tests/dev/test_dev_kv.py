"""Keys and sessions of development agents: what Consul does, by a clock of the test's own."""

from __future__ import annotations

import pytest

from consulfwd.dev.kvstore import InvalidSession, KvStore


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> KvStore:
    return KvStore(clock)


def test_cas(store: KvStore) -> None:
    assert not store.put("a", b"1", 0, cas=5)
    assert store.put("a", b"1", 0, cas=0)
    assert not store.put("a", b"2", 0, cas=0)
    index = store.index_of("a")
    assert store.put("a", b"2", 0, cas=index)
    assert not store.delete("a", cas=index)
    assert store.delete("a", cas=store.index_of("a"))
    assert store.get("a") is None
    assert store.delete("a")


def test_one_session_holds_a_key(store: KvStore) -> None:
    one, other = store.create(10, 15, "release"), store.create(10, 15, "release")
    assert store.acquire("a", b"1", 3, one)
    assert not store.acquire("a", b"2", 3, other)
    assert store.acquire("a", b"3", 3, one)
    entry = store.get("a")
    assert entry is not None
    assert (entry.value, entry.session, entry.locked) == (b"3", one, 1)
    assert not store.release("a", b"", 3, other)
    assert store.release("a", b"4", 3, one)
    # Without a delay: it was given up.
    assert store.acquire("a", b"5", 3, other)
    assert entry.locked == 2
    with pytest.raises(InvalidSession):
        store.acquire("b", b"", 0, "nobody's")


def test_a_session_ends_after_twice_its_time_and_its_keys_rest(
    store: KvStore, clock: Clock
) -> None:
    one, other = store.create(10, 15, "release"), store.create(100, 15, "release")
    gone = store.create(10, 0, "delete")
    store.acquire("a", b"1", 0, one)
    store.acquire("b", b"1", 0, gone)
    clock.now = 19.9
    entry = store.get("a")
    assert entry is not None
    assert (entry.session, store.renew(other)) == (one, True)
    clock.now = 20.0
    assert store.get("a") is entry
    assert entry.session == ""
    assert store.get("b") is None
    assert not store.renew(one)
    assert store.acquire("b", b"", 0, other)
    clock.now = 34.9
    assert not store.acquire("a", b"", 0, other)
    clock.now = 35.0
    assert store.acquire("a", b"", 0, other)
