"""Where a command is to read or write: told before it starts, so that nothing is half-done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click


class NewPlace(click.ParamType[Path]):
    """A file or a folder that may be there or not; above it is a folder.

    Args:
        kind: `file` or `folder`.
        deep: whether folders that lead to it are made as well.
    """

    def __init__(self, kind: str, *, deep: bool = False) -> None:
        self.name = kind
        self._deep = deep

    def convert(
        self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        path = Path(value)
        if not str(value):
            self.fail(f"no {self.name} is named", param, ctx)
        try:
            fault = self._fault(path)
        except OSError as error:
            fault = error.strerror or "it can't be looked at"
        if fault:
            self.fail(f"{str(value)!r} can't be written: {fault}", param, ctx)
        return path

    def _fault(self, path: Path) -> str:
        if _is_there(path):  # a device, which must not be replaced, is no file
            is_right = path.is_dir() if self.name == "folder" else path.is_file()
            return "" if is_right else f"it is no {self.name}"
        above = path.parent
        while self._deep and not _is_there(above):
            above = above.parent
        return "" if above.is_dir() else f"there is no folder {str(above)!r}"


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


@contextmanager
def replacing(file: Path, mode: int = 0o666) -> Iterator[TextIO]:
    """Give a file to write CSV into, that takes this one's place once it is whole.

    Args:
        mode: who may open it, before the umask.
    """
    place = file.resolve()  # what a link leads to is replaced, and not the link
    beside = place.with_name(f".{place.name}.{os.getpid()}")

    def opener(path: str, flags: int) -> int:
        return os.open(path, flags, mode)

    try:
        with open(beside, "w", encoding="utf-8", newline="", opener=opener) as out:
            yield out
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)


NEW_FILE = NewPlace("file")
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
