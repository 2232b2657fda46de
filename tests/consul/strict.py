"""An HTTPS server that says by TLS why it lets somebody not in; asyncio's ends without a word."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress

from consulfwd.config import Agent
from tests.consul.server import http
from tests.loopback import OWN


class Strict:
    """Answers one request of each connection with an empty list, from a thread of its own."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.requests = 0
        self._context = context
        self._listener = socket.create_server((OWN, 0))
        self._thread = threading.Thread(target=self._run)

    @property
    def agent(self) -> Agent:
        """The settings that lead here."""
        port: int = self._listener.getsockname()[1]
        return Agent(address=OWN, dns_port=1, http_port=port, http_scheme="https")

    def __enter__(self) -> Strict:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(5)
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        with self._context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        ) as stream:
            try:
                stream.do_handshake()
                if stream.recv(4096):
                    self.requests += 1
                    stream.sendall(http(b"[]", "Connection: close"))
            finally:
                # Closing with something unread would take back what was said.
                stream.shutdown(socket.SHUT_WR)
                while socket.socket.recv(stream, 4096):
                    pass
