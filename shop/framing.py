"""How messages go over the wire: as server-sent events and as WebSocket frames.

A message is a text for tabs, encoded once however many of them it goes to. What is said of ten
thousand carts often differs in nothing but whose they are and how new: a `Template` is encoded once
for all of them, and only its placeholders are filled anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

#: What is sent so that a page knows its stream to be alive: an event, as pages don't see comments.
#: A browser drops an event without data, and an empty line of data is some.
HEARTBEAT_EVENT = b"event: beat\ndata:\n\n"

#: The same over a WebSocket: an empty text, as pages don't see pings.
HEARTBEAT_FRAME = b"\x81\x00"


class Message:
    """A text for tabs, and its encodings, made when first asked for."""

    # Thousands are made for every broadcast to carts: no dictionaries, no cached_property's locks.
    __slots__ = ("_sse", "_text", "_websocket")

    def __init__(self, text: str | None = None) -> None:
        self._text = text
        self._sse: bytes | None = None
        self._websocket: bytes | None = None

    @property
    def text(self) -> str:
        if self._text is None:
            self._text = self._make_text()
        return self._text

    @property
    def sse(self) -> bytes:
        """It as one server-sent event."""
        if self._sse is None:
            self._sse = self._make_sse()
        return self._sse

    @property
    def websocket(self) -> bytes:
        """It as one WebSocket frame."""
        if self._websocket is None:
            self._websocket = websocket_text_frame(self.text)
        return self._websocket

    @property
    def weight(self) -> int:
        """How many characters are kept at the most: of the text, and of what it is encoded as."""
        return 3 * len(self.text)

    def _make_text(self) -> str:
        raise NotImplementedError

    def _make_sse(self) -> bytes:
        return sse_event(self.text)


def sse_event(text: str, event: str | None = None) -> bytes:
    """Encode a text as one server-sent event.

    A reader takes CR, LF and CRLF alike for the end of a line, so each starts a new `data:`
    line. See https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    head = f"event: {event}\n" if event else ""
    lines = text.replace("\n", "\ndata: ")
    return f"{head}data: {lines}\n\n".encode()


def websocket_text_frame(text: str) -> bytes:
    """Encode a text as one unmasked, final WebSocket frame (RFC 6455, section 5.2)."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        head = bytes((0x81, size))
    elif size < 1 << 16:
        head = bytes((0x81, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x81, 127)) + size.to_bytes(8, "big")
    return head + payload


class Joined(Message):
    """Several messages as one, a line for the end of each but the last."""

    __slots__ = ("_messages",)

    def __init__(self, messages: Iterable[Message]) -> None:
        super().__init__()
        self._messages = list(messages)

    def _make_text(self) -> str:
        return "\n".join([message.text for message in self._messages])

    def _make_sse(self) -> bytes:
        # An event ends by an empty line: without it, the next one's lines are its own.
        return b"".join([message.sse[:-1] for message in self._messages]) + b"\n"


class Template:
    """A text with placeholders, encoded once."""

    __slots__ = ("_encoded", "_sse", "_text")

    def __init__(self, text: str, placeholders: Mapping[str, str]) -> None:
        """Take a text in which marks stand for what is to be filled in.

        Args:
            placeholders: the mark of each by its name; marks stand nowhere else in the text.
        """
        text = str.replace(text, "%", "%%")  # as a plain text: Markup would escape what it is given
        for name, mark in placeholders.items():
            text = text.replace(mark, f"%({name})s")
        self._text = text
        self._encoded: bytes | None = None
        self._sse: bytes | None = None

    @property
    def weight(self) -> int:
        """How many characters are kept at the most: of the text, and of what it is encoded as."""
        return 3 * len(self._text)

    def fill(self, **values: str) -> Message:
        """Return the text with its placeholders filled, by name; nothing in them ends a line."""
        return _Filled(self, values)

    def text(self, values: Mapping[str, str]) -> str:
        """Return what `fill` gives as a text alone."""
        return self._text % values

    def encoded(self, values: Mapping[str, str]) -> bytes:
        """Return what `text` does, in UTF-8: of a long text, at a fraction of the time."""
        if self._encoded is None:
            self._encoded = self._text.encode()
        return self._encoded % _in_bytes(values)

    def sse(self, values: Mapping[str, str]) -> bytes:
        """Return what `fill` gives as an event alone."""
        if self._sse is None:
            self._sse = sse_event(self._text)
        return self._sse % _in_bytes(values)


def _in_bytes(values: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): text.encode() for name, text in values.items()}


class _Filled(Message):
    __slots__ = ("_template", "_values")

    def __init__(self, template: Template, values: Mapping[str, str]) -> None:
        super().__init__()
        self._template = template
        self._values = values

    def _make_text(self) -> str:
        return self._template.text(self._values)

    def _make_sse(self) -> bytes:
        return self._template.sse(self._values)
