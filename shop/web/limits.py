"""How many actions a cart, and an address, may do in a minute.

Asked before anything else of a request is looked at, so that a refusal costs next to nothing.
A refused action doesn't count for what would have been asked next: who hammers at one cart
uses up nothing of the school that shares the address.
"""

from __future__ import annotations

from flask import Flask

from shop.web.budgets import ADDRESS, CART, address_key, current_budgets
from shop.web.csrf import acts
from shop.web.requests import current_request
from shop.web.visitor import ref_of_cookies


def install(app: Flask) -> None:
    """Refuse what is too much, whichever action it is."""
    app.before_request(_check)


def _check() -> None:
    if acts(current_request()):
        budgets = current_budgets()
        budgets.take(CART, ref_of_cookies())
        budgets.take(ADDRESS, address_key())
