"""What the shop is compared with: small servers, each run as a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent.pywsgi import WSGIHandler, WSGIServer


def serve(app: Callable[..., Any], handler_class: type[WSGIHandler] = WSGIHandler) -> None:
    """Serve an app on a free port of 127.0.0.1, say where, and go on until killed."""
    server = WSGIServer(("127.0.0.1", 0), app, handler_class=handler_class, log=None, backlog=4096)
    server.start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
