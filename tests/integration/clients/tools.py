"""How people and scripts resolve names: dig, host or getent, one process for each question.

Each line read is a question, "KIND NAME REVERSE", and answered by one line: "ok" and what was
found, or "error" and what the tool says.
"""

from __future__ import annotations

import re
import subprocess
import sys

TYPES = {"any": ("A", "AAAA"), "a": ("A",), "aaaa": ("AAAA",), "srv": ("SRV",), "ptr": ("PTR",)}
DATABASES = {"any": "ahosts", "a": "ahostsv4", "ptr": "hosts"}
HOST_SAYS = r"(?:has address|IPv6 address|domain name pointer) (\S+)$"
HOST_SAYS_SRV = r"has SRV record \d+ \d+ (\d+) (\S+)$"


def run(*words: str) -> tuple[int, str]:
    """The exit code, and what was printed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def by_dig(kind: str, name: str, reverse: str) -> tuple[list[str], str]:
    """The records, as dig prints them, or the status."""
    asked = reverse if kind == "ptr" else name
    words = [word for rtype in TYPES[kind] for word in ("+search", asked, rtype)]
    _, said = run("dig", *words)
    types = "|".join(TYPES[kind])
    records = re.findall(rf"^[^;\s]\S*\s+\d+\s+IN\s+(?:{types})\s+(.+)$", said, re.M)
    found = [record.split() for record in records]
    statuses = re.findall(r"status: (\w+)", said)
    return [f"{words[3]}:{words[2]}" if kind == "srv" else words[0] for words in found], (
        statuses[-1] if statuses else "no reply"
    )


def by_host(kind: str, name: str, reverse: str) -> tuple[list[str], str]:
    """The records, as host says them, or the code in its words."""
    _, said = run("host", *([] if kind in ("any", "ptr") else ["-t", TYPES[kind][0]]), name)
    found = re.findall(HOST_SAYS, said, re.M)
    found += [f"{target}:{port}" for port, target in re.findall(HOST_SAYS_SRV, said, re.M)]
    code = re.search(r"\d+\((\w+)\)", said)
    return found, code[1] if code else "no record" if "has no" in said else "no reply"


def by_getent(kind: str, name: str, reverse: str) -> tuple[list[str], str]:
    """The addresses, or the name, or the exit code."""
    code, said = run("getent", DATABASES[kind], name)
    lines = [line.split() for line in said.splitlines()]
    return [words[1 if kind == "ptr" else 0] for words in lines], f"exit code {code}"


def main() -> None:
    """Answer line by line."""
    ask = {"dig": by_dig, "host": by_host, "getent": by_getent}[sys.argv[1]]
    for line in sys.stdin:
        kind, name, reverse = line.split()
        if kind not in TYPES:
            print("error not a question", flush=True)
            continue
        found, why = ask(kind, name, reverse)
        print(" ".join(["ok", *found] if found else ["error", why]), flush=True)


main()
