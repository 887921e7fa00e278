"""Signs what browsers carry: ids and fingerprints, and what is good for some days only."""

from __future__ import annotations

from typing import Any

from itsdangerous import Serializer, TimestampSigner, URLSafeSerializer
from itsdangerous.encoding import base64_encode
from itsdangerous.exc import SignatureExpired

#: The shop's secrets, the oldest first: all are believed, and the last one signs.
Keys = tuple[str, ...]


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
