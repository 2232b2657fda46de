"""vagrant/: its scripts, its site and its pages agree with each other, and hold no secret."""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.site import ADDRESSES, KEYS
from tests.meta.test_docs import blocks, broken_links, commands_in_blocks, parse

ROOT = Path(__file__).parent.parent.parent / "vagrant"
PROVISION = ROOT / "provision"
LIBRARY = PROVISION / "lib.sh"
SCRIPTS = sorted(set(PROVISION.glob("*.sh")) - {LIBRARY})
# Nothing a host is set up with.
BY_HAND = {"consul-port-53.sh"}
README = ROOT / "README.md"
VAGRANTFILE = (ROOT / "Vagrantfile").read_text()
ON_SCRIPTS = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)


def site() -> dict[str, str]:
    """What site.env says: each line is empty, a comment, or KEY=value with nothing to expand."""
    found: dict[str, str] = {}
    for line in (PROVISION / "site.env").read_text().splitlines():
        if line and not line.startswith("#"):
            match = re.fullmatch(r'([A-Za-z]\w*)=("[^"$`\\]*"|[^\s"$`\\]*)', line)
            assert match, line
            assert match[1] not in found, line
            found[match[1]] = match[2].strip('"')
    return found


def hosts() -> list[str]:
    return " ".join(site()[group] for group in ("GALERA", "ICINGA", "WEB")).split()


def shell(script: str, **environ: str) -> str:
    """What some lines print that have read the library."""
    done = subprocess.run(
        ["bash", "-c", f'. "$0"\n{script}', LIBRARY],
        env={"PATH": os.environ["PATH"], "HOST": "icinga1", **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_every_host_has_an_address_of_its_own_in_the_network() -> None:
    values = site()
    named = {key.removeprefix("ADDRESS_"): values[key] for key in values if key[:8] == "ADDRESS_"}
    assert list(named) == hosts()
    assert len(set(named.values())) == len(named)
    network = ipaddress.ip_network(f"{values['NETWORK']}.0/24")
    assert [one for one in named.values() if ipaddress.ip_address(one) not in network] == []
    # The test's cluster is this one, and the world outside.
    assert named == {name: one for name, one in ADDRESSES.items() if name != "outside"}


def test_the_vagrantfile_takes_the_hosts_from_the_site() -> None:
    assert re.findall(r"\d+\.\d+\.\d+\.\d+", VAGRANTFILE) == []
    words = re.findall(r"\w+", VAGRANTFILE.replace("web.sh", ""))
    assert [name for name in hosts() if name in words] == []
    assert "site.env" in VAGRANTFILE


def test_the_vagrantfile_runs_every_script() -> None:
    named = set(re.findall(r"[\w-]+\.sh\b", VAGRANTFILE))
    assert named == {script.name for script in SCRIPTS} - BY_HAND


def test_the_vagrantfile_makes_the_passwords_the_scripts_read() -> None:
    match = re.search(r"%w\[([A-Z_\s]+)\]", VAGRANTFILE)
    assert match
    read = {
        key
        for script in SCRIPTS
        for key in re.findall(r"\$\(secret ([A-Z_]+)\)", script.read_text())
    }
    assert set(match[1].split()) == read == set(KEYS)


@ON_SCRIPTS
def test_scripts_can_be_run_and_explain_themselves(script: Path) -> None:
    assert os.access(script, os.X_OK)
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert next(line for line in lines if line[:1] != "#") == '. "$(dirname "$0")/lib.sh"'
    subprocess.run(["bash", "-n", script], check=True)
    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"usage: {script.name}")
    # As a host of no role, so that nothing can happen here whatever is wrong with a script.
    environ = {**os.environ, "HOST": "nobody"}
    for arguments, code in (["--wrong"], 2), (["--undo", "--wrong"], 2), ([], None):
        command = [str(script), *arguments]
        wrong = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert wrong.returncode == (code or (2 if script.name in BY_HAND else 1))
        told = "usage: " if wrong.returncode == 2 else r"this host is nobody|run it as root"
        assert re.search(told, wrong.stderr)


def test_scripts_of_python_and_bash_are_what_they_say() -> None:
    for path in (PROVISION / "icinga").iterdir():
        first = path.read_text().partition("\n")[0] if path.is_file() else ""
        if first.endswith(" bash"):
            subprocess.run(["bash", "-n", path], check=True)
        elif first.endswith(" python3"):
            compile(path.read_text(), str(path), "exec")
        assert os.access(path, os.X_OK) == (path.is_dir() or first.startswith("#!")), path


def test_no_secret_is_kept_or_shown() -> None:
    kept = (ROOT / ".gitignore").read_text().split()
    assert "/.secrets" in kept
    assert site()["SECRETS"] == f"/vagrant/vagrant/{'.secrets'}"
    files = [path for path in ROOT.rglob("*") if path.is_file() and ".vagrant" not in path.parts]
    for path in files:
        if path.name == ".secrets" or ".consul" in path.parts:
            continue
        text = path.read_text()
        assert re.findall(r"\b[0-9a-f]{20,}\b", text) == [], path
        # Every user sees what stands in the arguments of a program.
        assert re.findall(r"--password|MYSQL_PWD|\s-p\$", text) == [], path


def test_the_environment_takes_precedence_over_the_site() -> None:
    assert shell('echo "$DNSSEC $DATACENTER"') == "auto dc1\n"
    assert shell('echo "$DNSSEC $DATACENTER"', DNSSEC="no") == "no dc1\n"
    # Also where it says nothing.
    assert shell('echo "[$GALERA]"', GALERA="") == "[]\n"
    assert shell("hosts").split() == hosts()
    assert shell("address web") == f"{site()['ADDRESS_web']}\n"
    assert "set ADDRESS_nobody in" in shell("address nobody")


def test_scripts_are_for_hosts_of_their_role() -> None:
    assert shell('role "$GALERA $ICINGA"; echo mine') == "mine\n"
    text = shell('role "$GALERA"; echo mine')
    assert "this host is icinga1, this script is for: galera1 galera2 galera3" in text
    assert "mine" not in text


def test_files_are_written_once(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "file"
    script = f"""
        put {shlex.quote(str(file))} "$1" "$(id -un):$(id -gn)" <<<"$2" >/dev/null
        echo "[$CHANGED]"
    """
    for mode, text, changed in (
        ("640", "one", "[yes]\n"),
        ("640", "one", "[]\n"),
        ("600", "one", "[yes]\n"),
        ("600", "two", "[yes]\n"),
        ("600", "two", "[]\n"),
    ):
        assert shell(f"set -- {mode} {text}\n{script}") == changed
        assert file.read_text() == f"{text}\n"
        assert f"{file.stat().st_mode & 0o777:o}" == mode
    assert list(file.parent.iterdir()) == [file]


def test_what_was_not_applied_is_so_in_the_next_run(tmp_path: Path) -> None:
    file = shlex.quote(str(tmp_path / "folder" / "file"))
    write = f"""
        STATE={shlex.quote(str(tmp_path / "state"))}
        begin one
        put {file} 640 "$(id -un):$(id -gn)" <<<text >/dev/null
        echo "[$CHANGED]"
    """
    assert shell(f"{write}\nexit 1\napplied") == "[yes]\n"
    # What another service is told does not count.
    assert shell(write + 'begin two\napplied\necho "[$CHANGED]"') == "[yes]\n[]\n"
    assert shell(write + 'applied\necho "[$CHANGED]"') == "[yes]\n[]\n"
    assert shell(write) == "[]\n"


# What BIND's script does on a host, without one: in namespaces of its own, with programs that note
# what is in force when a service is told. Of a script that is killed there stays what is on disk:
# before each of its commands that is kept, and from each state seen so it is run once more.
KILLED = r"""
fakes=$1 script=$2
for folder in /etc /opt /mnt /var/lib; do mount -t tmpfs none $folder || exit 99; done
mkdir -p /opt/consulfwd/bin && cp "$fakes/consulfwd" /opt/consulfwd/bin/
mkdir -p /etc/bind /etc/apparmor.d/local /etc/force
touch /etc/bind/named.conf.local /etc/apparmor.d/usr.sbin.named
export KEPT="/etc/bind /etc/named /etc/apparmor.d /etc/force /var/lib/consulfwd-site"
BASH_ENV=$fakes/keep-state bash "$script" >/dev/null || exit 1
for state in /mnt/*.tar; do
    rm -rf $KEPT
    tar -P -xf $state
    bash "$script" >/dev/null || exit 1
    for folder in bind named apparmor.d; do
        diff -r /etc/$folder /etc/force/$folder || { echo "killed at:"; tar -tvf $state; }
    done
done
commands=$(wc -l </mnt/commands) states=$(ls /mnt/*.tar | wc -l)
[ $commands -gt 40 ] && [ $states -gt 10 ] || echo "only $states states at $commands commands"
"""
FAKES = {
    "keep-state": """
        set -T
        keep() {
            local made=/mnt/$BASHPID sum folders
            folders=$(ls -d $KEPT 2>/dev/null)
            tar -P --sort=name --mtime=@0 -cf $made $folders
            sum=$(md5sum <$made)
            mv $made /mnt/${sum%% *}.tar
            echo >>/mnt/commands
        }
        trap 'if [ -n "${PENDING:-}" ]; then keep || kill $$; fi' DEBUG
    """,
    "consulfwd": """#!/bin/sh
        file=/etc/named/consul.conf
        case "$*" in
            *--check*) [ "$(cat $file 2>/dev/null)" = zones ] ;;
            *--write*) echo zones >$file ;;
        esac
    """,
    "systemctl": """#!/bin/sh
        case "$*" in
            *is-active*) exit 0 ;;
            *start*|*reload*)
                rm -rf /etc/force/bind /etc/force/named
                cp -r /etc/bind /etc/named /etc/force/ ;;
        esac
    """,
    "apparmor_parser": """#!/bin/sh
        rm -rf /etc/force/apparmor.d
        cp -r /etc/apparmor.d /etc/force/
    """,
    # What it installs is what the wheel says, the half of it if it is to be killed.
    "python3": """#!/bin/sh
        case "$*" in
            *venv*) mkdir -p /opt/consulfwd/bin && cp "$0" /opt/consulfwd/bin/python ;;
            *install*)
                cat "$WHEELS"/*.whl >/opt/consulfwd/program
                [ -z "$KILLED" ] || kill -KILL $PPID
                cp "$(dirname "$WHEELS")/consulfwd" /opt/consulfwd/bin/ ;;
        esac
    """,
    "ip": "#!/bin/sh\necho there",
    "dpkg-query": "#!/bin/sh\necho installed",
    **dict.fromkeys(["aa-enabled", "chown", "named-checkconf", "rndc"], "#!/bin/sh"),
}


def on_a_host(tmp_path: Path, lines: str, script: str, **environ: str) -> tuple[str, str]:
    """Run lines with the provisioning script `$2` in namespaces of their own; stdout, stderr.

    `$1` is the folder with `FAKES`, which come first in PATH.
    """
    fakes, scripts = tmp_path / "fakes", tmp_path / "vagrant" / "provision"
    fakes.mkdir()
    for name, text in FAKES.items():
        (fakes / name).write_text(f"{text}\n")
        (fakes / name).chmod(0o755)
    # Its way there leads through /etc.
    awk = shutil.which("awk")
    assert awk is not None
    (fakes / "awk").symlink_to(Path(awk).resolve())
    shutil.copytree(PROVISION, scripts)
    words = ["unshare", "--user", "--map-root-user", "--mount", "bash", "-c", lines, "bash"]
    done = subprocess.run(
        [*words, fakes, scripts / script],
        env={"PATH": f"{fakes}:{os.environ['PATH']}", **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_whenever_it_is_killed_the_next_run_puts_in_force_what_was_written(tmp_path: Path) -> None:
    said, _ = on_a_host(tmp_path, KILLED, "bind.sh", HOST="galera1", FORWARDERS="192.0.2.53")
    assert said == ""


# The wheels of one program, then those of another, of which the half is installed; then the first
# again. What is installed is one of them.
HALF_INSTALLED = r"""
fakes=$1 script=$2
for folder in /etc /opt /var/lib; do mount -t tmpfs none $folder || exit 99; done
mount --bind "$fakes/python3" /usr/bin/python3 || exit 99
mkdir "$fakes/one" "$fakes/two"
echo one >"$fakes/one/consulfwd.whl" && echo two >"$fakes/two/consulfwd.whl"
WHEELS=$fakes/one bash "$script" >/dev/null && cat /opt/consulfwd/program
WHEELS=$fakes/two KILLED=yes bash "$script" >/dev/null 2>&1; echo $?; cat /opt/consulfwd/program
WHEELS=$fakes/one bash "$script" >/dev/null && cat /opt/consulfwd/program
"""


def test_a_program_that_was_half_installed_is_installed_anew(tmp_path: Path) -> None:
    site = {"HOST": "galera1", "FORWARDERS": "192.0.2.53"}
    said, _ = on_a_host(tmp_path, HALF_INSTALLED, "consulfwd.sh", **site)
    assert said.splitlines() == ["one", "137", "two", "one"]


# Who has opened it before reads on in the old one. Then it is mounted.
HOSTS = r"""
fakes=$1 script=$2
for folder in /etc /var/lib; do mount -t tmpfs none $folder || exit 99; done
echo before >/etc/hosts
exec 3</etc/hosts
HOST=web bash "$script" >/dev/null || exit 1
cat <&3; grep -c before /etc/hosts; ls /etc
echo mounted >/etc/outside && mount --bind /etc/outside /etc/hosts
HOST=web bash "$script" >/dev/null || exit 1
cat /etc/outside; ls /etc
"""


def test_what_it_is_installed_from_has_all_it_is_built_of() -> None:
    script = (PROVISION / "consulfwd.sh").read_text().replace("\\\n", " ")
    (looked_at,) = re.findall(r"&& find (.*?) -type f", script)
    (copied,) = re.findall(r"&& cp -r (.*?) \"\$copy\"", script)
    # Without setup.py the compiled fast lane is left out, and nothing says so.
    built_of = {"setup.py", "setup.cfg", "pyproject.toml"}
    built_of |= {"consulfwd", "bind-templates", "examples"}
    assert {one.rstrip("/") for one in looked_at.split()} == built_of
    assert set(copied.split()) == built_of | {"README.md", "LICENSE"}


def test_the_hosts_file_is_whole_at_any_time_and_may_be_mounted(tmp_path: Path) -> None:
    said, _ = on_a_host(tmp_path, HOSTS, "hosts.sh")
    before, count, *rest = said.splitlines()
    assert (before, count, rest[0]) == ("before", "1", "hosts")
    assert rest[1:3] == ["mounted", "# site: begin"]
    assert rest[-3:] == ["# site: end", "hosts", "outside"]


def test_packages_are_installed_after_a_run_that_was_killed_meanwhile(tmp_path: Path) -> None:
    # As apt is then.
    for name, text in {
        "dpkg-query": "exit 1",
        "dpkg": f'[ "$*" != "--configure -a" ] || touch {tmp_path}/configured',
        "apt-get": f'[ "$2" != install ] || [ -e {tmp_path}/configured ] || exit 100',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    assert shell("packages one >/dev/null; echo went on", PATH=path) == "went on\n"


def test_the_first_resolv_conf_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    kept = tmp_path / "state" / "resolv.conf"
    script = f"FIRST_RESOLV_CONF={shlex.quote(str(kept))}\n"
    # Killed while it is copied.
    shell(f'{script}cp() {{ echo half >"$2"; kill -KILL $$; }}\nkeep_resolv_conf')
    assert not kept.exists()
    shell(f"{script}keep_resolv_conf")
    assert kept.read_text() != "half\n"


def test_services_can_read_what_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    before = os.umask(0o077)
    try:
        shell(f'put {shlex.quote(str(folder))}/file 644 "$(id -un):$(id -gn)" <<<text')
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o755


def test_passwords_come_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    assert "no passwords in" in shell("secret ONE", SECRETS=str(file))
    file.write_text("ONE=first\nTWO=a-b\nQUOTED=a'b\nEMPTY=\n")
    assert shell("secret TWO", SECRETS=str(file)) == "a-b\n"
    # It would end a string of SQL, or be no password.
    for key in ("QUOTED", "EMPTY"):
        said = shell(f"x=$(secret {key})\necho went on", SECRETS=str(file))
        assert f"{key} in {file}: letters" in said
        assert "went on" not in said
    assert "no THREE in" in shell("secret THREE", SECRETS=str(file))
    # A script does not go on without it.
    assert "went on" not in shell("x=$(secret THREE)\necho went on", SECRETS=str(file))


def test_forwarders_are_those_given_or_those_of_before(tmp_path: Path) -> None:
    kept = tmp_path / "resolv.conf"
    kept.write_text(
        "# before\nnameserver 127.0.0.53\nnameserver 10.0.0.53\nsearch x\nnameserver ::1\n"
        "nameserver fd00::53\n"
    )
    before = f"FIRST_RESOLV_CONF={shlex.quote(str(kept))}\nforwarders"
    assert shell(before) == "10.0.0.53\nfd00::53\n"
    assert shell(before, FORWARDERS="192.0.2.1 192.0.2.2") == "192.0.2.1\n192.0.2.2\n"


def test_the_page_shows_what_is_there() -> None:
    text = README.read_text()
    assert list(broken_links(README)) == []
    for command in commands_in_blocks(README):
        parse(shlex.split(command))
    for language, block in blocks(README):
        assert not language, block
        subprocess.run(["bash", "-n"], input=block, text=True, check=True)
    # The table of hosts, and the picture.
    network = site()["NETWORK"]
    for group in ("GALERA", "ICINGA", "WEB"):
        names = site()[group].split()
        first, *rest = (site()[f"ADDRESS_{name}"] for name in names)
        short = [one.removeprefix(network) for one in rest]
        assert f"| {', '.join(names)} | {', '.join([first, *short])} |" in text
    picture = (ROOT / "cluster.svg").read_text()
    drawn = dict(re.findall(r">(\w+), ([\d.]+)<", picture))
    assert drawn == {name: site()[f"ADDRESS_{name}"] for name in hosts()}
    assert [key for key in re.findall(r"\b([A-Z]+_[A-Z_]+)=", text) if key not in site()] == []
