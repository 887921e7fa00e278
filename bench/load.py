"""The load client: a process that holds tabs and acts as visitors, as it is told over a pipe."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Self

import click
import gevent
import psutil

from bench.machine import ROOT
from bench.report import Figures
from bench.shoppers import Shoppers
from bench.tabs import Finds, Tabs
from bench.visitors import Unanswered
from bench.visits import Visits
from tests.support.machines import guardian


class LoadClient:
    """A load client, started and told what to do; it ends with this process.

    What it does is named by its part and that one's method, as in `tabs.leave`.

    Args:
        nice: how much lower its priority is (nice(2)). Where there are but two processors, somebody
            who acts in the meantime must not wait until ten thousand tabs have been read.
    """

    def __init__(self, nice: int = 0) -> None:
        self._pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.load", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is this process's to answer
            )
        psutil.Process(self._process.pid).nice(nice)
        self._ended = guardian.watch(self._process.pid)

    def do(self, command: str, **options: Any) -> Any:
        """Have it do something, and return the result."""
        self.send(command, **options)
        return self.answer()

    def send(self, command: str, **options: Any) -> None:
        """Give it something to do, and don't wait for it."""
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

    def reach(self, change: Callable[[], float], finds: Finds) -> tuple[float, Figures]:
        """Change something, and wait until all tabs show it.

        Args:
            change: returns the moment from which times are counted, on the monotonic clock.
            finds: tells whether a tab shows it.

        Returns:
            That moment; seconds until the first tab, half and the last of them had it, and the
            client's CPU time.
        """
        self.send("tabs.expect", finds=finds)
        began = change()
        heard = self.answer()
        return began, {"cpu": heard.pop("cpu"), **{key: at - began for key, at in heard.items()}}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.terminate()
        self._process.wait()
        self._ended()


def main() -> None:
    """Do what is asked for until the pipe ends; answer whether it was done, and the result."""
    pipe = Connection(int(sys.argv[1]))
    gevent.get_hub().exception_stream = None  # an error is the command's answer
    tabs = Tabs()
    parts = {"tabs": tabs, "visits": Visits(pipe.poll), "shoppers": Shoppers(tabs)}
    while True:
        try:
            command, options = pipe.recv()
        except EOFError:
            return
        part, _, name = command.partition(".")
        try:
            answer = True, getattr(parts[part], name)(**options)
        except (OSError, RuntimeError, ValueError, Unanswered) as error:
            answer = False, str(error) or type(error).__name__
        pipe.send(answer)


if __name__ == "__main__":
    main()
