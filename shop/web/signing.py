"""Signs what browsers carry: ids and fingerprints, and what is good for some days only.

A signature says for ever that a text is the shop's own, so what was signed or read once is cached:
a browser sends the same cookies and tokens with each request. What is forged raises, and is not.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Any

from itsdangerous import Serializer, TimestampSigner, URLSafeSerializer, URLSafeTimedSerializer
from itsdangerous.encoding import base64_encode
from itsdangerous.exc import SignatureExpired

#: The shop's secrets, the oldest first: all are believed, and the last one signs.
Keys = tuple[str, ...]

#: How many signed texts are cached, and as many that were read, of some 600 bytes each.
_CACHE_SIZE = 4096


@lru_cache(maxsize=_CACHE_SIZE)
def sign(keys: Keys, salt: str, value: Hashable) -> str:
    """Return a value as a signed text, in URL-safe characters.

    Args:
        salt: what kind of value it is: one of another kind is not taken for it.
        value: what JSON can hold, with tuples for lists.
    """
    return str(_serializer(keys, salt).dumps(value))


@lru_cache(maxsize=_CACHE_SIZE)
def read_signed(keys: Keys, salt: str, text: str) -> Any:
    """Return the value in a signed text; nobody may change it, as others are given the same.

    Raises:
        BadData: it is forged or broken, or of another kind.
    """
    return _serializer(keys, salt).loads(text)


@lru_cache
def _serializer(keys: Keys, salt: str) -> BriefSerializer:
    return BriefSerializer(list(keys), salt=salt)


@lru_cache
def steady_serializer(keys: Keys, salt: str) -> URLSafeTimedSerializer:
    """Return what signs values that are good for some days only."""
    return URLSafeTimedSerializer(list(keys), salt=salt, signer=SteadySigner)


class SteadySigner(TimestampSigner):
    """Believes also what was signed by a server whose clock is ahead.

    itsdangerous refuses a signature of a moment that is still to come. But whoever has the key may
    sign what they like, so that refusal protects from nobody.
    """

    def unsign(
        self,
        signed_value: str | bytes,
        max_age: int | None = None,
        return_timestamp: bool = False,
    ) -> Any:
        """Return the value, as `TimestampSigner` does.

        Args:
            max_age: in seconds.

        Raises:
            BadSignature: it is forged, broken, or older than that.
        """
        value, signed_at = super().unsign(signed_value, return_timestamp=True)
        age = self.get_timestamp() - int(signed_at.timestamp())
        if max_age is not None and age > max_age:
            raise SignatureExpired(f"signed {age} s ago", payload=value, date_signed=signed_at)
        return (value, signed_at) if return_timestamp else value


class BriefSerializer(URLSafeSerializer):
    """Writes what itsdangerous's own reads, and reads what that one wrote.

    That one compresses everything first, to see whether it gets shorter: with ids it doesn't, and
    it takes as long as all else.
    """

    def dump_payload(self, obj: Any) -> bytes:
        """Return the payload, as JSON in URL-safe characters."""
        return base64_encode(Serializer.dump_payload(self, obj))
