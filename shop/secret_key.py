"""The key that signs cookies and tokens: the operator's own, or one that the instance was given."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from shop.setting_values import SettingError, Source

#: Session cookies, cart cookies and CSRF tokens are HMACs keyed by the secret: shorter than the
#: hash's own output would weaken them (RFC 2104, section 3).
SECRET_KEY_MIN_LENGTH = 20

#: How many different characters a key has at least: of 20 hexadecimal digits drawn at random all
#: but one of a hundred thousand have more.
_LEAST_DIFFERENT = 7


def check_key_is_shared(source: Source) -> None:
    """Refuse a shared database or Redis without a key that is shared as well.

    With a key that each machine generated for itself, none would know another's cookies.
    """
    shared = source.text("SHOP_REDIS_URL", "") or source.text("SHOP_DATABASE_URL", "").startswith(
        "postgres"
    )
    if shared and not source.text("SHOP_SECRET_KEY", ""):
        raise SettingError("SHOP_SECRET_KEY", "", "must be set when a database or Redis is shared")


def read_secret_key(environ: Mapping[str, str], instance: Path) -> str:
    """Return the key that signs; made at the first start if the operator sets none.

    Raises:
        SettingError: it could be guessed, or can't be kept.
    """
    key = environ.get("SHOP_SECRET_KEY", "")
    if key:
        _refuse_weak("SHOP_SECRET_KEY", key)
    try:
        return key or _generated_key(instance / "secret_key")
    except OSError as error:
        allowed = f"a folder that can be written is allowed ({error.strerror})"
        raise SettingError("SHOP_INSTANCE", str(instance), allowed) from None


def older_keys(environ: Mapping[str, str]) -> list[str]:
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
