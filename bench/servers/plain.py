"""Event streams the textbook way: a generator, a queue and a greenlet for each stream.

Flask hands gevent's WSGI server a generator, which waits at a `gevent.queue.Queue`. There are no
heartbeats here, which spares this server a timer for each stream, and some deliveries.
"""

from gevent import monkey

monkey.patch_all()

from collections.abc import Iterator  # noqa: E402

from flask import Flask, Response, request  # noqa: E402
from gevent.queue import Queue  # noqa: E402

from bench.servers import HEADERS, serve  # noqa: E402
from shop.framing import sse_event  # noqa: E402

app = Flask(__name__)
queues: set[Queue] = set()
present = b""


@app.get("/stream")
def stream() -> Response:
    return Response(messages(), headers=HEADERS)


def messages() -> Iterator[bytes]:
    queue: Queue = Queue()
    queues.add(queue)
    try:
        yield present
        while True:
            yield queue.get()
    finally:
        queues.discard(queue)


@app.post("/publish")
def publish() -> str:
    """Make the request's body the present state, and tell every stream."""
    global present
    present = sse_event(request.get_data(as_text=True))
    for queue in queues:
        queue.put(present)
    return "told"


if __name__ == "__main__":
    serve(app)
