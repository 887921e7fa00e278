"""What a real browser reads is what the tests' own readers say that it reads."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import BrowserContext
from wsproto.utilities import generate_accept_token

from shop.framing import HEARTBEAT_EVENT, HEARTBEAT_FRAME, Message, sse_event
from tests.streams.test_framing import LINES, MEGABYTE
from tests.support.wire import EventReader, FrameReader

TEXTS = [*LINES.values(), "a line\r\n" * (MEGABYTE // 8), "the end"]
EVENTS = HEARTBEAT_EVENT.join(
    [sse_event("", event="overflow"), *(Message(text).sse for text in TEXTS)]
)
FRAMES = HEARTBEAT_FRAME.join(Message(text).websocket for text in TEXTS)

#: So many bytes are sent one by one: all but the last two texts are among them.
ONE_BY_ONE = 3000

READ = """
async () => {
  const all = {events: [], named: 0, beats: 0, frames: []};
  await Promise.all([
    new Promise(done => {
      const source = new EventSource("/events");
      source.addEventListener("overflow", event => { all.named += 1; });
      source.addEventListener("beat", event => { all.beats += 1; });
      source.onmessage = event => {
        all.events.push(event.data);
        if (event.data == "the end") { source.close(); done(); }
      };
    }),
    new Promise(done => {
      const socket = new WebSocket(`ws://${location.host}/socket`);
      socket.onmessage = event => {
        all.frames.push(event.data);
        if (event.data == "the end") { socket.close(); done(); }
      };
    }),
  ]);
  return all;
}
"""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.close_connection = True
        if self.path == "/socket":
            self.send_response_only(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            token = generate_accept_token(self.headers["Sec-WebSocket-Key"].encode())
            self.send_header("Sec-WebSocket-Accept", token.decode())
            self._send(FRAMES)
        elif self.path == "/events":
            self.send_response_only(200)
            self.send_header("Content-Type", "text/event-stream")
            self._send(EVENTS)
        else:
            self.send_response_only(200)
            self.send_header("Content-Type", "text/html")
            self._send(b"<title>a page</title>")

    def _send(self, body: bytes) -> None:
        self.end_headers()
        for place in range(min(ONE_BY_ONE, len(body))):
            self.connection.send(body[place : place + 1])
        self.connection.sendall(body[ONE_BY_ONE:])
        self.connection.shutdown(socket.SHUT_WR)
        while self.connection.recv(4096):  # until the browser has what it waited for
            pass

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_browser_reads_what_the_reference_readers_read(
    window: BrowserContext, address: str
) -> None:
    tab = window.new_page()
    tab.goto(address)
    read = tab.evaluate(READ)
    assert len(LINES) > 10 and len(b"".join(Message(t).sse for t in LINES.values())) < ONE_BY_ONE
    events = EventReader().feed(EVENTS)
    assert read["named"] == sum(event.name == "overflow" for event in events) == 1
    assert read["beats"] == sum(event.name == "beat" for event in events) == len(TEXTS)
    assert read["events"] == [event.data for event in events if event.name == "message"]
    assert read["frames"] == FrameReader().feed(FRAMES)
    assert [text for text in read["frames"] if text] == [text for text in TEXTS if text]
