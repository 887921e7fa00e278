"""Processes of the benchmark's own: started, measured, and ended with it whatever happens."""

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

#: How long a server may take to start, in seconds.
START = 30.0

#: How long a process may take to end when it is asked to, in seconds, before it is made to.
END = 8.0

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
        """Return the CPU time it has used, in seconds; see `cpu_clock`."""
        return cpu_clock(self.pid)

    def memory(self) -> int:
        """Return its unique set size in bytes: what would be freed if it ended now.

        Unlike the resident set it holds no pages of libraries that are shared with others. The
        kernel's own memory for sockets is in neither.
        """
        return int(self.process.memory_full_info().uss)


def cpu_clock(pid: int) -> float:
    """Return the CPU time that a process has used, user's and system's, in seconds.

    By the clock that the kernel keeps for the process, to the nanosecond; what /proc says of the
    same comes in steps of 10 ms (clock_getcpuclockid(3)).
    """
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


def cpu_of(pid: int) -> float:
    """Return the CPU time of a process and of all that came of it, ended or not, in seconds."""
    process = psutil.Process(pid)
    return sum(sum(one.cpu_times()[:4]) for one in (process, *process.children(recursive=True)))


def said(*command: str) -> str | None:
    """Return what a program says, on whichever stream; None if it fails or isn't there."""
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


class Client:
    """A load client in a process of its own: a line of JSON in, a line of JSON out."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._commands = _pipe(process.stdin)
        self._answers = _Lines(_pipe(process.stdout))

    def tell(self, **command: Any) -> None:
        """Give it something to do."""
        try:
            self._commands.write(json.dumps(command).encode() + b"\n")
            self._commands.flush()
        except BrokenPipeError:
            raise click.ClickException("the load client ended too early") from None

    def answer(self, within: float) -> Any:
        """Return what it says when it has done it.

        Raises:
            ClickException: it could not, or takes longer than `within` seconds.
        """
        line = self._answers.next(time.monotonic() + within)
        if not line:
            raise click.ClickException(f"the load client gave no answer in {within:.0f} s")
        answer = json.loads(line)
        if "error" in answer:
            raise click.ClickException(f"the load client: {answer['error']}")
        return answer

    def do(self, within: float, **command: Any) -> Any:
        """Have it do something, and return what it says then."""
        self.tell(**command)
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
        program: the Python interpreter that runs this, or another one.
        environ: environment variables besides this process's own.

    Raises:
        ClickException: it ended, or said nothing for `START` seconds.
    """
    with (
        tempfile.TemporaryFile() as complaints,
        _running([program, *command], environ, complaints) as run,
    ):
        port = _port_of(run, complaints)
        yield Server(port, psutil.Process(run.pid))


@contextmanager
def client(module: str) -> Iterator[Client]:
    """Run a load client: a module that serves `answer_commands`."""
    with _running([sys.executable, "-m", module], None, None) as process:
        yield Client(process)


def answer_commands(does: Any) -> None:
    """Be a load client: call the method of `does` that each line names, print what it returns."""
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(does, command.pop("do"))(**command)
        except (OSError, RuntimeError, ValueError) as error:
            answer = {"error": str(error) or type(error).__name__}
        print(json.dumps(answer), flush=True)


@contextmanager
def _running(
    command: list[str], environ: Mapping[str, str] | None, complaints: IO[bytes] | None
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
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
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()


def _port_of(process: subprocess.Popen[bytes], complaints: IO[bytes]) -> int:
    lines, deadline = _Lines(_pipe(process.stdout)), time.monotonic() + START
    while line := lines.next(deadline):
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
            return int(found[1])
    complaints.seek(0)
    said = complaints.read().decode(errors="replace").strip().splitlines()
    raise click.ClickException(f"a server did not start: {said[-1] if said else 'it said nothing'}")


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
