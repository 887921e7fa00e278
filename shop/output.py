"""What the process writes to its standard streams: written by a thread, so that nobody waits.

Who reads a log may stand still: a pipe that is full, a terminal under Ctrl-S, a disk that hangs.
A write to it then waits, and in a server the loop would wait with it. Making the descriptor
non-blocking is no way out: the other processes that have it open would find theirs so, too.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from _queue import Empty, SimpleQueue  # the thread's own: gevent replaces the one in `queue`
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

#: How many bytes may wait to be written; what comes beyond that is dropped and counted.
MOST_WAITING = 1024 * 1024

#: How many lines are written in one piece.
_BATCH = 500

#: For how long lines are gathered after some were written, in seconds: a thread that woke up for
#: each would take its turn from the loop as often.
_GATHER = 0.02

#: How long a process that ends waits for its reader, in seconds.
TIMEOUT = 0.5

#: Says in a line of the log how many lines were dropped.
ReportDropped = Callable[[int], str]


def open_standard_streams() -> None:
    """Open those that were closed (`2>&-`) on nothing, before other files take their numbers."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, open(descriptor, mode, closefd=False))  # noqa: SIM115


class Output:
    """Lines for one descriptor; writing one never waits and never fails."""

    def __init__(self, stream: TextIO, report_dropped: ReportDropped) -> None:
        """Take a stream, whose descriptor is written to past it."""
        self._stream = stream  # which closes its descriptor when nobody holds it any more
        self._descriptor = stream.fileno()
        self._encoding = stream.encoding
        self._report_dropped = report_dropped
        self._begin()
        os.register_at_fork(after_in_child=self._begin)
        atexit.register(self.flush)

    def _begin(self) -> None:
        """Begin with nothing: a child has no threads, and its parent writes what waits there."""
        self._waiting: SimpleQueue[bytes] = SimpleQueue()
        self._writes = False
        # Each of these has one thread that changes it. Bytes that were given and are done with:
        self._given = self._done = 0
        # Lines that found no room, that could not be written, and of which the log says so:
        self._refused = self._failed = self._admitted = 0
        #: whether the last line was cut off in its middle
        self._torn = False

    @property
    def dropped(self) -> int:
        """How many lines were not written and never will be."""
        return self._refused + self._failed

    @property
    def waiting(self) -> int:
        """How many bytes are still to be written."""
        return self._given - self._done

    def write(self, line: str) -> None:
        """Write a line, with its end; drop it if too much waits already."""
        if self.waiting > MOST_WAITING:
            self._refused += 1
            return
        data = line.encode(self._encoding, "backslashreplace")
        self._given += len(data)
        self._waiting.put(data)
        if not self._writes:
            self._writes = True
            # A real thread, also where gevent has put greenlets into the place of threads.
            _own("_thread", "start_new_thread")(self._write_all, ())

    def flush(self, timeout: float = TIMEOUT) -> None:
        """Wait until everything is written, but not for long."""
        deadline = time.monotonic() + timeout
        while self.waiting and time.monotonic() < deadline:
            _sleep(0.002)

    def _write_all(self) -> None:
        while True:
            lines = self._next_lines()
            dropped = self.dropped
            try:
                self._write(b"".join([*lines, self._about(dropped - self._admitted)]))
                self._admitted = dropped
            except OSError:
                self._failed += len(lines)
            self._done += sum(map(len, lines))
            _sleep(_GATHER)

    def _next_lines(self) -> list[bytes]:
        lines = [self._waiting.get()]
        with suppress(Empty):
            while len(lines) < _BATCH:
                lines.append(self._waiting.get_nowait())
        return lines

    def _about(self, dropped: int) -> bytes:
        """Return the line that says how many are missing, if any are."""
        line = self._report_dropped(dropped) if dropped else ""
        return line.encode(self._encoding, "backslashreplace")

    def _write(self, data: bytes) -> None:
        if self._torn:
            data = b"\n" + data
        while data:
            try:
                written = os.write(self._descriptor, data)
            except BlockingIOError:  # another process has made it non-blocking
                _sleep(_GATHER)
                continue
            self._torn = data[written - 1 : written] != b"\n"
            data = data[written:]


def _sleep(seconds: float) -> None:
    """Sleep as a thread does, not as a greenlet."""
    _own("time", "sleep")(seconds)


def _own(module: str, name: str) -> Any:
    """Return what a module of Python's has itself, whatever gevent has put into its place."""
    from gevent.monkey import get_original  # commands do without, and start sooner

    return get_original(module, name)
