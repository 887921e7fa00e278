"""The command line: `bin/bench`."""

from __future__ import annotations

import signal
import sys

import click

from bench.cluster import cluster
from bench.pages import pages
from bench.streams import streams


@click.group()
def main() -> None:
    """Measure the shop beside plainer servers, on this machine and in the same run.

    Everything happens on the loopback network and in temporary folders; the shop that may be
    running here is not touched. Close what else keeps the processors busy.

    \b
    Examples:
      bin/bench streams                              5,000 open tabs, 20 broadcasts
      bin/bench streams --streams 500 --runs 3
      bin/bench pages --seconds 3 --json pages.json
      bin/bench cluster                              2 servers, 4,000 tabs, 100 purchases/s
    """
    # An ordinary exit, so that processes and folders go with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


main.add_command(streams)
main.add_command(pages)
main.add_command(cluster)

if __name__ == "__main__":
    main(prog_name="bin/bench")
