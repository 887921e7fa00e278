"""What operators are told of the tabs of a real browser."""

from __future__ import annotations

import json

from playwright.sync_api import BrowserContext

from tests.browser.shopper import add, cart_ref, visit
from tests.support.running import RunningShop, eventually


def test_operators_see_on_which_page_each_tab_is_whichever_way_it_listens(
    drop: RunningShop, window: BrowserContext
) -> None:
    paths = ["/", "/", "/", "/cart", "/products/OST-KILN", "/checkout"]
    first = visit(window.new_page(), drop.url)
    add(first, 1)
    for path in paths[1:]:  # the fifth and the sixth get a WebSocket
        visit(window.new_page(), drop.url + path)
    said = drop.flask("carts").stdout
    assert "1 cart open in 6 tabs on 1 server" in said
    assert f"{cart_ref(first)}     6      1" in said
    assert "/ ×3, /cart, /checkout, /products/OST-KILN" in said

    window.pages[-1].goto(f"{drop.url}/cart")
    for page in window.pages[1:5]:
        page.close()
    eventually(lambda: json.loads(drop.flask("carts", "--json").stdout)[0]["tabs"] == 2)
    (cart,) = json.loads(drop.flask("carts", "--json").stdout)
    assert cart["pages"] == ["/", "/cart"]
