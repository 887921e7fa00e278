"""The parts of a page that show a cart: as HTML, and as templates with placeholders."""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup

from shop.framing import Template

#: What stands in a rendered cart where its own values belong (see `Fragments._cart_values`):
#: noncharacters (Unicode, section 23.7), which are in no text that means anything.
PLACEHOLDERS = {"stamp": Markup("\ufdd0"), "purchase": "\ufdd1", "hold": Markup("\ufdd2")}


class PageParts(NamedTuple):
    """The parts of a page that show a cart."""

    root: Markup
    notices: Markup
    bar: Markup
    purchase: Markup


#: The elements that those parts take the place of, in the same order.
_TARGETS = ("#cart", "#notices-cart", "#cart-bar", "#purchase-area")


class PartTemplates(NamedTuple):
    """The same with placeholders for whose cart it is, and how new; and all as one message."""

    parts: tuple[Template, ...]
    message: Template

    @classmethod
    def of(cls, parts: PageParts) -> PartTemplates:
        """Make templates of what was rendered with `PLACEHOLDERS`."""
        message = "".join(map(hx_partial, _TARGETS, parts))
        return cls(
            tuple(Template(part, PLACEHOLDERS) for part in parts), Template(message, PLACEHOLDERS)
        )

    @property
    def weight(self) -> int:
        """How many characters are cached with it."""
        return sum(template.weight for template in (*self.parts, self.message))


def hx_partial(target: str, html: Markup) -> str:
    """Wrap what takes the place of an element in open pages.

    Args:
        target: the element, as a CSS selector.
    """
    return f'<hx-partial hx-target="{target}" hx-swap="outerMorph">{html}</hx-partial>'
