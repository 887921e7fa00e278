"""Time slices: long work lets everybody else go on in between.

Under gevent all requests, streams and broadcasts share one thread.
"""

from __future__ import annotations

import time

from gevent import get_hub
from gevent.monkey import is_module_patched

#: Seconds of work after which others get their turn. A request has to wait for a few of these.
LENGTH = 0.002

#: The longest that a turn gets while others take long for theirs, in seconds.
LONGEST = 0.02


def yield_to_others() -> None:
    """Let everything else go on that can, and return.

    `sleep(0)` would not do: of greenlets that are ready gevent runs fifty, one and the same
    again and again, before it asks the network what has come. A request that has just arrived
    would wait for as many pieces of work. This returns only after the network was asked.
    """
    if not is_module_patched("time"):
        time.sleep(0)
        return
    hub = get_hub()
    # Called in each round of the loop, before what the network brought, and keeps it from waiting.
    watcher = hub.loop.idle(priority=hub.loop.MAXPRI)
    try:
        hub.wait(watcher)
    finally:
        watcher.close()


class TimeSlice:
    """The time slices of one piece of work.

    A slice is as long as the others' last one took, within bounds: on a shop that is busy with
    requests, telling ten thousand tabs gets half of the time, and not a moment now and then.
    """

    def __init__(self) -> None:
        self._until = time.monotonic() + LENGTH

    def yield_to_others(self) -> bool:
        """Let others go on if this has worked for long enough; tell whether they did."""
        passed_at = time.monotonic()
        if passed_at < self._until:
            return False
        yield_to_others()
        now = time.monotonic()
        self._until = now + min(max(LENGTH, now - passed_at), LONGEST)
        return True
