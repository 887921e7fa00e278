"""The benchmark of several servers measures a real drop, and its books would tell of a wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

from bench.ledger import Database, balance
from tests.running import ROOT

BEFORE = {"OST-KILN-060": 5, "OST-KILN-065": 1}
SHOWN = {"carts": {"ref": ["1"]}, "sold_out": [["2"], ["2"]]}
AFTER = Database(
    stock={"OST-KILN-060": 4, "OST-KILN-065": 0},
    ordered=Counter({"OST-KILN-060": 1, "OST-KILN-065": 1}),
    orders={"kim@example.com": 1.0},
    sold_out={"2": 1.0},
    carts={"ref": ["1"]},
)


def test_books_that_agree() -> None:
    ledger = balance(BEFORE, AFTER, ["kim@example.com"], SHOWN)
    assert ledger.agrees
    assert (ledger.sold, ledger.ordered, ledger.sold_out, ledger.unheard) == (2, 2, 1, 0)


def test_a_piece_that_was_sold_twice_is_found() -> None:
    after = replace(AFTER, ordered=AFTER.ordered + Counter({"OST-KILN-065": 1}))
    assert balance(BEFORE, after, [], SHOWN).wrong_items == ["OST-KILN-065"]


def test_a_piece_that_left_the_shelf_for_nobody_is_found() -> None:
    after = replace(AFTER, stock={**AFTER.stock, "OST-KILN-060": 3})
    assert balance(BEFORE, after, [], SHOWN).wrong_items == ["OST-KILN-060"]


def test_an_order_that_was_answered_and_is_lost_is_found() -> None:
    ledger = balance(BEFORE, AFTER, ["kim@example.com", "lou@example.com"], SHOWN)
    assert ledger.lost == ["lou@example.com"]
    assert not ledger.agrees


def test_tabs_that_show_what_is_not_are_found() -> None:
    shown = {"carts": {"ref": ["1", "2"]}, "sold_out": [["2"], []]}
    ledger = balance(BEFORE, AFTER, ["kim@example.com"], shown)
    assert (ledger.wrong_carts, ledger.wrong_stock) == (1, 1)
    assert not ledger.agrees


def test_a_small_drop_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "drop.json"
    words = "--part drop --streams 40 --rate 10 --seconds 4 --profile --json"
    command = [sys.executable, "-m", "bench", "cluster", *words.split(), str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(file.read_text())
    drop, ledger = figures["drop"], figures["drop"]["ledger"]
    assert drop["outcomes"]["bought"] > 20
    assert ledger["sold"] == ledger["ordered"] > 20
    assert ledger["sold_out"] > 0
    assert not ledger["wrong_items"] and not ledger["lost"]
    assert (ledger["wrong_carts"], ledger["wrong_stock"]) == (0, 0)
    assert drop["delays"]["here"] and drop["delays"]["elsewhere"] and drop["delays"]["sold_out"]
    assert figures["profile"]["functions"] and drop["statements"]
