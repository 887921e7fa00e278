"""What is kept is bounded by how much it is, not by how many."""

from __future__ import annotations

from shop.bounded import Bounded


def test_what_came_first_goes_first_when_it_gets_too_much() -> None:
    kept: Bounded[str, str] = Bounded(100)
    for key in "abcde":
        kept.keep(key, key * 3, 30)
    assert [kept.get(key) for key in "abcde"] == [None, None, "ccc", "ddd", "eee"]
    kept.keep("f", "large", 90)
    assert (len(kept), kept.get("f")) == (1, "large")


def test_what_is_kept_anew_counts_once() -> None:
    kept: Bounded[str, int] = Bounded(100)
    for number in range(50):
        kept.keep("a", number, 40)
    kept.keep("b", 0, 60)
    assert (kept.get("a"), kept.get("b"), len(kept)) == (49, 0, 2)


def test_what_is_heavier_than_all_is_not_kept() -> None:
    kept: Bounded[str, str] = Bounded(100)
    kept.keep("a", "a", 10)
    assert kept.keep("b", "much", 101) == "much"
    assert (kept.get("b"), len(kept)) == (None, 0)
