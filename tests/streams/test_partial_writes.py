"""The kernel takes a part of a message: what a tab reads is whole all the same, and in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import gevent
import gevent.socket
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shop.framing import Message
from shop.web.sockets import WholeFrames
from tests.support.line import TOPICS, Line
from tests.support.wire import FrameReader


def few_messages(line: Line) -> None:
    line.begin()
    line.tell("cart", "\r\n one\r two\u2028\n")
    line.tell("stock", "")
    line.hub.beat()
    line.tell_all()
    line.tell("cart", "é\r")


def length_of(send: Callable[[Line], None]) -> int:
    """Return how many bytes are written if there is room for all."""
    with Line(1 << 20) as line:
        send(line)
        return (1 << 20) - int(line.room)


def test_a_stream_is_whole_wherever_the_kernel_stopped_taking_it() -> None:
    length = length_of(few_messages)
    assert length > 150
    for place in range(length + 1):
        with Line(place) as line:
            few_messages(line)
            read = line.read()
            line.check(read)
            if place >= length:
                assert read == line.told


def test_a_stream_is_whole_when_the_kernel_takes_it_byte_by_byte() -> None:
    with Line(0) as line:
        few_messages(line)
        for _ in range(length_of(few_messages)):
            line.room = 1
            gevent.sleep(0)
        line.check(line.read())


#: What can happen on a line: room for so many bytes, a message on a topic or on all, a heartbeat, a
#: turn of the loop in which what waits is written.
HAPPENINGS = st.lists(
    st.one_of(
        st.integers(0, 60),
        st.tuples(st.sampled_from(TOPICS), st.sampled_from(["", "\r", "\n\n", "x" * 70])),
        st.sampled_from(["beat", "turn", "all"]),
    ),
    max_size=40,
)


@given(st.integers(0, 100), HAPPENINGS, HAPPENINGS)
@example(60, [("cart", ""), ("stock", ""), 9, "turn", ("cart", "")], [3, "turn", "beat", "turn"])
def test_whatever_comes_between_a_stream_is_whole_and_ends_with_the_newest(
    room: int, before: list[object], after: list[object]
) -> None:
    with Line(room) as line:
        line.begin()
        for happening in (*before, *after):
            happen(line, happening)
        line.check(line.read())


def happen(line: Line, what: object) -> None:
    match what:
        case int():
            line.room += what
        case "beat":
            line.hub.beat()
        case "all":
            line.tell_all()
        case "turn":
            gevent.sleep(0)
        case (str(topic), str(filler)):
            line.tell(topic, filler)


# --- WebSockets -------------------------------------------------------------------------------


#: What the shop answers to an empty ping.
PONG = b"\x8a\x00"


class Dribbling:
    """A connection that takes so many bytes at a time, and lets others run in between."""

    def __init__(self, size: int) -> None:
        self.taken = b""
        self._size = size

    def sendall(self, data: bytes) -> None:
        for place in range(0, len(data), self._size):
            self.taken += data[place : place + self._size]
            time.sleep(0)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 20])
def test_frames_of_two_writers_never_interleave(size: int) -> None:
    line = Dribbling(size)
    frames = WholeFrames(line)
    texts = [f"{number}: {'é' * number}" for number in range(40)]

    def answer_pings() -> None:
        for _ in texts:
            frames.send(PONG)

    other = threading.Thread(target=answer_pings)
    other.start()
    for text in texts:
        assert frames.send(Message(text).websocket) == len(Message(text).websocket)
    other.join()
    reader = FrameReader()
    assert reader.feed(line.taken) == texts
    assert reader.comments == len(texts)
