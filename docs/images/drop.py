"""Record the moving picture in the README from a real drop: two tabs, and the operator's commands.

PYTHONPATH=. .venv/bin/python docs/images/drop.py
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.conftest import CHROMIUM, SWITCHES
from tests.support.running import RunningShop

PICTURE = Path(__file__).with_suffix(".webp")

#: Of a tab, in CSS pixels; and of the picture, which is smaller.
TAB, SCALE = (440, 800), 0.75
GAP, TERMINAL = 12, 74

_GROUND, _PAPER, _INK, _DIM = "#20262b", "#15191c", "#e8ecee", "#9aa5ac"


class Film:
    """Pictures of two tabs above a terminal, each with the time for which it is shown."""

    def __init__(self, tabs: tuple[Page, Page]) -> None:
        self._tabs = tabs
        self._frames: list[Image.Image] = []
        self._milliseconds: list[int] = []
        self._lines: list[str] = ["$ "]
        self._font = ImageFont.truetype("DejaVuSansMono.ttf", 15)

    def show(self, milliseconds: int) -> None:
        """Take a picture of what is there now."""
        width = 2 * TAB[0] + 3 * GAP
        frame = Image.new("RGB", (width, TAB[1] + 3 * GAP + TERMINAL), _GROUND)
        for number, tab in enumerate(self._tabs):
            taken = Image.open(io.BytesIO(tab.screenshot(caret="hide")))
            frame.paste(taken, (GAP + number * (TAB[0] + GAP), GAP))
        drawing = ImageDraw.Draw(frame)
        top = TAB[1] + 2 * GAP
        drawing.rectangle((GAP, top, width - GAP, top + TERMINAL), fill=_PAPER)
        for number, line in enumerate(self._lines[-3:]):
            ink = _INK if line.startswith("$") else _DIM
            place = (GAP + 12, top + 8 + 20 * number)
            drawing.text(place, line, fill=ink, font=self._font)
        size = (round(frame.width * SCALE), round(frame.height * SCALE))
        self._frames.append(frame.resize(size, Image.Resampling.LANCZOS))
        self._milliseconds.append(milliseconds)

    def type(self, command: str) -> None:
        """Show a command as it is typed."""
        for end in range(4, len(command) + 4, 4):
            self._lines[-1] = f"$ {command[:end]}"
            self.show(90)

    def answer(self, *lines: str) -> None:
        """Have the terminal show what a command said."""
        self._lines += [*lines, "$ "]

    def save(self, file: Path) -> None:
        """Write the film, which begins again when it has ended."""
        first, *others = self._frames
        first.save(
            file,
            save_all=True,
            append_images=others,
            duration=self._milliseconds,
            loop=0,
            quality=60,
            method=6,
            minimize_size=True,
        )


def record(film: Film, shop: RunningShop, tabs: tuple[Page, Page]) -> None:
    """Play the drop."""
    film.show(1500)
    film.type("bin/flask release OST-KILN")
    said = shop.flask("release", "OST-KILN").stdout.splitlines()
    for tab in tabs:
        expect(tab.locator("button.size-container__entry").first).to_be_visible()
    film.answer(*said)
    film.show(1800)
    tabs[0].locator('button.size-container__entry[value="18"]').click()
    for tab in tabs:
        expect(tab.locator('#cart .cart-item[data-item-id="18"]')).to_have_count(1)
    tabs[0].mouse.move(0, 0)
    film.show(1800)
    film.type("bin/flask sell-out")
    selling = shop.start_flask("sell-out", "--per-tick", "150", "--tick-ms", "350")
    film.answer()
    while selling.poll() is None:
        film.show(160)
    for tab in tabs:
        expect(tab.locator("#cart .cart-item--out-of-stock")).to_have_count(1)
    film.show(3500)


@contextmanager
def two_tabs(shop: RunningShop) -> Iterator[tuple[Page, Page]]:
    """Give two tabs of one shopper that show a product."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        context = browser.new_context(
            viewport={"width": TAB[0], "height": TAB[1]}, reduced_motion="reduce"
        )
        tabs = context.new_page(), context.new_page()
        for tab in tabs:
            tab.goto(f"{shop.url}/products/OST-KILN")
            expect(tab.locator("html")).to_have_attribute("data-live", "on")
        yield tabs
        browser.close()


def main() -> None:
    """Record the film, of a shop of its own."""
    with tempfile.TemporaryDirectory() as folder:
        shop = RunningShop(Path(folder) / "instance", SHOP_DEMO="off")
        shop.flask("seed", "--random-seed", "7")
        shop.start()
        try:
            with two_tabs(shop) as tabs:
                film = Film(tabs)
                record(film, shop, tabs)
                film.save(PICTURE)
        finally:
            shop.end()


if __name__ == "__main__":
    main()
