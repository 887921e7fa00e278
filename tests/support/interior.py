"""What a server holds, seen from the inside: tabs, greenlets, connections, objects, memory."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.running import ROOT, NeverHappened, RunningShop, eventually

_HOOK = ROOT / "tests" / "support" / "inside"


def can_be_looked_into(folder: Path) -> dict[str, str]:
    """Return the settings of a shop that `look_into` is to be asked of.

    Args:
        folder: where its processes may write what they hold.
    """
    return {"PYTHONPATH": str(_HOOK), "INSIDE": tempfile.mkdtemp(dir=folder)}


@dataclass(frozen=True)
class Interior:
    """What the serving processes of a shop hold together."""

    #: in the hub, and the topics that they watch
    tabs: int
    topics: int
    greenlets: int
    #: bytes of messages that wait for tabs to read
    waiting: int
    #: descriptors, those of a SQLite database and its journals aside
    descriptors: int
    #: connections to the database that somebody works with
    checked_out: int
    #: that the garbage collector knows, by their type
    census: Counter[str] = field(repr=False)
    #: bytes of memory that are its own
    memory: int

    def is_within(self, other: Interior) -> bool:
        """Tell whether there is nothing more of anything here than there."""
        names = ("tabs", "topics", "greenlets", "waiting", "descriptors", "checked_out")
        return all(getattr(self, name) <= getattr(other, name) for name in names)

    def grown(self, since: Interior) -> Counter[str]:
        """Return the types of which there are more objects than there were."""
        return self.census - since.census


def look_into(shop: RunningShop) -> Interior:
    """Ask the processes of a shop, which was started with `can_be_looked_into`, what they hold."""
    assert shop.process is not None
    pids = shop.workers() or [shop.process.pid]
    told = [_ask(pid, Path(shop.environ["INSIDE"])) for pid in pids]
    counted = ("tabs", "topics", "greenlets", "waiting", "checked_out")
    return Interior(
        **{name: sum(one[name] for one in told) for name in counted},
        descriptors=sum(_descriptors(pid, shop) for pid in pids),
        census=sum((Counter(one["census"]) for one in told), Counter()),
        memory=sum(map(_memory, pids)),
    )


def _ask(pid: int, folder: Path) -> dict[str, Any]:
    file = folder / str(pid)
    os.kill(pid, signal.SIGRTMIN)
    eventually(file.exists)
    told: dict[str, Any] = json.loads(file.read_text())
    file.unlink()
    return told


def _descriptors(pid: int, shop: RunningShop) -> int:
    found = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found += not link.readlink().name.startswith(shop.database.name)
    return found


def _memory(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel doesn't say")


def at_rest(shop: RunningShop) -> Interior:
    """Wait until a shop holds no tab and no request, and return what it holds."""
    eventually(lambda: _is_at_rest(shop))
    return look_into(shop)


def _is_at_rest(shop: RunningShop) -> bool:
    first = look_into(shop)
    time.sleep(0.05)
    return first.tabs == 0 and first.is_within(look_into(shop))


@contextmanager
def nothing_left(shop: RunningShop, at_rest: Interior) -> Iterator[None]:
    """See that a shop holds no more afterwards than it does at rest, and has not complained."""
    said_before = len(shop.output)
    yield
    try:
        eventually(lambda: look_into(shop).is_within(at_rest))
    except NeverHappened:
        after = look_into(shop)
        raise NeverHappened(f"{at_rest} became {after}: {after.grown(at_rest)}") from None
    said = shop.output[said_before:]
    assert not any(map(_is_complaint, said)), "".join(said)


def _is_complaint(line: str) -> bool:
    return any(word in line for word in ("Traceback", "ERROR", '"error"', "Exception"))
