"""What `bin/flask` runs: the operators' commands, and nothing of Flask's own."""

from __future__ import annotations

import errno
import sys

import click

from shop.commands import Commands
from shop.config import release_version
from shop.environment import is_text, message_of_file_error
from shop.output import open_standard_streams

#: What a disk says to a process that writes into a file that was opened by others, as by `> file`.
_NOT_WRITTEN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def main() -> None:
    """Run the command that the arguments name."""
    open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        # A terminal or a file may not know all characters that names are written in.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    for argument in sys.argv[1:]:
        if not is_text(argument):
            click.echo(f"Error: the argument {argument!r} is not UTF-8", err=True)
            sys.exit(2)
    try:
        commands.main(prog_name="bin/flask")
    except OSError as error:
        reason = message_of_file_error(error)
        if reason is None and error.errno in _NOT_WRITTEN:
            reason = f"not all of the output could be written: {error.strerror}"
        if reason is None:  # a fault of the program
            raise
        click.echo(f"Error: {reason}", err=True)
        sys.exit(1)


@click.version_option(release_version(), prog_name="drop-shop")
@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Operate the shop, beside its server: every open tab follows.

    SHOP_… settings, in the environment or in the file .env, say which shop: see docs/settings.md.
    """


if __name__ == "__main__":
    main()
