"""Processes of a benchmark's own: started, measured, and ended with it whatever happens."""

from __future__ import annotations

import ctypes
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import click
import psutil

ROOT = Path(__file__).resolve().parent.parent

#: How long a server may take to start, and to end when it is asked to, in seconds.
START, END = 30.0, 8.0

_PR_SET_PDEATHSIG = 1
_CPUCLOCK_SCHED = 2
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Server:
    """A server in a process of its own, as seen from outside."""

    port: int
    process: psutil.Process

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    def cpu(self) -> float:
        """Return the CPU time it has used, in seconds."""
        return cpu_clock(self.pid)

    def memory(self) -> int:
        """Return its unique set size in bytes: what would be freed if it ended now.

        The kernel's memory for its sockets is not in it.
        """
        return int(self.process.memory_full_info().uss)


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
    """Return what a program prints, on whichever stream; nothing if it fails or isn't there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return (done.stdout + done.stderr).strip()


class Client:
    """A load client in a process of its own: a line of JSON in, a line of JSON out."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._commands = _pipe(process.stdin)
        self._answers = _Lines(_pipe(process.stdout))

    def send(self, command: str, **options: Any) -> None:
        """Give it something to do, see `bench.client`, and don't wait for it."""
        try:
            self._commands.write(json.dumps([command, options]).encode() + b"\n")
            self._commands.flush()
        except BrokenPipeError:
            raise click.ClickException("the load client ended too early") from None

    def answer(self, within: float) -> Any:
        """Return the result of what it was given to do first.

        Raises:
            ClickException: it failed, or takes longer than `within` seconds.
        """
        line = self._answers.next(time.monotonic() + within)
        if not line:
            raise click.ClickException(f"the load client gave no answer in {within:.0f} s")
        answer = json.loads(line)
        if "error" in answer:
            raise click.ClickException(f"the load client: {answer['error']}")
        return answer["result"]

    def do(self, command: str, within: float = 60.0, **options: Any) -> Any:
        """Have it do something, and return the result."""
        self.send(command, **options)
        return self.answer(within)


class _Lines:
    """The lines that come out of a pipe, waited for no longer than one likes."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._descriptor = pipe.fileno()
        self._read = b""

    def next(self, deadline: float) -> str:
        """Return the next line with its end; nothing at the end of all, or when time is up."""
        while b"\n" not in self._read:
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self._descriptor], [], [], left)
            more = os.read(self._descriptor, 65536) if ready else b""
            if not more:
                return ""
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return line.decode() + "\n"


@contextmanager
def server(
    *command: str, program: str = sys.executable, environ: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run a program that prints its address, `http://127.0.0.1:PORT`, when it serves.

    Args:
        command: arguments to the program.
        environ: environment variables besides this process's own.

    Raises:
        ClickException: it ended, or printed nothing for `START` seconds.
    """
    with (
        tempfile.TemporaryFile() as errors,
        _running([program, *command], environ, errors) as process,
    ):
        yield Server(_port_of(process, errors), psutil.Process(process.pid))


@contextmanager
def client() -> Iterator[Client]:
    """Run a load client, see `bench.client`."""
    with _running([sys.executable, "-m", "bench.client"], None, None) as process:
        yield Client(process)


@contextmanager
def _running(
    command: list[str], environ: Mapping[str, str] | None, errors: IO[bytes] | None
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,  # Ctrl-C is this process's to answer
        preexec_fn=_end_with_parent,
    )
    try:
        yield process
    finally:
        _end(process)


def _end_with_parent() -> None:
    """Even if this process is killed, what it started ends (prctl(2), PR_SET_PDEATHSIG)."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        with suppress(BrokenPipeError):
            _pipe(pipe).close()


def _port_of(process: subprocess.Popen[bytes], errors: IO[bytes]) -> int:
    lines, deadline = _Lines(_pipe(process.stdout)), time.monotonic() + START
    while line := lines.next(deadline):
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
            return int(found[1])
    errors.seek(0)
    words = errors.read().decode(errors="replace").strip().splitlines()
    reason = words[-1] if words else "it printed nothing"
    raise click.ClickException(f"a server did not start: {reason}")


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
