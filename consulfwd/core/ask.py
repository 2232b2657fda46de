"""A client's question made ready: key, route, the bytes to send upstream.

Made once per distinct query and kept by the shell, so that a repeated question costs a look-up.
Pure: no I/O, no clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from consulfwd.core.routes import Kind, Moved, Moves, Route, Routes
from consulfwd.core.special import localhost_rdatas
from consulfwd.core.subjects import datacenter_of
from consulfwd.core.upstreams import Upstream
from consulfwd.dns import const, replies
from consulfwd.dns.edns import ASK_KEEPALIVE, build_option
from consulfwd.dns.message import Message
from consulfwd.dns.wire import Query

if TYPE_CHECKING:
    from consulfwd.core.instances import Instances
    from consulfwd.core.known import Known
    from consulfwd.core.subjects import Form

# Loopback carries any size; elsewhere no datagram is to come in fragments (RFC 9715).
AGENT_SIZE_ON_HOST = 65000
SIZE_ELSEWHERE = 1232
# So much of a datagram Consul may leave empty beside the record that did not fit: it is content
# with ten octets less than all, and eight are for UDP's header.
UNUSED = 32
# The most one more answer takes where names are compressed: an address, or the longest name.
ANOTHER = {const.A: 16, const.AAAA: 28}
ANOTHER_LONG = 2 + 10 + 6 + 255 + 28
# What a node's metadata takes as TXT records beside SRV ones, at most, in all but strange cases.
TEXTS = 1024
_POINTER, _CNAME = b"\xc0", const.CNAME.to_bytes(2, "big")
LOCAL_TTL = 3600
# Who connects to a name asks for the addresses of both families, and waits for both answers.
_FAMILIES = const.A.to_bytes(2, "big"), const.AAAA.to_bytes(2, "big")
_OTHER_FAMILY = dict(zip(_FAMILIES, _FAMILIES[::-1], strict=True))


class Led(NamedTuple):
    """An alias that leads to others' names, as it came at `since` from an upstream; good `until`.

    What it leads to is asked for anew each time, it is not.
    """

    message: Message
    upstream: Upstream
    since: float
    until: float


class Ask:
    """One question. `question` is folded; `key` tells apart what may have different answers, those
    of one route from those of another included.

    `local` is the answer when it is made here, `moves` who makes another each time (`local` stands
    for it then); `raw` the client's message without its ID;
    `lane` is for the shell, which notes there how such queries go out while all is well,
    `kept_until` when their answer is to be put into the cache again, and `form` how Consul
    reads the name (False before that was looked at). `led` is the alias that is known to be the
    answer; such a question is not relayed. `datacenter` is the label that says one. `known` are
    replies seen before, by their bytes without the ID; addresses that are `alike`, and `instances`
    (SRV), are known in any order.
    """

    __slots__ = (
        "_do",
        "_flags",
        "_options",
        "_tails",
        "alike",
        "datacenter",
        "form",
        "instances",
        "kept_until",
        "key",
        "known",
        "lane",
        "led",
        "limit_off_host",
        "limit_on_host",
        "local",
        "moves",
        "name",
        "qtype",
        "query",
        "question",
        "raw",
        "route",
        "warm",
    )  # fmt: skip

    def __init__(self, query: Query, route: Route) -> None:
        self.query = query
        self.route = route
        self.name = query.name
        self.qtype = query.qtype
        self.question = query.name + query.question[-4:]
        self._do = query.do
        self._flags = const.RD | query.flags & const.CD
        self._options = _passed_options(query, route)
        kind = (1 if self._do else 0) | (2 if query.flags & const.CD else 0)
        self.key = self.question + bytes((kind,)) + route.origin + self._options
        self.limit_on_host = replies.udp_limit(query, on_host=True)
        self.limit_off_host = replies.udp_limit(query, on_host=False)
        self.local: Message | None = None
        self.moves: Moves | None = None
        self.lane: Any = None
        self.led: Led | None = None
        self.kept_until = 0.0
        self.warm = -1
        self.known: dict[bytes, Known] | None = None
        self.alike: tuple[Known, ...] = ()
        self.instances: tuple[Instances, ...] = ()
        self.raw = b""
        self.form: Form | Literal[False] | None = False
        self._tails: dict[Upstream, bytes] = {}
        consul = route.kind is Kind.CONSUL
        self.datacenter = datacenter_of(query.name, route.zone) if consul else b""

    def here(self) -> Moved | None:
        """Return the answer if it is made here: always the same, or as it is now."""
        if self.moves is not None:
            return self.moves.answer(self.question)
        return None if self.local is None else Moved(self.local)

    def is_asked_again(self) -> bool:
        """Return whether any reply is remembered: for what is asked once there is none."""
        return bool(self.known or self.alike or self.instances)

    @property
    def sibling(self) -> bytes | None:
        """Return the key of this question for the other family (A, AAAA); None for other types."""
        return sibling_of(self.key)

    def asked_size(self, upstream: Upstream) -> int:
        """Return the receive buffer announced to this upstream, in octets."""
        if upstream.is_agent:
            return AGENT_SIZE_ON_HOST if upstream.on_host else SIZE_ELSEWHERE
        return SIZE_ELSEWHERE

    def plain(self) -> bytes:
        """Return the query without its ID and without EDNS."""
        return replies.build_plain_query(self.question, self._flags)

    def tail(self, upstream: Upstream, *, stream: bool = False) -> bytes:
        """Return the query for this upstream without its ID.

        Over a `stream` a server is asked how long it keeps that open (RFC 7828). Consul is not: it
        says nothing.
        """
        if stream and not upstream.is_agent:
            return self._edns(upstream, self._options + ASK_KEEPALIVE)
        tail = self._tails.get(upstream)
        if tail is None:
            tail = self._tails[upstream] = self._edns(upstream, self._options)
        return tail

    def _edns(self, upstream: Upstream, options: bytes) -> bytes:
        size = self.asked_size(upstream)
        # Whether a recursor found the answer authentic is asked for all: clients that did not ask
        # are not told (RFC 6840 section 5.7). Consul's domain is unsigned.
        flags = self._flags if upstream.is_agent else self._flags | const.AD
        return replies.build_query(self.question, flags, size, do=self._do, options=options)

    def cut(self, upstream: Upstream, message: Message) -> bool:
        """Return whether a datagram was, or may have been, cut by its sender.

        Consul drops records to fit the size announced, without TC (1.19 drops the OPT with
        them), or down to three answers when EDNS gets lost on the way. It fills the datagram
        then, so that what has room for one more was not cut. Beside SRV records room says
        nothing: metadata of nodes count when it is looked whether all fits, and every one goes
        with the first answer that has to. Being there they prove that none did.
        """
        if message.truncated:
            return True
        if not upstream.is_agent:
            return False
        if message.edns is None and message.answers:
            return True
        size, limit = message.size, self.asked_size(upstream)
        if self.qtype == const.SRV and size + (message.answers + 1) * TEXTS > limit:
            return message.answers > 0 and not _has_more_than_answers_need(message)
        if size <= limit // 2:
            return False
        return upstream.on_host or size + UNUSED + _another(self.qtype, message) > limit


def _has_more_than_answers_need(message: Message) -> bool:
    """Return whether there is more in the Additional section than one address for each SRV record.

    Aliases of a target do not count: they stay with it when Consul cuts.
    """
    additional = message.ttls[message.answers + message.authorities :]
    others = sum(message.body[at - 4 : at - 2] != _CNAME for at in additional)
    return others > message.answers


def _another(qtype: int, message: Message) -> int:
    """Return how many octets one more answer could have taken; more than any can where unknown.

    An alias brings others along, and the settings may keep Consul from compressing names.
    """
    if message.aliased or message.body[:1] < _POINTER:
        return 65535
    return ANOTHER.get(qtype, ANOTHER_LONG)


def sibling_of(key: bytes) -> bytes | None:
    """Return the key of the same question for the other family (see `Ask.sibling`)."""
    end = 0
    while length := key[end]:
        end += 1 + length
    other = _OTHER_FAMILY.get(key[end + 1 : end + 3])
    return None if other is None else key[: end + 1] + other + key[end + 3 :]


def _passed_options(query: Query, route: Route) -> bytes:
    """The client's subnet goes to Consul for prepared queries only (they sort by it)."""
    if query.edns is None or route.kind is not Kind.CONSUL or b"\x05query" not in query.name:
        return b""
    subnet = query.edns.option(const.ECS)
    return b"" if subnet is None else build_option(const.ECS, subnet)


def prepare(query: Query, routes: Routes) -> Ask:
    """Return the question with its route and, where it is answered here, its answer."""
    route = routes.find(query.name)
    ask = Ask(query, route)
    question = ask.question
    if query.edns is not None and query.edns.version:
        ask.local = replies.empty(question, const.BADVERS)
    elif query.qclass != const.IN:
        ask.local = replies.empty(question, const.REFUSED)
    elif query.qtype in (const.AXFR, const.IXFR, const.TKEY, const.TSIG, const.OPT, 0):
        refused = query.qtype in (const.AXFR, const.IXFR)
        ask.local = replies.empty(question, const.REFUSED if refused else const.FORMERR)
    elif query.qtype == const.DS and routes.consul_zone(query.name):
        # The parent would be asked, which is out there: Consul's domain is unsigned.
        ask.local = replies.local_answer(question, query.name, [], const.NOERROR, 0)
    elif route.moves is not None and query.qtype != const.ANY:
        ask.local, ask.moves = replies.empty(question, const.SERVFAIL), route.moves
    elif route.local:
        ask.local = answer_here(ask, route, LOCAL_TTL)
    elif query.qtype == const.ANY and route.kind not in (Kind.CONSUL, Kind.SERVER):
        ask.local = replies.minimal_any(question)
    return ask


def answer_here(ask: Ask, route: Route, ttl: int) -> Message:
    """Return what a local route answers."""
    zone = route.zone
    own = ask.name == zone and zone.endswith(b"\x04arpa\0") and route.kind is not Kind.NO_DATA
    if route.kind is Kind.LOCALHOST:
        rcode, rdatas = localhost_rdatas(ask.name, ask.qtype)
    else:
        no_data = own or route.kind in (Kind.NO_DATA, Kind.MOVES)
        rcode, rdatas = (const.NOERROR if no_data else const.NXDOMAIN), []
    if ask.qtype == const.ANY and rcode == const.NOERROR:
        return replies.minimal_any(ask.question)
    return replies.local_answer(ask.question, zone, rdatas, rcode, ttl, own=own)
