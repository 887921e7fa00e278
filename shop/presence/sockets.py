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
from collections.abc import Callable, Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger(__name__)

#: For how many seconds a process that was asked may say nothing; and whoever asked, not read.
TIMEOUT, READING = 1.0, 5.0

_ENDING = ".sock"

#: The longest path by which a socket can be reached everywhere, in bytes.
_LONGEST = 100

#: A question, and its answer in pieces.
Answer = Callable[[str], Iterator[str]]


def serve(folder: Path, name: str, answer: Answer) -> None:
    """Answer whoever asks the process with this name, in threads (under gevent: greenlets).

    Only its own user may. The socket is made under another name, so that nobody finds it before it
    listens and takes it for one that was left behind.

    Raises:
        OSError: the folder can't be made or written.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    draft, path = folder / f"{name}.new", folder / f"{name}{_ENDING}"
    listener = socket.socket(socket.AF_UNIX)
    with _address(draft) as address:
        listener.bind(address)
    draft.chmod(0o600)
    listener.listen(64)
    draft.rename(path)
    atexit.register(_clear_away, path)
    threading.Thread(target=_accept, args=(listener, answer), name="presence", daemon=True).start()


def _accept(listener: socket.socket, answer: Answer) -> None:
    while True:
        try:
            asking, _ = listener.accept()
        except OSError as error:
            log.warning("nobody can ask this server what is open: %s", error)
            time.sleep(1.0)
        else:
            threading.Thread(target=_answer, args=(asking, answer), daemon=True).start()


def _answer(asking: socket.socket, answer: Answer) -> None:
    with asking, suppress(OSError):  # the asker may be gone
        asking.settimeout(READING)
        for piece in answer(asking.recv(64).decode("ascii", "replace")):
            asking.sendall(piece.encode())


def ask_all(folder: Path, question: str, but: Container[str]) -> dict[str, str]:
    """Ask the processes of this machine, but for some by their names.

    Returns:
        What those that are there answered, cut short where one fell silent, by their names.

    Raises:
        PermissionError: the folder is another user's.
    """
    try:
        paths = [p for p in folder.iterdir() if p.suffix == _ENDING and p.stem not in but]
    except FileNotFoundError:
        return {}
    with ThreadPoolExecutor(len(paths) or 1) as pool:
        answers = list(pool.map(lambda path: _ask(path, question), paths))
    return {p.stem: said for p, said in zip(paths, answers, strict=True) if said is not None}


def _ask(path: Path, question: str) -> str | None:
    said = []
    try:
        with socket.socket(socket.AF_UNIX) as asking, _address(path) as address:
            asking.settimeout(TIMEOUT)
            asking.connect(address)
            asking.sendall(question.encode())
            while some := asking.recv(1 << 16):
                said.append(some)
    except (ConnectionRefusedError, FileNotFoundError):
        _clear_away(path)
        return None
    except OSError:
        pass
    return b"".join(said).decode("ascii", "replace")


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """Give a socket's address: a long path is shortened by way of a descriptor of its folder."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _clear_away(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
