"""Pages whose address is a secret: not for search engines, and not told to other sites."""

from __future__ import annotations

from flask import Response

from shop.web.app import NO_REFERRER


def private(answer: Response) -> Response:
    """Have neither search engines nor other sites learn the address of a page."""
    answer.headers["X-Robots-Tag"] = "noindex, nofollow"
    answer.headers.add(*NO_REFERRER)
    return answer
