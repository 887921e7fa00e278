"""The servers that the shop is served by: its own, alone or as several workers, and gunicorn's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.machines.network import HERE, Machine
from tests.support.running import ROOT, RunningShop


class PlainGunicorn(RunningShop):
    """The app under gunicorn's own gevent worker, as `gunicorn -k gevent wsgi:app` serves it.

    Args:
        app: the module that has it.
    """

    greeting = r"Booting worker"

    def __init__(
        self, instance: Path, app: str = "wsgi", machine: Machine = HERE, **settings: Any
    ) -> None:
        super().__init__(instance, machine=machine, **settings)
        options = f"-k gevent -b {self.host}:{self.port} --graceful-timeout 1"
        self.command = [*machine.enter, sys.executable, "-m", "gunicorn", *options.split()]
        self.command += ["--no-control-socket", "--chdir", str(ROOT), f"{app}:app"]


def two_workers(instance: Path, **settings: Any) -> RunningShop:
    return RunningShop(instance, workers=2, **settings)


#: Each way in which the shop is served.
SERVERS: Mapping[str, Callable[..., RunningShop]] = {
    "one process": RunningShop,
    "2 workers": two_workers,
    "plain gunicorn": PlainGunicorn,
}
