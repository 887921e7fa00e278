"""Asking the serving processes of one machine, each by a Unix socket in a folder of the shop's.

A process that is gone refuses at once, and its socket is cleared away. One that is there but
says nothing is given up after a while.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

#: How long somebody who asked may take to read, in seconds.
READING = 5.0

_ENDING = ".sock"

_DESCRIPTORS = Path("/proc/self/fd")

#: A question, and its answer in pieces.
Answer = Callable[[str], Iterator[bytes]]


def listen(folder: Path, name: str) -> socket.socket:
    """Open the socket by which the process with this name is asked. Only its own user may.

    It is made under another name, so that nobody finds it before it listens and takes it for
    one that was left behind.

    Raises:
        OSError: the folder can't be made or written.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short_path(folder) as short:
            draft, final = short / f".{name}", short / f"{name}{_ENDING}"
            draft.unlink(missing_ok=True)
            listener.bind(str(draft))
            draft.chmod(0o600)
            listener.listen(64)
            draft.rename(final)
    except BaseException:
        listener.close()
        raise
    atexit.register(_clear_away, folder / f"{name}{_ENDING}")
    return listener


def serve(listener: socket.socket, answer: Answer) -> None:
    """Answer whoever asks, for ever, each in a thread (under gevent: a greenlet) of its own."""
    while True:
        try:
            asking, _ = listener.accept()
        except OSError as error:
            log.warning("nobody can ask this server what is open: %s", error)
            time.sleep(1.0)
            continue
        threading.Thread(target=_serve_one, args=(asking, answer), daemon=True).start()


def _serve_one(asking: socket.socket, answer: Answer) -> None:
    with asking:
        try:
            asking.settimeout(READING)
            for piece in answer(asking.recv(64).decode("ascii", "replace").strip()):
                asking.sendall(piece)
        except OSError:
            pass  # who asked is gone
        except Exception:
            log.exception("what is open could not be reported")


def names_in(folder: Path) -> list[str]:
    """Return the names of the processes whose sockets lie in a folder, be they alive or not.

    Raises:
        PermissionError: the folder is another user's.
    """
    try:
        return sorted(path.stem for path in folder.iterdir() if path.name[0] != ".")
    except FileNotFoundError:
        return []


def ask_all(
    folder: Path, names: list[str], question: str, patience: float
) -> dict[str, bytes | None]:
    """Ask the processes with these names.

    Args:
        patience: for how many seconds a process may say nothing.

    Returns:
        What those that are there answered, None if nothing, by their names.
    """
    if not names:
        return {}
    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        texts = list(pool.map(lambda name: _ask(folder, name, question, patience), names))
    return {name: a or None for name, a in zip(names, texts, strict=True) if a is not _GONE}


_GONE = object()


def _ask(folder: Path, name: str, question: str, patience: float) -> Any:
    asking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with asking, _short_path(folder) as short:
        path = short / f"{name}{_ENDING}"
        asking.settimeout(patience)
        try:
            asking.connect(str(path))
            asking.sendall(f"{question}\n".encode())
            return b"".join(iter(lambda: asking.recv(1 << 16), b"")) or None
        except ConnectionRefusedError:
            _clear_away(path)
            return _GONE
        except FileNotFoundError:  # it has just closed
            return _GONE
        except OSError:
            return None


@contextmanager
def _short_path(folder: Path) -> Iterator[Path]:
    """Give a folder's path by way of a descriptor: that of a socket may have 107 bytes at most.

    Where the system has no /proc, it is the folder's own.
    """
    if not _DESCRIPTORS.exists():
        yield folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield _DESCRIPTORS / str(descriptor)
    finally:
        os.close(descriptor)


def _clear_away(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
