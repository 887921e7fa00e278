"""Put away what this process started and made, however it ends.

A process that is killed tidies nothing up. So its guardian, a process beside it, is told of all
that must not stay, and reads from a pipe that ends with this process. Then it does what is left.
Signals on a parent's death (PR_SET_PDEATHSIG) would end processes only, no folders and no network
namespaces, and take the end of the thread that started a server for the end of all.
"""

from __future__ import annotations

import atexit
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from tests.support.machines import processes

#: How long a process may take to end when it is asked to, in seconds, before it is made to.
TIMEOUT = 5.0

Duty = dict[str, Any]


def watch(pid: int, gently: int = signal.SIGTERM) -> Callable[[], None]:
    """See to it that a process ends with this one.

    Args:
        gently: the signal that asks it to end; it is killed if that does not help.

    Returns:
        What to call when it has ended already.
    """
    return _guardian.told({"pid": pid, "gently": int(gently)})


def afterwards(*command: str) -> Callable[[], None]:
    """See to it that a command is run when this process has ended and all it started has.

    Returns:
        What to call when it has been done already.
    """
    return _guardian.told({"command": command})


class _Guardian:
    """This process's side of the pipe. The other side is started when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._process: subprocess.Popen[str] | None = None

    def told(self, duty: Duty) -> Callable[[], None]:
        number = next(self._numbers)
        self._write({"number": number, **duty})
        return lambda: self._write({"number": number})

    def _write(self, line: Duty) -> None:
        with self._lock:
            if self._process is None:
                self._process = self._started()
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()

    def _started(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.machines.guardian"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            cwd=Path(__file__).parents[3],
            start_new_session=True,  # neither Ctrl-C nor a killed group is meant for it
        )
        atexit.register(self._leave)
        return process

    def _leave(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait()


_guardian = _Guardian()


# --- The guardian's side --------------------------------------------------------------------


def main(lines: IO[str]) -> None:
    """Hear of duties until the other process has ended, then do what was not called off."""
    duties: dict[int, Duty] = {}
    for line in lines:
        duty = json.loads(line)
        number = duty.pop("number")
        if duty:
            duties[number] = duty
        else:
            duties.pop(number, None)
    left = list(reversed(duties.values()))
    _end([duty for duty in left if "pid" in duty])
    for duty in left:
        if "command" in duty:
            subprocess.run(duty["command"], check=False)


def _end(duties: list[Duty]) -> None:
    for duty in duties:
        with suppress(ProcessLookupError):
            os.kill(duty["pid"], duty["gently"])
        processes.thaw(duty["pid"])  # a frozen one hears nothing
    deadline = time.monotonic() + TIMEOUT
    while any(processes.runs(duty["pid"]) for duty in duties) and time.monotonic() < deadline:
        time.sleep(0.02)
    for duty in duties:
        processes.kill(duty["pid"])


if __name__ == "__main__":
    main(sys.stdin)
