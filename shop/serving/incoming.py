"""What a client sends, read as requests: by gunicorn's parser, bounded in bytes and in time.

The parser is strict (RFC 9110 and 9112) and kept by others. What it leaves open is
checked by `parser`.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.http.message import Request
from gunicorn.http.unreader import SocketUnreader

from shop.serving.parser import CONFIG, is_unambiguous
from shop.time_slice import yield_to_others

#: The most bytes in a head.
MOST_IN_HEAD = 32 * 1024

#: The most bytes that a chunked body may spend on chunk sizes, extensions and trailers, with what
#: has come of the next ones: a chunk takes some 8 µs, however tiny it is.
MOST_IN_CHUNKING = 12 * 1024

#: Bytes of a chunked body between two checks of what it spends.
_STEP = 1024

#: Bytes that are read at once: what is made of them takes some milliseconds at the worst.
_PIECE = 8192

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Refused(Exception):
    """What came is no request that can be answered.

    Args:
        status: what it is refused with.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Left(Exception):
    """The client went away in the middle of a request."""


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body."""

    #: as a WSGI environ has it
    variables: dict[str, str]
    #: whether the client wants no further answer on the connection
    is_last: bool
    request: Request


class Incoming:
    """The requests that come on one connection."""

    def __init__(self, connection: Any, address: Any) -> None:
        """Read from a connection.

        Args:
            connection: a socket of gevent's; its timeout is set anew with each reading.
            address: the client's, as `accept` gave it.
        """
        self._connection = connection
        self._address = address
        self._unreader = SocketUnreader(self)
        self._allow(0, 0.0, 400)

    def wait(self, seconds: float) -> bool:
        """Wait for the first bytes of a request; tell whether they came."""
        if self.has_more():
            yield_to_others()  # the next request of a fast client: others get their turn first
            return True
        self._allow(_PIECE, seconds, 408)
        try:
            came = self.recv(_PIECE)
        except (Refused, OSError):
            return False
        self._unreader.unread(came)
        return bool(came)

    def has_more(self) -> bool:
        """Tell whether something has been read that belongs to no request yet."""
        held: bytes = self._unreader.take_buffered()
        if held:
            self._unreader.unread(held)
        return bool(held)

    def read_head(self, seconds: float) -> Head:
        """Read a request up to its body.

        Raises:
            Refused: it is none, or too long, or took too long.
            Left: the client did, or the connection failed.
        """
        self._allow(MOST_IN_HEAD, seconds, 431)
        try:
            request = Request(CONFIG, self._unreader, self._address)
        except (StopIteration, OSError) as error:
            raise Left from error
        except ParseException as error:
            raise Refused(_status_of(error)) from error
        if not is_unambiguous(request):
            raise Refused(400)
        return Head(_variables(request), _is_last(request), request)

    def read_body(self, head: Head, most: int, seconds: float) -> bytes:
        """Read a request's body.

        Args:
            most: how many bytes of it are taken.

        Raises:
            Refused: it is malformed, or too long (413), or took too long.
            Left: the client did, or the connection failed.
        """
        request = head.request
        length = _length_of(request)
        if length == 0:
            return b""
        if length is not None and length > most:
            raise Refused(413)
        self._allow(most + MOST_IN_CHUNKING, seconds, 413)
        try:
            if not self.has_more() and any(name == "EXPECT" for name, _ in request.headers):
                self._connection.sendall(_CONTINUE)
            body = self._read_pieces(request, most, most + 1 if length else _STEP)
        except OSError as error:
            raise Left from error
        except ParseException as error:
            raise Refused(400) from error
        if length is not None and len(body) < length:
            raise Left
        return body

    def _read_pieces(self, request: Request, most: int, step: int) -> bytes:
        body = b""
        while piece := request.body.read(step):
            body += piece
            came = most + MOST_IN_CHUNKING - self._left
            if len(body) > most or came - len(body) > MOST_IN_CHUNKING:
                raise Refused(413)
        return body

    def discard(self, most: int, seconds: float) -> None:
        """Read what still comes and forget it, so that an answer isn't lost by a reset."""
        self._allow(most, seconds, 413)
        with suppress(Refused, OSError):
            while self.recv(_PIECE):
                pass

    def discard_what_came(self) -> None:
        """Read what is there already, without waiting: see `discard`."""
        with suppress(OSError):
            self._connection.settimeout(0)
            self._connection.recv(_PIECE)

    def recv(self, size: int) -> bytes:
        """Receive some bytes; for the parser, which takes this for a socket.

        What is there already is received without waiting: others get their turn in between.
        """
        if self._left <= 0:
            raise Refused(self._too_much)
        yield_to_others()
        seconds = self._until - time.monotonic()
        if seconds <= 0:
            raise Refused(408)
        self._connection.settimeout(seconds)
        try:
            data: bytes = self._connection.recv(min(size, _PIECE))
        except TimeoutError as error:
            raise Refused(408) from error
        self._left -= len(data)
        return data

    def _allow(self, most: int, seconds: float, too_much: int) -> None:
        """Set how many bytes may come, in what time, and what more of them is refused with."""
        self._left, self._until, self._too_much = most, time.monotonic() + seconds, too_much


def _variables(request: Request) -> dict[str, str]:
    """Return a request's head as a WSGI environ has it."""
    found = {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": unquote(request.path or "/", "latin-1"),
        "QUERY_STRING": request.query,
        "SERVER_PROTOCOL": "HTTP/{}.{}".format(*request.version),
    }
    for name, value in request.headers:
        key = name.replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        if key in found:
            separator = "; " if key == "HTTP_COOKIE" else ","
            value = found[key] + separator + value
        found[key] = value
    if not request.uri.startswith(("/", "*")):
        found["HTTP_HOST"] = urlsplit(request.uri).netloc  # RFC 9112, section 3.2.2
    found.pop("HTTP_TRANSFER_ENCODING", None)  # the app gets the body as a whole
    return found


def _is_last(request: Request) -> bool:
    """Tell whether a client wants no further answer on the connection (RFC 9112, section 9.3)."""
    options = ",".join(value for name, value in request.headers if name == "CONNECTION")
    wanted = {option.strip(" \t").lower() for option in options.split(",")} if options else ()
    return "close" in wanted or (request.version < (1, 1) and "keep-alive" not in wanted)


def _length_of(request: Request) -> int | None:
    """Return how long a body is, if that was said; a request that speaks of none has none."""
    length = 0
    for name, value in request.headers:
        if name == "CONTENT-LENGTH":
            length = int(value)
        elif name == "TRANSFER-ENCODING":
            return None
    return length


def _status_of(error: ParseException) -> int:
    if isinstance(error, LimitRequestLine):
        return 414
    return 431 if isinstance(error, LimitRequestHeaders) else 400
