"""The shop's files are closed to all but its own user.

There are buyers' addresses in it, and the key that signs cookies. What the shop makes is made
closed, whatever the umask. What was there before is closed as far as the shop made it itself.
"""

from __future__ import annotations

import logging
import os
import stat
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

#: Lets others list or change a folder. To pass through it, as a web server does to the static
#: files, is another thing.
_OPEN = 0o066


def make_file(file: Path) -> None:
    """Make an empty file that only its owner may open; one that is there stays as it is.

    Why one can't be made, whoever opens it says better.
    """
    with suppress(OSError):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.fchmod(descriptor, 0o600)
        os.close(descriptor)


def close_database(file: Path) -> None:
    """Close a database file and its journals to others; a group that was let in may stay."""
    if not file.exists():
        return
    mode = _mode(file) & 0o660 | 0o600
    for path in (file, *(file.with_name(f"{file.name}{ending}") for ending in ("-wal", "-shm"))):
        if path.exists() and _mode(path) != mode:
            _change(path, mode)


def close_folder(folder: Path, *, own: bool) -> None:
    """Close the instance folder to others, or say that they may look into it.

    Args:
        own: whether it is where the shop puts it by itself. One that an operator chose may be
            open for a reason: nothing is changed of that.
    """
    if not _mode(folder) & _OPEN:
        return
    if own:
        _change(folder, 0o700)
    else:
        log.warning("others may look into the folder %s: chmod 700 closes it", folder)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _change(path: Path, mode: int) -> None:
    try:
        path.chmod(mode)
    except OSError as error:  # another user's
        log.warning("others may look into %s: %s", path, error.strerror)
