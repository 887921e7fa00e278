"""Messages on the wire, read back by other means than those that wrote them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shop.framing import HEARTBEAT_COMMENT, sse_event, websocket_text_frame
from tests.shopper import Event, EventReader

#: Texts in which every kind of line end is likely.
TEXTS = st.text(
    st.one_of(
        st.sampled_from("\r\n"),
        st.sampled_from("\u2028\u2029\x0b\x0c\x85: \t\0"),
        st.characters(codec="utf-8"),
    )
)


def as_a_browser_joins_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@given(TEXTS)
@example("")
@example("one line")
@example("two\nlines")
@example("two\rlines")
@example("two\r\nlines")
@example("\r\n\r\r\n\n")
@example("two\u2028lines\u2029and\x85more\x0b\x0c")
@example(" leading space, data: and : a colon")
def test_any_text_arrives_as_one_event_with_its_lines(text: str) -> None:
    assert EventReader().feed(sse_event(text)) == [Event(as_a_browser_joins_lines(text))]


@given(st.lists(TEXTS, max_size=5), st.integers(1, 7))
def test_events_stay_apart_however_they_are_cut_on_the_way(texts: list[str], size: int) -> None:
    wire = HEARTBEAT_COMMENT.join([b"", *map(sse_event, texts), b""])
    reader = EventReader()
    pieces = [wire[at : at + size] for at in range(0, len(wire), size)]
    events = [event for piece in pieces for event in reader.feed(piece)]
    assert events == [Event(as_a_browser_joins_lines(text)) for text in texts]
    assert reader.comments == len(texts) + 1


def test_an_event_can_have_a_name() -> None:
    assert EventReader().feed(sse_event("", event="overflow")) == [Event("", "overflow")]


def test_a_heartbeat_is_a_comment_and_no_event() -> None:
    reader = EventReader()
    assert (reader.feed(HEARTBEAT_COMMENT), reader.comments) == ([], 1)


def test_a_megabyte_arrives_whole() -> None:
    text = "x" * (1 << 20)
    assert EventReader().feed(sse_event(text)) == [Event(text)]
    assert read_frame(websocket_text_frame(text)) == text


def read_frame(frame: bytes) -> str:
    """Read one unmasked, final text frame as RFC 6455, section 5.2, describes it."""
    assert frame[0] == 0b1000_0001, "final, text"
    assert frame[1] < 128, "a server's frame has no mask"
    length, start = frame[1], 2
    if length >= 126:
        start = 4 if length == 126 else 10
        length = int.from_bytes(frame[2:start], "big")
        assert length > (125 if start == 4 else 65535), "the shortest way to say the length"
    assert len(frame) == start + length
    return frame[start:].decode()


@given(TEXTS)
def test_any_text_arrives_in_a_frame(text: str) -> None:
    assert read_frame(websocket_text_frame(text)) == text


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 65537])
def test_a_frame_says_its_length_whichever_way_that_is_said(size: int) -> None:
    text = "é" * (size // 2) + "x" * (size % 2)
    assert len(text.encode()) == size
    assert read_frame(websocket_text_frame(text)) == text
