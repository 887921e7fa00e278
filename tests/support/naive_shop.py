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

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sqlalchemy import select, update  # noqa: E402

import shop.checkout  # noqa: E402
from shop.db import Transaction, sqlite, sqlite_connections  # noqa: E402
from shop.db.transaction import Statements  # noqa: E402
from shop.models import Item  # noqa: E402

#: As many as read before anybody writes; fewer than the connections that there are.
READERS = 40

everybody_read = threading.Event()
readers: list[int] = []


def naive_take(
    transaction: Transaction, item_ids: Iterable[int], count: int = 1, cause: Any = None
) -> set[int]:
    taken = set()
    for item_id in item_ids:
        ((seen,),) = transaction.execute(select(Item.available).where(Item.id == item_id))
        readers.append(item_id)
        if len(readers) >= READERS:
            everybody_read.set()
        everybody_read.wait(10)
        if seen >= count:
            less = update(Item).where(Item.id == item_id).values(available=seen - count)
            transaction.execute(less)
            taken.add(item_id)
    return taken


def transact_without_a_lock(
    self: sqlite.SQLite, work: Callable[[Transaction], Any], **_: Any
) -> Any:
    """Do each statement for itself."""
    with self.engine.connect() as connection:
        return work(Statements(connection))


if __name__ == "__main__":
    shop.checkout.take = naive_take  # type: ignore[attr-defined]
    sqlite.SQLite.transact = transact_without_a_lock  # type: ignore[assignment, method-assign]
    sqlite_connections._emit_begin = lambda connection: None
    from shop.serve_command import main

    sys.exit(main())
