"""The command `bin/serve`: from the settings to a shop that is open, or a line that says why not.

What is particular to it is done here; whoever serves the app in another way needs none of it.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import NoReturn

import click
from redis import RedisError
from sqlalchemy.exc import DatabaseError

from shop import create_app
from shop.config import OWN_INSTANCE, load_settings
from shop.demo import prepare_database
from shop.environment import message_of_file_error
from shop.face.brand import BrandError
from shop.logs import configure_logging, flush_log
from shop.permissions import close_folder
from shop.services import Services
from shop.serving.server import serve
from shop.serving.sockets import Listener, allow_many_files, greet, open_listener
from shop.setting_values import ROOT, SettingError, without_password

#: Some more than anybody's machine has use for; each has a row in `shop.stream_slots`, or two while
#: the workers are being replaced.
MOST_WORKERS = 100


def main() -> int:
    """Serve until stopped. What can't be used ends it with one line."""
    try:
        command.main(prog_name="bin/serve", standalone_mode=False)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        click.echo(f"Error: {error.format_message()}", err=True)
        return error.exit_code
    except OSError as error:
        reason = message_of_file_error(error)
        if reason is None:  # a fault of the program
            raise
        click.echo(f"Error: {reason}", err=True)
        return 1
    return 0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(1, MOST_WORKERS),
    help="Serve with N processes, as many as there are processors, say; replaced when one crashes, "
    "and one after another by kill -HUP. Without this: one process, with nothing around it.",
)
def command(workers: int | None) -> None:
    """Serve the shop until Ctrl-C. SHOP_… settings say where and how: see docs/settings.md."""
    os.umask(0o077)  # whatever the libraries put into the instance folder is nobody else's
    settings = load_settings()
    configure_logging(settings)
    for line in settings.unknown:
        click.echo(f"Warning: {line}", err=True)
    close_folder(settings.instance, own=settings.instance == OWN_INSTANCE)
    app = create_app()
    services: Services = app.extensions["shop"]
    check_face(services)
    open_database(services)
    meet_redis(services)
    allow_many_files()
    listener = open_listener(services.settings)
    empty = not services.inventory.current().products
    if workers is not None:
        services.database.close()
        become_master(workers, listener, empty)
    services.start()
    let_go = partial(services.hub.close, over=services.settings.drain_seconds)
    serve(app, listener, on_open=partial(greet, empty=empty), let_go=let_go)
    services.stop()
    services.database.close()


def check_face(services: Services) -> None:
    """See that the shop's brand can be used, or say in one line why not."""
    try:
        services.face.check()
    except BrandError as error:
        raise click.UsageError(str(error)) from None


def open_database(services: Services) -> None:
    """Create, migrate or just open the database, or say in one line why that can't be."""
    try:
        prepare_database(services.database, services.settings)
    except DatabaseError as error:
        shown = services.settings.database_url.render_as_string(hide_password=True)
        allowed = f"a database that can be opened and written is needed ({error.orig})"
        raise SettingError("SHOP_DATABASE_URL", shown, allowed) from None


def meet_redis(services: Services) -> None:
    """See that Redis is there, if it is to be used, or say in one line that it isn't."""
    try:
        if services.relay is not None:
            services.relay.check()
    except RedisError as error:
        shown = without_password(str(services.settings.redis_url))
        allowed = f"a Redis that answers is needed ({error})"
        raise SettingError("SHOP_REDIS_URL", shown, allowed) from None


def become_master(workers: int, listener: Listener, empty: bool) -> NoReturn:
    """Go on as the process that looks after the workers; the pid stays.

    It is a fresh interpreter: to fork, it must not be one that gevent has patched.
    """
    listener.hand_on(os.environ)
    flush_log()
    os.chdir(ROOT)
    socket, stock = "passed" if listener.passed else "own", "empty" if empty else "stocked"
    master = [sys.executable, "-m", "shop.serve_workers", str(workers), socket, stock]
    os.execv(sys.executable, master)  # noqa: S606
