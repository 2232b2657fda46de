"""What the tests of the sockets share beside `world`: the twins of the fast lane, a certificate."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from consulfwd.net import _fast, driver, mmsg, passing, pool, udp, udp_base, upstream

TLS_NAME = "dns.example.test"


@pytest.fixture(params=["python", "compiled"])
def twin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which twin of the fast lane answers datagrams in this test."""
    name: str = request.param
    compiled = name == "compiled"
    for module in (driver, passing, pool, udp, udp_base, upstream):
        monkeypatch.setattr(module, "fast", _fast if compiled else None)
    monkeypatch.setattr(mmsg, "Batch", _fast.Batch if compiled else mmsg.PureBatch)
    return name


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cert.pem, which signs itself for TLS_NAME, and key.pem."""
    folder = tmp_path_factory.mktemp("tls")
    usage = "keyUsage=critical,digitalSignature,keyCertSign"
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
        *("-nodes", "-days", "2", "-subj", f"/CN={TLS_NAME}"),
        *("-addext", f"subjectAltName=DNS:{TLS_NAME}", "-addext", usage),
        *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate is one this host trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    """What a server with the certificate needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    return context
