"""A file as rows of cells, each with the number of its line; what is no such file is refused."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from shop.catalog.cells import LONGEST_CELL, check_text
from shop.catalog.entries import CatalogError

#: How long a file may be, in bytes, and how many rows it may have: some three times what the
#: largest catalogue needs, and what fits into memory.
MOST_BYTES = 100_000_000
MOST_ROWS = 300_000

#: How long one line may be, in bytes: a description has some thousand.
_LONGEST_LINE = 1_000_000

#: What separates cells: Excel writes semicolons where commas are for decimals.
_SEPARATORS = ",;\t"

#: Called with how many bytes were read since the last call.
Progress = Callable[[int], object]

Row = tuple[int, list[str]]


@contextmanager
def open_rows(
    path: Path, progress: Progress = lambda read: None
) -> Iterator[tuple[str, Iterator[Row]]]:
    """Open a CSV file in UTF-8, with or without a byte order mark.

    Yields:
        What separates its cells, and its rows but for the blank ones, the headings first, each
        with the number of the line on which it begins.

    Raises:
        CatalogError: it is no such file; also while it is read.
        OSError: it can't be opened.
    """
    if path.stat().st_size > MOST_BYTES:
        size, most = path.stat().st_size // 1_000_000, MOST_BYTES // 1_000_000
        raise CatalogError(f"the file has {size} MB; {most} MB are the most")
    with path.open("rb") as file:
        lines = _lines(file, progress)
        first = next(lines, "")
        separator = max(_SEPARATORS, key=first.count)
        yield separator, _rows(first, lines, separator)


def _rows(first: str, lines: Iterator[str], separator: str) -> Iterator[Row]:
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(_chain(first, lines), delimiter=separator, strict=True)
    began, rows = 1, 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise CatalogError(_said(error), began) from None
        if any(cells):
            rows += 1
            for cell in cells:
                check_text(cell, began)
            yield began, cells
        if rows > MOST_ROWS:
            raise CatalogError(f"the file has more than {MOST_ROWS:,} rows", began)
        began = reader.line_num + 1


def _chain(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines


def _said(error: csv.Error) -> str:
    said = str(error)
    if "unexpected end" in said or "field larger" in said:
        return f"a quote is opened here and not closed, or a cell has over {LONGEST_CELL:,} letters"
    if "new-line" in said:
        return "a line ends in a way that CSV doesn't know; save the file as 'CSV UTF-8'"
    return f"its quotes are not those of CSV: {said}"


def _lines(file: BinaryIO, progress: Progress) -> Iterator[str]:
    number = total = 0
    while raw := file.readline(_LONGEST_LINE):
        number, total = number + 1, total + len(raw)
        if total > MOST_BYTES:  # a pipe, or a file that grows
            raise CatalogError(f"the file has more than {MOST_BYTES // 1_000_000} MB")
        if number == 1:
            raw = _without_mark(raw)
        yield _decoded(raw, number)
        progress(len(raw))


def _without_mark(raw: bytes) -> bytes:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise CatalogError("the file is in UTF-16; save it as 'CSV UTF-8'", 1)
    return raw.removeprefix(b"\xef\xbb\xbf")


def _decoded(raw: bytes, number: int) -> str:
    if b"\0" in raw:
        raise CatalogError("there is a NUL byte: this is no text file", number)
    if len(raw) == _LONGEST_LINE:
        raise CatalogError(f"the line has more than {_LONGEST_LINE:,} bytes", number)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        byte = raw[error.start]
        why = f"the byte 0x{byte:02X} is not UTF-8; save the file as 'CSV UTF-8'"
        raise CatalogError(why, number) from None
