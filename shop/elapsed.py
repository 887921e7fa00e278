"""How long ago something was, over restarts, as far as a machine can know that.

By the machine's own time since it was switched on, which nobody sets; by the wall clock if it was
switched off in between. Where both tell, the shorter time counts: what is deleted by it stays.
"""

from __future__ import annotations

import time
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def note(file: Path) -> None:
    """Note in a file that it is now."""
    draft = file.with_name(f".{file.name}.{time.monotonic_ns()}")
    draft.write_text(f"{_boot()} {_uptime()} {time.time()}\n")
    draft.replace(file)


def since(file: Path) -> float | None:
    """Return how long ago that was noted, in seconds; None: it wasn't, or nobody can tell."""
    try:
        boot, uptime, clock = file.read_text().split()
        seconds = [time.time() - float(clock)]
        if boot == _boot():
            seconds.append(_uptime() - float(uptime))
    except (OSError, ValueError):
        return None
    return min((each for each in seconds if each >= 0), default=None)


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:  # no Linux
        return "-"


def _uptime() -> float:
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
