"""Has a server say on a signal what it holds. Python imports this by itself: see `interior`.

So it works in every server process, whoever started it, and the shop knows nothing of it.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any


def tell(*_: object) -> None:
    """Write down what this process holds."""
    gc.unfreeze()
    gc.collect()
    objects = gc.get_objects()
    told = Path(os.environ["INSIDE"]) / str(os.getpid())
    draft = told.with_suffix(".draft")
    draft.write_text(json.dumps(_found_in(objects)))
    draft.rename(told)


def _found_in(objects: list[Any]) -> dict[str, Any]:
    types = Counter(map(type, objects))
    hubs = _all(objects, "shop.streams", "Hub")
    greenlet = sys.modules["greenlet"].greenlet
    return {
        "tabs": sum(len(hub) for hub in hubs),
        "topics": sum(len(hub.topics()) for hub in hubs),
        "greenlets": sum(count for kind, count in types.items() if issubclass(kind, greenlet)),
        "waiting": sum(
            _text_of(tab)
            for name in ("SocketTab", "QueueTab")
            for tab in _all(objects, "shop.tabs", name)
        ),
        "checked_out": sum(p.checkedout() for p in _all(objects, "sqlalchemy.pool", "QueuePool")),
        "census": {f"{kind.__module__}.{kind.__name__}": count for kind, count in types.items()},
    }


def _text_of(tab: object) -> int:
    """Count the bytes of all texts that are kept for a tab, and for no other reason."""
    seen: dict[int, object] = {}
    left = [tab]
    while left:
        one = left.pop()
        if id(one) not in seen:
            seen[id(one)] = one
            left += [other for other in gc.get_referents(one) if _belongs_to_a_message(other)]
    views = sum(len(one) for one in seen.values() if isinstance(one, memoryview))
    return views + sum(len(one) for one in seen.values() if isinstance(one, bytes | str))


def _belongs_to_a_message(one: object) -> bool:
    plain = isinstance(one, bytes | str | memoryview | dict | list | tuple)
    return plain or type(one).__module__ == "shop.framing"


def _all(objects: list[Any], module: str, name: str) -> list[Any]:
    kind = getattr(sys.modules.get(module), name, None)
    return [one for one in objects if type(one) is kind]


signal.signal(signal.SIGRTMIN, tell)
