"""What is expensive to make is kept, within a bound on how much that may be."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """Keeps values by their keys up to a total weight; what came first goes first."""

    def __init__(self, most: int) -> None:
        """Take the weight of all that may be kept, in whatever unit `keep` is told."""
        self._most = most
        self._weight = 0
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """Return what is kept under a key; None: nothing is."""
        found = self._values.get(key)
        return None if found is None else found[0]

    def keep(self, key: K, value: V, weight: int) -> V:
        """Keep a value, unless it is heavier than all that may be kept; return it."""
        if key in self._values:
            self._weight -= self._values.pop(key)[1]
        self._values[key] = value, weight
        self._weight += weight
        while self._weight > self._most:
            _, (_, gone) = self._values.popitem(last=False)
            self._weight -= gone
        return value
