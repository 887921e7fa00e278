"""The seats of a cart: its event streams, counted over all worker processes of one machine.

A browser opens six connections to an HTTP/1.1 origin, whichever worker answers. So the workers
keep one table, in a file that all have mapped: a row for each process, a column for each cart.
A process holds a lock on its row, which the kernel releases however the process ends; what a
dead one had counted is then nobody's. Nothing is ever waited for, and nothing has to be running.

Carts share columns by their hash. Where two with open streams do, some tab of one may be told
to take a WebSocket although there was a seat left: it will be as live as the others.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import struct
import time
from pathlib import Path
from zlib import crc32

log = logging.getLogger(__name__)

#: How many processes have a row: workers, and those that are on their way out.
ROWS = 256

#: How many columns there are.
COLUMNS = 65536

#: How often it is looked which processes are alive, in seconds. A new one is seen at once.
LOOK = 1.0

_CELL = 2  # bytes: more streams than any process has of one cart
_ROW = COLUMNS * _CELL
_HEAD = mmap.PAGESIZE  # begins with a random mark, written by each process that comes
_MARK = 8


class Seats:
    """One process's view of the table, and its own row in it.

    Made without touching the disk; the row is claimed with the first count.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._row: int | None = None
        self._opened = False
        self._others: list[int] = []
        self._mark = b""
        self._look_at = 0.0

    def take(self, cart: str, own: int, most: int) -> bool:
        """Take a seat for a further event stream of a cart, if there is one.

        Whoever was given one gives it back; at the latest when `count` has counted the stream.
        It is counted before others' counts are read: two processes can't both take the last one.

        Args:
            cart: any name of the cart, the same in all processes.
            own: how many event streams of it this process has.
            most: how many there may be on this machine.
        """
        self.count(cart, 1)
        if own + 1 + self._elsewhere(cart) <= most:
            return True
        self.count(cart, -1)
        return False

    def give_back(self, cart: str) -> None:
        """Give back a seat that was taken."""
        self.count(cart, -1)

    def count(self, cart: str, change: int) -> None:
        """Count event streams of a cart that came (1) or went (-1)."""
        if self._claimed():
            self._cells[self._row * COLUMNS + _column(cart)] += change  # type: ignore[operator]

    def _elsewhere(self, cart: str) -> int:
        """Count a cart's event streams in the other processes that are alive."""
        if not self._claimed():
            return 0
        now, mark = time.monotonic(), self._map[:_MARK]
        if now >= self._look_at or mark != self._mark:
            self._others = self._living()
            self._look_at, self._mark = now + LOOK, mark
        column = _column(cart)
        return sum(self._cells[row * COLUMNS + column] for row in self._others)

    def _claimed(self) -> bool:
        """Claim a row, once. Without one, this process counts for itself, as a single one does."""
        if not self._opened:
            self._opened = True
            try:
                self._claim()
            except OSError as error:
                log.warning("event streams are counted by each process for itself: %s", error)
        return self._row is not None

    def _claim(self) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            row = self._prepare_row()
        except OSError:
            os.close(self._descriptor)
            raise
        self._row = row
        self._map[:_MARK] = os.urandom(_MARK)  # from now on the others look at this row

    def _prepare_row(self) -> int:
        os.ftruncate(self._descriptor, _HEAD + ROWS * _ROW)
        row = next((row for row in range(ROWS) if self._lock(row)), None)
        if row is None:
            raise OSError(f"all {ROWS} rows of {self._file} are taken")
        # Without room on the disk it is this that fails, and no write to the mapped file later.
        os.posix_fallocate(self._descriptor, 0, _HEAD)
        os.posix_fallocate(self._descriptor, _HEAD + row * _ROW, _ROW)
        self._map = mmap.mmap(self._descriptor, _HEAD + ROWS * _ROW)
        self._cells = memoryview(self._map)[_HEAD:].cast("H")
        start = _HEAD + row * _ROW
        self._map[start : start + _ROW] = bytes(_ROW)
        return row

    def _lock(self, row: int) -> bool:
        """Lock a row for as long as this process lives; tell whether it was free.

        The lock belongs to the open file (OFD): two views in one process are two processes.
        """
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, row, 1))
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _living(self, first: int = 0, end: int = ROWS) -> list[int]:
        """Return the rows that other processes hold, of those from `first` to before `end`."""
        asked = _flock(fcntl.F_WRLCK, first, end - first)
        answer = fcntl.fcntl(self._descriptor, fcntl.F_OFD_GETLK, asked)
        kind, _, row, _, _ = struct.unpack(_FLOCK, answer)
        if kind == fcntl.F_UNLCK:
            return []
        # Some row that is held, not the first of them.
        before = self._living(first, row) if row > first else []
        after = self._living(row + 1, end) if row + 1 < end else []
        return [*before, row, *after]


_FLOCK = "hhqqi4x"  # struct flock of 64-bit Linux


def _flock(kind: int, start: int, length: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, start, length, 0)


def _column(cart: str) -> int:
    return crc32(cart.encode()) % COLUMNS
