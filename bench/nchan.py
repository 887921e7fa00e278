"""nginx with nchan: the server written in C that event streams are compared with."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import psutil

from bench.processes import START, Server, said
from machines.nginx import Nginx
from machines.service import NotThere

_MODULE = "ngx_nchan_module.so"

#: Where distributions put nginx's modules.
_FOLDERS = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")

#: One worker, as all others have one process; all in memory, nothing logged. One message is kept,
#: the newest, which a new stream gets at once. Answers are not chunked, so that the same bytes go
#: over the wire as from the other servers, but for nchan's line with an id.
_CONFIGURATION = """
load_module @module@;
worker_processes 1;
worker_rlimit_nofile @files@;
error_log stderr error;
events {
    worker_connections @files@;
    multi_accept on;
}
http {
    access_log off;
    tcp_nodelay on;
    chunked_transfer_encoding off;
    client_body_temp_path @folder@/client;
    proxy_temp_path @folder@/proxy;
    fastcgi_temp_path @folder@/fastcgi;
    uwsgi_temp_path @folder@/uwsgi;
    scgi_temp_path @folder@/scgi;
    client_body_buffer_size 64k;
    nchan_shared_memory_size 64M;
    server {
        listen @host@:@port@ backlog=4096;
        location = /stream {
            nchan_subscriber eventsource;
            nchan_channel_id everything;
            nchan_subscriber_first_message oldest;
            add_header Cache-Control no-store;
        }
        location = /publish {
            nchan_publisher http;
            nchan_channel_id everything;
            nchan_message_buffer_length 1;
            nchan_message_timeout 1h;
        }
    }
}
"""


def module() -> Path | None:
    """Return where nginx's module nchan is; None if it is not installed, or nginx is not."""
    if shutil.which("nginx") is None:
        return None
    files = (Path(folder, _MODULE) for folder in _FOLDERS)
    return next((file for file in files if file.exists()), None)


def version() -> str:
    """Return which nginx and, where Debian brought it, which nchan is installed."""
    nginx = (said("nginx", "-v") or "").rpartition("/")[2]
    nchan = said("dpkg-query", "--show", "--showformat=${Version}", "libnginx-mod-nchan")
    return f"nginx {nginx}" + (f" with nchan {nchan}" if nchan else "")


@contextmanager
def open_nchan(streams: int) -> Iterator[Server]:
    """Run nginx with nchan, and give its worker: the process that holds the streams.

    Raises:
        ClickException: it did not start.
    """
    files = streams + streams // 10 + 200
    nginx = Nginx(_CONFIGURATION, module=module(), files=files)
    try:
        with nginx:
            yield Server(nginx.port, worker_of(nginx.pid))
    except NotThere as error:
        raise click.ClickException(str(error)) from None


def worker_of(master: int) -> psutil.Process:
    """Return the worker of an nginx that has one, by its master's pid.

    Raises:
        ClickException: there is none.
    """
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        if workers := psutil.Process(master).children():
            return workers[0]
        time.sleep(0.01)
    raise click.ClickException("nginx has no worker")
