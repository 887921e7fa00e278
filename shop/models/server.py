"""The serving processes, as each of them says that it is there."""

from __future__ import annotations

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from shop.db import Base


class Server(Base):
    """A process that serves the shop, or did so until a moment ago."""

    __tablename__ = "servers"
    __table_args__ = {"info": {"of_the_moment": True}}  # noqa: RUF012

    name: Mapped[str] = mapped_column(primary_key=True)
    #: what it takes from its settings and has to be the same everywhere, as JSON
    settings: Mapped[str]
    #: fingerprints of its secret keys: of the one that it signs with, then of those it believes
    keys: Mapped[str]
    #: when it began and when it was last seen, in milliseconds since 1970 by the database's clock
    started: Mapped[int] = mapped_column(BigInteger)
    seen: Mapped[int] = mapped_column(BigInteger)
