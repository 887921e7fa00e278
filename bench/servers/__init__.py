"""What the shop is compared with: small servers, each run as a process of its own.

Each serves at the port in the environment variable `PORT` until it is killed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from gevent.pywsgi import WSGIServer

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


def serve(app: Callable[..., Any], server_class: type[WSGIServer] = WSGIServer) -> None:
    """Serve an app until killed."""
    address = ("127.0.0.1", int(os.environ["PORT"]))
    server_class(address, app, log=None, backlog=4096).serve_forever()
