"""Files that may become pictures, as they come: nothing is decoded here."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path

MOST_BYTES = 30_000_000

#: Names the way in which pictures are made. Another way gives another hash, as what is stored and
#: cached under one never changes: so this is to be counted up with every change of what is made.
_WAY = b"1\n"


class PictureError(ValueError):
    """A file that can't be a product's picture; one line names the file and says why."""


def hash_of(original: bytes) -> str:
    """Return the hash of a picture: of its file, and of the way in which pictures are made."""
    return hashlib.sha256(_WAY + original).hexdigest()[:32]


def is_address(reference: str) -> bool:
    """Tell whether what an operator's file says of a picture is an address on the web."""
    return reference[:8].lower().startswith(("http://", "https://"))


def check_size(length: int, name: str) -> None:
    """Raise `PictureError` for a file of so many bytes that it can't be a picture here."""
    if length > MOST_BYTES:
        raise PictureError(f"{name!r} has more than {MOST_BYTES // 1_000_000} MB")


def read_file(path: Path) -> bytes:
    """Return what is in a file, with a byte more than `MOST_BYTES` at most.

    Raises `PictureError` for what isn't a plain file (a symbolic link, too), or can't be read.
    """
    try:
        # Not through a link, and without waiting for a pipe's other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise PictureError(f"{path.name!r} is not a plain file")
            return file.read(MOST_BYTES + 1)
    except PictureError:
        raise
    except (OSError, ValueError) as error:
        raise PictureError(f"{path.name!r} can't be read: {_reason(error)}") from None


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return "it is a link"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return "not a name of a file"
