"""Read the shop's settings from the environment, once, and say clearly what is wrong with them."""

from __future__ import annotations

import os
import re
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import urlsplit

import click
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from shop.environment import Variables, is_text, read_environment
from shop.money import MINOR_DIGITS

ROOT = Path(__file__).resolve().parent.parent

#: The instance folder if none is set.
OWN_INSTANCE = ROOT / "instance"

#: Session cookies, cart cookies and CSRF tokens are HMACs keyed by the secret: shorter than the
#: hash's own output would weaken them (RFC 2104, section 3).
SECRET_KEY_MIN_LENGTH = 20

#: How many different characters a key has at least: of 20 hexadecimal digits drawn at random all
#: but one of a hundred thousand have more.
_LEAST_DIFFERENT = 7

#: All of them are PostgreSQL by psycopg 3: what people write, and what SQLAlchemy calls it.
_POSTGRESQL = ("postgres", "postgresql", "postgresql+psycopg")

_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

#: Systemd's unit waits for longer than this when it stops the shop.
LONGEST_DRAIN = 300

#: The largest body of a request that is read, in bytes: a checkout form is the largest there is.
MAX_BODY = 64 * 1024


class SettingError(click.ClickException):
    """A setting that can't be read. Ends any command with one line and status 2."""

    exit_code = 2

    def __init__(self, name: str, value: str, allowed: str) -> None:
        super().__init__(f"{name}={value!r} can't be used: {allowed}")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set, checked and typed. Times are seconds, sizes are bytes."""

    instance: Path
    database_url: URL
    secret_key: str
    #: it and those before it, the oldest first: all are believed, and the last one signs
    secret_keys: tuple[str, ...]
    host: str
    port: int
    currency: str
    low_stock: int
    medium_stock: int
    sse_per_cart: int
    max_streams: int
    streams_per_address: int
    #: whether a database that is created starts with the demo catalogue
    demo: bool
    https: bool
    name: str
    #: where changes, presence and rate limits are shared between machines; None on a single one
    redis_url: str | None
    #: from where /metrics may be read
    metrics_allow: tuple[IPv4Network | IPv6Network, ...]
    #: actions that write, in a minute: of one cart, and from one address; 0 is no limit
    actions_per_cart: int
    actions_per_address: int
    #: begun carts, and bought pairs, in a minute and from one address; 0 is no limit
    new_carts_per_address: int
    pairs_per_address: int
    #: the most pairs in one order; 0 is no limit
    max_per_order: int
    #: for how many days a cart is kept that nobody touches; 0 is for ever
    keep_carts_days: int
    #: whether e-mail addresses below .test are taken (RFC 6761), for a shop under test
    test_emails: bool
    #: over how many seconds a closing server lets its streams go
    drain_seconds: int
    #: the least severe of the log's lines that are written; None: INFO, WARNING on a terminal
    log_level: str | None
    #: lines about variables that look like settings but are none
    unknown: tuple[str, ...]

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
    source = _Source(variables)
    _check_key_is_shared(source)
    instance = _make_instance(variables)
    key = _secret_key(variables, instance)
    low = source.integer("SHOP_LOW_STOCK", 150, 1, 10_000_000)
    medium = source.integer("SHOP_MEDIUM_STOCK", 500, 1, 10_000_000)
    if medium < low:
        allowed = f"a number of at least SHOP_LOW_STOCK ({low})"
        raise SettingError("SHOP_MEDIUM_STOCK", str(medium), allowed)
    return Settings(
        instance=instance,
        database_url=_database_url(variables, instance),
        secret_key=key,
        secret_keys=(*_older_keys(variables), key),
        host=source.text("SHOP_HOST", "127.0.0.1"),
        port=source.integer("SHOP_PORT", 8000, 0, 65535),
        currency=_currency(source.text("SHOP_CURRENCY", "USD")),
        low_stock=low,
        medium_stock=medium,
        sse_per_cart=source.integer("SHOP_SSE_PER_CART", 4, 0, 1000),
        max_streams=source.integer("SHOP_MAX_STREAMS", 20_000, 0, 1_000_000),
        streams_per_address=source.integer("SHOP_STREAMS_PER_ADDRESS", 3000, 0, 1_000_000),
        demo=source.switch("SHOP_DEMO", True) and not source.text("SHOP_DATABASE_URL", ""),
        https=source.switch("SHOP_HTTPS", False),
        name=source.text("SHOP_NAME", "Noon"),
        redis_url=_redis_url(source.text("SHOP_REDIS_URL", "")),
        actions_per_cart=source.integer("SHOP_ACTIONS_PER_CART", 1200, 0, 1_000_000),
        actions_per_address=source.integer("SHOP_ACTIONS_PER_ADDRESS", 10_000, 0, 100_000_000),
        new_carts_per_address=source.integer("SHOP_NEW_CARTS_PER_ADDRESS", 1000, 0, 1_000_000),
        pairs_per_address=source.integer("SHOP_PAIRS_PER_ADDRESS", 500, 0, 1_000_000),
        keep_carts_days=source.integer("SHOP_KEEP_CARTS_DAYS", 180, 0, 36_500),
        max_per_order=source.integer("SHOP_MAX_PER_ORDER", 0, 0, 1_000_000),
        metrics_allow=source.networks("SHOP_METRICS_ALLOW", "127.0.0.0/8,::1"),
        test_emails=source.switch("SHOP_TEST_EMAILS", False),
        drain_seconds=source.integer("SHOP_DRAIN_SECONDS", 5, 0, LONGEST_DRAIN),
        log_level=_log_level(source.text("SHOP_LOG_LEVEL", "")),
        unknown=variables.unknown(),  # the last: all that are read above are known
    )


def database_file(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the file that the settings name as the database, None if they name a server.

    Nothing is made, be there a shop or not.
    """
    variables = _variables(environ)
    url = _database_url(variables, _instance(variables))
    return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None


def release_version() -> str:
    """Return the version of this release, as in "1.0.0"."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def _variables(environ: Mapping[str, str] | None) -> Variables:
    found = read_environment(ROOT / ".env") if environ is None else environ
    for name, value in found.items():
        if name.startswith("SHOP_") and not is_text(value):
            raise SettingError(name, "…", "text in UTF-8 is allowed")
    return Variables(found)


class _Source:
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

    def networks(self, name: str, default: str) -> tuple[IPv4Network | IPv6Network, ...]:
        text = self.text(name, default)
        try:
            return tuple(ip_network(net.strip(), strict=False) for net in text.split(","))
        except ValueError:
            allowed = f"networks are allowed, separated by commas, such as {default},10.0.0.0/24"
            raise SettingError(name, text, allowed) from None

    def switch(self, name: str, default: bool) -> bool:
        text = self.text(name, "on" if default else "off")
        words = {"on": True, "true": True, "1": True, "yes": True}
        words |= {"off": False, "false": False, "0": False, "no": False}
        if text.lower() not in words:
            raise SettingError(name, text, "on or off is allowed")
        return words[text.lower()]


def _check_key_is_shared(source: _Source) -> None:
    """Refuse a shared database or Redis without a key that is shared as well.

    With a key that each machine generated for itself, none would know another's cookies.
    """
    shared = source.text("SHOP_REDIS_URL", "") or source.text("SHOP_DATABASE_URL", "").startswith(
        "postgres"
    )
    if shared and not source.text("SHOP_SECRET_KEY", ""):
        raise SettingError("SHOP_SECRET_KEY", "", "must be set when a database or Redis is shared")


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


def _redis_url(text: str) -> str | None:
    if not text:
        return None
    parts, number = urlsplit(text), urlsplit(text).path.strip("/")
    try:
        port = parts.port or 6379  # what redis-py would only say when it first connects
    except ValueError:
        port = 0
    good = bool(parts.scheme == "unix" or (port and parts.hostname and (number or "0").isdigit()))
    if parts.scheme not in ("redis", "rediss", "unix") or not good:
        allowed = "redis://host:6379/0 is allowed, or rediss:// or unix:///path/of/a.sock"
        raise SettingError("SHOP_REDIS_URL", without_password(text), allowed)
    return text


def _log_level(text: str) -> str | None:
    if text and text.upper() not in _LOG_LEVELS:
        raise SettingError("SHOP_LOG_LEVEL", text, f"one of {', '.join(_LOG_LEVELS)} is allowed")
    return text.upper() or None


def _currency(code: str) -> str:
    if code.upper() not in MINOR_DIGITS:
        allowed = "a currency in use with a minor unit by ISO 4217 is allowed, such as USD or EUR"
        raise SettingError("SHOP_CURRENCY", code, allowed)
    return code.upper()


def _secret_key(environ: Mapping[str, str], instance: Path) -> str:
    key = environ.get("SHOP_SECRET_KEY", "")
    if key:
        _refuse_weak("SHOP_SECRET_KEY", key)
    try:
        return key or _generated_key(instance / "secret_key")
    except OSError as error:
        allowed = f"a folder that can be written is allowed ({error.strerror})"
        raise SettingError("SHOP_INSTANCE", str(instance), allowed) from None


def _older_keys(environ: Mapping[str, str]) -> list[str]:
    """Return the keys that are believed and don't sign any more, the oldest first."""
    name = "SHOP_SECRET_KEY_FALLBACKS"
    keys = [key.strip() for key in environ.get(name, "").split(",") if key.strip()]
    for key in keys:
        _refuse_weak(name, key)
    return keys[::-1]


def _refuse_weak(name: str, key: str) -> None:
    """Refuse a key that could be guessed: whoever has it makes themself any cart and session."""
    allowed = "python3 -c 'import secrets; print(secrets.token_urlsafe(48))' makes a good one"
    if len(key) < SECRET_KEY_MIN_LENGTH:
        allowed = f"at least {SECRET_KEY_MIN_LENGTH} characters are needed; {allowed}"
        raise SettingError(name, "…", allowed)
    repeats = any(key[n:] == key[:-n] for n in range(1, len(key) // 2 + 1))
    if repeats or len({*key}) < _LEAST_DIFFERENT:
        raise SettingError(name, "…", f"it repeats itself and could be guessed; {allowed}")


def _generated_key(file: Path) -> str:
    """Read the instance's own key; make it first if this is the first start.

    Written beside and linked into place, so that of two processes starting at once
    both read the one key that won.
    """
    if not file.exists():
        draft = file.with_name(f".secret_key.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(secrets.token_urlsafe(48))
        try:
            os.link(draft, file)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    key = file.read_text("utf-8", errors="replace").strip()
    if len(key) < SECRET_KEY_MIN_LENGTH or "\N{REPLACEMENT CHARACTER}" in key:
        raise SettingError(
            "SHOP_INSTANCE", str(file.parent), "the secret_key in it is damaged: delete that file"
        )
    return key
