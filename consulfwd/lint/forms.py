"""What a text is before it is taken for a server's: a template, a ConfigMap around it, or neither.

Pure. What a server's own files look like is said by its `kind`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from consulfwd.errors import LintError
from consulfwd.lint.kinds import AUTHORITATIVE, guess

MAX_NESTED = 32
COMMENTS = ("#", "//", "--", ";")

# What fills in templates: {{ name }}, {% for ... %}, ${NAME}, <%= name %>. In Lua, {{'address'}}
# and {{key=...}} are tables; a Corefile has {$NAME} and {%NAME%} of its own.
_MARK = re.compile(
    r"\{\{[-#]?\s{0,9}(?!\w{1,99}\s{0,9}=)[A-Za-z_.$][^{};\n]{0,200}\}\}"
    r"|\{%-?\s{1,9}\w[^\n]{0,200}?%\}|\$\{[A-Za-z_][^}\n]{0,200}\}|<%[=-]?\s[^\n]{0,200}?%>"
)
# CoreDNS's plugin `template` has such things in its answers.
_ANSWERS = frozenset({"answer", "additional", "authority", "match"})
_KUBE_DNS = re.compile(r"^[ \t]*stubDomains:", re.MULTILINE)
_CLUSTER = re.compile(r"^kind:[ \t]*[\"']?(?:ConfigMap|List)\b", re.MULTILINE)

# Other files that people have at hand, with what they are and what to do.
_OTHERS = tuple(
    (re.compile(pattern, re.MULTILINE), what, mend)
    for pattern, what, mend in (
        (r"^nameserver[ \t]+\S", "is a resolv.conf: it names no domain and no port",
         "lint the configuration of the server it names"),
        (r"^\$(?:TTL|ORIGIN)\b|\sIN\s+SOA\s", "is a zone file",
         "lint the configuration that names it"),
        (r"^[ \t]*\"?(?:dns_config|retry_join|bootstrap_expect|data_dir|client_addr)\"?\s*[=:{]",
         "is Consul's own configuration", "lint that of the server in front of it"),
        (r"^\[(?:Unit|Service|Install)\][ \t]*$", "is a unit of systemd's",
         "lint the configuration of the server it starts"),
        (r"^(?:hosts|passwd):[ \t]+\w", "is an nsswitch.conf", "lint a server's configuration"),
        (r"^[ \t]*dnsmasq_lines[ \t]*=", "is Pi-hole's own configuration",
         "lint what it writes for dnsmasq: /etc/pihole/dnsmasq.conf"),
        (r"^\[(?:main|keyfile|connection|connectivity|device)\][ \t]*$",
         "is NetworkManager's own configuration",
         "lint what it gives dnsmasq: /etc/NetworkManager/dnsmasq.d"),
        (r"\A#![ \t]*/", "is a script", "lint what it writes"),
        (AUTHORITATIVE.pattern, "is NSD's or Knot DNS's, which answer for zones and ask nobody",
         "lint the configuration of the resolver"),
    )
)  # fmt: skip


class Form(NamedTuple):
    """What a server would read, its lines where they stand in the file.

    `kubernetes` is whether a ConfigMap brings it into a cluster.
    """

    text: str
    kubernetes: bool = False


def unwrapped(text: str, shown: str) -> Form:
    """Return what a server would read of a file. Raises LintError for what none could."""
    if _CLUSTER.search(text) and _template(text) is None:
        return Form(_of_cluster(text, shown), kubernetes=True)
    if mark := _template(text):
        line, found = mark
        what = f"is a template, not what a server reads: {found[:60]}"
        raise LintError(shown, line, what, "fill it in, and lint what comes out")
    return Form(text)


def other_kind(text: str) -> tuple[str, str] | None:
    """Return what a file is that no server's grammar is for, and what to do about it."""
    return next(((what, mend) for found, what, mend in _OTHERS if found.search(text)), None)


def _template(text: str) -> tuple[int, str] | None:
    """Return the line and the text of the first mark of a template."""
    for number, line in enumerate(text.split("\n"), 1):
        plain = line.strip()
        if plain.startswith(COMMENTS) or plain.partition(" ")[0] in _ANSWERS:
            continue
        if found := _MARK.search(line):
            return number, found[0]
    return None


def _of_cluster(text: str, shown: str) -> str:
    """Return the configuration in a ConfigMap; of several files of one server, all of them."""
    # A word alone is no file, though it would be one of dnsmasq's options.
    found = [(line, value) for line, value in _data(text, shown) if "\n" in value]
    files = [(line, value, guess(value)) for line, value in found]
    name = next((server for _, _, server in files if server), None)
    if name is None and _KUBE_DNS.search(text):
        what = "is a ConfigMap of kube-dns: lint does not read its stub domains"
        raise LintError(shown, 0, what, "lint the configuration of the servers they name")
    if name is None:
        what = "is a ConfigMap without a configuration of any server known"
        raise LintError(shown, 0, what, "name the file that holds it")
    lines: list[str] = [""] * (text.count("\n") + 2)
    for start, value, server in files:
        if server == name:
            for number, line in enumerate(value.split("\n"), start):
                if number < len(lines):
                    lines[number] = line
    return "\n".join(lines)


def _data(text: str, shown: str) -> Iterator[tuple[int, str]]:
    """Yield what stands under `data` of each ConfigMap: its first line (from 0), and the text."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    # Of each mapping or list around: the key at hand (None: a key is next; "-": a list).
    around: list[str | None] = []
    try:
        for event in yaml.parse(text, Loader=loader):
            mark: Any = event.start_mark
            if isinstance(event, yaml.CollectionEndEvent):
                around.pop()
            elif isinstance(event, yaml.ScalarEvent) and around and around[-1] is None:
                around[-1] = event.value
                continue
            elif isinstance(event, yaml.ScalarEvent) and around[-2:-1] == ["data"]:
                yield mark.line + (event.style in {"|", ">"}), event.value
            elif isinstance(event, yaml.CollectionStartEvent):
                if len(around) >= MAX_NESTED:
                    raise LintError(shown, mark.line + 1, "is nested too deeply",
                                    "name the file that holds the configuration")  # fmt: skip
                around.append(None if isinstance(event, yaml.MappingStartEvent) else "-")
                continue
            if around and around[-1] != "-":
                around[-1] = None
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = place.line + 1 if place is not None else 0
        raise LintError(shown, line, "is not valid YAML", "correct it as YAML first") from None
