"""Which orders a command is about."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from shop.command_services import command_services as services
from shop.commands import WrongCall
from shop.commands.opening import Moment
from shop.models import Product, Wanted
from shop.models.order_state import STATES

_OPTIONS = (
    click.option("--state", type=click.Choice(STATES), help="Those in this state."),
    click.option("--product", metavar="SKU", help="Those with a line of this product."),
    click.option("--email", help="Those of this e-mail address."),
    click.option("--since", type=Moment(), metavar="TIME", help="Those placed then or later."),
    click.option("--until", type=Moment(), metavar="TIME", help="Those placed before that."),
)


def filters(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command options that say which orders, and call it with what is `wanted`."""

    @functools.wraps(command)
    def run(
        *args: Any,
        state: str | None,
        product: str | None,
        email: str | None,
        since: int | None,
        until: int | None,
        **kwargs: Any,
    ) -> None:
        if since is not None and until is not None and since > until:
            raise WrongCall("--since is later than --until: no order can be both")
        # Orders know their second: what is placed within the one that is named counts as later.
        seconds = [None if moment is None else -(-moment // 1000) for moment in (since, until)]
        product_id = None if product is None else _id_of(product)
        wanted = Wanted(state, product_id, email, *seconds)
        command(*args, wanted=wanted, **kwargs)

    for option in reversed(_OPTIONS):
        run = option(run)
    return run


def _id_of(product: str) -> int:
    with services.database.reading() as session:
        return Product.find(session, product, also_removed=True).id
