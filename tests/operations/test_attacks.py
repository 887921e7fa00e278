"""Hostile visitors at work, from one address and from fifty: all others notice nothing of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

import pytest

from tests.support.front import Front, ShopperInFront, TabInFront, open_folder
from tests.support.interior import Interior, can_be_looked_into, look_into
from tests.support.running import ROOT, RunningShop, eventually
from tests.support.shopper import Shopper, Tab

pytestmark = [pytest.mark.drill, pytest.mark.timeout(240)]

SECONDS = 20

#: How many descriptors the shop may have: the attacker has more connections than that.
DESCRIPTORS = 1024


@pytest.fixture
def folder() -> Iterator[Path]:
    made = open_folder()
    yield made
    shutil.rmtree(made)


@pytest.fixture(params=["directly", "through nginx"])
def place(request: pytest.FixtureRequest, folder: Path, released: Path) -> Iterator[Place]:
    """The shop as it stands alone, and with nginx in front."""
    instance = Path(shutil.copytree(released, folder / "shop"))
    instance.chmod(0o711)
    in_front = request.param == "through nginx"
    settings: dict[str, Any] = {"SHOP_DEMO": "off", "SHOP_HTTPS": "on" if in_front else "off"}
    shop = RunningShop(instance, **settings | can_be_looked_into(folder))
    limit = f"--nofile={DESCRIPTORS}:{DESCRIPTORS}"
    shop.command = ["prlimit", limit, *shop.command]
    shop.start()
    try:
        if not in_front:
            yield Place(shop, shop.port, lambda: Shopper(shop), lambda s: Tab(shop, s, [1, 2]))
            return
        with Front([shop], instance) as front:
            yield Place(
                shop,
                front.port,
                lambda: ShopperInFront(front),
                lambda s: TabInFront(front, s, [1, 2]),
            )
    finally:
        shop.end()


class Place:
    """A shop, and how it is reached."""

    def __init__(
        self,
        shop: RunningShop,
        port: int,
        shopper: Callable[[], Shopper],
        tab: Callable[[Shopper], Tab],
    ) -> None:
        self.shop = shop
        self.port = port
        self.shopper = shopper
        self.tab = tab


@contextmanager
def attacked(place: Place, addresses: int, seconds: float = SECONDS) -> Iterator[None]:
    """Have a shop attacked; it is under way when this begins."""
    in_front = ["tls"] if place.port != place.shop.port else []
    words = [
        sys.executable,
        "-m",
        "tests.support.attacker",
        place.port,
        addresses,
        seconds,
        *in_front,
    ]
    attacker = subprocess.Popen(
        [str(word) for word in words], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        time.sleep(2)  # until all of it is at work
        yield
        print(attacker.communicate(timeout=seconds + 30)[0].strip())
    finally:
        attacker.kill()
        attacker.wait()


class Visits:
    """What other visitors meet meanwhile, each with a new browser."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.statuses: set[int] = set()
        self.pages: list[float] = []
        self.streams: list[float] = []

    def look_around(self, until: float) -> None:
        while time.monotonic() < until:
            started = time.monotonic()
            self.statuses.add(self.place.shopper().get("/").status)
            self.pages.append(time.monotonic() - started)
            time.sleep(0.1)

    def open_tabs(self, until: float) -> None:
        while time.monotonic() < until:
            shopper = self.place.shopper()
            shopper.get("/")
            started = time.monotonic()
            with self.place.tab(shopper) as tab:
                self.statuses.add(tab.status)
                tab.next(seconds=10)
            self.streams.append(time.monotonic() - started)
            time.sleep(0.3)


def visit(place: Place, seconds: float) -> Visits:
    visits = Visits(place)
    until = time.monotonic() + seconds
    hands = [
        threading.Thread(target=act, args=(until,))
        for act in (visits.look_around, visits.look_around, visits.open_tabs)
    ]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    return visits


@pytest.mark.parametrize("addresses", [1, 50])
def test_others_shop_on_while_the_shop_is_attacked(place: Place, addresses: int) -> None:
    visit(place, 2)  # so that all is warm
    with attacked(place, addresses, 5):  # what an attack leaves behind once is not left again
        pass
    before = calm(place)

    with attacked(place, addresses):
        visits = visit(place, SECONDS - 4)

    page = quantiles(visits.pages, n=20)[-1]
    stream = max(visits.streams)
    print(
        f"{len(visits.pages)} pages, p95 {page * 1000:.0f} ms; {len(visits.streams)} streams, "
        f"slowest {stream * 1000:.0f} ms"
    )
    assert visits.statuses == {200}
    assert page < 1
    assert stream < 2
    assert len(visits.pages) > 50 and len(visits.streams) > 10
    after = calm(place, before.descriptors)
    print(f"memory {before.memory / 1e6:.1f} MB, then {after.memory / 1e6:.1f} MB")
    assert after.memory - before.memory < 20_000_000
    assert not any("Traceback" in line for line in place.shop.output)


def calm(place: Place, descriptors: int = 100) -> Interior:
    """Wait until a shop has no tab and no more than some connections; return what it holds."""

    def is_calm() -> bool:
        found = look_into(place.shop)
        return not found.tabs and found.descriptors <= descriptors + 2

    eventually(is_calm, seconds=90, every=0.5)
    return look_into(place.shop)
