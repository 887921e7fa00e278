"""Whether a text can be read on a colour (WCAG 2.2, 1.4.3 and the definitions it names)."""

from __future__ import annotations

import re

#: The least contrast of a text with what it stands on.
READABLE = 4.5

_COLOUR = re.compile("#[0-9a-fA-F]{6}")


def is_colour(text: str) -> bool:
    """Tell whether a text is a colour such as `#0b5fff`."""
    return bool(_COLOUR.fullmatch(text))


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def is_light(colour: str) -> bool:
    """Tell whether black is read better on a colour than white."""
    return contrast(colour, "#000000") > contrast(colour, "#ffffff")


def toned(colour: str, ground: str, text: str) -> str:
    """Return a colour, mixed with the ground it stands on as far as a text on it needs that."""
    for share in range(0, 101, 5):
        mixed = _mixed(colour, ground, share / 100)
        if contrast(mixed, text) >= READABLE:
            return mixed
    return ground


def _mixed(one: str, other: str, share: float) -> str:
    parts = ((int(one[at : at + 2], 16), int(other[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in parts)


def _luminance(colour: str) -> float:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return 0.2126 * _linear(red) + 0.7152 * _linear(green) + 0.0722 * _linear(blue)


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)
