"""What holds for all names, records and messages; Hypothesis looks for those it does not hold for.

The examples are the same in every run: a failure belongs to a change, not to chance.
"""

from __future__ import annotations

import struct

import dns.name
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consulfwd.dns import names, replies
from consulfwd.dns.edns import Edns, build_ede, build_opt, build_option, read_ede, read_options
from consulfwd.dns.framing import StreamReader, frame
from consulfwd.dns.message import assemble_message, read_reply
from consulfwd.dns.records import build_record, read_records
from consulfwd.dns.replies import STREAM_LIMIT, build_query, respond
from consulfwd.dns.text import rdata_text, to_record
from consulfwd.dns.wire import Query, read_name, read_query
from consulfwd.errors import WireError
from tests.dns.packets import ID, counts, parse

always = settings(derandomize=True, database=None, deadline=None, max_examples=100)

labels = st.lists(st.binary(min_size=1, max_size=20) | st.sampled_from([b"consul", b"CONSUL"]),
                  max_size=8)  # fmt: skip
wire_names = labels.map(names.join)
types = st.sampled_from([1, 2, 5, 6, 12, 15, 16, 28, 33, 35, 39, 46, 64, 65280])
questions = st.builds(lambda name, rtype: name + struct.pack("!HH", rtype, 1), wire_names, types)


def octets(count: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=count, max_size=count)


def joined(*parts: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.tuples(*parts).map(b"".join)


# Owners and names within data are often the question's, or end as it does.
some_names = st.sampled_from([names.from_text("Web.consul"), names.ROOT]) | wire_names
strings = st.binary(max_size=30).map(lambda string: bytes((len(string),)) + string)
RDATA = {
    1: octets(4), 28: octets(16), 2: some_names, 5: some_names, 12: some_names, 39: some_names,
    6: joined(some_names, some_names, octets(20)), 15: joined(octets(2), some_names),
    33: joined(octets(6), some_names), 16: joined(strings, strings), 65280: st.binary(max_size=40),
}  # fmt: skip
records = st.sampled_from(sorted(RDATA)).flatmap(
    lambda rtype: st.builds(
        build_record, some_names, st.just(rtype), st.integers(0, 2**31 - 1), RDATA[rtype]
    )
)
sections = st.tuples(*(st.lists(records, max_size=3) for _ in range(3)))
edns = st.none() | st.builds(
    lambda size, do: Edns(size, 0, do, 0, b""), st.integers(0, 65535), st.booleans()
)


def asking(question: bytes, opt: Edns | None) -> Query:
    rtype, rclass = struct.unpack("!HH", question[-4:])
    return Query(0x100, question, question[:-4].lower(), rtype, rclass, opt)


def folded(record: bytes) -> bytes:
    """Owners that are the question's take its spelling; compared without case."""
    return record.lower()


@always
@given(labels)
def test_names_as_text_and_back(found: list[bytes]) -> None:
    name = names.join(found)
    assert names.labels_of(name) == found
    assert list(names.suffixes(name))[-1] == names.ROOT
    text = names.to_text(name)
    assert names.from_text(text) == name == dns.name.from_text(text).to_wire()
    assert read_name(name, 0) == name


@always
@given(st.text(max_size=40) | st.text(alphabet="ab.\\0123", max_size=20))
@example("\\")
@example("..")
def test_any_text_is_a_name_or_none(text: str) -> None:
    try:
        name = names.from_text(text)
    except WireError:
        return
    assert len(name) <= 255
    assert names.from_text(names.to_text(name)) == name


@always
@given(questions, sections, st.integers(0, 4095), edns)
def test_messages_come_out_as_they_went_in(
    question: bytes,
    content: tuple[list[bytes], list[bytes], list[bytes]],
    rcode: int,
    opt: Edns | None,
) -> None:
    message = assemble_message(question, content, flags=0x8400, rcode=rcode)
    query = asking(question, opt)
    sent = respond(query, ID, message, STREAM_LIMIT)
    reply = parse(sent)
    assert int(reply.rcode()) == (rcode if opt is not None or rcode < 16 else 2)
    assert [len(section) for section in reply.sections] == [1, *map(len, content)]
    again = read_reply(sent, query.name + question[-4:])
    assert again.ends == message.ends
    assert (again.ttl, again.negative_ttl) == (message.ttl, message.negative_ttl)
    assert (again.matched, again.aliased) == (message.matched, message.aliased)
    taken = read_records(sent, 12 + len(question))
    assert [[folded(one) for one in part] for part in taken] == [
        [folded(one) for one in part] for part in content
    ]
    for record in content[0]:
        assert to_record(record).name == names.to_text(read_name(record, 0))


longest = st.sampled_from(
    [b"\1x" * 127 + b"\0", (b"\x3f" + b"y" * 63) * 3 + b"\x3d" + b"z" * 61 + b"\0"]
)


@always
@given(wire_names | longest, types | st.integers(1, 65535), wire_names | longest, st.booleans())
@example(b"\0", 255, b"\0", False)
def test_answers_made_here_are_good_for_any_name(
    name: bytes, rtype: int, zone: bytes, exists: bool
) -> None:
    question = name.lower() + struct.pack("!HH", rtype, 1)
    query = asking(name + question[-4:], None)
    rdatas = [b"\x7f\0\0\1"] if exists and rtype == 1 else []
    for message in (
        replies.local_answer(question, zone.lower(), rdatas, 0, 60),
        replies.local_answer(question, zone.lower(), [], 3, 60),
        replies.minimal_any(question),
        replies.empty(question, 2),
    ):
        reply = parse(respond(query, ID, message, STREAM_LIMIT))
        assert reply.question[0].name.to_wire() == name
        assert all(rrset.ttl in (60, 3789) for part in reply.sections[1:] for rrset in part)
    denial = parse(
        respond(query, ID, replies.local_answer(question, zone.lower(), [], 3, 60), 1500)
    )
    (soa,) = denial.authority
    assert (soa.name.to_wire() or b"").lower() == zone.lower()


@always
@given(questions, sections, edns, st.integers(512, 1500), st.binary(max_size=30))
def test_what_is_cut_is_a_beginning(
    question: bytes,
    content: tuple[list[bytes], list[bytes], list[bytes]],
    opt: Edns | None,
    limit: int,
    option: bytes,
) -> None:
    message = assemble_message(question, content, flags=0)
    query = asking(question, opt)
    options = build_option(65001, option)
    whole = respond(query, ID, message, STREAM_LIMIT, options=options)
    sent = respond(query, ID, message, limit, options=options)
    assert len(sent) <= limit
    assert (len(whole) > limit) is (sent != whole)
    start = 12 + len(question)
    parts, all_parts = ([*map(list, read_records(one, start))] for one in (sent, whole))
    # What is beside the answer goes without TC; what denies something is a part of the answer.
    if sent[2] & 2:
        assert parts[:2] != all_parts[:2]
    else:
        assert parts[0] == all_parts[0]
    kept = [one for part in parts for one in part]
    assert kept == [one for part in all_parts for one in part][: len(kept)]
    assert sum(counts(sent)[1:]) == len(kept) + (opt is not None)
    parse(sent)


@always
@given(questions, st.integers(0, 0xFFFF), edns, st.binary(max_size=40))
def test_queries_made_here_are_read_back(
    question: bytes, flags: int, opt: Edns | None, option: bytes
) -> None:
    asked = flags & 0x0130
    options = build_option(65001, option)
    do = opt is not None and opt.do
    query = read_query(ID + build_query(question, asked, 1232, do=do, options=options))
    assert (query.flags, query.question, query.do) == (asked, question, do)
    assert query.edns == Edns(1232, 0, do, 0, options)


@always
@given(st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=30)), max_size=5))
def test_options_are_read_back(options: list[tuple[int, bytes]]) -> None:
    data = b"".join(build_option(code, content) for code, content in options)
    assert read_options(data) == options
    assert build_opt(1232, options=data)[11:] == data


@always
@given(st.integers(0, 65535), st.text(max_size=130))
def test_extended_errors_are_read_back(code: int, text: str) -> None:
    opt = Edns(0, 0, False, 0, build_ede(code, text))
    found = read_ede(opt)
    assert found is not None
    assert found[0] == code
    # Whatever could steer a terminal or break a line of the log does not get so far.
    shown = "".join(char if char.isprintable() else "\ufffd" for char in text)
    assert shown.startswith(found[1])
    assert len(text[: len(found[1])].encode()) > 116 or found[1] == shown


@always
@given(st.integers(0, 65535), st.binary(max_size=60))
def test_any_record_data_has_a_text(rtype: int, rdata: bytes) -> None:
    text = rdata_text(rtype, rdata)
    assert text.isprintable()
    assert text == text.strip()


@always
@given(st.lists(st.binary(max_size=300), max_size=6), st.data())
def test_streams_cut_anywhere(messages: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(frame, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = StreamReader()
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += reader.feed(stream[start:end])
    assert found == messages
    assert reader.pending == 0


@always
@given(st.binary(max_size=200), st.integers(0, 220))
def test_any_bytes_at_all(data: bytes, at: int) -> None:
    """Only WireError: from every reader, for every offset."""
    question = b"\1a\0\0\1\0\1"
    headed = data[:2] + b"\x80\0\0\1\0\2\0\1\0\1" + question + data
    for read in (
        lambda: read_query(data),
        lambda: read_query(data[:2] + b"\1\0\0\1\0\0\0\0\0\2" + data),
        lambda: read_reply(data, question),
        lambda: read_reply(headed, question),
        lambda: read_records(data, at),
        lambda: read_records(headed, 19),
        lambda: read_name(data, at),
        lambda: to_record(data),
    ):
        try:
            read()
        except WireError as error:
            assert str(error)  # noqa: PT017 - the lot of them may raise, or not
