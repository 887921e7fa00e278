"""The shop's own server, looked at while it works: where does its CPU time go?

After each 5 ms of CPU time (setitimer(2), ITIMER_PROF) what runs just then is counted, with all
that called it. When the server ends, the counts are in the file that `BENCH_SAMPLES` names. SIGUSR1
has it begin anew.
"""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from collections import Counter  # noqa: E402
from pathlib import Path  # noqa: E402
from types import CodeType, FrameType  # noqa: E402

import wsgi  # noqa: E402

#: CPU time between two looks, in seconds.
EVERY = 0.005

_seen: Counter[tuple[CodeType, ...]] = Counter()


def look(_signal: int, frame: FrameType | None) -> None:
    """Count what runs now."""
    calls = []
    while frame is not None:
        calls.append(frame.f_code)
        frame = frame.f_back
    _seen[tuple(calls)] += 1


def keep(file: Path) -> None:
    """Write how often each was seen: pairs of a count, and of calls from within outwards."""
    rows = [
        (count, [f"{code.co_filename}:{code.co_qualname}" for code in calls])
        for calls, count in _seen.items()
    ]
    file.write_text(json.dumps(rows))


def main() -> int:
    """Serve until stopped."""
    # Calls of the system go on where they were interrupted, in C libraries as well.
    signal.signal(signal.SIGPROF, look)
    signal.siginterrupt(signal.SIGPROF, False)
    signal.signal(signal.SIGUSR1, lambda *_: _seen.clear())
    signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)
    try:
        return wsgi.main()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        keep(Path(os.environ["BENCH_SAMPLES"]))


if __name__ == "__main__":
    sys.exit(main())
