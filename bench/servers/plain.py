"""Event streams the textbook way: a generator, a queue and a greenlet for each stream.

There are no heartbeats here, which spares this server a timer for each stream, and some deliveries.
"""

from gevent import monkey

monkey.patch_all()

from collections.abc import Iterator  # noqa: E402

from flask import Flask, Response, request  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402
from gevent.queue import Queue  # noqa: E402

from bench.servers import HEADERS, event_of, serve  # noqa: E402

app = Flask(__name__)
queues: set[Queue[bytes]] = set()
present = b""


@app.get("/stream")
def stream() -> Response:
    return Response(messages(), headers=HEADERS)


def messages() -> Iterator[bytes]:
    queue: Queue[bytes] = Queue()
    queues.add(queue)
    try:
        yield present
        while True:
            yield queue.get()
    finally:
        queues.discard(queue)


@app.post("/publish")
def publish() -> str:
    """Make the request's body the present state, and notify every stream."""
    global present
    present = event_of(request.get_data(as_text=True))
    for queue in queues:
        queue.put(present)
    return "notified"


serve(app, WSGIServer)
