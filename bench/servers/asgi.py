"""Event streams on asyncio: Starlette and sse-starlette, on uvicorn with uvloop and httptools.

What a stream yields is encoded once for all, and pings are as good as off: both spare this server
some work.
"""

import asyncio
import os
from collections.abc import AsyncIterator

import uvicorn
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bench.servers import HEADERS, event_of

#: Between two pings to a stream, in seconds: longer than any run.
_PING = 3600

queues: set[asyncio.Queue[bytes]] = set()
present = b""


async def stream(_: Request) -> Response:
    return EventSourceResponse(messages(), headers=HEADERS, ping=_PING)


async def messages() -> AsyncIterator[bytes]:
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    queues.add(queue)
    try:
        yield present
        while True:
            yield await queue.get()
    finally:
        queues.discard(queue)


async def publish(request: Request) -> Response:
    """Make the request's body the present state, and notify every stream."""
    global present
    present = event_of((await request.body()).decode())
    for queue in queues:
        queue.put_nowait(present)
    return PlainTextResponse("notified")


app = Starlette(routes=[Route("/stream", stream), Route("/publish", publish, methods=["POST"])])

if __name__ == "__main__":
    port = int(os.environ["PORT"])
    uvicorn.run(
        app,
        port=port,
        backlog=4096,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
    )
