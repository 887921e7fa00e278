"""The folder in which several processes count together, for `shop.metrics`.

Apart from it, as the parent of the workers must not know prometheus-client: it makes locks, which
gevent has to patch first.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from pathlib import Path
from typing import IO, Any

#: The variable by which prometheus-client, and every process that is started, finds the folder.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"

#: Open for as long as this process, or one that it forked, lives: holds its folder's lock.
_held: list[IO[Any]] = []


def share(instance: Path) -> Path:
    """Have this process and those that it starts count together, beginning at 0.

    To be called by the parent before it makes an app or starts a worker, and before anybody
    imports prometheus-client, which looks for the folder when it is imported. Folders of parents
    that are gone, with all their workers, are removed; those of others are left alone, so that
    two parents can serve one instance while one takes over from the other.

    Returns:
        The folder. It stands in the environment, too: a process that is started finds it there.
    """
    home = _home(instance)
    home.mkdir(exist_ok=True, mode=0o700)
    with open(home / ".lock", "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        for folder in [path for path in home.iterdir() if path.is_dir()]:
            _remove_if_left(folder)
        folder = home / f"{os.getpid()}-{secrets.token_hex(4)}"
        folder.mkdir()
        _held.append(_locked(folder))
    os.environ[FOLDER] = str(folder)
    return folder


def _home(instance: Path) -> Path:
    """Return the folder of all folders: systemd's for the service if there is one.

    That is in memory. The files are mapped: on a disk that is full, writing would end the process.
    """
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(runtime or instance) / "metrics"


def forget(pid: int) -> None:
    """Take what a worker that has ended had open out of the sums; what it counted stays."""
    for file in Path(os.environ[FOLDER]).glob(f"gauge_live*_{pid}.db"):
        file.unlink(missing_ok=True)  # as prometheus_client.multiprocess.mark_process_dead does


def _locked(folder: Path) -> IO[Any]:
    """Lock a folder against its removal, for as long as the file that is returned is open.

    Raises:
        BlockingIOError: another process holds it.
    """
    lock = open(folder / ".lock", "w")  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise
    return lock


def _remove_if_left(folder: Path) -> None:
    try:
        _locked(folder).close()
    except BlockingIOError:
        return
    shutil.rmtree(folder, ignore_errors=True)
