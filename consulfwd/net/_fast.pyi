"""The compiled fast lane (consulfwd/net/fast): what each does is told at its twin in Python."""

import socket
from collections.abc import Callable, Sequence

class Lane:
    def serve(self) -> bool: ...

class Batch:
    name_size: int
    looked: int
    data: bytes
    names: bytes
    lengths: list[int]
    def __init__(
        self, sock: socket.socket, size: int = ..., spill: int = ..., *, named: bool = ...
    ) -> None: ...
    def receive(self) -> int: ...
    def message(self, index: int) -> bytes: ...
    def messages(self) -> list[bytes]: ...
    def send(self, replies: list[bytes], names: Sequence[bytes] = ..., /) -> int: ...
    def send_back(self, tails: list[bytes], /) -> int: ...
    def close(self) -> None: ...

class Ready:
    hits: int
    until: float
    @property
    def octets(self) -> int: ...
    def __init__(
        self,
        replies: Sequence[bytes],
        begin: int = ...,
        size: int = ...,
        records: bytes = ...,
        seed: int = ...,
    ) -> None: ...
    def __call__(self) -> bytes: ...
    def given(self) -> Callable[[], bytes]: ...
    def age(self, seconds: int, /) -> bool: ...

class Taker:
    """Takes what is left of a batch, before Python does."""

class HotLane(Lane):
    taker: Taker | None
    trusted: object
    def __init__(
        self,
        batch: Batch,
        answers: dict[bytes, Callable[[], bytes]],
        ending: dict[bytes, Ready],
        access: object,
        warmth: object,
        clock: object,
        usual_now: object,
        counters: object,
    ) -> None: ...
    def take(self) -> list[int]: ...

class Poller:
    touched: bool
    def __init__(self, epoll: int, failed: Callable[[Exception], None]) -> None: ...
    def add(
        self, fd: int, callback: Callable[[], None], turn: int, lane: Lane | None = ..., /
    ) -> None: ...
    def remove(self, fd: int, /) -> None: ...
    def wait(self, timeout: float | None, /) -> list[tuple[int, int]]: ...
