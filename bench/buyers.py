"""The load client's buyers: carts that are full, bought by some shoppers at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from bench.http1 import Answer, Request
from bench.loop import Loop
from bench.processes import cpu_clock
from bench.visitors import TIMEOUT, Visitor, fill_carts, order


def purchase(
    loop: Loop, port: int, pid: int, items: Sequence[int], orders: int, shoppers: int
) -> dict[str, Any]:
    """Have carts that hold these items bought, by so many shoppers at a time.

    Args:
        pid: the server's process, whose CPU time is measured.

    Returns:
        Seconds it took, the server's CPU time, and the seconds that each answer took.
    """
    forms = _forms(loop, port, items, orders)
    times: list[float] = []
    queue = iter(forms)

    def buy_next() -> None:
        for visitor, form in queue:
            began = time.perf_counter()

            def bought(answer: Answer | None, outcome: str, began: float = began) -> None:
                if answer is None or answer.header("location") in ("", "/checkout"):
                    raise RuntimeError(f"an order was not taken: {outcome}")
                times.append(time.perf_counter() - began)
                buy_next()

            visitor.ask(form, bought)
            return

    cpu, started = cpu_clock(pid), time.perf_counter()
    for _ in range(shoppers):
        buy_next()
    if not loop.run(time.monotonic() + TIMEOUT, lambda: len(times) >= orders):
        raise RuntimeError(f"not all orders were taken in {TIMEOUT:.0f} s")
    took, spent = time.perf_counter() - started, cpu_clock(pid) - cpu
    for visitor, _ in forms:
        visitor.hang_up()
    return {"seconds": took, "cpu": spent, "times": times}


def _forms(
    loop: Loop, port: int, items: Sequence[int], orders: int
) -> list[tuple[Visitor, Request]]:
    """Fill carts, and return with each visitor the form that buys theirs."""
    forms: list[tuple[Visitor, Request]] = []
    filled = fill_carts(loop, [port], [items] * orders, TIMEOUT * 10)
    for number, (token, _, visitor) in enumerate(filled):
        answers: list[Answer] = []

        def shown(answer: Answer | None, outcome: str, into: list[Answer] = answers) -> None:
            if answer is None or answer.status != 200:
                raise RuntimeError(f"a checkout was not shown: {outcome}")
            into.append(answer)

        visitor.ask(Request("form", "GET", "/checkout"), shown)
        loop.run(time.monotonic() + TIMEOUT, partial(bool, answers))
        forms.append((visitor, order(token, answers[0].text, f"kim{number}@example.com")))
    return forms
