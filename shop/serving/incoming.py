"""What a client sends, read as requests: by gunicorn's parser, bounded in bytes and in time.

The parser is strict (RFC 9110 and 9112) and kept by others. What it leaves open is checked here,
in `_check`.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

from gunicorn.config import Config
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.http.message import Request
from gunicorn.http.unreader import SocketUnreader

from shop.time_slice import yield_to_others

#: The most bytes in a head, and in one line of it; the first line is at most 8,190.
MOST_IN_HEAD, MOST_IN_LINE = 32 * 1024, 16 * 1024

#: The most lines in a head.
MOST_LINES = 100

#: The most bytes that a chunked body may spend on chunk sizes, extensions and trailers, with what
#: has come of the next ones: a chunk takes some 8 µs, however tiny it is.
MOST_IN_CHUNKING = 12 * 1024

#: Bytes of a chunked body between two looks at what it spends.
_STEP = 1024

#: Bytes that are read at once: what is made of them takes some milliseconds at the worst.
_PIECE = 8192

#: A host with or without a port (RFC 3986, section 3.2.2), but no comma: proxies join with it.
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+;=-]+)(?::[0-9]{0,5})?")

_CONNECTION = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z\-, \t]*")


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
            request = Request(_CONFIG, self._unreader, self._address)
        except (StopIteration, OSError) as error:
            raise Left from error
        except ParseException as error:
            raise Refused(_status_of(error)) from error
        _check(request)
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


def _check(request: Request) -> None:
    """Refuse what the parser lets pass, though a proxy in front might read it in another way.

    RFC 9112 asks for a 400: sections 3.2 (host and target) and 6.1 (transfer encoding).
    """
    values: dict[str, list[str]] = {}
    for name, value in request.headers:
        values.setdefault(name, []).append(value)
    hosts, coding = values.get("HOST", []), values.get("TRANSFER-ENCODING")
    fine = (
        all(_HOST.fullmatch(host) for host in hosts)
        and (hosts or request.version < (1, 1))
        and (coding is None or [value.lower() for value in coding] == ["chunked"])
        and all(_CONNECTION.fullmatch(value) for value in values.get("CONNECTION", []))
        and _is_a_target(request)
    )
    if not fine:
        raise Refused(400)


def _is_a_target(request: Request) -> bool:
    uri: str = request.uri
    if "#" in uri:
        return False
    if uri.startswith("/"):
        return True
    if uri == "*":
        return bool(request.method == "OPTIONS")
    scheme, _, rest = uri.partition("://")
    host = re.split("[/?]", rest, maxsplit=1)[0]
    return scheme.lower() in ("http", "https") and _HOST.fullmatch(host) is not None


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


def _configure() -> SimpleNamespace:
    """Return what the parser is to do: as a copy, as gunicorn's own is slow to be asked."""
    config = Config()
    chosen = {
        "http_parser": "python",  # wherever it runs, whatever else is installed
        "limit_request_line": 8190,
        "limit_request_fields": MOST_LINES,
        "limit_request_field_size": MOST_IN_LINE,
        # What proxies say of whom they speak for is for the app to believe, or not.
        "forwarded_allow_ips": "",
        "secure_scheme_headers": {},
        "forwarder_headers": "",
    }
    for name, value in chosen.items():
        config.set(name, value)
    values = {name: getattr(config, name) for name in config.settings}
    return SimpleNamespace(**values, is_ssl=False, forwarded_allow_networks=tuple)


_CONFIG = _configure()
