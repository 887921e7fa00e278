"""The books of the provider that moves no money; see `shop.payments.demo`."""

from __future__ import annotations

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from shop.db import Base


class DemoPayment(Base):
    """What came of a payment page."""

    __tablename__ = "demo_payments"

    session_id: Mapped[str] = mapped_column(primary_key=True)
    outcome: Mapped[str]
    #: milliseconds since 1970
    at: Mapped[int] = mapped_column(BigInteger)


class DemoRefund(Base):
    """Money that never moved, and went back."""

    __tablename__ = "demo_refunds"

    key: Mapped[str] = mapped_column(primary_key=True)
    session_id: Mapped[str]
    #: in minor units of the payment's currency
    amount: Mapped[int] = mapped_column(BigInteger)
    #: milliseconds since 1970
    at: Mapped[int] = mapped_column(BigInteger)
