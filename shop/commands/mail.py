"""The outbox: what waits to be sent, and sending it."""

from __future__ import annotations

import time
from typing import Any

import click
from sqlalchemy import func, select

from shop.command_services import command_services as services
from shop.commands import CannotBeDone, Group, on_database
from shop.commands.listing import write_json, write_lines
from shop.commands.screen import count
from shop.mail.carriers import CarrierAway
from shop.mail.outbox import Outbox
from shop.models import Mail, Order, StockAlert
from shop.models.mail import SENT, read_backlog
from shop.moments import second_in_utc

#: Seconds between two checks, and for how long a server that takes no mail is left alone.
_EVERY, _REST = 2.0, 20.0


@click.group(cls=Group)
def mail() -> None:
    """List and send the mails that wait.

    The serving shop sends them by itself. To send them by a process of their own as well, keep
    'mail send --watch' running.
    """


@mail.command("send")
@click.option("--watch", is_flag=True, help="Go on with new mails, until Ctrl-C.")
@on_database
def send(watch: bool) -> None:
    """Send all mails that wait, also those whose next try is later.

    Ends with status 1 if one of them could not be sent: it waits on, and is tried again for two
    days.

    \b
    Examples:
      bin/flask mail send
      bin/flask mail send --watch
    """
    outbox = Outbox.of(services.database, services.settings)
    if watch:
        _keep_sending(outbox)
        return
    try:
        sent, failed = _send(outbox, due_only=False)
    except CarrierAway as error:
        waiting = read_backlog(services.database).waiting
        raise CannotBeDone(f"{error}; {count(waiting, 'mail')} to be sent") from None
    click.echo(f"{count(sent, 'mail')} sent.")
    if failed:
        raise CannotBeDone(f"{count(failed, 'mail')} not taken; 'bin/flask mail list' says why")


def _keep_sending(outbox: Outbox) -> None:
    while True:
        rest = _EVERY
        try:
            sent, failed = _send(outbox, due_only=True)
            if sent or failed:
                click.echo(f"{count(sent, 'mail')} sent, {failed} not taken.")
        except CarrierAway as error:
            click.echo(f"{error}; the mails wait.", err=True)
            rest = _REST
        time.sleep(rest)


def _send(outbox: Outbox, *, due_only: bool) -> tuple[int, int]:
    """Send what is to be sent; return how many mails were, and how many could not be."""
    sent = failed = 0
    for outcome in outbox.send(due_only=due_only):
        if outcome.why:
            failed += 1
        else:
            sent += 1
    return sent, failed


@mail.command("list")
@click.option("--all", "also_sent", is_flag=True, help="Those that were sent, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@on_database
def list_mails(also_sent: bool, as_json: bool) -> None:
    """List the mails that wait or were given up, oldest first, and why they could not be sent.

    \b
    Examples:
      bin/flask mail list
      bin/flask mail list --all --json
    """
    question = _MAILS if also_sent else _MAILS.where(Mail.state != SENT)
    pages = services.database.pages(question, Mail.id)
    if as_json:
        write_json(pages, _row)
    else:
        write_lines(pages, _line, "No mail waits.")


def _row(mail: Any) -> dict[str, object]:
    return {
        "id": mail.id,
        "kind": mail.kind,
        "order": mail.number,
        "email": mail.email,
        "state": mail.state,
        "queued_at": second_in_utc(mail.queued),
        "ended_at": None if mail.ended is None else second_in_utc(mail.ended),
        "next_try_at": None
        if mail.ended is not None
        else second_in_utc(max(mail.due, mail.held_until)),
        "attempts": mail.attempts,
        "error": mail.error,
    }


def _line(mail: Any) -> str:
    tries = f", {count(mail.attempts, 'try', 'tries')}" if mail.attempts else ""
    why = f": {mail.error}" if mail.error else ""
    what = f"{mail.number or '-':<9}  {second_in_utc(mail.queued)}  {mail.kind:<7}  {mail.email}"
    return f"{what}  {mail.state}{tries}{why}"


_MAILS = (
    select(Mail.id, Mail.kind, Mail.state, Mail.queued, Mail.due, Mail.held_until, Mail.ended)
    .add_columns(Mail.attempts, Mail.error, Order.number)
    .add_columns(func.coalesce(Order.email, StockAlert.email).label("email"))
    .outerjoin(Order, Order.id == Mail.order_id)
    .outerjoin(StockAlert, StockAlert.id == Mail.alert_id)
)
