"""The trade: what is sold, what is in a cart, what was bought. Knows nothing of the web."""

from shop.models.cart import AlreadyInCart, Cart, NotInCart
from shop.models.cart_record import IS_MARKED, CartEdit, CartItem, CartRecord, delete_untouched
from shop.models.cart_snapshot import CartSnapshot
from shop.models.catalog import (
    LARGEST_ID,
    WITHDRAWN,
    Item,
    Product,
    UnknownItem,
    UnknownProduct,
)
from shop.models.catalog_changes import CATALOG_STAMPS, CatalogChanges
from shop.models.customer import CustomerKey
from shop.models.demo_payment import DemoPayment, DemoRefund
from shop.models.ledger import Movement
from shop.models.mail import Mail, queue_receipt
from shop.models.opening import cancel, close, database_time, open_due, release, schedule
from shop.models.order import Order, OrderLine, UnknownOrder, order_of_cart
from shop.models.order_list import Wanted, orders_wanted
from shop.models.order_state import OrderChange
from shop.models.payment import Payment, PaymentMessage
from shop.models.payment_queue import PaymentPace
from shop.models.picture import (
    LISTED_PICTURES,
    PICTURES_OF,
    PictureRecord,
    ProductPicture,
    RenditionRecord,
)
from shop.models.refund import RefundRecord
from shop.models.server import Server
from shop.models.stock import (
    NotReleased,
    OutOfStock,
    Unavailable,
    Withdrawn,
    check_for_sale,
    sell,
    set_stock,
    stock_up,
    take,
)
from shop.models.stock_alert import StockAlert

__all__ = [
    "CATALOG_STAMPS",
    "IS_MARKED",
    "LARGEST_ID",
    "LISTED_PICTURES",
    "PICTURES_OF",
    "WITHDRAWN",
    "AlreadyInCart",
    "Cart",
    "CartEdit",
    "CartItem",
    "CartRecord",
    "CartSnapshot",
    "CatalogChanges",
    "CustomerKey",
    "DemoPayment",
    "DemoRefund",
    "Item",
    "Mail",
    "Movement",
    "NotInCart",
    "NotReleased",
    "Order",
    "OrderChange",
    "OrderLine",
    "OutOfStock",
    "Payment",
    "PaymentMessage",
    "PaymentPace",
    "PictureRecord",
    "Product",
    "ProductPicture",
    "RefundRecord",
    "RenditionRecord",
    "Server",
    "StockAlert",
    "Unavailable",
    "UnknownItem",
    "UnknownOrder",
    "UnknownProduct",
    "Wanted",
    "Withdrawn",
    "cancel",
    "check_for_sale",
    "close",
    "database_time",
    "delete_untouched",
    "open_due",
    "order_of_cart",
    "orders_wanted",
    "queue_receipt",
    "release",
    "schedule",
    "sell",
    "set_stock",
    "stock_up",
    "take",
]
