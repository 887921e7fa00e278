"""A shopper whose pairs are held while they pay."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable

from tests.support.running import NeverHappened, RunningShop
from tests.support.shopper import Answer, Shopper, element, text_of


class Payer:
    """Buys, and goes to the payment page."""

    def __init__(
        self, shop: RunningShop, *items: int, email: str = "kim@example.com", country: str = "AT"
    ) -> None:
        self.shop = shop
        self.shopper = Shopper(shop)
        for item in items:
            self.shopper.add(item)
        form, began = self.shopper.checkout_form(), time.monotonic()
        self.bought = self.shopper.buy(form, typed={"email": email, "country": country})
        #: how long "Buy" took to be answered, in seconds
        self.took = time.monotonic() - began
        #: the page of the hold
        self.address = self.bought.location

    @property
    def token(self) -> str:
        return self.address.split("/")[2]

    @property
    def number(self) -> str:
        ((number,),) = self.shop.sql("SELECT number FROM orders WHERE token = ?", self.token)
        return str(number)

    @property
    def state(self) -> str:
        ((state,),) = self.shop.sql("SELECT state FROM orders WHERE token = ?", self.token)
        return str(state)

    def page(self) -> str:
        """Return the page of the hold."""
        answer = self.shopper.get(self.address)
        assert answer.status == 200, answer.status
        return answer.text

    def shown(self) -> str:
        """Return what the page says of the hold."""
        return text_of(element(self.page(), "hold"))

    def until(self, holds: Callable[[str], bool], seconds: float = 10) -> str:
        """Wait until the page says what is asked for; return it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            shown = self.shown()
            if holds(shown):
                return shown
            time.sleep(0.05)
        raise NeverHappened(f"the page says: {self.shown()}")

    def until_open(self, seconds: float = 10) -> str:
        """Wait until it can be paid; return the address of the payment page."""
        self.until(lambda shown: "Pay until" in shown, seconds)
        found = re.search(r'id="hold-pay" href="([^"]+)"', self.page())
        assert found
        return html.unescape(found[1])

    def act(self, what: str) -> Answer:
        """Press a button: `extend` or `release`."""
        return self.shopper.post(f"/orders/{self.token}/{what}")

    def pay(self, how: str = "pay") -> Answer:
        """Go to the demo's payment page, and press a button there."""
        return self.shopper.post(self.until_open(), {"do": how})

    def until_state(self, state: str, seconds: float = 10) -> None:
        """Wait until the order is in a state."""
        deadline = time.monotonic() + seconds
        while self.state != state:
            if time.monotonic() > deadline:
                raise NeverHappened(f"the order is {self.state}")
            time.sleep(0.05)


def time_passes(shop: RunningShop, seconds: float) -> None:
    """Have every moment of payments be so much earlier, as if the time had passed."""
    by = int(seconds * 1000)
    shop.sql("UPDATE payments SET hold_ends = hold_ends - ?, due = due - ?", by, by)
