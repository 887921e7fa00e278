"""Whole pages, cached for all visitors who see the same of them.

On drop day everybody opens the same page. It is rendered once, with placeholders for what is
each visitor's own: the cart, the notices, the token of the forms. Nothing cached can be stale: a
page is cached under all that it was made of, its template and path, and the products on it by their
versions, which grow with whatever a shopper would see differently. What can't be named in this
way is not cached.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from shop.framing import Template
from shop.render.cache import RenderCache
from shop.render.cart_parts import PageParts

#: What a page is made of: see `key_of`.
Key = tuple[object, ...]

#: Stand where a visitor's own belongs: noncharacters, which are in no text that means anything.
_PLACEHOLDERS = {
    name: chr(0xFDE0 + n)
    for n, name in enumerate(("token", "notices_of_action", "now", *PageParts._fields))
}


@dataclass(frozen=True, slots=True)
class PersonalParts:
    """What is a visitor's own on a page."""

    #: of the forms, in URL-safe characters
    token: str
    #: notices of what they did, as a partial
    action_notices: Markup
    cart: PageParts
    #: the shop's time, in milliseconds since 1970
    now: str


#: Renders a page around what is a visitor's own.
Render = Callable[[PersonalParts], str]


def key_of(template: str, path: str, part: Markup, face: str) -> Key:
    """Name all that a page is made of, but for what is a visitor's own.

    Args:
        part: what it shows of the catalogue.
        face: the key of the shop's brand and texts.
    """
    return (template, path, part, face)


class PageCache:
    """The pages of one app."""

    def __init__(self, cache: RenderCache) -> None:
        self._cache = cache

    def page(self, key: Key, render: Render, personal: PersonalParts) -> bytes:
        """Return a page for one visitor, in UTF-8, rendered only if it isn't cached."""
        template: Template | None = self._cache.get(key)
        if template is None:
            template = Template(render(_placeholders()), _PLACEHOLDERS)
            self._cache.keep(key, template, template.weight)
        cart = personal.cart._asdict()
        others = {
            "token": personal.token,
            "notices_of_action": personal.action_notices,
            "now": personal.now,
        }
        return template.encoded({**others, **cart})


def _placeholders() -> PersonalParts:
    marks = {name: Markup(mark) for name, mark in _PLACEHOLDERS.items()}  # noqa: S704  (harmless ones)
    token, notices, now = (marks.pop(name) for name in ("token", "notices_of_action", "now"))
    return PersonalParts(token, notices, PageParts(**marks), now)
