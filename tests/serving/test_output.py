"""What the shop writes never stops it: its reader may stand still, be gone, or never have been."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from shop.metrics.counters import Metrics
from shop.output import Output
from tests.support.machines import guardian, processes
from tests.support.running import RunningShop, eventually

MakeShop = Callable[..., RunningShop]

#: More than any of these readers takes before it stands still.
REQUESTS = 400


#: Gives the end that is written to, of something that nobody reads.
Reader = Callable[[], AbstractContextManager[int]]


@contextmanager
def pipe() -> Iterator[int]:
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
    yield theirs
    os.close(ours)
    os.close(theirs)


@contextmanager
def terminal() -> Iterator[int]:
    """Give one under Ctrl-S: nobody takes what is shown."""
    ours, theirs = pty.openpty()
    yield theirs
    os.close(ours)
    os.close(theirs)


@contextmanager
def serving(shop: RunningShop, *words: str, **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start a shop whose output nobody needs to read, and wait until it answers."""
    command = [*shop.command, *words]
    environ = {**shop.environ, "SHOP_LOG_LEVEL": "INFO"}
    process = subprocess.Popen(command, env=environ, **streams)
    guardian.watch(process.pid)
    try:
        eventually(lambda: answers(shop) or process.poll() is not None, seconds=30)
        assert process.poll() is None, "it did not open"
        yield process
    finally:
        if process.poll() is None:
            processes.kill(process.pid)
            process.wait(15)


def answers(shop: RunningShop) -> bool:
    try:
        return shop.page("/healthz") == "ok\n"
    except OSError:
        return False


def ask_often(shop: RunningShop) -> None:
    for _ in range(REQUESTS):
        shop.page("/cart")


def closes(process: subprocess.Popen[bytes]) -> bool:
    process.send_signal(signal.SIGTERM)
    return process.wait(15) == 0


@pytest.mark.parametrize(
    ("reader", "words"),
    [(terminal, []), (pipe, ["--workers", "2"])],
    ids=["terminal", "pipe of several workers"],
)
def test_a_reader_that_stands_still_stops_neither_the_shop_nor_its_end(
    make_shop: MakeShop, reader: Reader, words: list[str]
) -> None:
    shop = make_shop("released")
    with reader() as output, serving(shop, *words, stdout=output, stderr=output) as process:
        ask_often(shop)
        assert answers(shop)
        assert closes(process)


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "2>&- >&- <&-", "2>/dev/full"])
def test_a_shop_without_somebody_to_write_to_serves_and_closes(
    make_shop: MakeShop, closed: str
) -> None:
    shop = make_shop("released")
    shop.command = ["bash", "-c", f'exec "$@" {closed}', "-", *shop.command]
    with serving(shop) as process:
        shop.page("/")
        assert not descriptors_that_lead_astray(process.pid)
        assert closes(process)


def descriptors_that_lead_astray(pid: int) -> list[str]:
    """Return what stands in the place of a standard stream and is none."""
    targets = [str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in (0, 1, 2)]
    return [target for target in targets if re.match(r"socket:|anon_inode:|.*sqlite3", target)]


class Written:
    """An output to a pipe that nobody reads before the end."""

    def __init__(self) -> None:
        ours, theirs = os.pipe()
        self._ours = os.fdopen(ours)
        self.stream = os.fdopen(theirs, "w")
        self.output = Output(self.stream, lambda count: f"dropped {count}\n")

    def read_all(self) -> list[str]:
        """Read what was written, from the moment on when it is called."""
        with self._ours, ThreadPoolExecutor(1) as hand:
            reading = hand.submit(self._ours.readlines)
            self.output.flush(10)
            self.output.write("at last\n")
            self.output.flush(10)
            self.stream.close()
            return reading.result(10)


def test_lines_beyond_a_bound_are_dropped_and_the_log_says_how_many_when_it_flows_again() -> None:
    written = Written()
    for number in range(2000):
        written.output.write(f"{number} {'x' * 1000}\n")
    metrics = Metrics()
    metrics.follow_log(lambda: written.output.dropped)
    counted = metrics.expose("")[0].decode()
    lines = written.read_all()
    said = [int(line.split()[1]) for line in lines if line.startswith("dropped")]
    assert said and sum(said) == written.output.dropped > 500
    assert f"shop_log_lines_dropped_total {sum(said)}.0" in counted
    assert len(lines) - len(said) == 2001 - sum(said)
    kept = [int(line.split()[0]) for line in lines if line[0].isdigit()]
    assert kept == list(range(len(kept))), "in their order, and whole"


def test_a_line_that_was_cut_off_by_a_full_disk_is_not_continued_by_the_next(
    tmp_path: Path,
) -> None:
    file = tmp_path / "log"
    output = Output(file.open("w"), lambda count: f"dropped {count}\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        output.write("y" * 1500 + "\n")
        eventually(lambda: output.dropped == 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    output.write("whole\n")
    output.flush(10)
    assert file.read_text() == "y" * 1000 + "\nwhole\ndropped 1\n"


def test_a_child_does_not_repeat_what_waits_in_its_parent() -> None:
    written = Written()
    for _ in range(200):
        written.output.write("z" * 1000 + "\n")
    if (child := os.fork()) == 0:
        written.output.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert len(written.read_all()) == 201
