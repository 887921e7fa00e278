"""Flask's app, without what it does for others in each request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Request
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.sansio.http import parse_cookie
from werkzeug.utils import cached_property


class Asked(Request):
    """A request."""

    @cached_property
    def cookies(self) -> ImmutableMultiDict[str, str]:
        """What came along of cookies; werkzeug looks through all headers for them."""
        sent = self.environ.get("HTTP_COOKIE", "")
        return parse_cookie(sent, cls=self.dict_storage_class)  # type: ignore[return-value]


class ShopApp(Flask):
    """An app whose functions are all plain ones."""

    request_class = Asked

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function: none here is asynchronous, and each is asked for in each request."""
        return func
