"""Whether every pair and every order is accounted for."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from shop.command_services import command_services as services
from shop.commands import CannotBeDone, on_database
from shop.commands.database_copy import take_time
from shop.models.books import Broken, find_broken
from shop.payments.choosing import choose_provider
from shop.payments.comparing import compare
from shop.payments.provider import ProviderAway, ProviderRefused


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--provider", is_flag=True, help="Also compare with the payments' provider.")
@on_database
def check(as_json: bool, provider: bool) -> None:
    """Check the books: counts, ledger, orders and carts against one another; status 1 if broken.

    \b
    Examples:
      bin/flask check
      bin/flask check --json | jq '.broken[].name'
    """
    broken = list(_broken(provider))
    if as_json:
        click.echo(json.dumps({"ok": not broken, "broken": [b._asdict() for b in broken]}))
    elif broken:
        click.echo("\n".join(f"{each.kind} {each.name}: {_said(each)}" for each in broken))
    else:
        click.echo("The books are right: every pair and every order is accounted for.")
    if broken:
        raise click.exceptions.Exit(1)


def _broken(provider: bool) -> Iterator[Broken]:
    with services.database.reading() as session:
        take_time(session.connection())
        yield from find_broken(session)
    if provider:
        yield from _broken_payments()


def _broken_payments() -> Iterator[Broken]:
    """Compare with the provider's books; paid outside, there is nobody to be asked."""
    provider = choose_provider(services.settings, services.database)
    if provider is None:
        return
    try:
        yield from compare(services.database, provider)
    except (ProviderAway, ProviderRefused) as error:
        raise CannotBeDone(f"the payment provider does not list its payments: {error}") from None


def _said(broken: Broken) -> str:
    if broken.movement is None or f"movement {broken.movement} " in broken.said:
        return broken.said
    return f"{broken.said}; the first movement that went wrong is {broken.movement}"
