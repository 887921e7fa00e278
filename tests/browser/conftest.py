"""A real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    expect,
    sync_playwright,
)

CHROMIUM = "/usr/bin/chromium"

#: The same engine, network and scripts, of the same version, without what a browser has around a
#: page. That costs a test as much again.
SHELL = "/usr/bin/chromium-headless-shell"

#: How long a page may take to show what a test waits for, in milliseconds: on a busy machine a
#: browser gets little done. What is there sooner is seen at once.
TIMEOUT = 30_000

OpenWindow = Callable[..., BrowserContext]

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
def playwright() -> Iterator[Playwright]:
    expect.set_options(timeout=TIMEOUT)
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """One browser for the tests of a worker, but for those that want all of Chromium."""
    browser = playwright.chromium.launch(executable_path=SHELL, args=SWITCHES)
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

    def expect_none(self) -> None:
        assert self == [], "the console shows an error or a policy violation"


@contextmanager
def windows(chromium: Browser, complaints: Complaints) -> Iterator[OpenWindow]:
    """Give a function that opens a window with cookies of its own, as a private one has."""
    opened: list[BrowserContext] = []

    def open_one(**options: object) -> BrowserContext:
        # What moves is drawn sixty times a second, in all tabs.
        still = {"reduced_motion": "reduce"}
        window = chromium.new_context(**{**still, **options})  # type: ignore[arg-type]
        window.set_default_timeout(TIMEOUT)
        window.on("console", complaints.hear)
        window.on("weberror", lambda error: complaints.append(str(error.error)))
        opened.append(window)
        return window

    yield open_one
    for window in opened:
        window.close()


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    heard = Complaints()
    yield heard
    heard.expect_none()


@pytest.fixture
def open_window(chromium: Browser, complaints: Complaints) -> Iterator[OpenWindow]:
    """Give a function that opens windows, all closed after the test; see `windows`."""
    with windows(chromium, complaints) as open_one:
        yield open_one


@pytest.fixture(scope="module")
def shared_complaints() -> Iterator[Complaints]:
    """What is heard of windows that a module's tests share, while none has one of its own."""
    heard = Complaints()
    yield heard
    heard.expect_none()


@pytest.fixture(scope="module")
def open_shared_window(chromium: Browser, shared_complaints: Complaints) -> Iterator[OpenWindow]:
    """Give a function that opens windows for a module's tests that leave one another alone."""
    with windows(chromium, shared_complaints) as open_one:
        yield open_one


@pytest.fixture
def window(open_window: Callable[..., BrowserContext]) -> BrowserContext:
    return open_window(viewport={"width": 1280, "height": 900})


@pytest.fixture
def tab(window: BrowserContext) -> Page:
    return window.new_page()
