"""A table of small numbers that all processes of one machine share: each writes a row of its own.

It is a file that all have mapped. A process holds a lock on its row, which the kernel releases
however the process ends; what a dead one had written is then nobody's. Nothing is ever waited
for, and nothing has to be running.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import struct
import time
from pathlib import Path
from typing import Literal

log = logging.getLogger(__name__)

#: How many processes have a row: workers, and those that are on their way out.
ROWS = 256

#: How many columns there are.
COLUMNS = 65536

#: How often it is looked which processes are alive, in seconds. A new one is seen at once.
CHECK = 1.0

_HEAD = mmap.PAGESIZE  # begins with a random mark, written by each process that comes
_MARK = 8


class SharedTable:
    """One process's view of the table, and its own row in it.

    Made without touching the disk; the row is claimed with its first use. Without one, as on a
    disk that is full, this process has a row in its own memory, and sees nobody else's.
    """

    def __init__(self, file: Path, cell: Literal["H", "Q"]) -> None:
        """Take the file, and how wide a cell is, in the words of struct: 16 or 64 bits."""
        self._file = file
        self._format = cell
        self._row_size = COLUMNS * struct.calcsize(cell)
        self._start: int | None = None
        self._others: list[int] = []
        self._mark = b""
        self._check_at = 0.0
        self._map: mmap.mmap | None = None
        self._cells: memoryview[int]

    def own(self, column: int) -> int:
        """Return what this process has in a column."""
        start = self._claimed()
        return self._cells[start + column]

    def write(self, column: int, number: int) -> None:
        """Put a number into a column of this process's row."""
        start = self._claimed()
        self._cells[start + column] = number

    def others(self, column: int) -> list[int]:
        """Return what the other processes that are alive have in a column."""
        self._claimed()
        if self._map is None:
            return []
        now, mark = time.monotonic(), self._map[:_MARK]
        if now >= self._check_at or mark != self._mark:
            self._others = self._living()
            self._check_at, self._mark = now + CHECK, mark
        return [self._cells[row * COLUMNS + column] for row in self._others]

    def _claimed(self) -> int:
        """Claim a row, once; return the index of its first cell."""
        if self._start is None:
            try:
                self._claim()
            except OSError as error:
                log.warning("each process counts %s for itself: %s", self._file.name, error)
                self._map, self._start = None, 0
                self._cells = memoryview(bytearray(self._row_size)).cast(self._format)
        return self._start or 0

    def _claim(self) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            row = self._prepare_row()
        except OSError:
            os.close(self._descriptor)
            raise
        self._start = row * COLUMNS

    def _prepare_row(self) -> int:
        size = _HEAD + ROWS * self._row_size
        os.ftruncate(self._descriptor, size)
        row = next((row for row in range(ROWS) if self._lock(row)), None)
        if row is None:
            raise OSError(f"all {ROWS} rows of {self._file} are taken")
        # Without room on the disk it is this that fails, and no write to the mapped file later.
        start = _HEAD + row * self._row_size
        os.posix_fallocate(self._descriptor, 0, _HEAD)
        os.posix_fallocate(self._descriptor, start, self._row_size)
        self._map = mmap.mmap(self._descriptor, size)
        self._cells = memoryview(self._map)[_HEAD:].cast(self._format)
        self._map[start : start + self._row_size] = bytes(self._row_size)
        self._map[:_MARK] = os.urandom(_MARK)  # from now on the others look at this row
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
