"""A browser that refuses cookies has no cart, and as many live tabs as it likes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Playwright, expect

from tests.browser.conftest import CHROMIUM, SWITCHES, TIMEOUT, Complaints
from tests.browser.shopper import size_button, visit
from tests.support.running import RunningShop

#: One more than the connections that a browser opens to a site.
TABS = 7


@pytest.fixture(scope="module")
def refusing(
    playwright: Playwright, shared_complaints: Complaints, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BrowserContext]:
    """A window of all of Chromium, set to block all cookies."""
    blocked = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    folder = tmp_path_factory.mktemp("refusing")
    (folder / "Default").mkdir()
    (folder / "Default" / "Preferences").write_text(json.dumps(blocked))
    window = playwright.chromium.launch_persistent_context(
        str(folder), executable_path=CHROMIUM, args=SWITCHES
    )
    window.set_default_timeout(TIMEOUT)
    window.on("console", shared_complaints.hear)
    yield window
    window.close()


def test_every_tab_of_a_browser_that_refuses_cookies_loads_and_is_live(
    open_drop: RunningShop, refusing: BrowserContext
) -> None:
    tabs = [visit(refusing.new_page(), open_drop.url) for _ in range(TABS)]
    assert refusing.cookies() == []
    (item_id, *_) = (i for i, row in open_drop.stock().items() if row["available"])
    open_drop.flask("stock", "set", open_drop.sku(item_id), "0")
    for tab in tabs:
        expect(size_button(tab, item_id)).to_be_disabled()


def test_a_page_that_shows_nothing_live_is_live_as_well(
    open_drop: RunningShop, refusing: BrowserContext
) -> None:
    page = refusing.new_page()
    page.goto(f"{open_drop.url}/cart")
    expect(page.locator('html[data-live="on"]')).to_be_attached()
