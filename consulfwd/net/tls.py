"""TLS to one upstream: verified for its name, resumed where the last connection ended.

Whoever is asked over TLS closes connections that are idle; a session that is resumed (RFC 8446
section 2.2, RFC 5077) spares the next one its certificates. Knows nothing of DNS.
"""

from __future__ import annotations

import ssl
import sys


class ResumingContext(ssl.SSLContext):
    """A client's context that goes on with `session` wherever a connection begins.

    For one server by one name: a session that is resumed is not verified again. asyncio cannot be
    told of a session; it makes its connections by `wrap_bio`.
    """

    session: ssl.SSLSession | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return super().wrap_bio(
            incoming, outgoing, server_side, server_hostname, session or self.session
        )


def context() -> ResumingContext:
    """Return what `ssl.create_default_context` would for a client, at least TLS 1.2, resuming."""
    made = ResumingContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if sys.version_info >= (3, 13):
        made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    made.load_default_certs()
    return made
