"""Who may ask BIND for recursion, by its lists, its views, and where it listens.

Open and closed by mistake; what the lists are for otherwise is no concern here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from consulfwd.servers.bind import model
from consulfwd.servers.bind.model import Scope, scopes
from consulfwd.servers.findings import Context, Hit, LintRule
from consulfwd.servers.syntax import SyntaxNode, find


def who_may_recurse(scope: Scope) -> SyntaxNode | None:
    """Return the statement that says who may ask for recursion."""
    names = ("allow-recursion", "allow-query-cache", "allow-query")
    return next((one for name in names if (one := scope.setting(name))), None)


class Lists:
    """Lists of addresses, with the acl statements they may name; each is looked through once."""

    def __init__(self, nodes: Iterable[SyntaxNode]) -> None:
        self._named = {node.value.lower(): node for node in find(nodes, "acl")}
        self._open: dict[int, bool] = {}
        self._closed: dict[int, bool] = {}

    def everyone(self, ruling: SyntaxNode | None) -> bool:
        """Does a list let anybody in, but for those it excepts? So does one that is not there."""
        if ruling is None:
            return True
        if id(ruling) not in self._open:
            self._open[id(ruling)] = self._look(ruling)
        return self._open[id(ruling)]

    def _look(self, ruling: SyntaxNode) -> bool:
        todo, seen = [ruling], set[str]()
        while todo:
            for element in todo.pop().body:
                name = " ".join(element.words).lower()
                if name in {"any", "0.0.0.0/0", "::/0"}:
                    return True
                if element.body and not name:
                    todo.append(element)
                if name in self._named and name not in seen:
                    seen.add(name)
                    todo.append(self._named[name])
        return False

    def nobody(self, ruling: SyntaxNode | None) -> bool:
        """Does a list let nobody in?"""
        if ruling is None:
            return False
        if id(ruling) not in self._closed:
            said = {" ".join(element.words).lower() for element in ruling.body}
            self._closed[id(ruling)] = said <= {"none", "!any", "! any"}
        return self._closed[id(ruling)]

    def all_without_exception(self, ruling: SyntaxNode | None) -> bool:
        """Is it any address, with none excepted?"""
        return ruling is None or (
            self.everyone(ruling)
            and not any(one.words and one.words[0].startswith("!") for one in ruling.body)
        )


def heard_off_this_host(scope: Scope) -> bool:
    """Does the server listen anywhere but on loopback? It does unless both families are told."""
    for name in ("listen-on", "listen-on-v6"):
        found = scope.setting(name)
        words = [" ".join(one.words) for one in found.body] if found else ["any"]
        if found is None and scope.partial:
            continue
        if not all(one in {"none", "::1"} or one.startswith("127.") for one in words):
            return True
    return False


def closed(scope: Scope, lists: Lists) -> SyntaxNode | None:
    """Return the statement by which nobody may ask for recursion."""
    if scope.is_off("recursion"):
        return scope.setting("recursion")
    names = ("allow-recursion", "allow-query-cache", "allow-query", "allow-recursion-on")
    return next((one for name in names if lists.nobody(one := scope.setting(name))), None)


def recursion_off(ctx: Context) -> Iterator[Hit]:
    """Zones of Consul's in a server that resolves for nobody."""
    lists = Lists(ctx.nodes)
    for scope in scopes(ctx.nodes):
        found = closed(scope, lists)
        if found and model.to_agents(ctx, scope):
            if found.name == "recursion":
                what, mend = "recursion is off, so nothing is forwarded", "recursion yes;"
            else:
                what = f"{found.words[0]} lets nobody in, so all are refused"
                mend = f"{found.words[0]} {{ localhost; localnets; }};"
            yield Hit(found, what, mend)


def open_recursion(ctx: Context) -> Iterator[Hit]:
    """Anybody may ask for recursion: by the lists, by the view, and where the server listens."""
    lists = Lists(ctx.nodes)
    for scope in scopes(ctx.nodes):
        found = None if closed(scope, lists) else who_may_recurse(scope)
        settings = ("allow-query", "match-clients")
        if found is None or not lists.everyone(found) or not heard_off_this_host(scope):
            continue
        if all(lists.everyone(scope.setting(one)) for one in settings):
            what = f"{found.words[0]} lets anybody resolve through this server"
            yield Hit(found, what, "allow-recursion { localhost; localnets; };")


RULES = (
    LintRule(
        "bind-recursion-off",
        "error",
        "BIND forwards for clients that may ask for recursion, and refuses all others",
        recursion_off,
    ),
    LintRule(
        "bind-open-recursion",
        "warning",
        "the server takes part in attacks, and tells strangers about your services",
        open_recursion,
    ),
)
