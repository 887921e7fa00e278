"""The server: gevent's, with gunicorn's parser in front.

Sockets that streams take over, no waiting for acknowledgements between keep-alive answers, and
time limits for clients that are slow on purpose.
"""

from __future__ import annotations

import errno
import gc
import logging
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from io import BytesIO
from typing import Any

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from gevent.pool import Pool
from gevent.pywsgi import Input, WSGIHandler, WSGIServer

from shop.config import MAX_BODY
from shop.serving.connections import Connections
from shop.serving.incoming import Head, Incoming, Left, Refused
from shop.serving.sockets import Listener, stop_accepting
from shop.tcp import limit_unacknowledged
from shop.time_slice import yield_to_others

#: Ends the streams, and returns when it has.
LetGo = Callable[[], None]

_ENDS = (signal.SIGTERM, signal.SIGINT)

log = logging.getLogger(__name__)

#: Seconds a connection may stay open without a request on it.
IDLE = 60.0

#: Seconds from the first byte of a request to the end of its head.
HEAD = 10.0

#: Seconds for reading a request's body.
BODY = 15.0

#: Seconds for a client to take in what is written at once.
WRITE = 30.0

#: Seconds after which a peer that acknowledges nothing is given up.
UNACKNOWLEDGED = 30

#: Seconds that running requests are given when the shop closes and the streams are gone.
FINISH = 5.0

#: Seconds in which connections that have begun can complete, before a listening socket closes.
SETTLE = 0.1

#: Seconds for which an accepted connection may still send a request when the shop closes.
LINGER = 0.5

#: How many requests that open a stream are worked on at the same time. After a restart everybody's
#: streams come back in one moment: who buys goes before them.
OPENING_AT_ONCE = 8

#: More bytes than the head of a browser's request has.
_USUAL_HEAD = 8192

#: When to look for garbage in circles (see gc.set_threshold): less often than Python would, as
#: thousands of streams that open at once leave hardly any, and all of them would be walked through.
COLLECT = (5_000, 20, 20)

#: How many bytes of what is refused are still read, and for how many seconds, so that the client
#: gets its answer and not a reset connection.
DRAINED, DRAINING = 1024 * 1024, 2.0


class Handler(WSGIHandler):
    """One connection: gunicorn's parser reads its requests, gevent's handler writes the answers."""

    #: of the body nothing is left to be read when the app has answered
    wsgi_input = Input(BytesIO(), 0)

    def __init__(self, connection: Any, address: Any, server: Any) -> None:
        # Not as gevent does it, who opens a file to read from.
        self.socket, self.client_address, self.server = connection, address, server
        #: whether no request has begun to come
        self.is_idle = True
        self._incoming = Incoming(connection, address)
        self._is_admitted = self._is_taken_over = self._is_too_large = False
        if connection.family != socket.AF_UNIX:
            # Left on, Nagle's algorithm holds every keep-alive answer back for some 40 ms.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            limit_unacknowledged(connection, UNACKNOWLEDGED * 1000)

    def handle(self) -> None:
        """Answer what comes on the connection, until it ends."""
        self.server.connections.add(self)
        try:
            while self.handle_one_request():
                pass
        finally:
            self.server.connections.remove(self)
            if not self._is_taken_over:
                self._incoming.discard_what_came()

    def handle_one_request(self) -> bool:
        """Answer the next request; tell whether another may follow."""
        self.is_idle = True
        if not self._incoming.wait(IDLE):
            return False
        self.is_idle = False
        try:
            head = self._incoming.read_head(HEAD)
            self._begin(head)
            self._read_body(head)
            self._expect_upgrade()
        except Refused as refused:
            self._refuse(refused.status)
            return False
        except Left:
            return False
        self.server.connections.renew(self)
        self.socket.settimeout(None)  # who takes it over has time limits of their own
        self.handle_one_response()
        if self._is_too_large:
            self._linger()
        return not self.close_connection

    def _begin(self, head: Head) -> None:
        """Take up a request whose head has come."""
        self.environ = environ = {**self.server.get_environ(), **head.variables}
        self.application, self.command = self.server.application, environ["REQUEST_METHOD"]
        self.request_version = environ["SERVER_PROTOCOL"]
        self.close_connection = head.is_last
        if isinstance(self.client_address, tuple):
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = map(str, self.client_address[:2])
        environ["wsgi.input_terminated"] = True
        # Who takes the connection over says so by raising StopIteration, as under gunicorn.
        environ["gunicorn.socket"] = self.socket
        environ["shop.keep"] = partial(self.server.connections.remove, self)

    def _read_body(self, head: Head) -> None:
        """Read the body before the app runs: a slow client must not hold anything of the app."""
        try:
            body = self._incoming.read_body(head, MAX_BODY, BODY)
            length = len(body)
        except Refused as refused:
            if refused.status != 413:
                raise
            # The app says so itself, as a page or as a notice.
            body, length = b"", MAX_BODY + 1
            self._is_too_large = self.close_connection = True
        self.environ["CONTENT_LENGTH"] = str(length)
        self.environ["wsgi.input"] = BytesIO(body)

    def _expect_upgrade(self) -> None:
        if "websocket" in self.environ.get("HTTP_UPGRADE", "").lower():
            self.close_connection = True  # what follows is no further request
            if self._incoming.has_more():
                raise Refused(400)  # it is to wait for its answer (RFC 6455, section 4.1)

    def _refuse(self, status: int) -> None:
        """Refuse what can't be read, and tell nothing of who sent it or what was in it."""
        log.info("a request that can't be read was refused")
        reason = HTTPStatus(status).phrase
        answer = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        self.socket.settimeout(WRITE)
        with suppress(OSError):
            self.socket.sendall(answer.encode())
            self._linger()

    def _linger(self) -> None:
        """Read what the client still sends, for a while: a reset would take its answer away."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
            self._incoming.discard(DRAINED, DRAINING)

    def run_application(self) -> None:
        """Have the app answer; a request that opens a stream waits for its turn first."""
        if self.server.is_deferred(self.environ["PATH_INFO"]):
            self.server.admission.acquire()
            # Answered without a stream, it is the last on its connection: who comes back for one
            # begins anew, behind all others.
            self._is_admitted = self.close_connection = True
        try:
            super().run_application()
        except StopIteration:
            self.close_connection = self._is_taken_over = True
            self.server.connections.remove(self)  # cutting it off would end what took it over
        finally:
            if self._is_admitted:
                yield_to_others()
                self._leave_admission()

    def start_response(self, status: Any, headers: Any, exc_info: Any = None) -> Any:
        if self.close_connection or self.server.closing:
            self.close_connection = True
            headers = [*headers, ("Connection", "close")]
        return super().start_response(status, headers, exc_info)

    def _sendall(self, data: Any) -> None:
        self._leave_admission()  # however long the client takes, it holds up nobody
        self.socket.settimeout(WRITE)
        try:
            super()._sendall(data)
        except OSError as error:
            raise BrokenPipeError(errno.EPIPE, "the client doesn't read") from error

    def _leave_admission(self) -> None:
        if self._is_admitted:
            self._is_admitted = False
            self.server.admission.release()

    def cut(self) -> None:
        """End the connection, whatever it waits for."""
        self._shut(socket.SHUT_RDWR)

    def hurry(self) -> None:
        """Have the connection read to its end: what has arrived by now is still answered."""
        self._shut(socket.SHUT_RD)

    def _shut(self, how: int) -> None:
        with suppress(OSError):
            self.socket.shutdown(how)

    def _log_error(self, kind: type[BaseException], error: BaseException, _: Any) -> None:
        if not issubclass(kind, gevent.GreenletExit):
            log.error("a request failed outside of the app", exc_info=error)

    def log_request(self) -> None:
        """Log nothing: the app does."""


class Server(WSGIServer):
    """The shop's listener.

    Of the app it asks, if that can say so, which paths open a stream (`opens_stream`): requests for
    those wait for each other, and let all others go first. And how many are open (`count_streams`).
    """

    handler_class = Handler

    #: how many connections are accepted at once
    max_accept = 32

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # A pool, though without a limit: without one nobody would wait for running requests.
        super().__init__(*args, spawn=Pool(), **kwargs)
        self._usually_accepted = self.max_accept
        self.connections = Connections()
        #: whether a request for this path is one that opens a stream
        self.is_deferred: Callable[[str], bool] = getattr(
            self.application, "opens_stream", lambda path: False
        )
        #: how many connections have been taken over
        self.count_streams: Callable[[], int] = getattr(
            self.application, "count_streams", lambda: 0
        )
        #: taken by requests that open a stream, while they are worked on
        self.admission = BoundedSemaphore(OPENING_AT_ONCE)
        #: connections that came with such a request, and have no greenlet yet
        self._deferred: deque[tuple[Any, ...]] = deque()
        self._is_admitting = False
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
        begun = len(self.pool) + self.count_streams()
        has_room = self.connections.make_room(begun + len(self._deferred) + 1)
        # Those that made room are closed some rounds of the loop later: until then it holds both.
        at_once = 8 if self.connections.is_making_room else self._usually_accepted
        self.max_accept = min(at_once, self._usually_accepted)
        if not has_room:
            accepted[0].close()
        elif self.is_deferred(_path_that_came(accepted[0])):
            self._deferred.append(accepted)
            if not self._is_admitting:
                self._is_admitting = True
                self._spawn(self._admit)
        else:
            super().do_handle(*accepted)

    def _admit(self) -> None:
        while self._deferred:
            self.admission.wait()
            for _ in range(min(self.admission.counter, len(self._deferred))):
                super().do_handle(*self._deferred.popleft())
            yield_to_others()
        self._is_admitting = False

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
        for connection in list(self.connections):
            if connection.is_idle:
                connection.hurry()


def _path_that_came(connection: Any) -> str:
    """Return the path of a GET without a body that has come whole, and leave it there to be read.

    It only says who waits: what the request really is, the parser says when it is read.
    """
    try:
        came = connection._sock.recv(_USUAL_HEAD, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return ""
    if not came.startswith(b"GET /") or not came.endswith(b"\r\n\r\n"):
        return ""
    target: bytes = came[4:].partition(b" ")[0]
    return target.partition(b"?")[0].decode("latin-1")


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
        stop_accepting(listener.socket)
    server.finish(let_go, take_waiting=not listener.passed)


def _first_signal() -> Event:
    """Return an event that is set by the first SIGTERM or SIGINT; the next one does its worst."""
    stop = Event()

    def end() -> None:
        stop.set()
        for watcher in watchers:
            watcher.cancel()
        for number in _ENDS:
            signal.signal(number, signal.SIG_DFL)

    watchers = [gevent.signal_handler(number, end) for number in _ENDS]
    return stop
