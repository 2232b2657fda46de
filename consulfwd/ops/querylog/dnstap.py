"""dnstap: queries and replies as protocol buffers (dnstap.info), by the library of that name.

The form is described here, field by field, and the library makes the encoder of that. It is
imported for those who have a collector, and nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any

from consulfwd.core.access import address_of
from consulfwd.errors import StartError
from consulfwd.net.noting import Noted

CONTENT_TYPE = b"protobuf:dnstap.Dnstap"
# Of the enumerations what is said here.
MESSAGE, CLIENT_QUERY, CLIENT_RESPONSE = 1, 5, 6
FAMILY = {4: 1, 6: 2}
PROTOCOL = {"udp": 1, "tcp": 2}
_FORMS = {
    "Dnstap": (
        ("identity", 1, "bytes"),
        ("version", 2, "bytes"),
        ("message", 14, "Message"),
        ("type", 15, "enum"),
    ),
    "Message": (
        ("type", 1, "enum"),
        ("socket_family", 2, "enum"),
        ("socket_protocol", 3, "enum"),
        ("query_address", 4, "bytes"),
        ("response_address", 5, "bytes"),
        ("query_port", 6, "uint32"),
        ("response_port", 7, "uint32"),
        ("query_time_sec", 8, "uint64"),
        ("query_time_nsec", 9, "fixed32"),
        ("query_message", 10, "bytes"),
        ("response_time_sec", 12, "uint64"),
        ("response_time_nsec", 13, "fixed32"),
        ("response_message", 14, "bytes"),
    ),
}
_HOW_TO_INSTALL = "install it: pip install 'consulfwd[dnstap]', or Debian's python3-protobuf"
# Makes an empty `Dnstap` of the library.
Form = Callable[[], Any]


def form() -> Form:
    """Return what makes an empty `Dnstap`. Raises StartError where the library is not usable."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        why = f"dnstap.socket needs the library protobuf ({error})"
        raise StartError(f"{why}; {_HOW_TO_INSTALL}") from None
    try:
        described: Any = descriptor_pb2.FileDescriptorProto(
            name="consulfwd-dnstap.proto", package="dnstap", syntax="proto2"
        )
        for name, fields in _FORMS.items():
            made = described.message_type.add(name=name)
            for field, number, kind in fields:
                one = made.field.add(name=field, number=number)
                one.label = one.LABEL_OPTIONAL
                if kind in _FORMS:
                    one.type, one.type_name = one.TYPE_MESSAGE, f".dnstap.{kind}"
                else:
                    # On the wire an enumeration is its number.
                    one.type = getattr(one, f"TYPE_{'uint32' if kind == 'enum' else kind}".upper())
        pool: Any = descriptor_pool.DescriptorPool()
        pool.Add(described)
        descriptor = pool.FindMessageTypeByName("dnstap.Dnstap")
        factory: Any = message_factory
        if hasattr(factory, "GetMessageClass"):
            found: Form = factory.GetMessageClass(descriptor)
        else:
            found = factory.MessageFactory(pool).GetPrototype(descriptor)
        found()
    except Exception as error:
        found_out = f"{type(error).__name__}: {error}"
        why = f"dnstap.socket: the library protobuf that is here is not usable ({found_out})"
        raise StartError(f"{why}; {_HOW_TO_INSTALL}") from None
    return found


class Encoder:
    """Makes messages of notes, as `identity` and `version`."""

    def __init__(self, made: Form, identity: str, version: str) -> None:
        self._form = made
        self._identity = identity.encode()
        self._version = version.encode()

    def messages(self, noted: Noted) -> Iterator[bytes]:
        """Yield the query and the reply of one note, encoded."""
        tap = self._form()
        tap.identity, tap.version, tap.type = self._identity, self._version, MESSAGE
        message = tap.message
        message.type = CLIENT_QUERY
        client, at = address_of(noted.client[0].partition("%")[0]), noted.at
        here = ip_address(at[0].partition("%")[0])
        message.socket_family = FAMILY[client.version]
        message.socket_protocol = PROTOCOL[noted.transport]
        message.query_address, message.query_port = client.packed, noted.client[1]
        # Where one socket is for every address of the host, it is not known which was asked.
        if not here.is_unspecified and here.version == client.version:
            message.response_address = here.packed
        message.response_port = at[1]
        message.query_time_sec, message.query_time_nsec = _time(noted.asked_at)
        message.query_message = noted.data
        yield tap.SerializeToString()
        message.type = CLIENT_RESPONSE
        message.ClearField("query_message")
        message.response_time_sec, message.response_time_nsec = _time(noted.asked_at + noted.took)
        message.response_message = noted.reply
        yield tap.SerializeToString()


def _time(at: float) -> tuple[int, int]:
    seconds, micros = divmod(round(at * 1_000_000), 1_000_000)
    return seconds, 1_000 * micros
