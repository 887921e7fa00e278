"""The files that several processes count into, read as one.

A worker that ended leaves its files behind, and what it counted stays true. They are added up in
one file, so that reading costs the same however many workers there have been.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

#: The kinds of files whose values are sums. Those of gauges are for live processes only, see
#: `shop.metrics.folder.forget`.
_SUMS = ("counter", "histogram")


@contextmanager
def registry_of_all(folder: Path) -> Iterator[CollectorRegistry]:
    """Give what all processes counted that share a folder, those that ended among them.

    One process reads at a time: no file is added up while another reads it.
    """
    with open(folder / ".reading", "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        for kind in _SUMS:
            _add_up(folder, kind)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
        yield registry


def _add_up(folder: Path, kind: str) -> None:
    """Put the files of processes that ended into the one that holds all of these."""
    ended = [file for file in folder.glob(f"{kind}_*.db") if _has_ended(file)]
    if not ended:
        return
    total = folder / f"{kind}_ended.db"
    sums: Counter[str] = Counter()
    for file in [*ended, *([total] if total.exists() else [])]:
        for key, value, *_ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
            sums[key] += value
    draft = folder / f".{kind}_ended"
    draft.unlink(missing_ok=True)
    written = MmapedDict(str(draft))  # type: ignore[no-untyped-call]
    for key, number in sums.items():
        written.write_value(key, number, 0.0)  # type: ignore[no-untyped-call]
    written.close()  # type: ignore[no-untyped-call]
    draft.rename(total)
    for file in ended:
        file.unlink()


def _has_ended(file: Path) -> bool:
    """Tell whether the process that a file is named after is gone."""
    pid = file.stem.rpartition("_")[2]
    if not pid.isdigit():
        return False  # the sums themselves
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
