"""What the shop is compared with: small servers, each run as a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent.pywsgi import WSGIServer


def serve(app: Callable[..., Any], server_class: type[WSGIServer] = WSGIServer) -> None:
    """Serve an app on a free port of 127.0.0.1, say where, and go on until killed."""
    server = server_class(("127.0.0.1", 0), app, log=None, backlog=4096)
    server.start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
