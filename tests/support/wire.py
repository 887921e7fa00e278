"""What a browser reads of the bytes that come over a tab's connection.

Written by the standards, and by nothing that the shop knows of how it writes.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Ping, Pong, TextMessage


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    data: str
    name: str = "message"


class EventReader:
    """Reads an event stream, however it is cut on the way.

    See "Parsing an event stream" and "Interpreting an event stream" in
    https://html.spec.whatwg.org/multipage/server-sent-events.html
    """

    def __init__(self) -> None:
        #: lines that say nothing
        self.comments = 0
        self.last_id = ""
        #: milliseconds to wait before connecting again, if the stream says so
        self.retry: int | None = None
        # Decodes as browsers do: without a byte order mark, and never failing.
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._line = ""
        self._after_cr = False
        self._data: list[str] = []
        self._name = self._id = ""

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that are complete with this."""
        lines = self._lines(self._decoder.decode(data))
        return [event for line in lines if (event := self._read(line)) is not None]

    def _lines(self, text: str) -> list[str]:
        if text and self._after_cr:
            self._after_cr = False
            text = text.removeprefix("\n")  # of a CRLF whose CR has ended the line already
        self._after_cr |= text.endswith("\r")
        *lines, rest = re.split("\r\n|\r|\n", text)
        if lines:
            lines[0] = self._line + lines[0]
            self._line = ""
        self._line += rest
        return lines

    def _read(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not field:
            self.comments += 1
        elif field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        elif field == "id" and "\0" not in value:
            self._id = value
        elif field == "retry" and re.fullmatch("[0-9]+", value):
            self.retry = int(value)
        return None

    def _dispatch(self) -> Event | None:
        self.last_id = self._id
        data, self._data = self._data, []
        name, self._name = self._name, ""
        return Event("\n".join(data), name or "message") if data else None


@dataclass(frozen=True)
class Closed:
    """The end of a WebSocket, and why."""

    code: int


class FrameReader:
    """Reads a server's WebSocket frames, however they are cut; wsproto knows RFC 6455.

    Raises:
        RemoteProtocolError: what came is no frame as a server may send one.
    """

    def __init__(self) -> None:
        #: pings and pongs
        self.comments = 0
        self._connection = Connection(ConnectionType.CLIENT)
        self._text = ""

    def feed(self, data: bytes) -> list[str | Closed]:
        """Return the texts that are complete with this, and the end if it has come."""
        self._connection.receive_data(data)
        found: list[str | Closed] = []
        for event in self._connection.events():
            match event:
                case TextMessage():
                    self._text += event.data
                    if event.message_finished:
                        found.append(self._text)
                        self._text = ""
                case Ping() | Pong():
                    self.comments += 1
                case CloseConnection():
                    found.append(Closed(int(event.code)))
        return found


def as_a_browser_joins_lines(text: str) -> str:
    """Return what an event's text has become when it arrives: its line ends are all alike."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
