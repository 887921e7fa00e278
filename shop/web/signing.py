"""Signs what is short: ids and fingerprints."""

from __future__ import annotations

from typing import Any

from itsdangerous import Serializer, URLSafeSerializer
from itsdangerous.encoding import base64_encode


class BriefSerializer(URLSafeSerializer):
    """Writes what itsdangerous's own reads, and reads what that one wrote.

    That one compresses everything first, to see whether it gets shorter: with ids it doesn't, and
    it takes as long as all else.
    """

    def dump_payload(self, obj: Any) -> bytes:
        """Return the payload, as JSON in URL-safe characters."""
        return base64_encode(Serializer.dump_payload(self, obj))
