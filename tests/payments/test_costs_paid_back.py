"""What goes back of shipping and tax when lines of an order end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.payer import Payer
from tests.support.running import RunningShop

TABLE = """
tax = "added 10 %"
[all]
countries = "others"
price = 5
"""


@pytest.mark.both_databases
def test_a_line_goes_back_with_its_tax_and_the_shipping_with_the_last_one(
    make_shop: Callable[..., RunningShop],
) -> None:
    shop = make_shop("released", SHOP_PAYMENTS="demo", SHOP_DEMO="off")
    shop.instance.mkdir(mode=0o700, exist_ok=True)
    (shop.instance / "shipping.toml").write_text(TABLE)
    shop.start()
    cancelled, returned = Payer(shop, 1, 2), Payer(shop, 3)
    for each in (cancelled, returned):
        each.pay()
        each.until_state("paid")

    def paid_back(payer: Payer) -> list[int]:
        rows = shop.sql(
            "SELECT amount FROM refunds JOIN orders ON id = order_id WHERE number = ?"
            " ORDER BY amount",
            payer.number,
        )
        return [amount for (amount,) in rows]

    why = ("--reason", "no")
    shop.flask("orders", "cancel", cancelled.number, *why, "--sku", shop.sku(1))
    assert paid_back(cancelled) == [13_200], "12000 and its tax"
    shop.flask("orders", "cancel", cancelled.number, *why)
    assert paid_back(cancelled) == [550, 13_200, 13_200], "all of 26950"

    shop.flask("orders", "fulfil", returned.number)
    shop.flask("orders", "return", returned.number, *why)
    assert paid_back(returned) == [13_200], "the shipping was done"
    assert shop.flask("check", "--provider").returncode == 0
