"""The shop with the rule taken out: sells by reading the count and writing it back, one less.

For the race's own test: what passes here as well would prove nothing. Between read and write all
sellers wait for one another, so that it goes wrong every time and not only on an unlucky day.
"""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402
import threading  # noqa: E402
from collections.abc import Callable, Iterable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sqlalchemy import select, update  # noqa: E402
from sqlalchemy.orm import Session  # noqa: E402

import shop.checkout  # noqa: E402
from shop.db import sqlite  # noqa: E402
from shop.models import Item  # noqa: E402

#: As many as read before anybody writes; fewer than the connections that there are.
READERS = 40

everybody_read = threading.Event()
readers: list[int] = []


def naive_take(session: Session, item_ids: Iterable[int], count: int = 1) -> dict[int, int]:
    taken = {}
    for item_id in item_ids:
        seen = session.scalar(select(Item.available).where(Item.id == item_id)) or 0
        readers.append(item_id)
        if len(readers) >= READERS:
            everybody_read.set()
        everybody_read.wait(10)
        if seen >= count:
            session.execute(update(Item).where(Item.id == item_id).values(available=seen - count))
            taken[item_id] = 0
    return taken


def write_without_a_lock(self: sqlite.SQLite, work: Callable[[Session], Any], **_: Any) -> Any:
    """Do each statement for itself."""
    with Session(self.engine, expire_on_commit=False, autoflush=False) as session:
        result = work(session)
        session.flush()
        session.expunge_all()
        return result


if __name__ == "__main__":
    shop.checkout.take = naive_take  # type: ignore[attr-defined]
    sqlite.SQLite.write = write_without_a_lock  # type: ignore[assignment, method-assign]
    sqlite._emit_begin = lambda connection: None
    from wsgi import main

    sys.exit(main())
