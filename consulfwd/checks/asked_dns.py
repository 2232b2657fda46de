"""A DNS server asked one question by a plug-in: no failover, nothing kept, all of it in time.

What belongs here: blocking sockets, for a thread of its own. Must not know what an answer is worth.
"""

from __future__ import annotations

import secrets
import socket
import time
from typing import Any, NamedTuple

from consulfwd.checks.deadline import Deadline
from consulfwd.checks.resolve import Answer
from consulfwd.dns import const, names, replies, text
from consulfwd.dns.edns import read_ede
from consulfwd.dns.framing import StreamReader, frame
from consulfwd.dns.message import Message, read_reply
from consulfwd.dns.records import rdata_of, type_of
from consulfwd.errors import ConsulfwdError, WireError

# A datagram may be lost on the way: after so long (seconds) it is sent again.
AGAIN = 1.0
_FULL = 65_535


class AskError(ConsulfwdError):
    """A server that could not be asked at all."""

    exit_code = 3


class NoAnswer(AskError):
    """A server that was asked, and gave nothing of use; `late` where it is waited for in vain."""

    def __init__(self, message: str, *, late: bool = False) -> None:
        self.late = late
        super().__init__(message)


class Server(NamedTuple):
    """Where to ask; the host may be a name."""

    host: str
    port: int

    def __str__(self) -> str:
        """As it is written in messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def ask(name: str, rtype: int, server: Server, deadline: Deadline, *, tcp: bool = False) -> Answer:
    """Return what a server says, over TCP where it cut its answer.

    Raises NoAnswer, AskError, WireError for a name that is none.
    """
    wire = names.from_text(name)
    fixed = rtype.to_bytes(2, "big") + const.IN.to_bytes(2, "big")
    deadline.doing = f"looking up the address of {server.host}"
    to = places(server.host, server.port)
    deadline.doing, deadline.judged = f"waiting for {server}", True
    begun = time.monotonic()
    error: OSError | None = None
    for family, address in to:
        exchange = _Exchange(family, address, wire + fixed, deadline)
        try:
            message = exchange.over_tcp() if tcp else exchange.over_udp()
            cut = message.truncated and not tcp
            if cut:
                message = exchange.over_tcp()
        except TimeoutError:
            why = f": {exchange.fault}" if exchange.fault else ""
            late = f"no answer from {server} within {deadline.timeout:g} s{why}"
            raise NoAnswer(late, late=True) from None
        except WireError as refused:
            raise NoAnswer(f"{server}: {refused}") from None
        except OSError as failed:
            # Of a name the next address may be it.
            error = error or failed
            continue
        took = time.monotonic() - begun
        return _answer(str(server), message, wire.lower() + fixed, rtype, took, tcp or cut)
    assert error is not None
    raise NoAnswer(f"{server}: {(error.strerror or str(error)).lower()}")


def places(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    """Return family and address of each place a host is at, as the system has it.

    May take any time. Raises AskError.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise AskError(f"{host}: its address cannot be found out: {why}") from None
    return [(one[0], one[4]) for one in found]


def _answer(
    server: str, message: Message, question: bytes, rtype: int, took: float, over_tcp: bool
) -> Answer:
    answers, _, _ = message.sections(question)
    data = tuple(
        text.rdata_text(rtype, rdata_of(one)) for one in answers if type_of(one) == rtype
    )
    return Answer(server, message.rcode, data, took, read_ede(message.edns), over_tcp)


class _Exchange:
    """One question to one address; `fault` is what came that was no reply to it."""

    def __init__(
        self, family: int, address: tuple[Any, ...], question: bytes, deadline: Deadline
    ) -> None:
        self.fault = ""
        self._family = family
        self._address = address
        self._asked = question[:-4].lower() + question[-4:]
        self._deadline = deadline
        self._id = secrets.token_bytes(2)
        self._query = self._id + replies.build_query(question, const.RD, replies.OWN_SIZE)

    def over_udp(self) -> Message:
        """Return the reply to a datagram, sent again while nothing comes. Raises TimeoutError."""
        with socket.socket(self._family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(self._left())
            # So that nobody else's datagram is taken, and a refusal is heard of.
            sock.connect(self._address)
            while True:
                sock.send(self._query)
                again = time.monotonic() + min(AGAIN, max(self._left() / 2, 0.1))
                while (left := min(again - time.monotonic(), self._left())) > 0:
                    sock.settimeout(left)
                    try:
                        data = sock.recv(_FULL)
                    except TimeoutError:
                        break
                    if (message := self._read(data)) is not None:
                        return message

    def over_tcp(self) -> Message:
        """Return the reply on a connection. Raises TimeoutError, OSError, WireError."""
        with socket.socket(self._family, socket.SOCK_STREAM) as sock:
            sock.settimeout(self._left())
            sock.connect(self._address)
            sock.sendall(frame(self._query))
            reader = StreamReader()
            while True:
                # However little comes at once, and however often.
                sock.settimeout(self._left())
                data = sock.recv(_FULL)
                if not data:
                    raise WireError("the connection was closed without an answer")
                for one in reader.feed(data):
                    if (message := self._read(one)) is not None:
                        return message
                    raise WireError(self.fault)

    def _read(self, data: bytes) -> Message | None:
        if data[:2] != self._id:
            self.fault = "what came is no reply to the query"
            return None
        try:
            return read_reply(data, self._asked)
        except WireError as error:
            self.fault = f"what came is {error}"
            return None

    def _left(self) -> float:
        left = self._deadline.patience
        if left <= 0:
            raise TimeoutError
        return left
