"""What was rendered once: parts of pages, messages and whole pages, for all who see the same."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from shop.bounded import Bounded

#: How many characters are cached.
_MOST_CHARACTERS = 96_000_000


class RenderCache(Bounded[Hashable, Any]):
    """Renderings by all that they were made of: what is seen differently has another key.

    So nothing cached can be stale, and what isn't asked for any more makes room in the end.
    """

    def __init__(self) -> None:
        super().__init__(_MOST_CHARACTERS)
