"""The benchmarks of a drop's hard moments measure real servers, and would tell of a wrong cart."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

from bench.actions import Action, quantile, within
from bench.cart_tabs import Look, WrongCart, line_of
from bench.carts import make_carts, write_carts
from bench.processes import Client, client
from bench.restart import Restart
from bench.sale import PATH
from bench.shops import Shop, open_shop
from bench.visits import BARE, CHANGE, CHECKOUT, NONE, OPEN, PAGE, Round, Slice
from tests.running import ROOT

LINE = '<li class="cart-item{}" id="cart-item-{item}" data-item-id="{item}">'


def message(ref: str, items: list[int], struck: int | None = None) -> bytes:
    gone = " cart-item--out-of-stock"
    lines = (LINE.format(gone if item == struck else "", item=item) for item in items)
    return f'data: <section data-cart-ref="{ref}">{"".join(lines)}</section>\n\n'.encode()


def finds(data: bytes, struck: int | None) -> bool:
    line = None if struck is None else line_of(struck)
    return Look("mine", [1, 12]).finds(data, len(data), line)


# --- What a tab looks for -------------------------------------------------------------------


def test_a_tab_finds_its_cart_with_the_right_line_struck_out() -> None:
    assert finds(message("mine", [1, 12], struck=1), 1)
    assert finds(message("mine", [1, 12]), None)


def test_a_tab_waits_on_while_nothing_or_another_line_is_struck_out() -> None:
    assert not finds(message("mine", [1, 12]), 1)
    assert not finds(message("mine", [1, 12], struck=12), 1)
    assert not finds(message("mine", [1, 12], struck=1), None)


def test_a_message_without_a_cart_is_none() -> None:
    assert not finds(b'data: <div id="stock-1" class="stock"></div>\n\n', None)


@pytest.mark.parametrize(
    "sent",
    [
        message("yours", [1, 12], struck=1),
        message("mine", [1, 12], struck=1) + message("yours", [1, 12], struck=1),
        message("min", [1, 12], struck=1),
    ],
)
def test_anothers_cart_is_noticed(sent: bytes) -> None:
    with pytest.raises(WrongCart, match="another's"):
        finds(sent, 1)


def test_a_cart_that_lost_a_line_is_noticed() -> None:
    with pytest.raises(WrongCart, match="without its lines"):
        finds(message("mine", [1, 13], struck=1), 1)


# --- A real shop ------------------------------------------------------------------------------


@dataclass
class Stage:
    """A shop with two carts, and a crowd to show them."""

    shop: Shop
    crowd: Client
    file: Path
    contents: tuple[list[int], ...] = ([1, 2], [1, 3])

    def fill(self) -> list[dict[str, Any]]:
        """Put the carts into the shop, and return them as the crowd is told of them."""
        cookies = make_carts(self.shop, self.contents)
        write_carts(self.file, cookies, self.contents)
        carts: list[dict[str, Any]] = json.loads(self.file.read_text())
        return carts

    def open(self, carts: list[dict[str, Any]]) -> None:
        self.file.write_text(json.dumps(carts))
        where = {"port": self.shop.server.port, "carts": str(self.file), "path": PATH}
        self.crowd.do(20, do="open", timeout=2, **where)


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with open_shop() as opened:
        yield opened


@pytest.fixture
def stage(shop: Shop, tmp_path: Path) -> Iterator[Stage]:
    with client("bench.cart_crowd") as crowd:
        yield Stage(shop, crowd, tmp_path / "carts.json")


def test_tabs_are_told_of_their_carts(stage: Stage) -> None:
    stage.open(stage.fill())
    scarce = stage.shop.items()[0]
    stage.crowd.do(10, do="prepare")
    stage.crowd.tell(do="expect_cart", struck=scarce["id"], timeout=10)
    stage.shop.set_stock(scarce["sku"], 0)
    heard = stage.crowd.answer(20)
    assert 0 < heard["first"] <= heard["half"] <= heard["last"]
    stage.crowd.do(10, do="prepare")
    stage.crowd.tell(do="expect_cart", struck=None, timeout=10)
    stage.shop.set_stock(scarce["sku"], 1000)
    stage.crowd.answer(20)


def test_a_tab_that_shows_anothers_cart_ends_the_run(stage: Stage) -> None:
    first, second = stage.fill()
    first["ref"], second["ref"] = second["ref"], first["ref"]
    with pytest.raises(click.ClickException, match="another's cart"):
        stage.open([first, second])


def test_a_tab_without_a_cart_ends_the_run(stage: Stage) -> None:
    first, second = stage.fill()
    second["cookie"] = ""
    with pytest.raises(click.ClickException, match="not all tabs were opened in time"):
        stage.open([first, second])


def test_a_tab_that_is_not_told_ends_the_run(stage: Stage) -> None:
    stage.open(stage.fill())
    with pytest.raises(click.ClickException, match=r"not all tabs had .* \(0 of 2"):
        stage.crowd.do(10, do="expect_cart", struck=1, timeout=0.5)


# --- Small runs of each -------------------------------------------------------------------------


def run(into: Path, words: str) -> dict[str, Any]:
    """Run a benchmark; return its figures."""
    command = [sys.executable, "-m", "bench", *words.split(), "--into", str(into)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    name = words.split()[0]
    assert (into / f"{name}.svg").read_text().startswith("<svg")
    figures: dict[str, Any] = json.loads((into / f"{name}.json").read_text())
    assert {goal["holds"] for goal in figures["goals"]} <= {True, False}
    return figures


def test_a_small_sellout_is_measured(tmp_path: Path) -> None:
    figures = run(tmp_path, "sellout --tabs 50 --rounds 2 --rate 100")
    told = figures["told"]
    assert [one["what"] for one in told] == ["carts", "shared", "shared", "carts"]
    for one in told:
        assert 0 < one["first"] <= one["half"] <= one["last"] < 10
        assert one["client_cpu"] > 0
        assert set(one["before"]["outcomes"]) == {"200"}
        assert min(one["before"][way]["answers"] for way in ("kept", "fresh")) > 5
    assert len(figures["multiples"]) == 2


def test_a_small_herd_is_measured(tmp_path: Path) -> None:
    figures = run(tmp_path, "herd --tabs 50 --way drained --way killed")
    for name, (one,) in figures["restarts"].items():
        assert one["told"] < one["ended"] < 0
        assert one["status"] == {"drained": 0, "killed": -9}[name]
        assert one["told"] <= one["lost"][0] <= one["lost"][-1] < 0 < one["current"][-1]
        assert one["actions"]["before"]["outcomes"].keys() == {"200"}
        assert one["actions"]["while tabs come back"]["outcomes"]["200"] > 0
    (drained,) = figures["restarts"]["drained"]
    assert drained["lost"][-1] - drained["lost"][0] > 1  # spread over the window
    assert drained["actions"]["while it ends"]["outcomes"].keys() <= {"200", "refused"}


def test_small_slices_of_pages_are_measured(tmp_path: Path) -> None:
    figures = run(tmp_path, "pages --streams 50 --rounds 2 --seconds 0.3 --connections 4")
    assert set(figures["rates"]) == {PAGE, CHANGE, CHECKOUT}
    for rates in figures["rates"].values():
        assert all(rate > 0 for where in (BARE, NONE, OPEN) for rate in rates[where])
    assert [goal["unit"] for goal in figures["goals"]] == ["×"] * 9


# --- What is made of it ---------------------------------------------------------------------------


def test_a_checkouts_rate_is_without_the_add_before_it() -> None:
    def at(per_second: float, cpu: float) -> dict[str, Slice]:
        return {NONE: Slice(NONE, per_second, cpu, 0.0, 1.0, {}, {})}

    # An add takes 2 ms, a checkout 6: the pair 8, so 250 requests a second of both together.
    one = Round({CHANGE: at(500, 0.002), CHECKOUT: at(250, 0.004)})
    assert one.rate(CHECKOUT, NONE) == pytest.approx(1 / 0.006)
    assert one.cpu(CHECKOUT, NONE) == pytest.approx(0.006)
    # While adds were measured, something else had the processor.
    one = Round({CHANGE: at(100, 0.002), CHECKOUT: at(250, 0.004)})
    assert one.rate(CHECKOUT, NONE) == pytest.approx(250)


def test_actions_count_from_when_they_were_due() -> None:
    early, over, during, late = (
        Action(due, took, "200", False)
        for due, took in ((0.0, 2.0), (0.0, 0.5), (1.5, 9.0), (3, 1))
    )
    assert within([early, over, during, late], 1.0, 2.0) == [early, during]


def test_a_quantile_is_a_value_that_was_seen() -> None:
    values = [float(n) for n in range(1, 101)]
    assert (quantile(values, 0.5), quantile(values, 0.99), quantile([7.0], 0.99)) == (50, 99, 7)


def test_a_request_that_got_no_answer_is_lost_and_a_wrong_answer_is_told() -> None:
    outcomes = ("200", "refused", "cut off", "no answer in time", "had been done", "503")
    actions = [Action(0.0, 0.1, outcome, False) for outcome in outcomes]
    one = Restart("killed", 9, -9, -2.0, -1.0, [-2.0], [1.0], {}, 0, 0.0, 0.0, 0.0, actions)
    assert [action.outcome for action in one.lost_requests] == ["cut off", "no answer in time"]
    assert [action.outcome for action in one.wrong_answers] == ["503"]
