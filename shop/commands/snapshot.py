"""What a watch sees of the drop at one moment: as a line of words, and for a program."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from shop.commands.screen import count
from shop.commands.statistics import OrderStatistics, ProductStatistics, Statistics
from shop.models.mail import Backlog
from shop.money import format_money
from shop.presence import Overview


@dataclass(frozen=True)
class Snapshot:
    """What there is to be seen at one moment."""

    shop: str
    #: ISO 4217, for sums of nothing
    currency: str
    #: in the operator's own time zone
    at: datetime
    overview: Overview
    #: the newest counts; None before the first
    statistics: Statistics | None
    #: those when the watch began
    first: Statistics | None = None
    #: pieces sold a second, by product id; None where that isn't known
    speed: dict[int, float] | None = None
    troubles: list[str] = field(default_factory=list)

    @property
    def pace(self) -> dict[int, float]:
        """Pieces sold a second since the watch began, by product id."""
        return self.statistics.sold_per_second(self.first) if self.statistics else {}

    @property
    def sold_otherwise(self) -> int:
        """Pieces that left the shelf since the watch began, and not by an order."""
        if self.statistics is None or self.first is None:
            return 0
        taken = sum(self.statistics.taken_since(self.first).values())
        return max(0, taken - (self.statistics.pieces_ordered - self.first.pieces_ordered))


def line(shown: Snapshot) -> str:
    """Write what is seen as one line, for a file."""
    words = [shown.at.isoformat(timespec="seconds")]
    statistics = shown.statistics
    if statistics is not None:
        words.append(f"left {statistics.left}")
        words.append(f"sold/s {speed_words(shown.speed)}")
        words.append(f"in orders {statistics.pieces_ordered}")
        words.append(f"otherwise {shown.sold_otherwise}")
        words.append(f"orders {orders_words(statistics.orders, shown.currency)}")
        words.append(f"last minute {orders_words(statistics.lately, shown.currency)}")
        if statistics.mails.waiting:
            words.append(f"unsent mails {mails_words(statistics.mails)}")
    overview = shown.overview
    words.append(f"tabs {overview.tabs}")
    words.append(f"carts {overview.cart_count}")
    words.append(f"servers {len(overview.servers)}")
    return "  ".join([*words, *(f"! {trouble}" for trouble in shown.troubles)])


def data(shown: Snapshot) -> dict[str, object]:
    """Return what is seen for a program. Sums are in minor units, by currency."""
    statistics, overview = shown.statistics, shown.overview
    counts: dict[str, object] = {}
    if statistics is not None:
        counts = {
            "left": statistics.left,
            "left_not_released": statistics.left_not_released,
            "sold_per_second": None if shown.speed is None else sum(shown.speed.values()),
            "sold_in_orders": statistics.pieces_ordered,
            "sold_otherwise_since_start": shown.sold_otherwise,
            "orders": {"count": statistics.orders.count, "sums": statistics.orders.sums},
            "last_minute": {"count": statistics.lately.count, "sums": statistics.lately.sums},
            "mails": statistics.mails._asdict(),
            "products": [_product(product, shown) for product in statistics.products],
        }
    return {
        "at": shown.at.isoformat(timespec="seconds"),
        **counts,
        "tabs": overview.tabs,
        "carts": overview.cart_count,
        "servers": [
            {"name": server.name, "tabs": server.tabs, "carts": len(server.carts)}
            for server in overview.servers
        ],
        "troubles": shown.troubles,
    }


def _product(product: ProductStatistics, shown: Snapshot) -> dict[str, object]:
    return {
        "id": product.id,
        "sku": product.sku,
        "name": product.name,
        "state": state_words(product),
        "left": product.left,
        "held": product.held,
        "sold": product.sold,
        "sold_per_second": None if shown.speed is None else shown.speed.get(product.id, 0.0),
        "sizes": [
            {"size": item.size, "available": item.available, "level": item.level}
            for item in product.items
        ],
    }


def state_words(product: ProductStatistics) -> str:
    """Tell in a word whether a product can be bought."""
    if not product.released:
        return "coming soon"
    return "on sale" if product.left else "sold out"


def speed_words(speed: dict[int, float] | None, product_id: int | None = None) -> str:
    """Write how many pieces are sold a second: of a product, or of all."""
    if speed is None:
        return "-"
    pieces = sum(speed.values()) if product_id is None else speed.get(product_id, 0.0)
    return f"{pieces:,.0f}" if pieces >= 10 or pieces == 0 else f"{pieces:.1f}"


def orders_words(orders: OrderStatistics, currency: str) -> str:
    """Write how many orders there are, and what they come to."""
    sums = orders.sums or {currency: 0}
    return f"{orders.count:,}, {' + '.join(format_money(v, k) for k, v in sums.items())}"


def mails_words(mails: Backlog) -> str:
    """Write how many mails wait, and since when."""
    return f"{mails.waiting:,}, the oldest since {count(mails.oldest, 'second')}"
