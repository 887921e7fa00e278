"""Serving by several processes: what `bin/serve --workers N` goes on as.

Nothing that gevent patches may be imported here: the process forks, and its workers patch first.
"""

from __future__ import annotations

import sys

from shop import create_app
from shop.config import load_settings
from shop.logs import configure_logging
from shop.metrics.folder import share
from shop.serving.master import Master
from shop.serving.workers import Serving


def main(workers: int, own_socket: bool, empty: bool) -> None:
    """Serve with workers, on the socket that was passed to this process (see sd_listen_fds(3)).

    Args:
        workers: how many.
        own_socket: whether the shop opened it, and nobody else accepts from it.
        empty: whether there are no products, for what is said when the shop is open.
    """
    settings = load_settings()
    configure_logging(settings)  # workers inherit that
    share(settings.instance)
    Master(Serving(settings, workers, create_app), own_socket, empty).run()


if __name__ == "__main__":
    main(int(sys.argv[1]), own_socket=sys.argv[2] == "own", empty=sys.argv[3] == "empty")
