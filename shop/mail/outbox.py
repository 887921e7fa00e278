"""Working through the outbox: each mail is held, written, handed over, and noted as sent."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError

from shop.config import Settings
from shop.db import Database, DatabaseBusy, Transaction
from shop.mail.carriers import Carrier, CarrierAway, Folder, NotTaken, Server
from shop.mail.composing import CannotBeWritten, Composer
from shop.models import Order
from shop.models.mail_lease import HeldMail, hold_next, let_go, mark_sent, postpone
from shop.models.stock_alert import StockAlert

log = logging.getLogger(__name__)

#: Where mails are written if no server takes them, in the instance folder.
FOLDER = "mail"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a try to send a mail; `why` it failed, or nothing."""

    mail: HeldMail
    why: str = ""
    #: whether its address was refused
    refused: bool = False
    #: for how long reading and writing it kept this process from all else, in seconds
    worked: float = 0.0

    def note(self, transaction: Transaction) -> None:
        """Note it with the mail."""
        if self.why:
            postpone(transaction, self.mail, self.why, refused=self.refused)
        else:
            mark_sent(transaction, self.mail.id)


class Outbox:
    """Sends the mails of a shop that wait."""

    def __init__(self, database: Database, composer: Composer, carrier: Carrier) -> None:
        self._database = database
        self._composer = composer
        self._carrier = carrier
        #: what could not be noted yet, as the database was away
        self._unnoted: Outcome | None = None

    @classmethod
    def of(cls, database: Database, settings: Settings) -> Outbox:
        """Return the outbox of a shop, with what carries its mails."""
        server, sender = settings.mail_server, settings.mail_from
        carrier: Carrier = Folder(settings.instance / FOLDER)
        if server is not None and sender is not None:
            carrier = Server(server, sender.address.rpartition("@")[2])
        return cls(database, Composer(settings), carrier)

    def send(self, *, due_only: bool = True) -> Iterator[Outcome]:
        """Send one mail after another, and give what came of each, until none is to be sent.

        Args:
            due_only: False to try also those whose next try is later, each once.

        Raises:
            CarrierAway: none can be handed over at present; all that wait stay.
            DBAPIError, DatabaseBusy: the database is away. What was sent is noted the next time.
        """
        tried: set[int] = set()
        try:
            mail = self._go_on(due_only)
            while mail is not None and mail.id not in tried:
                tried.add(mail.id)
                self._unnoted = outcome = self._try(mail)
                mail = self._go_on(due_only)
                yield outcome
            if mail is not None:
                self._put_back(mail, "")
        except GeneratorExit:  # whoever sends stops before the last: the next one is for others
            if mail is not None:
                self._put_back(mail, "")
            raise
        finally:
            self._carrier.close()

    def _go_on(self, due_only: bool) -> HeldMail | None:
        """Note what came of the last mail and hold the next, in one transaction."""
        before = self._unnoted

        def work(transaction: Transaction) -> HeldMail | None:
            if before is not None:
                before.note(transaction)
            return hold_next(transaction, due_only=due_only)

        # Not durable: a power cut may have a mail sent again, as it may anyway; a purchase that
        # waits for the disk doesn't wait for this as well.
        mail = self._database.transact(work, durable=False)
        self._unnoted = None
        return mail

    def _try(self, mail: HeldMail) -> Outcome:
        worked = 0.0
        try:
            began = time.perf_counter()
            letter = self._composer.compose(mail, self._about(mail))
            worked = time.perf_counter() - began
            self._carrier.take(letter)
        except NotTaken as error:
            return Outcome(mail, str(error), error.refused, worked)
        except CannotBeWritten as error:
            return Outcome(mail, str(error), refused=True)
        except CarrierAway as error:
            self._put_back(mail, str(error))
            raise
        except (DBAPIError, DatabaseBusy):
            raise
        except Exception as error:  # one mail must not stop all others
            log.exception("a mail could not be written")
            return Outcome(mail, f"it could not be written: {type(error).__name__}")
        return Outcome(mail, worked=worked)

    def _about(self, mail: HeldMail) -> Order | StockAlert:
        """Read what a mail is about."""
        about: Order | StockAlert
        with self._database.reading() as session:
            if mail.alert_id is None:
                about = session.get_one(Order, mail.order_id)
            else:
                about = session.get_one(StockAlert, mail.alert_id)
                _ = about.item.product  # it is written of, too
            session.expunge_all()
            return about

    def _put_back(self, mail: HeldMail, why: str) -> None:
        self._database.transact(lambda tx: let_go(tx, mail, why), durable=False)
