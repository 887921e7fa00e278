"""Pictures as they are sent: from the database, laid out into the instance folder by each server.

There nginx finds them from then on. So several machines need no disk that they share.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from shop.db import Database
from shop.models.picture import read_rendition
from shop.pictures import paths


class Media:
    """The pictures of one shop."""

    def __init__(self, database: Database, instance: Path) -> None:
        self._database = database
        self._folder = instance / paths.FOLDER

    def read(self, picture_hash: str, name: str) -> bytes | None:
        """Return what is in a picture's file; None: there is none of this name.

        Raises:
            DatabaseBusy, DBAPIError: it is not laid out yet, and the database is away.
        """
        if not paths.can_be(picture_hash, name):
            return None
        file = self._folder / picture_hash / name
        with suppress(OSError):
            return file.read_bytes()
        content = read_rendition(self._database, picture_hash, name)
        if content is not None:
            with suppress(
                OSError
            ):  # a disk that is full or can only be read: it is sent all the same
                _lay_out(file, content)
        return content


def _lay_out(file: Path, content: bytes) -> None:
    """Put a file into its place, whole or not at all, however many processes do so at once.

    A web server with rights of its own may read it, whatever the umask is.
    """
    for folder in (file.parent.parent, file.parent):
        with suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(0o755)
    descriptor, draft = tempfile.mkstemp(prefix=".draft-", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())  # else a power cut leaves an empty file, served for ever
        Path(draft).chmod(0o644)
        Path(draft).replace(file)
    except BaseException:
        with suppress(OSError):
            Path(draft).unlink()
        raise
