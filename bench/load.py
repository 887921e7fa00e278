"""The load client's other end: a process is started, told what to do, and ended with this one."""

from __future__ import annotations

import subprocess
import sys
from multiprocessing import Pipe
from typing import Any, Self

import click
import psutil

from bench.machine import ROOT
from tests.support.machines import guardian


class LoadClient:
    """A load client in a process of its own: see `bench.client`.

    Args:
        nice: how much lower its priority is (nice(2)). Where there are but two processors, somebody
            who acts in the meantime must not wait until ten thousand tabs have been read.
    """

    def __init__(self, nice: int = 0) -> None:
        self._pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.client", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is this process's to answer
            )
        psutil.Process(self._process.pid).nice(nice)
        self._ended = guardian.watch(self._process.pid)

    def send(self, command: str, **options: Any) -> None:
        """Give it something to do, as in `tabs.leave`, and don't wait for it."""
        try:
            self._pipe.send((command, options))
        except BrokenPipeError:
            raise click.ClickException("the load client ended too early") from None

    def answer(self) -> Any:
        """Return the result of what it was given to do first.

        Raises:
            ClickException: it failed, which it also does when something takes too long.
        """
        try:
            was_done, result = self._pipe.recv()
        except EOFError:
            raise click.ClickException("the load client ended too early") from None
        if not was_done:
            raise click.ClickException(f"the load client: {result}")
        return result

    def do(self, command: str, **options: Any) -> Any:
        """Have it do something, and return the result."""
        self.send(command, **options)
        return self.answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.terminate()
        self._process.wait()
        self._ended()
