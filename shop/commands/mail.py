"""The outbox: what waits to be sent, and sending it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import click
from sqlalchemy import func, select

from shop.command_services import command_services as services
from shop.commands import CannotBeDone, Group, on_database
from shop.commands.screen import count
from shop.mail.carriers import CarrierAway
from shop.mail.outbox import Outbox
from shop.models import Mail, Order, StockAlert
from shop.models.mail import SENT, read_backlog

#: Seconds between two looks, and for how long a server that takes no mail is left alone.
_EVERY, _REST = 2.0, 20.0


@click.group(cls=Group)
def mail() -> None:
    """List and send the mails that wait.

    The serving shop sends them by itself. To send them by a process of their own as well, keep
    'mail send --watch' running.
    """


@mail.command("send")
@click.option("--watch", is_flag=True, help="And whatever comes, until Ctrl-C.")
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
@click.option("--json", "as_json", is_flag=True, help="For programs.")
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
    for text in (_as_json if as_json else _as_lines)(pages):
        click.echo(text, nl=False)


def _as_json(pages: Iterator[Any]) -> Iterator[str]:
    before = "[\n"
    for page in pages:
        yield before + ",\n".join(json.dumps(_row(mail)) for mail in page)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _as_lines(pages: Iterator[Any]) -> Iterator[str]:
    none = True
    for page in pages:
        none = False
        yield "".join(f"{_line(mail)}\n" for mail in page)
    if none:
        yield "No mail waits.\n"


def _row(mail: Any) -> dict[str, object]:
    return {
        "id": mail.id,
        "kind": mail.kind,
        "order": mail.number,
        "email": mail.email,
        "state": mail.state,
        "queued_at": _time(mail.queued),
        "ended_at": None if mail.ended is None else _time(mail.ended),
        "next_try_at": None if mail.ended is not None else _time(max(mail.due, mail.held_until)),
        "attempts": mail.attempts,
        "error": mail.error,
    }


def _line(mail: Any) -> str:
    tries = f", {count(mail.attempts, 'try').replace('trys', 'tries')}" if mail.attempts else ""
    why = f": {mail.error}" if mail.error else ""
    what = f"{mail.number or '-':<9}  {_time(mail.queued)}  {mail.kind:<7}  {mail.email}"
    return f"{what}  {mail.state}{tries}{why}"


def _time(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


_MAILS = (
    select(Mail.id, Mail.kind, Mail.state, Mail.queued, Mail.due, Mail.held_until, Mail.ended)
    .add_columns(Mail.attempts, Mail.error, Order.number)
    .add_columns(func.coalesce(Order.email, StockAlert.email).label("email"))
    .outerjoin(Order, Order.id == Mail.order_id)
    .outerjoin(StockAlert, StockAlert.id == Mail.alert_id)
)
