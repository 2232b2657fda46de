"""The servers configuration is generated for: files, checkers, reloads, versions, as one table.

What belongs here: facts about each server, as its manual states them. Must not know how a file is
made, put in place or checked, nor run anything. What is in the files is said by the templates.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from consulfwd.errors import UsageError
from consulfwd.render.model import To, Version

Command = tuple[str, ...]

_PARSE_LUA = (
    "local _, wrong = loadfile(arg[1]) if wrong then io.stderr:write(wrong, '\\n') os.exit(1) end"
)


@dataclass(frozen=True)
class Output:
    """A file: its template, and where it goes.

    Of `places` the first whose folder exists is taken, else the first. `optional` is the option
    that asks for it ("" if it always belongs). `checked` is whether the server's checker can read
    it by itself. It is for versions from `min_version` to `max_version`, both included and each as
    exact as it is written: up to (257,) means 257.9 too.
    """

    template: str
    places: tuple[str, ...]
    mode: int = 0o644
    optional: str = ""
    checked: bool = True
    min_version: Version = ()
    max_version: Version = ()

    def suits(self, version: Version) -> bool:
        """Whether it is for this version of the server."""
        if version[: len(self.min_version)] < self.min_version:
            return False
        return not self.max_version or version[: len(self.max_version)] <= self.max_version


@dataclass(frozen=True)
class Target:
    """A server.

    `check` reads one file by itself, `whole` what is installed; no words: there is none. `reload`
    are the commands, in order, that make the server use what is installed. In commands, "{file}"
    is the file (the candidate, or the installed one) and "{domain}" Consul's domain.
    `ask_version` prints the version, found by `version_pattern`; `newest` is assumed where it
    cannot be asked; nothing is written for what came before `oldest`. `whole_needs_recursors` is
    whether the whole configuration (the optional file, if there is one) answers for all other
    names too. `to` is whom its zones go to unless said otherwise. `asked_at` is where it is asked
    whether it works, None for nowhere; where it listens as the settings say, it is asked there.
    `package` is Debian's, with the checker.
    """

    name: str
    title: str
    outputs: tuple[Output, ...]
    newest: Version
    oldest: Version
    check: Command = ()
    whole: Command = ()
    reload: tuple[Command, ...] = ()
    ask_version: Command = ()
    version_pattern: str = r"(\d+(?:\.\d+)*)"
    whole_needs_recursors: bool = False
    to: To = "agents"
    asked_at: str | None = "127.0.0.1"
    package: str = ""

    def files(self, version: Version, options: Collection[str] = ()) -> tuple[Output, ...]:
        """Return the files for this version, and for the options asked for ("named_conf")."""
        return tuple(
            one
            for one in self.outputs
            if one.suits(version) and (not one.optional or one.optional in options)
        )


def parse_version(target: Target, output: str) -> Version:
    """Return the version in what `ask_version` printed. Raises UsageError if there is none."""
    found = re.search(target.version_pattern, output)
    if found is None:
        first = next(iter(output.strip().splitlines()), "")
        raise UsageError(
            f"no version of {target.title} in what {' '.join(target.ask_version)} says:"
            f" {first[:80]!r} (name it with --server-version)"
        )
    return read_version(found[1])


def known_version(target: Target, text: str) -> Version:
    """Return a version that files can be written for. Raises UsageError for impossible ones.

    One that is newer than all known is taken for like the newest, within reason.
    """
    version = read_version(text)
    if version < target.oldest or version[0] > 2 * target.newest[0] + 1:
        oldest, newest = (".".join(map(str, one)) for one in (target.oldest, target.newest))
        raise UsageError(
            f"--server-version: there is no {target.title} {text} to write for"
            f" (known are {oldest} to {newest})"
        )
    return version


def read_version(text: str) -> Version:
    """Return `9.18` as (9, 18). Raises UsageError for anything but numbers and dots."""
    if not re.fullmatch(r"\d{1,4}(\.\d{1,4}){0,3}", text, re.ASCII):
        raise UsageError(f"{text!r} is no version: write numbers and dots, such as 9.18")
    return tuple(map(int, text.split(".")))


_ALL = (
    Target(
        name="bind",
        title="BIND",
        outputs=(
            Output(
                "bind/consul.conf.j2",
                (
                    "/etc/bind/consul.conf",
                    "/etc/named/consul.conf",
                    "/usr/local/etc/namedb/consul.conf",
                ),
            ),
            Output(
                "bind/named.conf.j2",
                ("/etc/bind/named.conf", "/usr/local/etc/namedb/named.conf", "/etc/named.conf"),
                optional="named_conf",
                # It includes the other one where that will be, not where its candidate is.
                checked=False,
            ),
        ),
        newest=(9, 20),
        oldest=(9, 11),
        check=("named-checkconf", "{file}"),
        whole=("named-checkconf",),
        reload=(("rndc", "reconfig"), ("rndc", "flushtree", "{domain}")),
        ask_version=("named", "-v"),
        version_pattern=r"BIND (\d+\.\d+(?:\.\d+)?)",
        whole_needs_recursors=True,
        package="bind9-utils",
    ),
    Target(
        name="dnsmasq",
        title="dnsmasq",
        outputs=(Output("dnsmasq/consul.conf.j2", ("/etc/dnsmasq.d/consul.conf",)),),
        newest=(2, 91),
        oldest=(2, 60),
        check=("dnsmasq", "--test", "--conf-file={file}"),
        whole=("dnsmasq", "--test"),
        # SIGHUP does not make it read `server` lines again.
        reload=(("systemctl", "restart", "dnsmasq"),),
        ask_version=("dnsmasq", "--version"),
        version_pattern=r"version (\d+\.\d+)",
        package="dnsmasq-base",
    ),
    Target(
        name="unbound",
        title="unbound",
        outputs=(
            Output(
                "unbound/consul.conf.j2",
                (
                    "/etc/unbound/unbound.conf.d/consul.conf",
                    "/etc/unbound/conf.d/consul.conf",
                    "/usr/local/etc/unbound/conf.d/consul.conf",
                ),
            ),
        ),
        newest=(1, 24),
        oldest=(1, 4),
        check=("unbound-checkconf", "{file}"),
        whole=("unbound-checkconf",),
        reload=(("systemctl", "reload", "unbound"),),
        ask_version=("unbound", "-V"),
        version_pattern=r"Version (\d+\.\d+(?:\.\d+)?)",
        package="unbound",
    ),
    Target(
        name="resolved",
        title="systemd-resolved",
        outputs=(
            Output(
                "resolved/consul.conf.j2",
                ("/etc/systemd/resolved.conf.d/consul.conf",),
                max_version=(257,),
            ),
            Output(
                "resolved/consul.dns-delegate.j2",
                ("/etc/systemd/dns-delegate.d/consul.dns-delegate",),
                min_version=(258,),
            ),
        ),
        newest=(258,),
        oldest=(229,),
        whole=("systemd-analyze", "cat-config", "systemd/resolved.conf"),
        # Older ones cannot reload.
        reload=(("systemctl", "reload-or-restart", "systemd-resolved"),),
        ask_version=("systemctl", "--version"),
        version_pattern=r"systemd (\d+)",
        package="systemd",
        asked_at="127.0.0.53",
    ),
    Target(
        name="coredns",
        title="CoreDNS",
        outputs=(Output("coredns/Corefile.j2", ("/etc/coredns/Corefile",)),),
        newest=(1, 13),
        oldest=(1, 4),
        reload=(("systemctl", "reload", "coredns"),),
        ask_version=("coredns", "-version"),
        version_pattern=r"CoreDNS-(\d+\.\d+(?:\.\d+)?)",
        whole_needs_recursors=True,
    ),
    Target(
        name="dnsdist",
        title="dnsdist",
        outputs=(
            Output(
                "dnsdist/consul.conf.j2",
                ("/etc/dnsdist/conf.d/consul.conf", "/usr/local/etc/dnsdist/conf.d/consul.conf"),
            ),
        ),
        newest=(1, 9),
        oldest=(1, 3),
        check=("dnsdist", "--check-config", "--config={file}"),
        whole=("dnsdist", "--check-config"),
        # It reads its configuration once.
        reload=(("systemctl", "restart", "dnsdist"),),
        ask_version=("dnsdist", "--version"),
        version_pattern=r"dnsdist (\d+\.\d+(?:\.\d+)?)",
        package="dnsdist",
    ),
    Target(
        name="kresd",
        title="Knot Resolver",
        outputs=(Output("kresd/consul.lua.j2", ("/etc/knot-resolver/consul.lua",)),),
        newest=(5, 7),
        oldest=(3,),
        # Its language is Lua, and it has no checker of its own before version 6.
        # Its -b would run a jit/bcsave.lua that lies in the directory of the file.
        check=("luajit", "-e", _PARSE_LUA, "/dev/null", "{file}"),
        reload=(("systemctl", "restart", "kresd@*.service"),),
        ask_version=("kresd", "--version"),
        version_pattern=r"version (\d+\.\d+(?:\.\d+)?)",
        package="luajit",
    ),
    Target(
        name="pdns-recursor",
        title="PowerDNS Recursor",
        outputs=(
            Output(
                "pdns-recursor/consul.zones.j2",
                ("/etc/powerdns/consul.zones", "/etc/pdns-recursor/consul.zones"),
                checked=False,
                max_version=(4,),
            ),
            Output(
                "pdns-recursor/consul.yml.j2",
                ("/etc/powerdns/recursor.d/consul.yml", "/etc/pdns-recursor/recursor.d/consul.yml"),
                checked=False,
                min_version=(5,),
            ),
        ),
        newest=(5, 2),
        oldest=(4,),
        whole=("pdns_recursor", "--config=check"),
        reload=(("rec_control", "reload-zones"), ("rec_control", "wipe-cache", "{domain}$")),
        ask_version=("pdns_recursor", "--version"),
        version_pattern=r"Recursor (\d+\.\d+(?:\.\d+)?)",
        package="pdns-recursor",
    ),
    Target(
        name="resolver",
        title="macOS",
        outputs=(Output("resolver/consul.j2", ("/etc/resolver/consul",)),),
        newest=(26,),
        oldest=(10,),
        reload=(("dscacheutil", "-flushcache"), ("killall", "-HUP", "mDNSResponder")),
        ask_version=("sw_vers", "-productVersion"),
        asked_at=None,
    ),
    Target(
        name="nftables",
        title="nftables",
        outputs=(Output("nftables/consul.nft.j2", ("/etc/nftables.d/consul.nft",)),),
        newest=(1, 1),
        oldest=(0, 6),
        check=("nft", "--check", "--file", "{file}"),
        reload=(("nft", "--file", "{file}"),),
        ask_version=("nft", "--version"),
        version_pattern=r"nftables v(\d+\.\d+(?:\.\d+)?)",
        package="nftables",
    ),
    Target(
        name="resolv.conf",
        title="resolv.conf",
        outputs=(Output("resolv.conf/resolv.conf.j2", ("/etc/resolv.conf",)),),
        newest=(1,),
        oldest=(1,),
        # A host's own resolver is asked at port 53, where no agent listens.
        to="consulfwd",
    ),
)

TARGETS: Mapping[str, Target] = {one.name: one for one in _ALL}
