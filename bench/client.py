"""The load client: a process that holds tabs and acts as visitors, as it is told line by line."""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench.buyers import purchase
from bench.loop import Loop
from bench.shoppers import Shoppers, one_cart
from bench.tabs import Cart, Tabs, any_message, own_cart, product_fragment
from bench.visitors import BackgroundVisitors, fill_carts, visit


class LoadClient:
    """Its methods are the commands that it takes. Times are in seconds, on the monotonic clock."""

    def __init__(self) -> None:
        self._loop = Loop()
        self._tabs = Tabs(self._loop)
        self._carts: list[Cart] = []
        self._background: BackgroundVisitors | None = None
        self._shoppers: Shoppers | None = None

    def give_way(self) -> None:
        """Take a lower priority (nice(2)).

        Where there are but two processors, somebody who acts in the meantime must not wait until
        ten thousand tabs have been read.
        """
        os.nice(10)

    def fill(self, port: int, contents: list[list[int]], timeout: float) -> None:
        """Fill a cart for each of the contents; tabs that are opened from now on show them."""
        self._carts = [cart for _, cart, _ in fill_carts(self._loop, [port], contents, timeout)]

    def open(self, port: int, path: str, count: int, timeout: float) -> dict[str, float]:
        return self._tabs.open(port, path, count, self._carts, timeout)

    def prepare(self) -> None:
        self._tabs.prepare()

    def expect_message(self, timeout: float) -> dict[str, float]:
        return self._tabs.expect(any_message, timeout)

    def expect_product(self, product: int, timeout: float) -> dict[str, float]:
        return self._tabs.expect(product_fragment(product), timeout)

    def expect_cart(self, struck: int | None, timeout: float) -> dict[str, float]:
        return self._tabs.expect(own_cart(struck), timeout)

    def come_back(self, **how: Any) -> dict[str, Any]:
        return self._tabs.come_back(**how)

    def leave(self) -> None:
        self._tabs.leave()

    def visit(self, **how: Any) -> dict[str, Any]:
        return visit(self._loop, **how)

    def purchase(self, **how: Any) -> dict[str, Any]:
        return purchase(self._loop, **how)

    def arrive(self, port: int, count: int, item: int) -> None:
        """Have background visitors open the front page; `item` is what they add and remove."""
        self._background = BackgroundVisitors(self._loop, port, count, item)

    def act(self, rate: float, most: float) -> list[dict[str, Any]]:
        """Have them act until the next command comes, for `most` seconds at the most."""
        assert self._background is not None
        return self._background.act(rate, time.monotonic() + most, _is_called)

    def stop(self) -> None:
        """Nothing to do: it has ended `act` by coming."""

    def one_cart(self, **how: Any) -> list[float]:
        return one_cart(self._loop, **how)

    def come_in(self, ports: Sequence[int], contents: list[list[int]], timeout: float) -> None:
        self._shoppers = Shoppers(self._loop, ports, contents, timeout)

    def buy(self, rate: float, seconds: float, items: list[str]) -> dict[str, Any]:
        assert self._shoppers is not None
        cpu = time.process_time()
        bought = self._shoppers.buy(rate, seconds, items)
        return {**bought, "cpu": time.process_time() - cpu}

    def look(self, after: float) -> dict[str, Any]:
        assert self._shoppers is not None
        return self._shoppers.look(after)


def _is_called() -> bool:
    """Tell whether the next command is there."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


def main() -> None:
    """Do what each line says: a JSON list of a command's name and its options."""
    does = LoadClient()
    for line in sys.stdin:
        command, options = json.loads(line)
        try:
            answer = {"result": getattr(does, command)(**options)}
        except (OSError, RuntimeError, ValueError) as error:
            answer = {"error": str(error) or type(error).__name__}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
