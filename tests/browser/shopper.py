"""What a shopper does and sees, in the words of the shop."""

from __future__ import annotations

import re
from collections.abc import Iterable

from playwright.sync_api import Locator, Page, expect

#: Records in a page when things were seen there first, by the wall clock all tabs share.
WATCH = """
(() => {
  window.seen = {};        // "item:12" and "no item:12": in the cart, or not; in milliseconds
  window.soldOut = {};      // "12": when a size was first seen sold out
  window.reopened = [];    // sizes that went from sold out back to available
  const note = (key) => { window.seen[key] ??= Date.now(); };
  const look = () => {
    const held = new Set();
    for (const line of document.querySelectorAll("#cart .cart-item")) held.add(line.dataset.itemId);
    for (const id of held) { note(`item:${id}`); delete window.seen[`no item:${id}`]; }
    for (const key of Object.keys(window.seen)) {
      if (key.startsWith("item:") && !held.has(key.slice(5))) {
        note(`no ${key}`); delete window.seen[key];
      }
    }
    for (const size of document.querySelectorAll("button.size-container__entry")) {
      const out = size.disabled && size.className.includes("--level-out");
      if (out) window.soldOut[size.value] ??= Date.now();
      else if (window.soldOut[size.value]) window.reopened.push(size.value);
    }
  };
  document.addEventListener("click", () => { window.clicked = Date.now(); }, true);
  document.addEventListener("DOMContentLoaded", () => {
    look();
    new MutationObserver(look).observe(document.body, {
      subtree: true, childList: true, attributes: true, attributeFilter: ["disabled", "class"],
    });
  });
})();
"""

#: Who buys, and where to, by the form's fields.
DETAILS = {
    "email": "kim@example.com",
    "name": "Kim Example",
    "street": "1 Harbour Street",
    "postcode": "1234",
    "town": "Port Town",
}


def size_button(tab: Page, item_id: int) -> Locator:
    """One size on the page."""
    return tab.locator(f'button.size-container__entry[name="item_id"][value="{item_id}"]')


def line(tab: Page, item_id: int) -> Locator:
    """One line of the cart."""
    return tab.locator(f'#cart .cart-item[data-item-id="{item_id}"]')


def visit(tab: Page, address: str) -> Page:
    """Open a page and wait until it is live."""
    tab.goto(address)
    return wait_until_live(tab)


def wait_until_live(tab: Page) -> Page:
    tab.locator('html[data-live="on"]').wait_for(state="attached")
    return tab


def add(tab: Page, item_id: int) -> None:
    """Put a size into the cart and see it there."""
    size_button(tab, item_id).click()
    expect(line(tab, item_id)).to_be_visible()


def expect_cart(tab: Page, item_ids: Iterable[int]) -> None:
    """See exactly these items in the cart, in the order of their ids."""
    lines = tab.locator("#cart .cart-item")
    wanted = sorted(item_ids)
    expect(lines).to_have_count(len(wanted))
    for place, item_id in enumerate(wanted):
        expect(lines.nth(place)).to_have_attribute("data-item-id", str(item_id))


def expect_level(tab: Page, item_id: int, level: str) -> None:
    """See a size at a level."""
    wanted = re.compile(rf"\bsize-container__entry--level-{level}\b")
    expect(size_button(tab, item_id)).to_have_class(wanted)


def fill_in(tab: Page, email: str = "kim@example.com") -> None:
    """Type who buys, and where to."""
    for field, text in {**DETAILS, "email": email}.items():
        tab.locator(f"#{field}").fill(text)
    tab.locator("#country").select_option("NO")


def cart_ref(tab: Page) -> str:
    """The public fingerprint of the cart that the page shows."""
    ref = tab.locator("#cart").get_attribute("data-cart-ref")
    assert ref
    return ref


def hold(tab: Page, url: str, *item_ids: int) -> None:
    """Buy some items, and see that they are held and can be paid."""
    visit(tab, url)
    for number, item_id in enumerate(item_ids, 1):
        size_button(tab, item_id).click()
        expect(tab.locator("#cart .cart-item")).to_have_count(number)
    visit(tab, f"{url}/checkout")
    fill_in(tab)
    tab.locator("#purchase").click()
    expect(tab.locator("#hold-pay")).to_be_visible()


def hold_without_script(tab: Page, url: str, item_id: int) -> None:
    """Do the same in a tab that runs no script: a page that waits looks again by itself."""
    tab.goto(url)
    size_button(tab, item_id).click()
    tab.goto(f"{url}/checkout")
    fill_in(tab)
    tab.locator("#purchase").click()
    expect(tab.locator("#hold-pay")).to_be_visible()
