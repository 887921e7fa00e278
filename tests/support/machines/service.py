"""A server program in a process and a folder of its own, to be treated badly."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Self

from tests.support.machines import guardian, processes
from tests.support.machines.network import HERE, Machine

#: How long a program may take until it answers, and until it has ended, in seconds.
START = STOP = 30.0


class NotThere(AssertionError):
    """A real part can't be had: it is not installed, or does not start. Never a reason to skip."""


class Service(ABC):
    """A program that serves: started, asked until it answers, stopped, killed, frozen.

    It keeps its port and its data over a stop and a start. As a context manager it is started,
    and at the end nothing is left of it.
    """

    #: the signal that asks it to stop
    gently: int = signal.SIGTERM

    def __init__(self, machine: Machine = HERE) -> None:
        self.machine = machine
        self.host = machine.address
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{type(self).__name__.lower()}-"))
        self._folder_gone = guardian.afterwards("rm", "-rf", "--", str(self.folder))
        self._ended: Callable[[], None] = lambda: None
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _command(self) -> list[str]:
        """Return the program with its arguments; it must stay in the foreground."""

    @abstractmethod
    def _answers(self) -> bool:
        """Ask the program for something, and tell whether it gave it."""

    @property
    def url(self) -> str:
        """Where it is reached."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """Its first process, of which all others are children."""
        assert self._process is not None, "it was not started"
        return self._process.pid

    def start(self) -> Self:
        """Start it, and return when it answers.

        Raises:
            NotThere: it ended, or gave no answer in time; with what it said.
        """
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.machine.enter, *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C is for its starter
            )
        self._ended = guardian.watch(self._process.pid, self.gently)
        self._wait_until_it_answers(self._process)
        return self

    def stop(self) -> None:
        """Stop it as its operator would, and return when it has ended."""
        if self._process is not None:
            self._process.send_signal(self.gently)
            processes.thaw(self._process.pid)
            self._process.wait(STOP)
            self._forget()

    def restart(self) -> None:
        """Stop it and start it again, with the same data on the same port."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """End all its processes at once, without a chance to put anything in order."""
        if self._process is not None:
            processes.kill(self._process.pid)
            self._process.wait(STOP)
            self._forget()

    def freeze(self) -> None:
        """Stop all its processes in their tracks: connections stay, nothing is answered."""
        processes.freeze(self.pid)

    def thaw(self) -> None:
        """Let it go on where it was frozen."""
        processes.thaw(self.pid)

    def end(self) -> None:
        """Leave nothing of it, in whatever state it is."""
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.kill()
        self._put_away()
        self._folder_gone()

    def said(self) -> str:
        """Return what it wrote to its log, from its first start on."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.end()
            raise

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                name = type(self).__name__
                raise NotThere(f"{name} did not start on port {self.port}:\n{self.said()}")
            time.sleep(0.02)

    def _forget(self) -> None:
        self._process = None
        self._ended()

    def _put_away(self) -> None:
        """Remove what it leaves when it has ended, or was killed."""
        shutil.rmtree(self.folder, ignore_errors=True)


def program(name: str, package: str, folders: str = "") -> str:
    """Return where a program is.

    Args:
        package: the Debian package that brings it.
        folders: below `/usr`, a pattern of where it is when not in PATH; the last match counts.

    Raises:
        NotThere: it isn't installed.
    """
    aside = (
        [str(path) for path in sorted(Path("/usr").glob(folders), reverse=True)] if folders else []
    )
    path = os.pathsep.join([*aside, os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    if found := shutil.which(name, path=path):
        return found
    raise NotThere(f"there is no {name} here: install the Debian package {package}")


def free_port() -> int:
    """Return a port that nobody listens on, below those that the kernel gives to clients.

    One of those could be in use by a connection when a server that was stopped comes back. And
    who calls a closed port of theirs gets, now and then, the same port to call from: TCP then
    connects it with itself.
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(min(10_000, first // 2), first)
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind(("", port))
            return port


def takes_connections(host: str, port: int) -> bool:
    """Tell whether anything listens there."""
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0
