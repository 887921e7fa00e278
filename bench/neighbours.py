"""What else wants the processors while a benchmark runs: its times say so much less."""

from __future__ import annotations

import os
import time

import psutil

from bench.processes import cpu_of


class Neighbours:
    """Everything on this machine, and on its host, that isn't the benchmark's; from now on."""

    def __init__(self) -> None:
        self._began, self._before = time.monotonic(), _cpu_of_others()

    def share(self) -> float:
        """Return what they had of the processors since then, in processors."""
        return max(0.0, _cpu_of_others() - self._before) / (time.monotonic() - self._began)

    def sentence(self) -> str:
        """Say it, for below a table."""
        share = self.share()
        return f"While it ran, all else on this machine had {share:.2f} processors."


def _cpu_of_others() -> float:
    """Return their CPU time since the boot, in seconds; of the host, what it took for others."""
    times = psutil.cpu_times()
    everybody = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
    return float(everybody - cpu_of(os.getpid()))
