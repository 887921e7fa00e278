"""What one shopper does in the shop: requests one after another, over a connection of its own."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator
from html import unescape

from bench.crowd import connect
from bench.http1 import Answer, Browser, Request
from bench.shopping import BUYER, add, hidden_fields, remove
from bench.tabs import Cart, Tab, cart_of

#: What an errand came to, in a word or two.
Errands = Generator[Request, Answer, str]

BOUGHT, SOLD_OUT = "bought", "sold out"


class Errand:
    """An errand on its way.

    Args:
        source: the address of this machine that the shopper comes from.
        note: told of each answer: the kind of request, and the seconds it took.
    """

    def __init__(
        self,
        source: str,
        port: int,
        browser: Browser,
        script: Errands,
        note: Callable[[str, float], None],
    ) -> None:
        self.socket = connect(source, port)
        #: what it came to, once it is over
        self.outcome = ""
        self._browser = browser
        self._script = script
        self._note = note
        self._ask(next(script))

    def hear(self) -> None:
        """Take what has come, and ask on when that is a whole answer."""
        try:
            data = self.socket.recv(1 << 17)
            answer = self._browser.read(data) if data else None
        except BlockingIOError:
            return
        except ConnectionError:
            data, answer = b"", None
        if not data:
            self.outcome = f"{self._asked.kind}: the connection was closed"
        if answer is not None:
            self._note(self._asked.kind, time.time() - self._at)
            self._go_on(answer)

    def _go_on(self, answer: Answer) -> None:
        if answer.status >= 400 and answer.status != 409:
            self.outcome = f"{self._asked.kind}: {answer.status}"
            return
        try:
            self._ask(self._script.send(answer))
        except StopIteration as done:
            self.outcome = done.value

    def _ask(self, request: Request) -> None:
        self._asked, self._at = request, time.time()
        self.socket.sendall(self._browser.write(request))


def arrival(keep_token: Callable[[str], None], items: list[str]) -> Errands:
    """Open the front page, and put items into the cart."""
    page = (yield Request("front page", "GET", "/")).text
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    if found is None:
        return "the front page has no token"
    token = unescape(found[1])
    keep_token(token)
    for item in items:
        yield add(token, item)
    return "arrived"


def purchase(
    token: str, tab: Tab, choices: list[str], email: str, ask: Callable[[Cart], None]
) -> Errands:
    """Put one more item into the cart, open the checkout, and buy.

    Args:
        tab: what the shopper sees; what is sold out there is taken out of the cart.
        choices: items in the order in which the shopper likes them.
        ask: called with the cart that is about to be bought.
    """
    yield from _take_out_what_is_gone(token, tab)
    wanted = _first_choice(tab, choices)
    if wanted is not None:
        yield add(token, wanted)
    page = yield Request("checkout page", "GET", "/checkout")
    if page.status != 200:
        return SOLD_OUT
    cart = cart_of(page.text)
    if cart.closed:
        return SOLD_OUT
    ask(cart)
    return (yield from _buy(token, hidden_fields(page.text), email))


def purchase_at_checkout(
    token: str, tab: Tab, choices: list[str], email: str, ask: Callable[[Cart], None]
) -> Errands:
    """Buy what is in the cart, from the checkout page that the tab is; fill an empty cart first."""
    cart = tab.cart
    if cart is None:
        return "the tab shows no cart"
    after = yield from _take_out_what_is_gone(token, tab)
    cart = after or cart
    wanted = _first_choice(tab, choices)
    if not cart.items and wanted is not None:
        cart = cart_of((yield add(token, wanted)).text)
    if not cart.items or cart.closed:
        return SOLD_OUT
    ask(cart)
    return (yield from _buy(token, list(cart.fields), email))


def _take_out_what_is_gone(token: str, tab: Tab) -> Generator[Request, Answer, Cart | None]:
    cart = None
    for item in sorted(tab.cart.closed) if tab.cart else ():
        answer = yield remove(token, item)
        cart = cart_of(answer.text)
    return cart


def _first_choice(tab: Tab, choices: list[str]) -> str | None:
    held = tab.cart.items if tab.cart else frozenset()
    gone = tab.sold_out | held
    return next((item for item in choices if item not in gone), None)


def _buy(token: str, fields: list[tuple[str, str]], email: str) -> Errands:
    form = [("csrf_token", token), *fields, *(BUYER | {"email": email}).items()]
    answer = yield Request("purchase", "POST", "/checkout", form)
    if answer.location.endswith("/checkout/complete"):
        return BOUGHT
    # Back to the form: it says what can't be had any more.
    return SOLD_OUT if answer.status == 303 else f"purchase: {answer.status}"
