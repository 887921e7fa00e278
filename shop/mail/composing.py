"""What a mail says, as text and as HTML. Nothing that a shopper typed is in its headers.

The one exception is the address, which goes into To: and to the server as the recipient. It was
checked as one when it was typed, and the library refuses line breaks in any header.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from email_validator import EmailNotValidError, validate_email
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from shop.config import Settings
from shop.models import Order, StockAlert
from shop.models.mail import LINK
from shop.models.mail_lease import HeldMail
from shop.money import format_money
from shop.setting_values import Sender
from shop.text import on_one_line

_TEMPLATES = Path(__file__).resolve().parent.parent / "templates" / "mail"

#: From whom mails are that are only written into a folder.
_NOBODY = "shop@localhost.localdomain"

#: Bodies in ASCII on the wire, whatever is in them: not every server takes eight bits.
_POLICY = SMTP.clone(cte_type="7bit", raise_on_defect=True)


class CannotBeWritten(Exception):
    """There is no mail to write, as its order has no address that one can be sent to."""


class Letter(NamedTuple):
    """A mail as it is handed over."""

    #: names it among all, for a file
    name: str
    sender: str
    recipient: str
    content: bytes
    #: whether a server must know addresses with letters beyond ASCII (RFC 6531)
    needs_utf8: bool


class Composer:
    """Writes mails."""

    def __init__(self, settings: Settings) -> None:
        self._shop, self._url = settings.name, settings.address_in_mails
        self._sender = settings.mail_from or Sender(settings.name, _NOBODY)
        self._test_emails = settings.test_emails
        self._jinja = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._jinja.globals.update(money=format_money, shop_name=settings.name)

    def compose(self, mail: HeldMail, about: Order | StockAlert) -> Letter:
        """Write a mail about an order, or about an item that is back.

        Raises:
            CannotBeWritten: there is no address any more.
        """
        recipient, needs_utf8 = self._recipient(about.email)
        message = EmailMessage(policy=_POLICY.clone(utf8=needs_utf8))
        self._address(message, mail, about, recipient)
        if isinstance(about, Order):
            self._fill(message, "link" if mail.kind == LINK else "receipt", self._known(about))
            name = f"{about.number}-{mail.kind}-{mail.id}"
        else:
            self._fill_alert(message, about)
            name = f"{mail.kind}-{mail.id}"
        content = message.as_bytes()
        return Letter(name, self._sender.address, recipient, content, needs_utf8)

    def _recipient(self, email: str) -> tuple[str, bool]:
        """Return an address as servers know it: its domain in ASCII, and all of it if it can be."""
        try:
            checked = validate_email(
                email, check_deliverability=False, test_environment=self._test_emails
            )
        except EmailNotValidError as error:
            raise CannotBeWritten(f"the order's address can't be used: {error}") from None
        if checked.ascii_email is not None:
            return checked.ascii_email, False
        return f"{checked.local_part}@{checked.ascii_domain}", True

    def _address(
        self, message: EmailMessage, mail: HeldMail, about: Order | StockAlert, recipient: str
    ) -> None:
        local, _, domain = recipient.rpartition("@")
        message["From"] = Address(self._sender.name, addr_spec=self._sender.address)
        message["To"] = Address("", local, domain)
        message["Subject"] = self._subject(mail, about)
        message["Date"] = format_datetime(datetime.fromtimestamp(mail.queued, UTC))
        message["Message-ID"] = self._message_id(mail, about)
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody answers it by a machine

    def _subject(self, mail: HeldMail, about: Order | StockAlert) -> str:
        if isinstance(about, Order):
            what = "The page of your order" if mail.kind == LINK else "Your order"
            return f"{what} {about.number} at {self._shop}"
        item = about.item
        return on_one_line(f"Back: {item.product.name}, size {item.size}, at {self._shop}")

    def _message_id(self, mail: HeldMail, about: Order | StockAlert) -> str:
        """Return what a mail is known by, the same at each try: mailboxes show it once."""
        number = about.number if isinstance(about, Order) else about.id
        seed = f"{about.token}:{number}:{mail.id}"
        name = blake2b(seed.encode(), digest_size=12).hexdigest()
        return f"<{mail.id}.{name}@{self._sender.address.rpartition('@')[2]}>"

    def _fill_alert(self, message: EmailMessage, alert: StockAlert) -> None:
        address = f"{self._url}/alerts/{alert.token}"
        message["List-Unsubscribe"] = f"<{address}>"  # by one click: RFC 8058
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        product = f"{self._url}/products/{quote(alert.item.product.sku, safe='')}"
        known = {"item": alert.item, "product_url": product, "take_back_url": address}
        self._fill(message, "alert", {**known, "shop_url": f"{self._url}/"})

    def _fill(self, message: EmailMessage, template: str, known: Mapping[str, object]) -> None:
        message.set_content(self._jinja.get_template(f"{template}.txt").render(known))
        html = self._jinja.get_template(f"{template}.html").render(known)
        message.add_alternative(html, subtype="html")

    def _known(self, order: Order) -> Mapping[str, object]:
        return {
            "order": order,
            "order_url": f"{self._url}/orders/{order.token}" if order.token else "",
            "shop_url": f"{self._url}/",
        }
