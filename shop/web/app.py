"""Flask's app, without what it does for others in each request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response
from werkzeug.datastructures import Headers
from werkzeug.sansio.http import parse_cookie
from werkzeug.utils import cached_property

from shop.services import services_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HeaderList = list[tuple[str, str]]

#: Of a page whose address is a secret.
NO_REFERRER = ("Referrer-Policy", "no-referrer")


def _first_of_each(pairs: Sequence[tuple[str, str]] = ()) -> dict[str, str]:
    return dict(reversed(pairs))


class Asked(Request):
    """A request."""

    @cached_property
    def cookies(self) -> dict[str, str]:  # type: ignore[override]  # nobody asks for all of a name
        """What came along of cookies; werkzeug looks through all headers for them.

        A plain mapping: werkzeug's own raises and catches an error for each that isn't there.
        """
        return parse_cookie(self.environ.get("HTTP_COOKIE", ""), cls=_first_of_each)  # type: ignore[arg-type]


class Answer(Response):
    """A page, or what HTMX puts into one: given as a whole."""

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        """Return the headers as they are to be sent; of a page, that is as they are.

        Werkzeug copies them first, and looks at each. A body that is given as a whole has brought
        its length with it.
        """
        if self.status_code == 200 and "Content-Length" in self.headers:
            return self.headers
        return super().get_wsgi_headers(environ)


class ShopApp(Flask):
    """An app whose functions are all plain ones."""

    request_class = Asked

    #: the paths that open a stream
    stream_paths: frozenset[str] = frozenset()

    #: gives the headers that every answer to a request carries
    always: Callable[[WSGIEnvironment], HeaderList] = staticmethod(lambda _: [])

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        """Answer a request, with the headers that every answer carries.

        They are added here at once: as headers of a response, each would be looked at anew.
        """

        def start(status: str, headers: HeaderList, *rest: Any) -> Any:
            always = self.always(environ)
            if NO_REFERRER in headers:  # of two policies browsers would take the later one
                always = [header for header in always if header[0] != NO_REFERRER[0]]
            return start_response(status, [*headers, *always], *rest)

        return super().wsgi_app(environ, start)

    def opens_stream(self, path: str) -> bool:
        """Tell whether a request for this path opens a stream, and so can wait for all others.

        The server asks that, before it has begun with the request.
        """
        return path in self.stream_paths

    def count_streams(self) -> int:
        """Return how many connections the server has lost to event streams."""
        return services_of(self).hub.statistics.event_streams

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function: none here is asynchronous, and each is asked for in each request."""
        return func
