"""What the shop is compared with: small servers, each run as a process of its own.

Each serves at the port in the environment variable `PORT` until it is killed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


def event_of(text: str) -> bytes:
    """Return a text as an event of a stream."""
    return ("".join(f"data: {line}\n" for line in text.split("\n")) + "\n").encode()


def serve(app: Callable[..., Any], server_class: Callable[..., Any]) -> None:
    """Serve an app with a class like gevent's `WSGIServer` until killed."""
    address = ("127.0.0.1", int(os.environ["PORT"]))
    server_class(address, app, log=None, backlog=4096).serve_forever()
