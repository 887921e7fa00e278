"""Gevent's WSGI server with the shop's manners.

Sockets that streams take over, no waiting for acknowledgements between keep-alive answers, and
time limits for clients that are slow on purpose.
"""

from __future__ import annotations

import gc
import logging
import os
import re
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer

from shop.config import MAX_BODY
from shop.listening import Listener, refuse_newcomers
from shop.tcp import limit_unacknowledged
from shop.turns import pass_on

#: Ends the streams, and returns when it has.
LetGo = Callable[[], None]

_ENDS = (signal.SIGTERM, signal.SIGINT)

log = logging.getLogger(__name__)

#: Seconds a connection may stay open without a request on it.
IDLE = 60.0

#: Seconds from the first byte of a request to the end of its head.
HEAD = 10.0

#: The most bytes in a line of a head, and the most lines.
LONGEST_LINE = 64 * 1024
MOST_LINES = 100

#: Seconds for reading a request's body.
BODY = 20.0

#: Seconds after which a peer that acknowledges nothing is given up.
UNACKNOWLEDGED = 30

#: Seconds that running requests are given when the shop closes and the streams are gone.
FINISH = 5.0

#: Seconds in which connections that have begun can complete, before a listening socket closes.
SETTLE = 0.1

#: Seconds for which an accepted connection may still send a request when the shop closes.
LINGER = 0.5

#: How the requests begin that wait for each other, and how many of them are handled at the same
#: time. After a restart everybody's streams come back in one moment: who buys goes before them.
OPENS_STREAM, LANE = b"GET /stream", 8

#: More bytes than the head of a browser's request has.
_USUAL_HEAD = 8192

#: When to look for garbage in circles (see gc.set_threshold): less often than Python would, as
#: thousands of streams that open at once leave hardly any, and all of them would be walked through.
COLLECT = (5_000, 20, 20)

#: Bytes of a body that is too large which are still read, so that the client gets its answer
#: and not a reset connection.
DRAINED = 1024 * 1024

_TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_MALFORMED = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class _TooSlow(BaseException):
    """The client took too long."""


class Handler(WSGIHandler):
    """One connection."""

    def __init__(self, sock: Any, address: Any, server: Any) -> None:
        super().__init__(sock, address, server)
        self._deadline: Any = None
        #: whether what is asked now is the last on this connection, however it is answered
        self._is_last = False
        if sock.family != socket.AF_UNIX:
            # Left on, Nagle's algorithm holds every keep-alive answer back for some 40 ms.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            limit_unacknowledged(sock, UNACKNOWLEDGED * 1000)

    def handle_one_request(self) -> Any:
        if not self._request_begins():
            return None
        if self._opens_stream():
            # Who is answered otherwise, as there is no place, must not keep the place in the lane.
            self._is_last = True
            with self.server.lane:
                answer = self._handle_request()
                pass_on()
            return answer
        return self._handle_request()

    def _opens_stream(self) -> bool:
        return opens_stream(self.rfile.peek(1))

    def _handle_request(self) -> Any:
        self._deadline = gevent.Timeout.start_new(HEAD, _TooSlow)
        try:
            return super().handle_one_request()
        except _TooSlow:
            return ("408", _TIMED_OUT)
        finally:
            self._stop_clock()

    def _request_begins(self) -> bool:
        """Wait for the first byte of a request, in the knowledge of the server."""
        idle = self.server.idle
        # The next request of a fast client is there already: others get their turn first.
        pass_on()
        idle.add(self.socket)
        try:
            with gevent.Timeout(IDLE, False):
                return bool(self.rfile.peek(1))
        except (OSError, ValueError):
            pass
        finally:
            idle.discard(self.socket)
        return False

    def MessageClass(self, *args: Any) -> Any:
        """Read the headers, from the raw lines, before anything is made of them."""
        lines = _read_head(self.rfile)
        _check_head([line.decode("latin-1") for line in lines])
        return super().MessageClass(BytesIO(b"".join(lines) + b"\r\n"), 0)

    def get_environ(self) -> dict[str, Any]:
        self._stop_clock()
        host, self.path = split_target(self.path)  # type: ignore[has-type]
        environ: dict[str, Any] = super().get_environ()
        if host is not None:
            environ["HTTP_HOST"] = host
        environ["shop.hand_over"] = self._hand_over
        return environ

    def start_response(self, status: Any, headers: Any, exc_info: Any = None) -> Any:
        last = self._is_last or self.server.closing
        if last and not self.close_connection:  # type: ignore[has-type]
            self.close_connection = True
            headers = [*headers, ("Connection", "close")]
        return super().start_response(status, headers, exc_info)

    def handle_one_response(self) -> None:
        if self.command == "GET" and self.headers.get("Upgrade", "").lower() == "websocket":
            self.close_connection = True  # what follows a WebSocket is no further request
            super().handle_one_response()
            return
        try:
            with gevent.Timeout(BODY, _TooSlow):
                too_large = self._read_body()
        except _TooSlow:
            self._give_up(_TIMED_OUT)
            return
        except OSError as error:
            # With a number it is the connection that failed, else what came over it.
            self._give_up(b"" if isinstance(error.errno, int) else _MALFORMED)
            return
        super().handle_one_response()
        if too_large:
            self._drain()

    def _give_up(self, answer: bytes) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.socket.sendall(answer)

    def _read_body(self) -> bool:
        """Read the body before the app runs: a slow client must not hold anything of the app.

        Returns:
            Whether it is larger than the app takes. What the app gets then is no more than
            its length, which it refuses.
        """
        body: bytes = self.wsgi_input.read(MAX_BODY + 1)  # type: ignore[has-type]
        self.environ.pop("HTTP_TRANSFER_ENCODING", None)
        self.environ["CONTENT_LENGTH"] = str(max(len(body), self.content_length or 0))
        self.environ["wsgi.input"] = BytesIO(body)
        if len(body) <= MAX_BODY:
            return False
        self.close_connection = True
        self.wsgi_input = _Discarded()
        return True

    def _drain(self) -> None:
        with gevent.Timeout(2, False):
            try:
                left = DRAINED
                while left > 0:
                    data = self.rfile.read1(64 * 1024)
                    if not data:
                        return
                    left -= len(data)
            except OSError:
                pass

    def _handle_client_error(self, _: Exception) -> tuple[str, bytes]:
        """Refuse what can't be read, and tell nothing of who sent it or what was in it."""
        log.info("a request that can't be read was refused")
        return ("400", _MALFORMED)

    def _log_error(self, kind: type[BaseException], error: BaseException, _: Any) -> None:
        if not issubclass(kind, gevent.GreenletExit):
            log.error("a request failed outside of the app", exc_info=error)

    def _hand_over(self) -> int:
        """Give the connection away, as a descriptor; the handler ends after this request.

        The descriptor is a duplicate, non-blocking as gevent's sockets are. The original must
        never be shut down, only closed.
        """
        self.close_connection = True
        return os.dup(self.socket.fileno())

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.close()
            self._deadline = None


def _read_head(source: Any) -> list[bytes]:
    """Read header lines up to the empty one that ends them.

    Raises:
        ValueError: there are too many, or one is too long; answered with 400.
    """
    lines: list[bytes] = []
    while (line := source.readline(LONGEST_LINE + 1)).strip(b"\r\n"):
        lines.append(line)
        if len(line) > LONGEST_LINE or len(lines) > MOST_LINES:
            raise ValueError("too long a head")
    return lines


def _check_head(lines: list[str]) -> None:
    """Refuse a head that a proxy in front might read in another way than this server does.

    Each is a known way of smuggling a request past a proxy: see RFC 9112, sections 5.1, 5.2,
    6.1 and 6.3, which ask for a 400.

    Raises:
        ValueError: answered with 400.
    """
    values: dict[str, list[str]] = {}
    for line in lines:
        name, colon, value = line.rstrip("\r\n").partition(":")
        if not colon or name != name.strip() or "\r" in value or "\0" in line:
            raise ValueError("a header that is none")
        values.setdefault(name.lower(), []).append(value.strip())
    coding, length = values.get("transfer-encoding"), values.get("content-length")
    if coding is not None and ([c.lower() for c in coding] != ["chunked"] or length is not None):
        raise ValueError("an unclear transfer encoding")
    if length is not None and (len(length) > 1 or not re.fullmatch("[0-9]{1,18}", length[0])):
        raise ValueError("an unclear content length")
    if len(values.get("host", [])) > 1:
        raise ValueError("more than one host")


def split_target(target: str) -> tuple[str | None, str]:
    """Return the host and the path of what a request line asks for.

    Clients that take the shop for a proxy name the whole address; its host then counts before that
    of a header (RFC 9112, section 3.2.2).

    Returns:
        None as the host: it asks for a path, as nearly all do.
    """
    found = _WHOLE_ADDRESS.fullmatch(target)
    if found is None:
        return None, target
    path = found["path"]
    return found["host"], path if path.startswith("/") else f"/{path}"


_WHOLE_ADDRESS = re.compile(r"https?://(?P<host>[^/?#\s]+)(?P<path>[^\s]*)", re.IGNORECASE)


def opens_stream(came: bytes) -> bool:
    """Tell whether a request for a stream is there, whole: nobody waits for who is slow.

    One that speaks of a body, which may never come, is none.
    """
    if not came.startswith(OPENS_STREAM) or b"\r\n\r\n" not in came:
        return False
    head = came.lower()
    return b"content-length" not in head and b"transfer-encoding" not in head


class Server(WSGIServer):
    """The shop's listener."""

    handler_class = Handler

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # A pool, though without a limit: without one nobody would wait for running requests.
        super().__init__(*args, spawn=Pool(), **kwargs)
        #: the sockets of connections that wait for their next request
        self.idle: set[Any] = set()
        #: where those that open a stream wait for each other
        self.lane = BoundedSemaphore(LANE)
        #: connections that came with a request for a stream, and how many greenlets open those
        self._herd: deque[tuple[Any, ...]] = deque()
        self._herders = 0
        #: whether each answer is its connection's last
        self.closing = False

    def start(self) -> None:
        # What is there now stays: no later collection has to walk through it while tabs wait.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT)
        super().start()

    def do_handle(self, *accepted: Any) -> None:
        """Handle a connection; one that opens a stream has no greenlet until it is its turn."""
        if not opens_stream(_what_came(accepted[0])):
            super().do_handle(*accepted)
            return
        self._herd.append(accepted)
        if self._herders < LANE:
            self._herders += 1
            self._spawn(self._open_streams)

    def _open_streams(self) -> None:
        try:
            while self._herd:
                self._handle_and_close(*self._herd.popleft())
        finally:
            self._herders -= 1

    def _handle_and_close(self, *accepted: Any) -> None:
        try:
            self.handle(*accepted)
        except Exception:
            log.exception("a connection failed outside of its requests")
        finally:
            self.do_close(*accepted)

    def finish(self, let_go: LetGo, *, take_waiting: bool) -> None:
        """Accept no more connections, and answer what comes on those that are accepted.

        Args:
            let_go: ends the streams, in its own time; connections without a request may still
                send one meanwhile.
            take_waiting: whether to accept first what waits for it already, because nobody else
                will.
        """
        self.closing = True
        if take_waiting:
            gevent.sleep(SETTLE)
            self._accept_waiting()
        self.close()
        patient_until = time.monotonic() + LINGER
        let_go()
        while self.pool and time.monotonic() < patient_until:
            gevent.sleep(0.02)
        self._close_idle()
        self.stop(timeout=FINISH)

    def _accept_waiting(self) -> None:
        with suppress(OSError):
            while accepted := self.do_read():
                self.do_handle(*accepted)

    def _close_idle(self) -> None:
        """Have idle connections read to their end: what has arrived by now is still answered."""
        for sock in self.idle:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RD)


def _what_came(connection: Any) -> bytes:
    """Return what has come on a connection by now, and leave it there to be read."""
    try:
        came: bytes = connection._sock.recv(_USUAL_HEAD, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return b""
    return came


class _Discarded:
    """Stands in for a body of which nothing more is to be read."""

    def _discard(self) -> None:
        pass


def serve(app: Any, listener: Listener, on_open: Callable[[str], None], let_go: LetGo) -> None:
    """Serve until SIGTERM or SIGINT, then close gracefully. A second signal ends it at once.

    Args:
        on_open: called with the shop's address when connections are accepted.
        let_go: called when no more are; ends the streams, and takes its time for that.
    """
    server = Server(listener.socket, app, log=None)
    server.start()
    stop = _first_signal()
    on_open(listener.address)
    stop.wait()
    if not listener.passed:
        refuse_newcomers(listener.socket)
    server.finish(let_go, take_waiting=not listener.passed)


def _first_signal() -> Event:
    """Return an event that is set by the first SIGTERM or SIGINT; the next one does its worst."""
    stop = Event()

    def told() -> None:
        stop.set()
        for watcher in watchers:
            watcher.cancel()
        for number in _ENDS:
            signal.signal(number, signal.SIG_DFL)

    watchers = [gevent.signal_handler(number, told) for number in _ENDS]
    return stop
