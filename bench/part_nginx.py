"""What nginx takes to pass streams on, with TLS, as `deploy/nginx` has it."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import click

from bench.contenders import HUB, PATIENCE, publisher
from bench.nchan import worker_of
from bench.processes import Server
from bench.streams import product_fragment
from machines.nginx import Nginx
from machines.service import NotThere, program

#: As in `deploy/nginx/shop.conf`, as far as it counts for a stream; one worker.
_CONFIGURATION = """
worker_processes 1;
worker_rlimit_nofile @files@;
error_log stderr error;
events { worker_connections @files@; }
http {
    access_log off;
    tcp_nodelay on;
    client_body_temp_path @folder@/client;
    proxy_temp_path @folder@/proxy;
    fastcgi_temp_path @folder@/fastcgi;
    uwsgi_temp_path @folder@/uwsgi;
    scgi_temp_path @folder@/scgi;
    server {
        listen @host@:@port@ ssl backlog=4096;
        ssl_certificate @folder@/own.pem;
        ssl_certificate_key @folder@/own.key;
        ssl_protocols TLSv1.3;
        ssl_session_tickets off;
        ssl_buffer_size 4k;
        proxy_http_version 1.1;
        proxy_set_header Connection close;
        proxy_buffer_size 16k;
        proxy_buffers 16 16k;
        proxy_busy_buffers_size 32k;
        location = /stream {
            proxy_buffering off;
            proxy_pass http://127.0.0.1:@upstream@;
        }
    }
}
"""

#: Messages to all streams, of which CPU time is taken.
_DELIVERIES = 5

#: Streams before the measured ones; they stay.
_WARM_UP = 20

_REQUEST = b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n"

#: How each message ends, see `bench.crowd.END`.
_END = b">\n\n"


def measure_nginx(streams: int) -> dict[str, float]:
    """Return its memory for a stream in bytes; its CPU time for opening one and for a delivery."""
    with ExitStack() as stack:
        hub = stack.enter_context(HUB.run(2 * streams))
        front = stack.enter_context(_open(hub, 3 * streams + 200))
        publish = publisher(hub, product_fragment())
        publish()
        tabs = [_Tab(stack, front.port) for _ in range(_WARM_UP)]
        worker = Server(front.port, worker_of(front.pid))
        memory, cpu = worker.memory(), worker.cpu()
        tabs += [_Tab(stack, front.port) for _ in range(streams)]
        memory, opening = worker.memory() - memory, worker.cpu() - cpu
        cpu = worker.cpu()
        for _ in range(_DELIVERIES):
            publish()
            for tab in tabs:
                tab.hear()
        delivery = (worker.cpu() - cpu) / _DELIVERIES / len(tabs)
    return {"memory": memory / streams, "opening": opening / streams, "delivery": delivery}


def _open(hub: Server, files: int) -> Nginx:
    try:
        front = Nginx(_CONFIGURATION, upstream=hub.port, files=files)
        _make_certificate(front.folder)
    except NotThere as error:
        raise click.ClickException(str(error)) from None
    return front


def _make_certificate(folder: Path) -> None:
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
    files = ["-subj", "/CN=localhost", "-keyout", str(folder / "own.key")]
    command = [
        program("openssl", "openssl"),
        *words.split(),
        *files,
        "-out",
        str(folder / "own.pem"),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=30)


class _Tab:
    """A stream through nginx, with TLS, that has got its first message."""

    def __init__(self, stack: ExitStack, port: int) -> None:
        # It talks to a certificate that was made a moment ago, on this machine.
        context = ssl._create_unverified_context()
        plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._connection = stack.enter_context(context.wrap_socket(plain))
        self._connection.sendall(_REQUEST)
        self.hear()

    def hear(self) -> None:
        """Read a message."""
        heard = b""
        deadline = time.monotonic() + PATIENCE
        while not heard.rstrip(b"0123456789abcdef\r\n").endswith(b">") or _END not in heard:
            heard += self._connection.recv(1 << 16)
            if time.monotonic() > deadline:
                raise click.ClickException("nginx passed no message on")
