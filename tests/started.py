"""What a test process and its children must not take over from whoever started the run.

Belongs here: signals and variables that change what the programs tested do. Not the time zone, the
language or the umask: with those the programs have to cope.
"""

from __future__ import annotations

import os
import signal
from collections.abc import MutableMapping
from pathlib import Path
from types import FrameType

# Settings of consulfwd's and Consul's own, but for where the tests' tools are found.
OURS = ("CONSULFWD_", "CONSUL_")
TOOLS = frozenset({"CONSULFWD_CONSUL_DIR", "CONSULFWD_COREDNS_DIR", "CONSULFWD_DEBIAN_MIRROR"})
# What the service manager of the run's own shell says, how wide and coloured its terminal is, where
# its proxies and certificates are, and what Python and make are to do differently.
OTHERS = frozenset({
    *("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID"),
    *("LISTEN_FDNAMES", "INVOCATION_ID", "JOURNAL_STREAM", "FDSTORE"),
    *("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"),
    *("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "PY_COLORS"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("PYTHONWARNINGS", "PYTHONDONTWRITEBYTECODE", "PYTHONOPTIMIZE", "PYTHONIOENCODING"),
    *("PYTHONUNBUFFERED", "PYTHONINSPECT", "PYTHONVERBOSE", "PYTHONSTARTUP", "PYTHONHASHSEED"),
    *("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "BASH_ENV", "ENV", "CDPATH"),
})  # fmt: skip


def foreign(name: str) -> bool:
    """Whether a variable is the business of whoever started the run, and not the tests'."""
    return name in OTHERS or (name.startswith(OURS) and name not in TOOLS)


def without_foreign(environ: MutableMapping[str, str]) -> None:
    """Take out every variable that is none of the tests' business."""
    for name in [name for name in environ if foreign(name)]:
        del environ[name]


def of_this_tree(environ: MutableMapping[str, str], root: Path) -> None:
    """Have children in any folder import the tree the tests belong to, whatever is installed."""
    others = environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = dict.fromkeys([str(root), *filter(None, others)])
    environ["PYTHONPATH"] = os.pathsep.join(paths)


def heard() -> None:
    """Let signals that were ignored (nohup, a job in a script's background) do as usual again.

    A hangup still does not end the run itself: what is caught, and not ignored, children get as
    usual.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _survive)
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _survive(number: int, frame: FrameType | None) -> None:
    """Do nothing, on purpose."""
