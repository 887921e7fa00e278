"""Where the CPU time of the shop's servers goes, from what was seen of them while they worked."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.processes import ROOT
from bench.tables import Table

_PACKAGE = re.compile(r"/site-packages/(\w+)")


@dataclass(frozen=True)
class Profile:
    """Shares of the CPU time, the largest first."""

    #: by package, each with what it called of Python's own library
    packages: dict[str, float]
    #: by function of the shop, each with all that it called
    functions: dict[str, float]
    #: by function at work, whosesoever, each without what it called, but for what is written in C
    innermost: dict[str, float]

    def tables(self, rows: int = 25) -> list[Table]:
        """Return the most of it for printing."""
        heads = {
            "server's CPU, by package at work": self.packages,
            "by the shop's function, with all below": self.functions,
            "by function, without what is below": self.innermost,
        }
        return [_table(head, shares, rows) for head, shares in heads.items()]


def read_profile(folder: Path) -> Profile:
    """Read what `bench.servers.sampled` kept of all servers in a folder."""
    packages: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    innermost: Counter[str] = Counter()
    for file in folder.glob("*.json"):
        for count, calls in json.loads(file.read_text()):
            packages[_package(calls)] += count
            innermost[_short(calls[0])] += count
            for function in {name for call in calls if (name := _shop_function(call))}:
                functions[function] += count
    total = packages.total() or 1
    return Profile(_shares(packages, total), _shares(functions, total), _shares(innermost, total))


def _package(calls: Iterable[str]) -> str:
    """Return the innermost package at work."""
    for call in calls:
        if found := _PACKAGE.search(call):
            return found[1]
        if _shop_function(call):
            return "shop"
    return "Python"


def _shop_function(call: str) -> str | None:
    """Return a function's name, as in `web/cart.py add`, if it is one of the shop's."""
    file, _, name = call.rpartition(":")
    path = Path(file)
    if path.is_relative_to(ROOT / "shop"):
        return f"{path.relative_to(ROOT / 'shop')} {name}"
    return None


def _short(call: str) -> str:
    """Return a function's name after its file's, and the folder's that this is in."""
    file, _, name = call.rpartition(":")
    return f"{'/'.join(Path(file).parts[-2:])} {name}"


def _table(head: str, shares: dict[str, float], rows: int) -> Table:
    return Table([head, "share"], [[k, f"{v:.1%}"] for k, v in list(shares.items())[:rows]])


def _shares(counts: Counter[str], total: int) -> dict[str, float]:
    return {name: count / total for name, count in counts.most_common()}
