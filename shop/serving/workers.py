"""Several server processes on one machine: gunicorn's master and workers, as the shop needs them.

The master listens, forks, and looks after what it forked; it serves nothing, and must know nothing
that gevent patches. Each worker patches first, then makes an app and serves it as a single
process does (`shop.serving.server`).
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from functools import partial
from types import FrameType
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker
from gunicorn.workers.ggevent import GeventWorker

from shop.config import Settings, load_settings
from shop.logs import configure_logging
from shop.metrics.folder import forget, share
from shop.serving.sockets import address_of, greet, stop_accepting
from shop.setting_values import SettingError

log = logging.getLogger(__name__)

#: How many workers may fail to start, one after another, until the master gives up.
MOST_FAILURES = 5

#: Seconds without a sign of life after which a worker is killed and replaced.
SILENT = 60

_ENDS = (signal.SIGTERM, signal.SIGINT)

#: Seconds that closing takes beyond letting the streams go: see `server.Server.finish`.
TO_FINISH = 7


def main(workers: int, own_socket: bool, empty: bool) -> None:
    """Serve with workers, on the socket that was passed to this process (see sd_listen_fds(3)).

    Args:
        workers: how many.
        own_socket: whether the shop opened it, and nobody else accepts from it.
        empty: whether there are no products, for what is said when the shop is open.
    """
    settings = load_settings()
    configure_logging(settings)  # workers inherit that
    share(settings.instance)
    Master(Serving(settings, workers), own_socket, empty).run()


class Serving(BaseApplication):
    """What gunicorn is to do. Its own files, variables and arguments for that are not looked at."""

    def __init__(self, settings: Settings, workers: int) -> None:
        self._settings = settings
        self._workers = workers
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
        from wsgi import app

        return app


class Log(Logger):
    """Gunicorn's log, as part of the shop's."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log.propagate = True


class Master(Arbiter):
    """Keeps as many workers as there should be.

    Beyond gunicorn's: it says when the shop is open; on HUP, old workers go only when as many new
    ones are there; workers that can't start are tried again, but not for ever.
    """

    def __init__(self, app: Serving, own_socket: bool, empty: bool) -> None:
        super().__init__(app)
        self._empty = empty
        self._own_socket = own_socket
        self._greeted = False
        self._ending = False
        #: the age of the oldest worker that is to stay, and that before the last HUP
        self._oldest = self._oldest_before = 1
        self._ready: set[int] = set()
        self._retired: set[int] = set()
        self._failures = 0
        self._spawn_at = 0.0

    # --- Signals ----------------------------------------------------------------------------

    def signal(self, sig: int, frame: FrameType | None) -> None:
        if sig in _ENDS:
            if self._ending:  # the second: no more patience
                self.kill_workers(signal.SIGKILL)
                os._exit(128 + sig)
            self._ending = True
        super().signal(sig, frame)

    def handle_int(self) -> None:
        raise StopIteration  # Ctrl-C is no less graceful than SIGTERM

    def handle_hup(self) -> None:
        log.info("replacing the workers")
        self._oldest_before, self._oldest = self._oldest, self.worker_age + 1

    def handle_usr2(self) -> None:
        log.warning("SIGUSR2 is not for this server: SIGHUP replaces its workers")

    def stop(self, graceful: bool = True) -> None:
        self._ending = True
        if self._own_socket:
            for listener in self.LISTENERS:
                stop_accepting(listener.sock)
        super().stop(graceful)

    # --- Workers ----------------------------------------------------------------------------

    def manage_workers(self) -> None:
        self._note_the_ready()
        staying = self._staying()
        if time.monotonic() >= self._spawn_at:
            for _ in range(self.num_workers - len(staying)):
                self.spawn_worker()
        for worker in staying[self.num_workers :]:
            self._retire(worker)
        if self._ready.issuperset(worker.pid for worker in self._staying()):
            self._greet()
            for worker in [w for w in self.WORKERS.values() if w.age < self._oldest]:
                self._retire(worker)

    def spawn_workers(self) -> None:
        self.manage_workers()

    def spawn_worker(self) -> Any:
        # Held back from parent and child alike until each knows what it does with them.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
        try:
            return super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)

    def worker_ended(self, worker: Worker) -> None:
        """Note how a worker ended; `manage_workers` then replaces it.

        Raises:
            HaltServer: too many could not start.
        """
        forget(worker.pid)
        started = worker.pid in self._ready or worker.pid in self._retired
        self._ready.discard(worker.pid)
        self._retired.discard(worker.pid)
        if started or self._ending:
            return
        self._failures += 1
        if not self._greeted or self._failures >= MOST_FAILURES:
            raise HaltServer(f"workers can't start: {self._failures} failed one after another", 1)
        self._give_up_replacing()
        self._spawn_at = time.monotonic() + 0.25 * 2**self._failures

    def _give_up_replacing(self) -> None:
        """Keep the workers from before the last HUP, if they are still there."""
        old = [w for w in self.WORKERS.values() if w.age < self._oldest]
        if any(worker.pid not in self._retired for worker in old):
            log.error("a new worker could not start: the old ones stay")
            for worker in self._staying():
                self._retire(worker)
            self._oldest = self._oldest_before

    def _staying(self) -> list[Any]:
        """Return the workers that are to stay, the youngest first."""
        staying = [w for w in self.WORKERS.values() if w.age >= self._oldest]
        staying = [w for w in staying if w.pid not in self._retired]
        return sorted(staying, key=lambda worker: -worker.age)

    def _retire(self, worker: Any) -> None:
        if worker.pid not in self._retired:
            self._retired.add(worker.pid)
            self.kill_worker(worker.pid, signal.SIGTERM)

    def _note_the_ready(self) -> None:
        for pid, worker in self.WORKERS.items():
            if pid not in self._ready and is_ready(worker):
                self._ready.add(pid)
                self._failures = 0

    def _greet(self) -> None:
        if not self._greeted:
            self._greeted = True
            greet(address_of(self.LISTENERS[0].sock), empty=self._empty)


def is_ready(worker: Worker) -> bool:
    """Tell whether a worker accepts connections: it said so in the file it shows its life by."""
    return os.fstat(worker.tmp.fileno()).st_size > 0


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
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)

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
        self._say_ready()
        living = gevent.spawn(self._show_life, asked_to_end)
        asked_to_end.wait()
        server.finish(
            partial(parts.hub.close, over=parts.settings.drain_seconds), take_waiting=True
        )
        living.kill()
        parts.stop()
        parts.database.close()

    def _say_ready(self) -> None:
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


if __name__ == "__main__":
    main(int(sys.argv[1]), own_socket=sys.argv[2] == "own", empty=sys.argv[3] == "empty")
