"""Web servers of failover records: nginx over TLS, one at each address, killed and made to lie."""

from __future__ import annotations

from pathlib import Path

from consulfwd.dev.child import Child, Guard
from tests.integration.recursors import tool

PAGE, WRONG = "status: ok\n", "status: on fire\n"
_NGINX = """\
user root;
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    ssl_certificate {tls}/agent.pem;
    ssl_certificate_key {tls}/agent.key;
    server {{
        listen {address}:{port} ssl;
        root {folder}/pages;
        default_type text/plain;
    }}
}}
"""


class Web(Child):
    """One nginx with one page, /health."""

    def __init__(self, address: str, port: int, tls: Path, folder: Path, guard: Guard) -> None:
        (folder / "pages").mkdir(parents=True)
        self.address, self.port = address, port
        config = folder / "nginx.conf"
        config.write_text(_NGINX.format(folder=folder, tls=tls, address=address, port=port))
        command: list[str | Path] = [tool("nginx"), "-e", folder / "error.log", "-c", config]
        super().__init__("nginx", command, folder / "nginx.log", guard)
        self._page = folder / "pages" / "health"
        self.say(PAGE)

    def say(self, page: str) -> None:
        """Have this be the page, from one request to the next."""
        new = self._page.with_suffix(".new")
        new.write_text(page)
        new.replace(self._page)
