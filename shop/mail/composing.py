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


class _Content(NamedTuple):
    """What differs between mails."""

    #: see `Letter`
    name: str
    subject: str
    #: a secret by which the mail is known; see `_message_id`
    secret: str
    template: str
    #: what the template names
    known: Mapping[str, object]
    headers: Mapping[str, str] = {}


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
        self._jinja.globals.update(
            money=format_money, shop_name=settings.name, shop_url=f"{self._url}/"
        )

    def compose(self, mail: HeldMail, about: Order | StockAlert) -> Letter:
        """Write a mail about an order, or about an item that is back.

        Raises:
            CannotBeWritten: there is no address any more.
        """
        recipient, needs_utf8 = self._recipient(about.email)
        if isinstance(about, Order):
            content = self._of_order(mail, about)
        else:
            content = self._of_alert(mail, about)
        message = EmailMessage(policy=_POLICY.clone(utf8=needs_utf8))
        local, _, domain = recipient.rpartition("@")
        message["From"] = Address(self._sender.name, addr_spec=self._sender.address)
        message["To"] = Address("", local, domain)
        message["Subject"] = content.subject
        message["Date"] = format_datetime(datetime.fromtimestamp(mail.queued, UTC))
        message["Message-ID"] = self._message_id(mail, content.secret)
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody answers it by a machine
        for name, value in content.headers.items():
            message[name] = value
        text, html = (
            self._jinja.get_template(f"{content.template}.{kind}").render(content.known)
            for kind in ("txt", "html")
        )
        message.set_content(text)
        message.add_alternative(html, subtype="html")
        return Letter(content.name, self._sender.address, recipient, message.as_bytes(), needs_utf8)

    def _of_order(self, mail: HeldMail, order: Order) -> _Content:
        is_link = mail.kind == LINK
        what = "The page of your order" if is_link else "Your order"
        return _Content(
            name=f"{order.number}-{mail.kind}-{mail.id}",
            subject=f"{what} {order.number} at {self._shop}",
            secret=f"{order.token}:{order.number}",
            template="link" if is_link else "receipt",
            known={
                "order": order,
                "order_url": f"{self._url}/orders/{order.token}" if order.token else "",
            },
        )

    def _of_alert(self, mail: HeldMail, alert: StockAlert) -> _Content:
        item, address = alert.item, f"{self._url}/alerts/{alert.token}"
        subject = f"Back: {item.product.name}, size {item.size}, at {self._shop}"
        return _Content(
            name=f"{mail.kind}-{mail.id}",
            subject=on_one_line(subject),
            secret=f"{alert.token}:{alert.id}",
            template="alert",
            known={
                "item": item,
                "product_url": f"{self._url}/products/{quote(item.product.sku, safe='')}",
                "take_back_url": address,
            },
            headers={
                "List-Unsubscribe": f"<{address}>",  # by one click: RFC 8058
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            },
        )

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

    def _message_id(self, mail: HeldMail, secret: str) -> str:
        """Return what a mail is known by, the same at each try: mailboxes show it once."""
        name = blake2b(f"{secret}:{mail.id}".encode(), digest_size=12).hexdigest()
        return f"<{mail.id}.{name}@{self._sender.address.rpartition('@')[2]}>"
