"""The load client: a process that holds tabs and acts as visitors, as it is told over a pipe."""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection

import gevent

from bench.shoppers import Shoppers
from bench.tabs import Tabs
from bench.visitors import Unanswered
from bench.visits import Visits


def main() -> None:
    """Do what is asked for: the name of a part and its command, and options, until the pipe ends.

    Each answer is whether it was done, and the result or the reason.
    """
    pipe = Connection(int(sys.argv[1]))
    gevent.get_hub().exception_stream = None  # an error is the command's answer
    tabs = Tabs()
    parts = {"tabs": tabs, "visits": Visits(pipe.poll), "shoppers": Shoppers(tabs)}
    while True:
        try:
            command, options = pipe.recv()
        except EOFError:
            return
        part, _, name = command.partition(".")
        try:
            answer = True, getattr(parts[part], name)(**options)
        except (OSError, RuntimeError, ValueError, Unanswered) as error:
            answer = False, str(error) or type(error).__name__
        pipe.send(answer)


if __name__ == "__main__":
    main()
