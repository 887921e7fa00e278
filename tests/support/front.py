"""Nginx in front of the shop, as `deploy/nginx` has it, on ports and in a folder of its own."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

from tests.support.machines.nginx import Nginx
from tests.support.machines.service import free_port, program
from tests.support.running import ROOT
from tests.support.shopper import Shopper, SocketTab, Tab

SHIPPED = ROOT / "deploy" / "nginx"

#: The lines an operator edits for each server.
_SERVER = "    server 127.0.0.1:8000 max_fails=1 fail_timeout=10s;\n"
_SERVER_AGAIN = "    server 127.0.0.1:8000 max_fails=0;\n"


class Server(Protocol):
    """Where a server of the shop listens, for nginx."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


def open_folder() -> Path:
    """Return a new folder that other users may pass through, as /var/lib may be.

    Pytest's own folders are closed to nginx's unprivileged workers.
    """
    folder = Path(tempfile.mkdtemp(prefix="shop-test-"))
    folder.chmod(0o711)
    return folder


class Front(Nginx):
    """The shipped nginx, its workers with no more rights than Debian gives them.

    Args:
        servers: the shop's servers.
        instance: the instance folder whose static files it serves itself.
        edits: what else an operator edits in the site's file, by what stands there.
    """

    def __init__(
        self, servers: Iterable[Server], instance: Path, edits: Mapping[str, str] | None = None
    ) -> None:
        super().__init__("")
        self.edits = edits or {}
        self.plain_port = free_port()
        self.folder.chmod(0o711)
        make_certificate(self.folder)
        # Modules that this machine has are loaded as from Debian's own prefix, /usr/share/nginx.
        (self.folder / "modules").symlink_to("/usr/lib/nginx/modules")
        self.sites = self.folder / "conf.d"
        self.sites.mkdir()
        self.serve(servers, instance)
        self.configure(self._main())

    def serve(self, servers: Iterable[Server], instance: Path) -> None:
        """Write who the servers are; it counts from the next `start` or `reload` on."""
        (self.sites / "shop.conf").write_text(self._site(list(servers), instance))

    def _site(self, servers: list[Server], instance: Path) -> str:
        """Edit what an operator edits, and the ports, which a test can't have to itself."""
        return edited(
            (SHIPPED / "shop.conf").read_text(),
            {
                _SERVER: _for_each(servers, _SERVER),
                _SERVER_AGAIN: _for_each(servers, _SERVER_AGAIN),
                "shop.example.com;": "localhost;",
                "/etc/letsencrypt/live/shop.example.com/": f"{self.folder}/",
                "/var/lib/nginx/shop ": f"{self.folder}/cache ",
                "/var/lib/shop;": f"{instance};",
                "/var/log/nginx/shop.log": f"{self.folder}/shop.log",
                "listen 80;": f"listen {self.host}:{self.plain_port};",
                "    listen [::]:80;\n": "",
                "listen 443 ": f"listen {self.host}:{self.port} ",
                "    listen [::]:443 ssl http2;\n": "",
                "    listen [::]:443 ssl http2 default_server;\n": "",
                **self.edits,
            },
        )

    def _main(self) -> str:
        # The folders for what is too large for memory, which Debian's nginxes would share.
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        own = "".join(f"    {kind}_temp_path {self.folder}/{kind};\n" for kind in kinds)
        include = "    include /etc/nginx/conf.d/*.conf;\n"
        return edited(
            (SHIPPED / "nginx.conf").read_text(),
            {
                "/run/nginx.pid": f"{self.folder}/nginx.pid",
                "/var/log/nginx/error.log": f"{self.folder}/error.log",
                include: own + include.replace("/etc/nginx/conf.d", str(self.sites)),
            },
        )

    def _command(self) -> list[str]:
        words = ["-p", str(self.folder), "-e", "stderr", "-c", str(self.folder / "nginx.conf")]
        return [program("nginx", "nginx"), *words, "-g", "daemon off;"]

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def requests(self) -> list[dict[str, Any]]:
        """Return what it wrote down of the requests that have ended, a second later at most."""
        file = self.folder / "shop.log"
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line) for line in lines]

    def complaints(self) -> str:
        """Return its error log."""
        return (self.folder / "error.log").read_text()

    def connect(self, timeout: float = 30) -> http.client.HTTPSConnection:
        """Open a connection as a client does that knows the certificate."""
        return http.client.HTTPSConnection(
            "localhost", self.port, timeout=timeout, context=self.tls()
        )

    def tls(self) -> ssl.SSLContext:
        """Return what a client needs to trust the test's certificate."""
        return ssl.create_default_context(cafile=str(self.folder / "fullchain.pem"))


def _for_each(servers: list[Server], line: str) -> str:
    return "".join(line.replace("127.0.0.1:8000", f"{s.host}:{s.port}") for s in servers)


def make_certificate(folder: Path) -> None:
    """Make a certificate for localhost, and its key, under the names that certbot gives them."""
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    command = ["openssl", *words.split(), *name, *files]
    subprocess.run(command, check=True, capture_output=True)


def edited(text: str, edits: dict[str, str]) -> str:
    """Replace each text by another.

    Raises:
        AssertionError: one isn't there any more, so that the test would run something else.
    """
    for old, new in edits.items():
        assert old in text, f"the shipped file doesn't say {old!r} any more"
        text = text.replace(old, new)
    return text


class ShopperInFront(Shopper):
    """A shopper who comes by HTTPS, through nginx."""

    def __init__(self, front: Front) -> None:
        super().__init__(front)  # type: ignore[arg-type]
        self.front = front

    def connection(self) -> http.client.HTTPConnection:
        return self.front.connect()


class TabInFront(Tab):
    """An open page whose stream comes through nginx."""

    protocol = "HTTP/1.0"  # so that nginx puts no chunks around what it passes on

    def __init__(self, front: Front, *args: Any, **headers: str) -> None:
        self.front = front
        super().__init__(front, *args, **{"Host": "localhost", **headers})  # type: ignore[arg-type]

    def _open(self, host: str, port: int) -> socket.socket:
        plain = super()._open(host, port)
        return self.front.tls().wrap_socket(plain, server_hostname="localhost")


class SocketTabInFront(SocketTab):
    """An open page that follows the shop over a WebSocket through nginx."""

    def tls_options(self, shop: Any) -> dict[str, Any]:
        return {"context": shop.tls()}


class Echo:
    """A server that answers each request with its head, or with nothing, and counts them."""

    def __init__(self, *, silent: bool = False) -> None:
        self.silent = silent
        self.host = "127.0.0.1"
        self.heads: list[dict[str, str]] = []
        self._server = ThreadingHTTPServer((self.host, 0), self._handler())
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        echo = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                echo.heads.append({"": self.command, **dict(self.headers.items())})
                if echo.silent:
                    self.close_connection = True
                    return
                body = json.dumps(echo.heads[-1]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *args: object) -> None:
                pass

        return Handler

    def __enter__(self) -> Echo:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
