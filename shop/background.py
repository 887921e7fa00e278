"""What a process that serves works at beside its requests."""

from __future__ import annotations

from dataclasses import dataclass

from shop.mail.mailing import Mailing
from shop.openings import Openings
from shop.payments.queue import PaymentQueue
from shop.pruning import Pruning


@dataclass(frozen=True)
class Background:
    """All of it, to be started and stopped together."""

    pruning: Pruning
    openings: Openings
    mailing: Mailing
    #: None: orders are paid outside
    payments: PaymentQueue | None

    def start(self) -> None:
        self.pruning.start()
        self.openings.start()
        self.mailing.start()
        if self.payments is not None:
            self.payments.start()

    def stop(self) -> None:
        if self.payments is not None:
            self.payments.stop()
        self.mailing.stop()
