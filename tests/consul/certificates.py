"""An authority of a test's own: its certificate, and what it signs, by openssl(1)."""

from __future__ import annotations

import subprocess
from pathlib import Path

AGENT = "server.dc1.consul"


def make(folder: Path, *names: str) -> Path:
    """Fill a folder with ca.pem, agent.pem, client.pem, stranger.pem and their keys; return it.

    The agent's certificate is for AGENT and whatever `names` there are ("IP:127.0.0.1").
    """
    _signed(folder, "ca", "/CN=authority", "keyUsage=critical,keyCertSign")
    others = ",".join((f"DNS:{AGENT}", *names))
    _signed(folder, "agent", "/CN=agent", f"subjectAltName={others}", by="ca")
    _signed(folder, "client", "/CN=client", "extendedKeyUsage=clientAuth,serverAuth", by="ca")
    _signed(folder, "stranger", "/CN=stranger", "extendedKeyUsage=clientAuth")
    both = (folder / "client.key").read_text() + (folder / "client.pem").read_text()
    (folder / "both.pem").write_text(both)
    _openssl(
        *("pkey", "-in", folder / "client.key", "-aes256", "-passout", "pass:word"),
        *("-out", folder / "locked.key"),
    )
    return folder


def _signed(folder: Path, name: str, subject: str, extension: str, by: str = "") -> None:
    signer = ("-CA", folder / f"{by}.pem", "-CAkey", folder / f"{by}.key") if by else ()
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-days", "2", "-subj", subject, "-addext", extension, *signer),
        # What is signed is nobody's authority, and says so once.
        *(() if not by else ("-addext", "basicConstraints=critical,CA:FALSE")),
        *("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"),
    )


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)
