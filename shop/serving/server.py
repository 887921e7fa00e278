"""The server: gevent's, with gunicorn's parser in front.

Sockets that streams take over, no waiting for acknowledgements between keep-alive answers, and
time limits for clients that are slow on purpose.
"""

from __future__ import annotations

import gc
import logging
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from gevent.pool import Pool
from gevent.pywsgi import WSGIServer

from shop.serving.connections import Connections
from shop.serving.handler import Handler
from shop.serving.sockets import Listener, stop_accepting
from shop.time_slice import yield_to_others

#: Ends the streams, and returns when it has.
LetGo = Callable[[], None]

_ENDS = (signal.SIGTERM, signal.SIGINT)

log = logging.getLogger(__name__)

#: Seconds that running requests are given when the shop closes and the streams are gone.
FINISH = 5.0

#: Seconds in which connections that have begun can complete, before a listening socket closes.
SETTLE = 0.1

#: Seconds for which an accepted connection may still send a request when the shop closes.
LINGER = 0.5

#: How many requests that open a stream are worked on at the same time. After a restart everybody's
#: streams come back in one moment: buyers go before them.
OPENING_AT_ONCE = 8

#: More bytes than the head of a browser's request has.
_USUAL_HEAD = 8192

#: When to look for garbage in circles (see gc.set_threshold): less often than Python would, as
#: thousands of streams that open at once leave hardly any, and all of them would be walked through.
COLLECT = (5_000, 20, 20)


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
