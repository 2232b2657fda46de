"""What the tests of Consul's HTTP API share: a server, and a certificate for it."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.consul import certificates
from tests.consul.server import Raw
from tests.loopback import OWN


@pytest.fixture
async def raw() -> AsyncIterator[Raw]:
    async with Raw().serving() as serving:
        yield serving


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cert.pem for `OWN`, signed by itself, and its key.pem."""
    folder = tmp_path_factory.mktemp("https")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=agent"),
            *("-addext", f"subjectAltName=IP:{OWN}"),
            *("-addext", "keyUsage=critical,digitalSignature,keyCertSign"),
            *("-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem and what it signed: agent, client; and a stranger, each with a key.

    The agent's certificate is for server.dc1.consul alone, whatever its address. both.pem is the
    client's with its key, locked.key the client's key with a passphrase.
    """
    return certificates.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def over_tls(certificate: Path) -> ssl.SSLContext:
    """What a server has that speaks TLS with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    return context
