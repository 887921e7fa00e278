"""How messages go over the wire: as server-sent events and as WebSocket frames.

A message is a text for tabs, encoded once however many of them it goes to. Most that is said of
ten thousand carts differs in nothing but their fingerprints: a `Stencil` is encoded once for all
of them, and only its gaps are filled anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

HEARTBEAT_COMMENT = b":\n\n"

#: An empty ping: browsers answer it, and a connection whose peer is gone fails by it.
WEBSOCKET_PING = b"\x89\x00"


class Message:
    """A text for tabs, and its encodings, made when first asked for."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def sse(self) -> bytes:
        return sse_event(self.text)

    @cached_property
    def websocket(self) -> bytes:
        return websocket_text_frame(self.text)


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

    def __init__(self, messages: Iterable[Message]) -> None:
        self._messages = list(messages)

    @cached_property
    def text(self) -> str:  # type: ignore[override]
        return "\n".join(message.text for message in self._messages)

    @cached_property
    def sse(self) -> bytes:
        # An event ends by an empty line: without it, the next one's lines are its own.
        return b"".join([message.sse[:-1] for message in self._messages]) + b"\n"


class Stencil:
    """A text with gaps, encoded once."""

    def __init__(self, text: str, gaps: Mapping[str, str]) -> None:
        """Take a text in which marks stand for what is to be filled in.

        Args:
            gaps: the mark of each gap by its name; marks stand nowhere else in the text.
        """
        self._text = text.replace("%", "%%")
        for name, mark in gaps.items():
            self._text = self._text.replace(mark, f"%({name})s")

    @cached_property
    def _sse(self) -> bytes:
        return sse_event(self._text)

    def fill(self, gaps: Mapping[str, str]) -> Message:
        """Return the text with its gaps filled, by name; nothing in them ends a line."""
        return _Filled(self, gaps)

    def text(self, gaps: Mapping[str, str]) -> str:
        """Return what `fill` gives as a text alone."""
        return self._text % gaps

    def sse(self, gaps: Mapping[str, str]) -> bytes:
        """Return what `fill` gives as an event alone."""
        return self._sse % {name.encode(): value.encode() for name, value in gaps.items()}


class _Filled(Message):
    def __init__(self, stencil: Stencil, gaps: Mapping[str, str]) -> None:
        self._stencil = stencil
        self._gaps = gaps

    @cached_property
    def text(self) -> str:  # type: ignore[override]
        return self._stencil.text(self._gaps)

    @cached_property
    def sse(self) -> bytes:
        return self._stencil.sse(self._gaps)
