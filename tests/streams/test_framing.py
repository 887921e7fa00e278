"""Messages on the wire, read back by other means than those that wrote them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shop.framing import (
    HEARTBEAT_EVENT,
    HEARTBEAT_FRAME,
    Joined,
    Message,
    Template,
    sse_event,
)
from tests.support.wire import Event, EventReader, FrameReader, as_a_browser_joins_lines

MEGABYTE = 1 << 20

#: Each way in which lines end, or seem to.
LINES = {
    "empty": "",
    "one line": "one line",
    "LF": "two\nlines",
    "CR": "two\rlines",
    "CRLF": "two\r\nlines",
    "all kinds of ends": "\n\na\r\rb\r\n\r\nc\n\rd\r\r\n\n",
    "ends at the ends": "\r\nin between\r",
    "only ends": "\r\n\r\r\n\n",
    "what other languages take for ends": "two\u2028lines\u2029and\x85more\x0b\x0c\x1c\x1e",
    "spaces and colons": " leading, data: and : a colon\n: no comment\n data\n\tx",
    "names of fields": "data\nevent: overflow\nid: 1\nretry: 0\ndata: data: x",
    "characters of each length": "aé€🛒\0\ufeff\ufffd",
    "a mark at the start": "\ufeffmarked",
}

#: Texts in which every kind of line end is likely.
TEXTS = st.text(
    st.one_of(
        st.sampled_from("\r\n"),
        st.sampled_from("\u2028\u2029\x0b\x0c\x85: \t\0\ufeff"),
        st.characters(codec="utf-8"),
    )
)

HEARTBEAT = Event("", "beat")

any_text = pytest.mark.parametrize("text", LINES.values(), ids=LINES.keys())


def cut(wire: bytes, at: Iterable[int]) -> Iterator[bytes]:
    """Cut what is sent into pieces, before each of these positions."""
    places = sorted({0, len(wire), *(place % (len(wire) + 1) for place in at)})
    return (wire[start:end] for start, end in itertools.pairwise(places))


def events_in(pieces: Iterable[bytes]) -> list[Event]:
    reader = EventReader()
    return [event for piece in pieces for event in reader.feed(piece)]


def frames_in(pieces: Iterable[bytes]) -> list[object]:
    reader = FrameReader()
    return [text for piece in pieces for text in reader.feed(piece)]


def as_events(texts: Iterable[str]) -> list[Event]:
    return [Event(as_a_browser_joins_lines(text)) for text in texts]


# --- The reader itself: examples of the HTML standard, section 9.2.6 -------------------------


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        ("data: YHOO\ndata: +2\ndata: 10\n\n", [Event("YHOO\n+2\n10")]),
        (
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  3rd\n\n",
            [Event("first event"), Event("second event"), Event(" 3rd")],
        ),
        ("data\n\ndata\ndata\n\ndata:", [Event(""), Event("\n")]),
        ("data:test\n\ndata: test\n\n", [Event("test"), Event("test")]),
        ("event: add\rdata: 73857293\r\revent: x\r\n\r\n", [Event("73857293", "add")]),
        ("\ufeffdata: marked\n\n", [Event("marked")]),
        ("unknown: x\ndata\u2028: x\n\n", []),
    ],
)
def test_the_reference_reads_a_stream_as_the_standard_says(
    stream: str, events: list[Event]
) -> None:
    wire = stream.encode()
    assert events_in([wire]) == events_in(cut(wire, range(len(wire)))) == events


def test_the_reference_keeps_what_a_stream_says_of_coming_back() -> None:
    reader = EventReader()
    reader.feed(b"id: 7\nretry: 2500\nretry: soon\n\nid: a\0b\n:\n\n")
    assert (reader.last_id, reader.retry, reader.comments) == ("7", 2500, 1)


# --- Any text ---------------------------------------------------------------------------------


@any_text
def test_a_text_arrives_as_one_event_wherever_it_is_cut(text: str) -> None:
    wire = Message(text).sse
    for place in range(len(wire) + 1):
        assert events_in(cut(wire, [place])) == as_events([text])
    assert events_in(cut(wire, range(len(wire)))) == as_events([text])


@any_text
def test_a_text_arrives_in_one_frame_wherever_it_is_cut(text: str) -> None:
    wire = Message(text).websocket
    for place in range(len(wire) + 1):
        assert frames_in(cut(wire, [place])) == [text]
    assert frames_in(cut(wire, range(len(wire)))) == [text]


@given(st.lists(TEXTS, max_size=6), st.lists(st.integers(0, 1 << 16), max_size=12))
@example([""] * 6, [])
@example(["\r", "\n"], range(1 << 8))
def test_events_stay_apart_however_they_are_cut_on_the_way(
    texts: list[str], at: Sequence[int]
) -> None:
    wire = HEARTBEAT_EVENT.join([b"", *(Message(text).sse for text in texts), b""])
    reader = EventReader()
    events = [event for piece in cut(wire, at) for event in reader.feed(piece)]
    assert [event for event in events if event != HEARTBEAT] == as_events(texts)
    assert events.count(HEARTBEAT) == len(texts) + 1


@given(st.lists(TEXTS, max_size=6), st.lists(st.integers(0, 1 << 16), max_size=12))
@example([""] * 6, [])
def test_frames_stay_apart_however_they_are_cut_on_the_way(
    texts: list[str], at: Sequence[int]
) -> None:
    wire = HEARTBEAT_FRAME.join([b"", *(Message(text).websocket for text in texts), b""])
    reader = FrameReader()
    read = [text for piece in cut(wire, at) for text in reader.feed(piece)]
    assert (read[::2], read[1::2]) == ([""] * (len(texts) + 1), texts)


@given(TEXTS)
def test_a_stream_says_nothing_but_data(text: str) -> None:
    wire = Message(text).sse
    assert wire.endswith(b"\n\n") and b"\r" not in wire
    assert all(line.startswith(b"data: ") for line in wire[:-2].split(b"\n"))


def test_an_event_can_have_a_name() -> None:
    assert events_in([sse_event("", event="overflow")]) == [Event("", "overflow")]


def test_a_heartbeat_is_something_that_a_page_sees() -> None:
    assert events_in([HEARTBEAT_EVENT]) == [HEARTBEAT]
    assert frames_in([HEARTBEAT_FRAME]) == [""]


# --- Several texts as one, and templates -------------------------------------------------------


@given(st.lists(TEXTS, min_size=1, max_size=5), st.lists(st.integers(0, 1 << 16), max_size=5))
@example(["", "\r", "\n"], [])
def test_messages_that_are_joined_arrive_as_one(texts: list[str], at: Sequence[int]) -> None:
    joined = Joined(Message(text) for text in texts)
    lines = "\n".join(map(as_a_browser_joins_lines, texts))
    assert events_in(cut(joined.sse, at)) == [Event(lines)]
    assert frames_in(cut(joined.websocket, at)) == [joined.text]
    assert as_a_browser_joins_lines(joined.text) == as_a_browser_joins_lines("\n".join(texts))


PLACEHOLDERS = {"version": "{version}", "ref": "{ref}"}


@given(
    st.lists(st.one_of(TEXTS, st.sampled_from(["%", "%s", "%(ref)s", "%%"]))),
    st.lists(st.sampled_from(list(PLACEHOLDERS))),
    st.fixed_dictionaries(
        dict.fromkeys(PLACEHOLDERS, st.sampled_from(["", "17", "%s", "é", "%(ref)s"]))
    ),
)
@example(["100%", "%(version)s", ""], ["ref", "version", "ref"], {"version": "1", "ref": "%"})
def test_a_template_is_filled_as_if_the_text_had_been_written_so(
    texts: list[str], names: list[str], values: dict[str, str]
) -> None:
    pieces = list(itertools.zip_longest(texts, names))
    marked = "".join((text or "") + PLACEHOLDERS.get(name or "", "") for text, name in pieces)
    written = "".join((text or "") + values.get(name or "", "") for text, name in pieces)
    template = Template(marked, PLACEHOLDERS)
    filled = template.fill(**values)
    assert filled.text == template.text(values) == written
    assert filled.sse == template.sse(values) == Message(written).sse
    assert filled.websocket == Message(written).websocket


# --- Much text --------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", ["x", "é", "🛒", "\n", "\r", "\r\n", "\u2028", "a line\r\n"])
def test_a_megabyte_arrives_whole(piece: str) -> None:
    text = piece * (MEGABYTE // len(piece.encode()))
    for size in (1 << 16, 1460, MEGABYTE * 8):
        message = Message(text)
        assert events_in(cut(message.sse, range(0, len(message.sse), size))) == as_events([text])
        assert frames_in(cut(message.websocket, range(0, len(message.websocket), size))) == [text]


@settings(max_examples=20)
@given(st.integers(-2, 2), st.sampled_from([125, 1 << 16, MEGABYTE]), st.integers(1, 20))
def test_a_frame_says_its_length_whichever_way_that_is_said(
    off: int, size: int, place: int
) -> None:
    length = size + off
    text = "é" * (length // 2) + "x" * (length % 2)
    assert len(text.encode()) == length
    wire = Message(text).websocket
    assert frames_in(cut(wire, [place])) == [text]
    assert wire[1] < 128, "a server's frame has no mask"
