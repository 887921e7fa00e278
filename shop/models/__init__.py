"""The trade: what is sold, what is in a cart, what was bought. Knows nothing of the web."""

# These are imported for their tables alone.
from shop.models import customer, demo_payment, ledger, payment, payment_queue, refund, server

# And what follows by all others, from here.
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
from shop.models.mail import Mail, queue_receipt
from shop.models.opening import cancel, close, database_time, open_due, release, schedule
from shop.models.order import Order, OrderLine, UnknownOrder, order_of_cart
from shop.models.order_list import Wanted, orders_wanted
from shop.models.order_state import OrderChange
from shop.models.picture import (
    LISTED_PICTURES,
    PICTURES_OF,
    PictureRecord,
    ProductPicture,
)
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
