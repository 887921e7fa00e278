"""What figures were measured on, and what else wanted the processors meanwhile."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent

_CPUCLOCK_SCHED = 2

#: What makes a difference to the figures. What they are written to does not.
_MEASURED = ("shop", "bench", "wsgi.py", "requirements.txt")


def describe_machine() -> str:
    """Describe the machine, and the software that figures depend on most, in one line."""
    found = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.M)
    return (
        f"{found[1] if found else platform.machine()}, {len(os.sched_getaffinity(0))} processors, "
        f"{psutil.virtual_memory().total / 2**30:.1f} GB, "
        f"{platform.system()} {platform.release()}; "
        f"{platform.python_implementation()} {platform.python_version()}, "
        f"gevent {version('gevent')}, Flask {version('flask')}"
    )


def commit() -> str:
    """Return which commit this is, with a `+` if what is measured was changed since.

    Without git, or outside of a clone, that is not known.
    """
    head = _git("rev-parse", "--short=12", "HEAD")
    return head + "+" * bool(_git("status", "--porcelain", "--", *_MEASURED)) or "no commit"


def watch_others() -> Callable[[], float]:
    """Begin to count all work on this machine, and on its host, that isn't the benchmark's.

    Returns:
        What tells how many processors it has had since then, on average.
    """
    began, before = time.monotonic(), _cpu_of_others()
    return lambda: max(0.0, _cpu_of_others() - before) / (time.monotonic() - began)


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


def _cpu_of_others() -> float:
    times = psutil.cpu_times()._asdict()
    everybody = sum(times[kind] for kind in ("user", "nice", "system", "irq", "softirq", "steal"))
    return float(everybody) - cpu_of(os.getpid())


def _git(*words: str) -> str:
    with suppress(OSError, subprocess.SubprocessError):
        command = ["git", "-C", str(ROOT), *words]
        return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()
    return ""
