"""Parameters as Stripe's library sends them: `line_items[0][price_data][currency]=usd`."""

from __future__ import annotations

import re
import sys
import typing
from collections.abc import Iterable
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from stripe import RequestOptions
from stripe.params import RefundCreateParams
from stripe.params.checkout import SessionCreateParams, SessionListParams
from typing_extensions import is_typeddict

#: What can be asked for, by the types of Stripe's library.
CREATING, LISTING, REFUNDING = SessionCreateParams, SessionListParams, RefundCreateParams


class Unknown(Exception):
    """A parameter that Stripe doesn't know, or a word that it doesn't."""


def nested(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return what flat parameters say, as dictionaries, and lists where names are numbers."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        *way, last = re.findall(r"[^\[\]]+", name)
        place = found
        for step in way:
            place = place.setdefault(step, {})
        place[last] = value
    return {name: _with_lists(value) for name, value in found.items()}


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _with_lists(each) for name, each in value.items()}
    if all(name.isdigit() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner


def check(given: Any, kind: Any, name: str = "") -> None:
    """See that parameters are such as Stripe's library has types for.

    Raises:
        Unknown: one of them isn't.
    """
    kinds = list(_parts(kind))
    if isinstance(given, dict):
        hints = [_hints(each) for each in kinds if is_typeddict(each)]
        if not hints:  # names of one's own, as in metadata
            return
        for inner, value in given.items():
            found = [each[inner] for each in hints if inner in each]
            if not found:
                raise Unknown(f"Received unknown parameter: {name}[{inner}]")
            check(value, found[0], f"{name}[{inner}]")
    elif isinstance(given, list):
        for value in given:
            check(value, next(iter(get_args(kinds[0])), Any), f"{name}[]")
    else:
        words = {word for each in kinds if get_origin(each) is Literal for word in get_args(each)}
        if words - {""} and given not in words:  # "" and any text: it can be taken away
            raise Unknown(f"Invalid {name}: must be one of {', '.join(sorted(words))}")


def _parts(kind: Any) -> Iterable[Any]:
    """Give what a type may be, without what only says that it may be missing or several."""
    wraps = getattr(get_origin(kind), "__name__", "") or str(get_origin(kind))
    if is_typeddict(kind) or not any(word in wraps for word in ("NotRequired", "Union")):
        yield kind
        return
    for each in get_args(kind):
        yield from _parts(each)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """Return what a dictionary of Stripe's types may hold, less what goes by headers."""
    # Names that the library imports for type checkers only are of no interest here.
    names = {"StripeContext": Any, **vars(typing), **vars(sys.modules[kind.__module__])}
    found = get_type_hints(kind, names)
    return {name: each for name, each in found.items() if name not in _HEADERS}


_HEADERS = frozenset(RequestOptions.__annotations__)
