"""Several server processes on one machine: how gunicorn is to run them, and what each of them does.

Each worker patches first, then makes an app and serves it as a single process does
(`shop.serving.server`). What looks after them is `shop.serving.master`.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.workers.ggevent import GeventWorker

from shop.config import Settings
from shop.serving.master import ENDS
from shop.setting_values import SettingError

log = logging.getLogger(__name__)

#: Seconds without a sign of life after which a worker is killed and replaced.
SILENT = 60

#: Seconds that closing takes beyond letting the streams go: see `server.Server.finish`.
TO_FINISH = 7


class Serving(BaseApplication):
    """What gunicorn is to do. Its own files, variables and arguments for that are not looked at."""

    def __init__(self, settings: Settings, workers: int, make_app: Callable[[], Any]) -> None:
        """Take the settings, how many workers there are to be, and what makes the app of one."""
        self._settings = settings
        self._workers = workers
        self._make_app = make_app
        super().__init__()

    def load_config(self) -> None:
        chosen = {
            "workers": self._workers,
            "worker_class": ShopWorker,
            "logger_class": Log,
            "timeout": SILENT,
            "graceful_timeout": self._settings.drain_seconds + TO_FINISH,
            "post_fork": lambda master, worker: worker.leave_masters_signals(),
            "child_exit": lambda master, worker: master.worker_ended(worker),
            "control_socket_disable": True,
        }
        for name, value in chosen.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Make the app; called in a worker."""
        return self._make_app()


class Log(Logger):
    """Gunicorn's log, as part of the shop's."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log.propagate = True


class ShopWorker(GeventWorker):
    """One server process of several."""

    def init_process(self) -> None:
        try:
            super().init_process()
        except SettingError as error:
            log.error("%s", error.format_message())
            sys.exit(2)
        except Exception:
            if self.booted:
                raise
            # Gunicorn's own exit status for this would end the master, at the first time.
            log.exception("the worker could not start")
            sys.exit(1)

    def leave_masters_signals(self) -> None:
        """End by SIGTERM at once, as long as there is nothing to finish; called after the fork."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._ignore_interrupts()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)

    def init_signals(self) -> None:
        super().init_signals()
        self._ignore_interrupts()

    def _ignore_interrupts(self) -> None:
        # Ctrl-C in a terminal reaches all processes: it is the master who tells what to do.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def run(self) -> None:
        # Known only now: what it builds on is patched.
        import gevent
        from gevent.event import Event

        from shop.serving.server import Server

        parts = self.wsgi.extensions["shop"]
        server = Server(self.sockets[0], self.wsgi, log=None, environ={"wsgi.multiprocess": True})
        asked_to_end = Event()
        gevent.signal_handler(signal.SIGTERM, asked_to_end.set)
        if not self.alive:  # told before
            asked_to_end.set()
        parts.start()
        server.start()
        self._report_ready()
        living = gevent.spawn(self._show_life, asked_to_end)
        asked_to_end.wait()
        server.finish(
            partial(parts.hub.close, over=parts.settings.drain_seconds), take_waiting=True
        )
        living.kill()
        parts.stop()
        parts.database.close()

    def _report_ready(self) -> None:
        os.write(self.tmp.fileno(), b"1")
        self.tmp.notify()
        os.kill(self.ppid, signal.SIGCHLD)  # wakes the master

    def _show_life(self, asked_to_end: Any) -> None:
        """Tell the master again and again that this process isn't stuck; end without a master."""
        while True:
            self.tmp.notify()
            if os.getppid() != self.ppid:
                asked_to_end.set()
            time.sleep(1.0)
