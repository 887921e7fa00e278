"""What the figures were measured on, of which shop, and how many files may be open at once."""

from __future__ import annotations

import os
import platform
import resource
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import click
import psutil

from bench.processes import ROOT, said

#: Descriptors that a process needs besides one for each stream.
_SPARE_FILES = 200


_GIT = ("git", "-C", str(ROOT))

#: What makes a difference to the figures. What they are written to does not.
_MEASURED = ("shop", "bench", "wsgi.py", "requirements.txt")


@dataclass(frozen=True)
class Machine:
    """A machine, and the software that figures depend on most."""

    processor: str
    processors: int
    #: in bytes
    memory: int
    kernel: str
    python: str
    gevent: str
    flask: str
    #: how many processes wanted a processor in the minute before, on average
    load_before: float

    @classmethod
    def here(cls) -> Machine:
        return cls(
            processor=_processor(),
            processors=len(os.sched_getaffinity(0)),
            memory=psutil.virtual_memory().total,
            kernel=f"{platform.system()} {platform.release()}",
            python=f"{platform.python_implementation()} {platform.python_version()}",
            gevent=version("gevent"),
            flask=version("flask"),
            load_before=os.getloadavg()[0],
        )

    def __str__(self) -> str:
        return (
            f"{self.processor}, {self.processors} processors, {self.memory / 2**30:.1f} GB, "
            f"{self.kernel}; {self.python}, gevent {self.gevent}, Flask {self.flask}; "
            f"load before the run {self.load_before:.1f}"
        )


def commit() -> str | None:
    """Return which commit of the shop this is, with a `+` if it was changed since.

    None if nobody knows: without git, or outside of a clone.
    """
    head = said(*_GIT, "rev-parse", "--short=12", "HEAD")
    changed = said(*_GIT, "status", "--porcelain", "--", *_MEASURED)
    return None if head is None else head + ("+" if changed else "")


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
        raise click.ClickException(f"{message}: give fewer --streams") from None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
