"""The process that listens, and starts, replaces and ends the workers: gunicorn's, with more care.

It serves nothing, and must know nothing that gevent patches: those that it forks patch first.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from types import FrameType
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.workers.base import Worker

from shop.metrics.folder import forget
from shop.serving.sockets import address_of, greet, stop_accepting

log = logging.getLogger(__name__)

#: How many workers may fail to start, one after another, until the master gives up.
MOST_FAILURES = 5

#: The signals that end a server.
ENDS = (signal.SIGTERM, signal.SIGINT)


class Master(Arbiter):
    """Keeps as many workers as there should be.

    Beyond gunicorn's: it says when the shop is open; on HUP, old workers go only when as many new
    ones are there; workers that can't start are tried again, but not for ever.
    """

    def __init__(self, app: BaseApplication, own_socket: bool, empty: bool) -> None:
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
        if sig in ENDS:
            if self._ending:  # the second: it waits no longer
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
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
        try:
            return super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)

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
