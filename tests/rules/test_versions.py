"""Which of two is newer, whoever says so: tabs never go back in time, and end with what is."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.engine import URL

from shop import versions
from shop.carts import Carts
from shop.db import open_database
from shop.inventory import Inventory
from shop.models import NotInCart, Unavailable, UnknownItem, set_stock
from shop.models.cart import AlreadyInCart
from shop.open_carts import OpenCarts
from shop.product_views import Levels
from shop.versions import Floor

CARTS = ("kim" * 20, "lee" * 20)
HOUR = 3600 * 1_000_000


# --- Whatever happens to processes, databases and clocks --------------------------------------


@dataclass(frozen=True)
class Message:
    """What a tab may be told of a cart: a version, and what is seen under it."""

    version: int
    seen: object


@dataclass
class OpenPage:
    """A tab, which swaps in what is not older than what it shows; see `isStale` in shop.js."""

    shown: Message = field(default_factory=lambda: Message(0, None))

    def receive(self, message: Message) -> None:
        if message.version >= self.shown.version:
            self.shown = message


class Process:
    """A process that serves, as far as it decides what is shown of carts, with a clock of its own.

    Args:
        machine: the folder that it keeps between starts.
    """

    def __init__(self, file: Path, machine: Path, clock: int) -> None:
        self.clock = clock
        self.database = open_database(URL.create("sqlite", database=str(file)))
        floor = Floor(self.database, machine / "version_numbers")
        self.inventory = Inventory(self.database, Levels(150, 500), floor)
        self.carts = Carts(self.database)
        self.open = OpenCarts()

    def message(self, cart_id: str) -> Message:
        """Read a cart and show it, as `Live` does."""
        self.open.keep(self.carts.snapshot(cart_id))
        view = self.open.view(cart_id, self.inventory.current())
        assert view is not None
        lines = [(line.item.id, line.sold_out) for line in view.contents.lines]
        return Message(view.version, (lines, view.contents.bought))


class World:
    """A shop's file, the processes that serve it, and a tab of each cart."""

    def __init__(self, file: Path, folder: Path, pull: pytest.MonkeyPatch) -> None:
        self.file = Path(shutil.copy(file, folder / "shop.sqlite3"))
        self.folder = folder
        self.backup: Path | None = None
        self._pull = pull
        self.processes = [self._started(0), self._started(0)]
        self.pages = {cart_id: OpenPage() for cart_id in CARTS}
        #: what was rendered of each cart, in that order, and what of that is on its way
        self.rendered: dict[str, list[Message]] = {cart_id: [] for cart_id in CARTS}
        self.late: list[tuple[str, Message]] = []

    def act(self, step: tuple[str, int, int, int]) -> None:
        what, which, number, clock = step
        process, cart_id = self.processes[which % 2], CARTS[number // 2]
        self._pull.setattr(versions, "_clock", lambda: process.clock)
        getattr(self, f"_{what}")(which % 2, process, cart_id, 1 + number % 2, clock)
        for each in self.processes:  # as a process does that has tabs, every 30 ms
            each.inventory.current()

    def render(self, process: Process, cart_id: str) -> Message:
        """Have a cart rendered: under a larger number than all that was seen of it differently."""
        message = process.message(cart_id)
        for earlier in self.rendered[cart_id]:
            assert earlier.seen == message.seen or earlier.version < message.version
        self.rendered[cart_id].append(message)
        return message

    def end(self) -> None:
        for process in self.processes:
            process.database.close()

    def _started(self, clock: int) -> Process:
        self._pull.setattr(versions, "_clock", lambda: clock)
        return Process(self.file, self.folder, clock)

    def _show(self, _: int, process: Process, cart_id: str, item: int, clock: int) -> None:
        """Tell a tab at once."""
        self.pages[cart_id].receive(self.render(process, cart_id))

    def _send(self, _: int, process: Process, cart_id: str, item: int, clock: int) -> None:
        """Render what arrives later."""
        self.late.append((cart_id, self.render(process, cart_id)))

    def _arrive(self, _: int, process: Process, cart_id: str, item: int, clock: int) -> None:
        for late, message in self.late:
            self.pages[late].receive(message)
        self.late.clear()

    def _add(self, _: int, process: Process, cart_id: str, item: int, clock: int) -> None:
        try:
            process.carts.add(cart_id, item)
        except (AlreadyInCart, Unavailable, UnknownItem):
            return
        self._show(_, process, cart_id, item, clock)

    def _remove(self, _: int, process: Process, cart_id: str, item: int, clock: int) -> None:
        try:
            process.carts.remove(cart_id, item)
        except NotInCart:
            return
        self._show(_, process, cart_id, item, clock)

    def _stock(self, _: int, process: Process, cart_id: str, item: int, clock: int) -> None:
        try:
            process.database.transact(lambda tx: set_stock(tx, item, clock % 2 * 700))
        except UnknownItem:
            return

    def _set_clock(self, _: int, process: Process, cart_id: str, item: int, clock: int) -> None:
        process.clock = (clock - 3) * HOUR

    def _restart(self, which: int, process: Process, cart_id: str, item: int, clock: int) -> None:
        process.database.close()
        self.processes[which] = self._started(process.clock)

    def _back_up(self, _: int, process: Process, cart_id: str, item: int, clock: int) -> None:
        self.backup = self.folder / "backup.sqlite3"
        self.backup.unlink(missing_ok=True)
        with closing(sqlite3.connect(self.file)) as connection:
            connection.execute("VACUUM INTO ?", (str(self.backup),))

    def _restore(self, _: int, process: Process, cart_id: str, item: int, clock: int) -> None:
        """Put the backup in the place of the database, as operations.md says."""
        if self.backup is not None:
            self.end()
            for file in self.folder.glob("shop.sqlite3*"):
                file.unlink()
            shutil.copy(self.backup, self.file)
            self.processes = [self._started(process.clock) for process in self.processes]

    def _reset(self, _: int, process: Process, cart_id: str, item: int, clock: int) -> None:
        tables = ("cart_items", "carts")
        process.database.transact(
            lambda tx: [tx.execute(text(f"DELETE FROM {table}")) for table in tables]
        )


KINDS = ["show", "send", "arrive", "add", "add", "remove", "stock"]
KINDS += ["send", "set_clock", "restart", "back_up", "restore", "reset"]
STEPS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 1), st.integers(0, 3), st.integers(0, 6)),
    min_size=5,
    max_size=30,
)


@settings(max_examples=80)
@given(STEPS)
def test_a_tab_ends_with_what_is_and_its_version_only_grows(
    released: Path, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int, int]]
) -> None:
    with pytest.MonkeyPatch.context() as pull:
        world = World(released / "shop.sqlite3", tmp_path_factory.mktemp("world"), pull)
        try:
            for step in steps:
                world.act(step)
            check(world)
        finally:
            world.end()


def check(world: World) -> None:
    """Whichever process a tab is told by next: it shows what is, and then nothing older."""
    for process in world.processes:
        for cart_id, page in world.pages.items():
            message = world.render(process, cart_id)
            page.receive(message)
            assert page.shown.seen == message.seen
    for cart_id, message in world.late:
        before = world.pages[cart_id].shown
        world.pages[cart_id].receive(message)
        assert world.pages[cart_id].shown.seen == before.seen
