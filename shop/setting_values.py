"""How a setting's text becomes its value, and what is said of a text that can't."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from shop.money import MINOR_DIGITS

ROOT = Path(__file__).resolve().parent.parent

#: All of them are PostgreSQL by psycopg 3: what people write, and what SQLAlchemy calls it.
_POSTGRESQL = ("postgres", "postgresql", "postgresql+psycopg")

_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingError(click.ClickException):
    """A setting that can't be read. Ends any command with one line and status 2."""

    exit_code = 2

    def __init__(self, name: str, value: str, allowed: str) -> None:
        super().__init__(f"{name}={value!r} can't be used: {allowed}")


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mails are handed over, and as whom."""

    host: str
    port: int
    #: whether the connection is by TLS from its first byte; else by STARTTLS where it is offered
    tls: bool
    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Sender:
    """From whom the shop's mails are."""

    name: str
    address: str


class Source:
    """Typed reads of an environment; a variable that is set but empty counts as not set."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ

    def text(self, name: str, default: str) -> str:
        return self.environ.get(name, "").strip() or default

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        text = self.text(name, str(default))
        if re.fullmatch("[0-9]{1,20}", text) and least <= int(text) <= most:
            return int(text)
        raise SettingError(name, text, f"a whole number from {least} to {most} is allowed")

    def secret(self, name: str, others: tuple[str, ...], allowed: str) -> str | None:
        """Read what is never shown.

        Args:
            others: how what is easily mistaken for it begins.
            allowed: what it is, for the error.
        """
        text = self.text(name, "")
        # It is sent in a header: a "…" that was copied with it would break every call.
        if not re.fullmatch("[!-~]*", text) or text.startswith(others):
            raise SettingError(name, "…", allowed)
        return text or None

    def networks(self, name: str, default: str) -> tuple[IPv4Network | IPv6Network, ...]:
        text = self.text(name, default)
        try:
            return tuple(ip_network(net.strip(), strict=False) for net in text.split(","))
        except ValueError:
            allowed = f"networks are allowed, separated by commas, such as {default},10.0.0.0/24"
            raise SettingError(name, text, allowed) from None

    def redis_url(self, name: str) -> str | None:
        text = self.text(name, "")
        return read_redis_url(name, text) if text else None

    def web_address(self, name: str) -> str | None:
        text = self.text(name, "")
        return read_web_address(name, text) if text else None

    def mail_server(self, name: str) -> MailServer | None:
        text = self.text(name, "")
        return read_mail_server(name, text) if text else None

    def sender(self, name: str) -> Sender | None:
        text = self.text(name, "")
        return read_sender(name, text) if text else None

    def log_level(self, name: str) -> str | None:
        text = self.text(name, "")
        if text and text.upper() not in _LOG_LEVELS:
            raise SettingError(name, text, f"one of {', '.join(_LOG_LEVELS)} is allowed")
        return text.upper() or None

    def one_of(self, name: str, words: Sequence[str]) -> str:
        """Read a word; the first one is the default."""
        word = self.text(name, words[0])
        if word.lower() not in words:
            raise SettingError(name, word, f"one of {', '.join(words)} is allowed")
        return word.lower()

    def currency(self, name: str, default: str) -> str:
        code = self.text(name, default)
        if code.upper() not in MINOR_DIGITS:
            allowed = (
                "a currency in use with a minor unit by ISO 4217 is allowed, such as USD or EUR"
            )
            raise SettingError(name, code, allowed)
        return code.upper()

    def switch(self, name: str, default: bool) -> bool:
        text = self.text(name, "on" if default else "off")
        words = {"on": True, "true": True, "1": True, "yes": True}
        words |= {"off": False, "false": False, "0": False, "no": False}
        if text.lower() not in words:
            raise SettingError(name, text, "on or off is allowed")
        return words[text.lower()]


def read_database_url(name: str, text: str) -> URL:
    """Return the address of a database as the shop uses it; a file's is made absolute.

    Args:
        name: what the address was given as, for the error.

    Raises:
        SettingError: it is no address, or none of a database that the shop knows.
    """
    allowed = (
        "sqlite:////var/lib/shop/shop.sqlite3 is allowed, "
        "or postgresql://user:password@host/database"
    )
    try:
        url = make_url(text)
    except ArgumentError:
        raise SettingError(name, without_password(text), allowed) from None
    if url.drivername in _POSTGRESQL and url.database:
        return url.set(drivername="postgresql+psycopg")
    file = url.database and url.database != ":memory:" and not url.query
    if url.drivername in ("sqlite", "sqlite+pysqlite") and file:
        return url.set(database=str(ROOT / str(url.database)))
    raise SettingError(name, without_password(text), allowed)


def without_password(address: str) -> str:
    """Return an address as it may be shown."""
    without = re.sub(r"(?<=://)([^/@:]*):.*@", r"\1:***@", address)
    return re.sub(r"(password=)[^&]*", r"\1***", without)


def read_redis_url(name: str, text: str) -> str:
    """Return the address of a Redis.

    Raises:
        SettingError: it is none.
    """
    parts, number = urlsplit(text), urlsplit(text).path.strip("/")
    try:
        port = parts.port or 6379  # what redis-py would only say when it first connects
    except ValueError:
        port = 0
    good = bool(parts.scheme == "unix" or (port and parts.hostname and (number or "0").isdigit()))
    if parts.scheme not in ("redis", "rediss", "unix") or not good:
        allowed = "redis://host:6379/0 is allowed, or rediss:// or unix:///path/of/a.sock"
        raise SettingError(name, without_password(text), allowed)
    return text


def read_web_address(name: str, text: str) -> str:
    """Return the address by which browsers reach the shop, without a slash at its end.

    Raises:
        SettingError: it is none, or one of a page in a shop.
    """
    address = text.rstrip("/")
    parts = urlsplit(address)
    good = parts.scheme in ("http", "https") and parts.hostname and _port_of(text) is not None
    if not good or parts.path or parts.query or parts.fragment or parts.username is not None:
        raise SettingError(name, without_password(text), "https://shop.example.com is allowed")
    return address


def read_mail_server(name: str, text: str) -> MailServer:
    """Return the server that takes the shop's mails.

    Raises:
        SettingError: the address is none of such a server.
    """
    parts, port = urlsplit(text), _port_of(text)
    known = parts.scheme in ("smtp", "smtps") and parts.hostname and port is not None
    if not known or parts.path.strip("/") or parts.query or parts.fragment:
        allowed = "smtp://user:password@host:587 is allowed, or smtps://user:password@host"
        raise SettingError(name, without_password(text), allowed)
    tls, user = parts.scheme == "smtps", unquote(parts.username or "")
    usual = 465 if tls else 587 if user else 25
    password = unquote(parts.password or "")
    return MailServer(str(parts.hostname), port or usual, tls, user, password)


def read_sender(name: str, text: str) -> Sender:
    """Return from whom mails are, as in "Noon <orders@example.com>" or "orders@example.com".

    Raises:
        SettingError: it is no e-mail address, with a name or without.
    """
    found = _SENDER.fullmatch(text)
    if found is None or not text.isprintable():
        raise SettingError(name, text, "Noon <orders@example.com> or an address alone is allowed")
    return Sender((found["name"] or "").strip().strip('"'), found["bare"] or found["address"])


_ADDRESS = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
_SENDER = re.compile(f"(?P<name>[^<>]*)<(?P<address>{_ADDRESS})>|(?P<bare>{_ADDRESS})")


def _port_of(address: str) -> int | None:
    """Return the port in an address; 0: it has none; None: it can't be one."""
    try:
        return urlsplit(address).port or 0
    except ValueError:
        return None
