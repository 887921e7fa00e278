"""The command line: `bin/bench`."""

from __future__ import annotations

import signal
import sys

import click

from bench.capacity import capacity
from bench.cluster import cluster
from bench.herd import herd
from bench.pages import pages
from bench.parts import parts
from bench.sellout import sellout
from bench.streams import streams


def _belongs_alone(_: click.Context, __: click.Parameter, given: bool) -> None:
    """Refuse what bin/bench does by itself, before any Python: see there."""
    if given:
        raise click.UsageError("--install belongs alone: bin/bench --install")


@click.group()
@click.option(
    "--install",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_belongs_alone,
    help="Install what the shop is compared with (Debian packages as root), and run nothing.",
)
def main() -> None:
    """Measure the shop beside other servers, on this machine and in the same run.

    Everything happens on the loopback network and in temporary folders; the shop that may be
    running here is not touched. Close what else keeps the processors busy. What was found is
    printed, and written into docs/benchmarks, or where --into says.

    \b
    Examples:
      bin/bench --install                            nchan, Node, Starlette, to compare with
      bin/bench streams                              10,000 open tabs, and fewer
      bin/bench streams --streams 500 --runs 3
      bin/bench sellout                              an item in 10,000 carts sells out
      bin/bench herd                                 5,000 tabs come back to a new server
      bin/bench pages --seconds 3 --json pages.json
      bin/bench cluster                              2 servers, 4,000 tabs, 100 purchases/s
      bin/bench parts                                nginx, Redis, PostgreSQL, each alone
      bin/bench capacity                             reckons for a million shoppers from all of it
    """
    # An ordinary exit, so that processes and folders go with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


main.add_command(streams)
main.add_command(sellout)
main.add_command(herd)
main.add_command(pages)
main.add_command(cluster)
main.add_command(parts)
main.add_command(capacity)

if __name__ == "__main__":
    main(prog_name="bin/bench")
