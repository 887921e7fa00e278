"""What figures were measured on, and what else wanted the processors meanwhile."""

from __future__ import annotations

import os
import platform
import resource
import time
from importlib.metadata import version
from pathlib import Path

import click
import psutil

from bench.processes import ROOT, cpu_of, output_of

#: Descriptors that a process needs besides one for each stream.
_SPARE_FILES = 200

#: What makes a difference to the figures. What they are written to does not.
_MEASURED = ("shop", "bench", "wsgi.py", "requirements.txt")


def describe_machine() -> str:
    """Describe the machine, and the software that figures depend on most, in one line."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{_processor()}, {len(os.sched_getaffinity(0))} processors, {memory:.1f} GB, "
        f"{platform.system()} {platform.release()}; "
        f"{platform.python_implementation()} {platform.python_version()}, "
        f"gevent {version('gevent')}, Flask {version('flask')}"
    )


def commit() -> str:
    """Return which commit this is, with a `+` if what is measured was changed since.

    Nothing if nobody knows: without git, or outside of a clone.
    """
    git = ("git", "-C", str(ROOT))
    head = output_of(*git, "rev-parse", "--short=12", "HEAD")
    changed = output_of(*git, "status", "--porcelain", "--", *_MEASURED)
    return head + ("+" if head and changed else "")


def allow_files(streams: int) -> None:
    """Let this process, and those it starts, open a file for each stream.

    Raises:
        ClickException: the system allows fewer.
    """
    # While it is being handed over, a stream is two files of the server's.
    needed = streams + streams // 10 + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if needed <= soft:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(needed, hard)))
    except (ValueError, OSError):
        message = f"{streams} streams need {needed} open files, {hard} are allowed here (ulimit -n)"
        raise click.ClickException(message) from None


class OtherWork:
    """All work on this machine, and on its host, that isn't the benchmark's; from now on."""

    def __init__(self) -> None:
        self._began, self._before = time.monotonic(), _cpu_of_others()

    def processors(self) -> float:
        """Return how many processors it had since then, on average."""
        spent = max(0.0, _cpu_of_others() - self._before)
        return spent / (time.monotonic() - self._began)


def _cpu_of_others() -> float:
    times = psutil.cpu_times()
    everybody = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
    return float(everybody - cpu_of(os.getpid()))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
