"""A real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"

SWITCHES = [
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

#: What the browser itself writes to the console for answers that the contract asks for (4xx), and
#: while a test has the server away.
_EXPECTED = ("Failed to load resource: the server responded with a status of 4",)

#: What it writes when a tab is closed while its socket is being opened.
_LEFT = "WebSocket is closed before the connection is established"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield browser
        browser.close()


class Complaints(list[str]):
    """What the consoles of all pages said that they should not have said."""

    #: also allowed in this test: the server is taken away
    server_goes_away = False

    def hear(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        if message.text.startswith(_EXPECTED) or _LEFT in message.text:
            return
        gone = (
            "net::ERR_",
            "status of 502",
            "status of 503",
            "htmx:error",
            "WebSocket connection",
        )
        if self.server_goes_away and any(word in message.text for word in gone):
            return
        self.append(f"{message.type}: {message.text} ({message.location.get('url')})")


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    heard = Complaints()
    yield heard
    assert heard == [], "the console shows an error or a policy violation"


@pytest.fixture
def open_window(
    chromium: Browser, complaints: Complaints
) -> Iterator[Callable[..., BrowserContext]]:
    """Give a function that opens a window with cookies of its own, as a private one has."""
    windows: list[BrowserContext] = []

    def open_one(**options: object) -> BrowserContext:
        window = chromium.new_context(**options)  # type: ignore[arg-type]
        window.set_default_timeout(10_000)
        window.on("console", complaints.hear)
        window.on("weberror", lambda error: complaints.append(str(error.error)))
        windows.append(window)
        return window

    yield open_one
    for window in windows:
        window.close()


@pytest.fixture
def window(open_window: Callable[..., BrowserContext]) -> BrowserContext:
    return open_window(viewport={"width": 1280, "height": 900})


@pytest.fixture
def tab(window: BrowserContext) -> Page:
    return window.new_page()
