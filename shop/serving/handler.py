"""One connection: gunicorn's parser reads its requests, gevent's handler writes the answers."""

from __future__ import annotations

import errno
import logging
import socket
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from io import BytesIO
from typing import Any

import gevent
from gevent.pywsgi import Input, WSGIHandler

from shop.config import MAX_BODY
from shop.serving.incoming import Head, Incoming, Left, Refused
from shop.tcp import limit_unacknowledged
from shop.time_slice import yield_to_others

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

#: How many bytes of what is refused are still read, and for how many seconds, so that the client
#: gets its answer and not a reset connection.
DRAINED, DRAINING = 1024 * 1024, 2.0


class Handler(WSGIHandler):
    """A connection: its requests, one after another."""

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
        self.socket.settimeout(None)  # its new owner has time limits of its own
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
        # An app that takes the connection over says so by raising StopIteration, as under gunicorn.
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
        """Refuse what can't be read, and tell nothing of its sender or of what was in it."""
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
