"""Processes of a benchmark's own: started, measured, and ended with it whatever happens."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, Self

import click
import psutil

from tests.support.machines import guardian
from tests.support.machines.service import Service, takes_connections

ROOT = Path(__file__).resolve().parent.parent

_CPUCLOCK_SCHED = 2


class Measured(Service):
    """A server whose use of the processor and of memory is measured."""

    @property
    def worker(self) -> int:
        """The process that holds the streams."""
        return self.pid

    def cpu(self) -> float:
        """Return the CPU time it has used, in seconds."""
        return cpu_clock(self.worker)

    def memory(self) -> int:
        """Return its unique set size in bytes: what would be freed if it ended now.

        The kernel's memory for its sockets is not in it.
        """
        return int(psutil.Process(self.worker).memory_full_info().uss)


class Server(Measured):
    """A program that serves at the port that is in its environment as `PORT`.

    Args:
        command: the program with its arguments.
        environ: environment variables besides this process's own.
    """

    def __init__(self, *command: str, environ: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._words = command
        self.environ = {"PYTHONPATH": str(ROOT), "PORT": str(self.port), **(environ or {})}

    def _command(self) -> list[str]:
        return ["env", *(f"{name}={value}" for name, value in self.environ.items()), *self._words]

    def _answers(self) -> bool:
        return takes_connections(self.host, self.port)


class Client:
    """A load client in a process of its own: see `bench.client`."""

    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.client", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is this process's to answer
            )
        self._ended = guardian.watch(self._process.pid)

    def send(self, command: str, **options: Any) -> None:
        """Give it something to do, as in `tabs.leave`, and don't wait for it."""
        try:
            self._pipe.send((command, options))
        except BrokenPipeError:
            raise click.ClickException("the load client ended too early") from None

    def answer(self, within: float) -> Any:
        """Return the result of what it was given to do first.

        Raises:
            ClickException: it failed, or takes longer than `within` seconds.
        """
        if not self._pipe.poll(within):
            raise click.ClickException(f"the load client gave no answer in {within:.0f} s")
        try:
            was_done, result = self._pipe.recv()
        except EOFError:
            raise click.ClickException("the load client ended too early") from None
        if not was_done:
            raise click.ClickException(f"the load client: {result}")
        return result

    def do(self, command: str, within: float = 60.0, **options: Any) -> Any:
        """Have it do something, and return the result."""
        self.send(command, **options)
        return self.answer(within)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.terminate()
        self._process.wait()
        self._ended()


def cpu_clock(pid: int) -> float:
    """Return the CPU time that a process has used, user's and system's, in seconds.

    /proc tells the same in steps of 10 ms; this is the kernel's own clock of the process
    (clock_getcpuclockid(3)).
    """
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


def cpu_of(pid: int) -> float:
    """Return the CPU time of a process and of all that came of it, ended or not, in seconds."""
    process = psutil.Process(pid)
    seconds = 0.0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # ended since: its parent has its time by now
            seconds += sum(one.cpu_times()[:4])
    return seconds


def output_of(*command: str) -> str:
    """Return what a program prints; nothing if it fails or isn't there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
