"""The command line: `bin/bench`."""

from __future__ import annotations

import resource
import signal
import sys

import click

from bench.capacity import capacity
from bench.checkout import checkout
from bench.cluster import cluster
from bench.herd import herd
from bench.pages import pages
from bench.release import release
from bench.sellout import sellout
from bench.streams import streams
from tests.support.machines.service import NotThere


@click.group()
def main() -> None:
    """Measure the shop beside other servers, on this machine and in the same run.

    Everything happens on the loopback network and in temporary folders; the shop that may be
    running here is not touched. Close what else keeps the processors busy. What was found is
    printed, and written into docs/benchmarks, or where --into says.

    \b
    Examples:
      bin/bench --install                            nchan, Node, Starlette, to compare with
      bin/bench streams                              10,000 open tabs, and fewer
      bin/bench sellout                              an item in 10,000 carts sells out
      bin/bench release                              a product opens in 5,000 tabs
      bin/bench herd                                 5,000 tabs come back to a new server
      bin/bench pages                                pages, adds, purchases
      bin/bench checkout                             orders, paid outside and by the demo's page
      bin/bench cluster                              2 servers, 4,000 tabs, 100 purchases/s
      bin/bench capacity                             estimates for a million shoppers
    """
    # A stream is a file of the load client's, and of the server's.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # An ordinary exit, so that processes and folders go with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


for command in (streams, sellout, release, herd, pages, checkout, cluster, capacity):
    main.add_command(command)

if __name__ == "__main__":
    try:
        main(prog_name="bin/bench")
    except NotThere as error:
        sys.exit(f"Error: {error}")
