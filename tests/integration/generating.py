"""DNS servers started with the files generated for them.

Each function of `MAINS` writes the least main configuration that takes the generated files
unchanged, and returns the command that starts the server in the foreground, as any user. What only
the main configuration can say (validation, for the most part) is on, or off, as it would hurt.
"""

from __future__ import annotations

import getpass
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.integration.recursors import HOST, own_copy, tool

Command = list[str | Path]
# The root's key, which nothing here is signed with: whoever validates takes all for forged.
ANCHOR = ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"


class Case(NamedTuple):
    """What a server is started with.

    `files` are the generated ones by template, `port` is where it is to listen, `upstream` where
    all names outside Consul are known.
    """

    folder: Path
    files: Mapping[str, Path]
    port: int
    upstream: int

    def write(self, name: str, text: str) -> Path:
        """Write a file into the folder."""
        path = self.folder / name
        path.write_text(text)
        return path


def bind(case: Case) -> Command:
    """With an own main file; what it must say is told on top of the generated one."""
    generated = case.files["bind/consul.conf.j2"]
    said = generated.read_text().partition("\n\n")[0].replace("\n//", "\n")
    wanted = said[said.index("validate-except") :].replace("or DNSSEC takes their answers", "//")
    options = re.split("Names of other datacenters|Reverse zones", wanted)[0]
    main = case.write(
        "main.conf",
        f"""\
options {{
    directory "{case.folder}";
    listen-on port {case.port} {{ {HOST}; }};
    listen-on-v6 {{ none; }};
    pid-file none;
    session-keyfile none;
    recursion yes;
    dnssec-validation auto;
    forward only;
    forwarders {{ {HOST} port {case.upstream}; }};
    {options}
}};
controls {{ }};
include "{generated}";
""",
    )
    return [own_copy("named", case.folder), "-g", "-n", "1", "-c", main]


def named_conf(case: Case) -> Command:
    """With the generated main file, in a mount namespace: it writes to /run, as is usual."""
    named = own_copy("named", case.folder)
    words: Command = [named, "-g", "-n", "1", "-c", case.files["bind/named.conf.j2"]]
    # It has no `directory` here, so it works where it is started.
    script = 'mount -t tmpfs none /run && cd "$0" && exec "$@"'
    user: Command = ["unshare", "--user", "--map-root-user", "--mount"]
    return [*user, "sh", "-c", script, case.folder, *words]


def dnsmasq(case: Case) -> Command:
    """With all it can do against private names and addresses."""
    main = case.write(
        "main.conf",
        f"""\
port={case.port}
listen-address={HOST}
bind-interfaces
no-resolv
no-hosts
bogus-priv
stop-dns-rebind
rebind-domain-ok=example.test
domain-needed
server={HOST}#{case.upstream}
user={getpass.getuser()}
group=
pid-file=
conf-file={case.files["dnsmasq/consul.conf.j2"]}
""",
    )
    return [tool("dnsmasq"), "--keep-in-foreground", f"--conf-file={main}", "--log-facility=-"]


def unbound(case: Case) -> Command:
    """Validating, with private addresses taken out of answers, and names in mixed letters."""
    main = case.write(
        "main.conf",
        f"""\
server:
    directory: "{case.folder}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    interface: {HOST}@{case.port}
    num-threads: 1
    module-config: "validator iterator"
    trust-anchor: "{ANCHOR}"
    private-address: 10.0.0.0/8
    use-caps-for-id: yes
    local-zone: "test." nodefault
remote-control:
    control-enable: no
forward-zone:
    name: "."
    forward-addr: {HOST}@{case.upstream}
include-toplevel: "{case.files["unbound/consul.conf.j2"]}"
""",
    )
    return [own_copy("unbound", case.folder), "-d", "-c", main]


def dnsdist(case: Case) -> Command:
    """With the generated file in a folder of its own, as is usual."""
    main = case.write(
        "main.conf",
        f"""\
setLocal("{HOST}:{case.port}")
setSecurityPollSuffix("")
newServer({{address="{HOST}:{case.upstream}", checkName="www.example.test."}})
includeDirectory("{case.files["dnsdist/consul.conf.j2"].parent}")
""",
    )
    return [tool("dnsdist"), "--supervised", "--disable-syslog", f"--config={main}"]


def kresd(case: Case) -> Command:
    """With the root's key, and private addresses refused; who knows the names outside is asked."""
    main = case.write(
        "main.conf",
        f"""\
net.ipv6 = false
net.listen('{HOST}', {case.port}, {{ kind = 'dns' }})
modules.unload('priming')
modules.unload('ta_update')
modules.unload('ta_signal_query')
modules.load('rebinding < iterate')
dofile("{case.files["kresd/consul.lua.j2"]}")
cache.size = 10 * MB
policy.add(policy.all(policy.STUB({{'{HOST}@{case.upstream}'}})))
""",
    )
    return [tool("kresd"), "-n", "-c", main, case.folder]


def pdns_recursor(case: Case) -> Command:
    """Validating, with what the generated file says the Lua file must have.

    It includes the folder with the generated settings, as packages of it do.
    """
    generated = case.files["pdns-recursor/consul.zones.j2"]
    lines = [line.removeprefix("#").strip() for line in generated.read_text().splitlines()]
    case.write("main.lua", "\n".join(line for line in lines if line.startswith("addNTA")) + "\n")
    case.write(
        "recursor.conf",
        f"""\
local-address={HOST}
local-port={case.port}
socket-dir={case.folder}
security-poll-suffix=
threads=1
daemon=no
write-pid=no
dnssec=validate
lua-config-file={case.folder}/main.lua
forward-zones-recurse=.={HOST}:{case.upstream}
include-dir={generated.parent}
""",
    )
    return [tool("pdns_recursor"), f"--config-dir={case.folder}"]


MAINS: dict[str, Callable[[Case], Command]] = {
    "bind": bind,
    "named.conf": named_conf,
    "dnsmasq": dnsmasq,
    "unbound": unbound,
    "dnsdist": dnsdist,
    "kresd": kresd,
    "pdns-recursor": pdns_recursor,
}


def run(command: Command) -> str:
    """Run a command to its end; what it printed. It must succeed."""
    done = subprocess.run(
        [tool(str(command[0])), *command[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}"
    return done.stdout
