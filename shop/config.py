"""The shop's settings, read once from the environment."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from hashlib import blake2b
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TypeVar, cast

from sqlalchemy.engine import URL

from shop.environment import Variables, is_text, read_environment
from shop.secret_key import check_key_is_shared, older_keys, read_secret_key
from shop.setting_values import ROOT, MailServer, Sender, SettingError, Source, read_database_url

#: The instance folder if none is set.
OWN_INSTANCE = ROOT / "instance"

#: Systemd's unit waits for longer than this when it stops the shop.
LONGEST_DRAIN = 300

#: What SHOP_PAYMENTS can be, the default first.
PAYMENTS = ("manual", "demo", "stripe")

#: The largest body of a request that is read, in bytes: a checkout form is the largest there is.
MAX_BODY = 64 * 1024


T = TypeVar("T")


def _setting(read: Callable[[Source], T]) -> T:
    """Declare a setting by how it is read; `load_settings` does that."""
    return cast(T, field(metadata={"read": read}))


def _secret(name: str, others: tuple[str, ...], allowed: str) -> str | None:
    """Declare a setting that is never shown; see `Source.secret`."""
    read = {"read": lambda source: source.secret(name, others, allowed)}
    return cast(str | None, field(repr=False, metadata=read))


def _integer(name: str, default: int, least: int, most: int) -> int:
    return _setting(lambda source: source.integer(name, default, least, most))


def _switch(name: str, default: bool) -> bool:
    return _setting(lambda source: source.switch(name, default))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, checked and typed; how each is read stands beside it.

    Times are seconds, sizes are bytes.
    """

    instance: Path
    database_url: URL
    secret_key: str
    #: it and those before it, the oldest first: all are believed, and the last one signs
    secret_keys: tuple[str, ...]
    #: lines about variables that look like settings but are none
    unknown: tuple[str, ...]
    host: str = _setting(lambda s: s.text("SHOP_HOST", "127.0.0.1"))
    port: int = _integer("SHOP_PORT", 8000, 0, 65535)
    currency: str = _setting(lambda s: s.currency("SHOP_CURRENCY", "USD"))
    low_stock: int = _integer("SHOP_LOW_STOCK", 150, 1, 10_000_000)
    medium_stock: int = _integer("SHOP_MEDIUM_STOCK", 500, 1, 10_000_000)
    sse_per_cart: int = _integer("SHOP_SSE_PER_CART", 4, 0, 1000)
    max_streams: int = _integer("SHOP_MAX_STREAMS", 20_000, 0, 1_000_000)
    streams_per_address: int = _integer("SHOP_STREAMS_PER_ADDRESS", 3000, 0, 1_000_000)
    #: whether a database that is created starts with the demo catalogue
    demo: bool = _setting(
        lambda s: s.switch("SHOP_DEMO", True) and not s.text("SHOP_DATABASE_URL", "")
    )
    https: bool = _switch("SHOP_HTTPS", False)
    name: str = _setting(lambda s: s.text("SHOP_NAME", "Noon"))
    #: where changes, presence and rate limits are shared between machines; None on a single one
    redis_url: str | None = _setting(lambda s: s.redis_url("SHOP_REDIS_URL"))
    #: from where /metrics may be read
    metrics_allow: tuple[IPv4Network | IPv6Network, ...] = _setting(
        lambda s: s.networks("SHOP_METRICS_ALLOW", "127.0.0.0/8,::1")
    )
    #: actions that write, in a minute: of one cart, and from one address; 0 is no limit
    actions_per_cart: int = _integer("SHOP_ACTIONS_PER_CART", 1200, 0, 1_000_000)
    actions_per_address: int = _integer("SHOP_ACTIONS_PER_ADDRESS", 10_000, 0, 100_000_000)
    #: begun carts, and bought pairs, in a minute and from one address; 0 is no limit
    new_carts_per_address: int = _integer("SHOP_NEW_CARTS_PER_ADDRESS", 1000, 0, 1_000_000)
    pairs_per_address: int = _integer("SHOP_PAIRS_PER_ADDRESS", 500, 0, 1_000_000)
    #: the most pairs in one order; 0 is no limit
    max_per_order: int = _integer("SHOP_MAX_PER_ORDER", 0, 0, 1_000_000)
    #: the most pairs of one product for one e-mail or delivery address; 0 is no limit
    max_per_customer: int = _integer("SHOP_MAX_PER_CUSTOMER", 0, 0, 1_000_000)
    #: for how many days a cart is kept that nobody touches; 0 is for ever
    keep_carts_days: int = _integer("SHOP_KEEP_CARTS_DAYS", 180, 0, 36_500)
    #: whether e-mail addresses below .test are taken (RFC 6761), for a shop under test
    test_emails: bool = _switch("SHOP_TEST_EMAILS", False)
    #: the address by which shoppers reach the shop, for what is read elsewhere; None: not known
    public_url: str | None = _setting(lambda s: s.web_address("SHOP_PUBLIC_URL"))
    #: what takes the shop's mails; None: they are written into a folder of the instance
    mail_server: MailServer | None = _setting(  # noqa: RUF009  (immutable)
        lambda s: s.mail_server("SHOP_MAIL_URL")
    )
    #: from whom they are, as in "Noon <orders@example.com>"
    mail_from: Sender | None = _setting(lambda s: s.sender("SHOP_MAIL_FROM"))  # noqa: RUF009  (immutable)
    #: who takes the money: `manual` (nobody: it is paid outside), `demo` or `stripe`
    payments: str = _setting(lambda s: s.one_of("SHOP_PAYMENTS", PAYMENTS))
    #: for how many seconds pairs are held while they are paid for
    hold_seconds: int = _integer("SHOP_HOLD_SECONDS", 600, 30, 7200)
    stripe_key: str | None = _secret(
        *("SHOP_STRIPE_KEY", ("pk_", "whsec_")),
        "an account's secret or restricted key is allowed, sk_… or rk_…",
    )
    stripe_webhook_secret: str | None = _secret(
        *("SHOP_STRIPE_WEBHOOK_SECRET", ("sk_", "rk_", "pk_", "we_")),
        "the signing secret of the webhook's endpoint is allowed, whsec_…",
    )
    #: the base address of another server that speaks as Stripe does; None: Stripe's own
    stripe_api: str | None = _setting(lambda s: s.web_address("SHOP_STRIPE_API"))
    #: over how many seconds a closing server lets its streams go
    drain_seconds: int = _integer("SHOP_DRAIN_SECONDS", 5, 0, LONGEST_DRAIN)
    #: the least severe of the log's lines that are written; None: INFO, WARNING on a terminal
    log_level: str | None = _setting(lambda s: s.log_level("SHOP_LOG_LEVEL"))

    @property
    def address_in_mails(self) -> str:
        """The address by which shoppers reach the shop, or where a shop for oneself is."""
        if self.public_url:
            return self.public_url
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def redis_prefix(self) -> str:
        """What the names of this shop's keys and channels in Redis begin with: it may be shared."""
        return f"shop:{blake2b(self.secret_key.encode(), digest_size=4).hexdigest()}:"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `environ`, by default from `.env` below the process's environment.

    Creates the instance folder and, in it, the secret key when there is none.

    Raises:
        SettingError: naming the setting, its value and what is allowed.
    """
    variables = _variables(environ)
    source = Source(variables)
    check_key_is_shared(source)
    instance = _make_instance(variables)
    key = read_secret_key(variables, instance)
    read = {each.name: each.metadata["read"] for each in fields(Settings) if each.metadata}
    settings = Settings(
        instance=instance,
        database_url=_database_url(variables, instance),
        secret_key=key,
        secret_keys=(*older_keys(variables), key),
        **{name: read_one(source) for name, read_one in read.items()},
        unknown=variables.unknown(),  # the last: all that are read above are known
    )
    _check_together(settings)
    return settings


def _check_together(settings: Settings) -> None:
    """Refuse settings that are right by themselves, and not beside one another."""
    if settings.medium_stock < settings.low_stock:
        allowed = f"a number of at least SHOP_LOW_STOCK ({settings.low_stock})"
        raise SettingError("SHOP_MEDIUM_STOCK", str(settings.medium_stock), allowed)
    if settings.mail_server and not settings.mail_from:
        allowed = "with SHOP_MAIL_URL it must be set, as Noon <orders@example.com>"
        raise SettingError("SHOP_MAIL_FROM", "", allowed)
    if settings.payments == "stripe":
        needed = {
            "SHOP_STRIPE_KEY": settings.stripe_key,
            "SHOP_STRIPE_WEBHOOK_SECRET": settings.stripe_webhook_secret,
            "SHOP_PUBLIC_URL": settings.public_url,
        }
        for name, value in needed.items():
            if not value:
                raise SettingError(name, "", "with SHOP_PAYMENTS=stripe it must be set")


def database_file(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the file that the settings name as the database, None if they name a server.

    Nothing is made, be there a shop or not.
    """
    variables = _variables(environ)
    url = _database_url(variables, _instance(variables))
    return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None


@cache
def release_version() -> str:
    """Return the version of the release that this process runs, as in "1.0.0"."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def _variables(environ: Mapping[str, str] | None) -> Variables:
    found = read_environment(ROOT / ".env") if environ is None else environ
    for name, value in found.items():
        if name.startswith("SHOP_") and not is_text(value):
            raise SettingError(name, "…", "text in UTF-8 is allowed")
    return Variables(found)


def _instance(environ: Mapping[str, str]) -> Path:
    # From the shop's own folder, not from where a command happens to be typed.
    value = environ.get("SHOP_INSTANCE", "").strip()
    return (ROOT / Path(value or OWN_INSTANCE).expanduser()).resolve()


def _make_instance(environ: Mapping[str, str]) -> Path:
    folder = _instance(environ)
    try:
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
    except OSError as error:
        allowed = f"a folder that can be written is allowed ({error.strerror})"
        raise SettingError("SHOP_INSTANCE", str(folder), allowed) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        allowed = "a folder that can be written is allowed (Permission denied)"
        raise SettingError("SHOP_INSTANCE", str(folder), allowed)
    return folder


def _database_url(environ: Mapping[str, str], instance: Path) -> URL:
    text = environ.get("SHOP_DATABASE_URL", "").strip()
    if not text:
        return URL.create("sqlite", database=str(instance / "shop.sqlite3"))
    return read_database_url("SHOP_DATABASE_URL", text)
