"""The shop's hub of streams without the shop: sockets handed over, and messages of any size."""

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402
from collections.abc import Callable, Iterable  # noqa: E402
from typing import Any  # noqa: E402

from flask import Flask, Response, request  # noqa: E402

from bench.servers import serve  # noqa: E402
from shop.framing import Message  # noqa: E402
from shop.serving.server import Server  # noqa: E402
from shop.streams import Hub  # noqa: E402
from shop.tabs import SocketTab  # noqa: E402

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
    b"X-Accel-Buffering: no\r\nConnection: close\r\n\r\n"
)

TOPIC = "everything"

app = Flask(__name__)
hub = Hub()
present = Message("")


class EventStream(Response):
    """An answer whose socket goes to the hub."""

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        tab = SocketTab(hub, os.dup(environ["gunicorn.socket"].fileno()), (TOPIC,))
        tab.open(HEAD + present.sse)
        raise StopIteration


@app.get("/stream")
def stream() -> Response:
    return EventStream()


@app.post("/publish")
def publish() -> str:
    """Make the request's body the present state, and notify every stream."""
    global present
    present = Message(request.get_data(as_text=True))
    hub.send(TOPIC, present)
    return "notified"


serve(app, Server)
