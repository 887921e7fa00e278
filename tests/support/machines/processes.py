"""A process and all that came of it: frozen, thawed and killed as one."""

from __future__ import annotations

import signal
import time
from contextlib import suppress

import psutil


def freeze(pid: int) -> list[psutil.Process]:
    """Stop a process and all its children in their tracks: connections stay, nothing is answered.

    Returns:
        The processes.
    """
    frozen: list[psutil.Process] = []
    while new := [process for process in _family(pid) if process not in frozen]:
        for process in new:
            _send(process, signal.SIGSTOP)
        frozen += new
    return frozen


def thaw(pid: int) -> None:
    """Let a process and all its children go on where they were frozen."""
    for process in _family(pid):
        _send(process, signal.SIGCONT)


def kill(pid: int) -> None:
    """End a process and all its children at once, without a chance to put anything in order."""
    family = freeze(pid)  # else a child could be born in between
    for process in family:
        _send(process, signal.SIGKILL)
    while any(runs(process.pid) for process in family):
        time.sleep(0.005)


def runs(pid: int) -> bool:
    """Tell whether a process runs; one that only waits for its parent to notice does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _family(pid: int) -> list[psutil.Process]:
    """Return a process and all its children, the oldest first; nothing when it is gone."""
    with suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    return []


def _send(process: psutil.Process, number: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
