"""The shop as a WSGI app, and the embedded server when run: `python wsgi.py`.

Run, it creates or migrates the database first. A server that only imports the app finds it so
after any `flask` command.
"""

from gevent import monkey

monkey.patch_all()

import gc  # noqa: E402
import sys  # noqa: E402

import click  # noqa: E402
from sqlalchemy.exc import DatabaseError  # noqa: E402

from shop import create_app  # noqa: E402
from shop.config import SettingError, load_settings  # noqa: E402
from shop.demo import prepare_database  # noqa: E402
from shop.logs import configure_logging  # noqa: E402
from shop.parts import Parts  # noqa: E402
from shop.server import serve  # noqa: E402


def main() -> int:
    """Serve until stopped. A setting that can't be used ends it with one line."""
    try:
        configure_logging(load_settings())
        app = create_app()
        parts = app.extensions["shop"]
        open_database(parts)
        parts.presence.start()
        serve(app, parts.settings, on_open=greet, close=parts.hub.close)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    parts.database.close()
    return 0


def open_database(parts: Parts) -> None:
    """Create, migrate or just open the database, or say in one line why that can't be."""
    try:
        prepare_database(parts.database, parts.settings)
        # What is there now stays: no later collection has to walk through it while tabs wait.
        gc.collect()
        gc.freeze()
    except DatabaseError as error:
        shown = parts.settings.database_url.render_as_string(hide_password=True)
        allowed = f"a database that can be opened and written is needed ({error.orig})"
        raise SettingError("SHOP_DATABASE_URL", shown, allowed) from None


def greet(address: str) -> None:
    """Say where the shop is, and what to try next."""
    click.echo(
        f"\nThe shop is open at {address}\n\n"
        "  Open it in a few tabs, then try in a second terminal:\n"
        "    bin/flask release 1 2       the drop: sizes appear in every tab\n"
        "    bin/flask stock list        what is left\n"
        "    bin/flask sell-out          watch it sell out\n"
        "    bin/flask --help            everything else\n\n"
        "  Ctrl-C closes the shop; carts, stock and orders stay.\n",
    )
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

app = create_app()
