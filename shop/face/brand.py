"""The shop's name, logo and accent colours, from the folder `brand/` of the instance."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from shop.face.contrast import READABLE, contrast, is_colour, is_light, toned

#: The logo's file is the first of these that there is, and the most bytes that it may have.
LOGOS = ("logo.svg", "logo.webp", "logo.png", "logo.jpg")
MOST_BYTES = 512 * 1024

#: The longest name and tagline, in characters.
_LONGEST = {"name": 60, "tagline": 200}

#: Letters on an accent, where none are given.
_DARK, _LIGHT = "#14191b", "#ffffff"

#: What a size is filled up against, as its label stands on both: under light letters, and under
#: dark ones in each theme.
_TILE_UNDER_LIGHT = "#3a4447"
_TILES = {"light": "#ffffff", "dark": "#aebabc"}

#: Of each theme what stands behind a product, and the letters of its name, which may stand on the
#: accent there. As in static/shop.css.
_STAGES = {"light": ("#e1e7e6", "#14191b"), "dark": ("#191f22", "#eff2f0")}


class BrandError(Exception):
    """Something in the folder can't be used; the message says which file, and why."""


@dataclass(frozen=True, slots=True)
class Palette:
    """An accent, and the colour of letters on it."""

    accent: str
    text: str


@dataclass(frozen=True, slots=True)
class Logo:
    """A picture that stands for the name."""

    file: str
    content: bytes
    #: in pixels, for its proportions
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Brand:
    """What a shop looks like; what an operator leaves out is as the shop came."""

    name: str
    tagline: str = ""
    light: Palette | None = None
    dark: Palette | None = None
    logo: Logo | None = None

    def stylesheet(self) -> str:
        """Return the colours as CSS, nothing if they are as the shop came."""
        light = _rules(self.light, "light") if self.light else ""
        dark = _rules(self.dark, "dark") if self.dark else ""
        return (f":root{{{light}}}\n" if light else "") + (
            f"@media(prefers-color-scheme:dark){{:root{{{dark}}}}}\n" if dark else ""
        )


def read_brand(folder: Path, name: str) -> Brand:
    """Read a folder; one that isn't there is a shop as it came.

    Args:
        name: the shop's, where the folder gives none.

    Raises:
        BrandError: something in it can't be used.
    """
    values = _read_toml(folder / "brand.toml")
    unknown = sorted(values.keys() - {"name", "tagline", "light", "dark"})
    if unknown:
        allowed = "name, tagline, [light] and [dark] are allowed"
        raise BrandError(f"{folder / 'brand.toml'}: nobody knows {', '.join(unknown)}: {allowed}")
    light = _palette(folder, values, "light")
    return Brand(
        name=_text(folder, values, "name") or name,
        tagline=_text(folder, values, "tagline"),
        light=light,
        dark=_palette(folder, values, "dark") or light,
        logo=_read_logo(folder),
    )


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BrandError(f"{file} can't be read: {error}") from None


def _text(folder: Path, values: dict[str, Any], key: str) -> str:
    value = values.get(key, "")
    longest = _LONGEST[key]
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        allowed = f"a text of at most {longest} characters is allowed"
        raise BrandError(f"{folder / 'brand.toml'}: {key} can't be used: {allowed}")
    return value.strip()


def _palette(folder: Path, values: dict[str, Any], theme: str) -> Palette | None:
    """Read the colours of a theme."""
    file = folder / "brand.toml"
    given = values.get(theme)
    if given is None:
        return None
    if not isinstance(given, dict) or "accent" not in given or given.keys() - {"accent", "text"}:
        raise BrandError(f"{file}: [{theme}] has an accent and, if need be, a text on it")
    for key, value in given.items():
        if not isinstance(value, str) or not is_colour(value):
            raise BrandError(f"{file}: {theme}.{key} is no colour such as #0b5fff: {value!r}")
    accent = given["accent"]
    text = given.get("text", _DARK if is_light(accent) else _LIGHT)
    ratio = contrast(accent, text)
    if ratio < READABLE:
        raise BrandError(
            f"{file}: {theme}.text {text} can't be read on {theme}.accent {accent}: "
            f"their contrast is {ratio:.1f}:1, and at least {READABLE}:1 is needed"
        )
    return Palette(accent, text)


def _rules(palette: Palette, theme: str) -> str:
    stage, ink = _STAGES[theme]
    has_light_letters = is_light(palette.text)
    tile = _TILE_UNDER_LIGHT if has_light_letters else _TILES[theme]
    line = ink if theme == "light" and not has_light_letters else palette.accent
    colours = {
        "sun": palette.accent,
        "on-sun": palette.text,
        "tile": tile,
        "tile-line": line,
        "disc": toned(palette.accent, stage, ink),
    }
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())


def _read_logo(folder: Path) -> Logo | None:
    file = next((folder / name for name in LOGOS if (folder / name).is_file()), None)
    if file is None:
        return None
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BrandError(f"{file} can't be read: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise BrandError(f"{file} has {len(content)} bytes; at most {MOST_BYTES} are allowed")
    width, height = _size_of_svg(file, content) if file.suffix == ".svg" else _size(file, content)
    return Logo(file.name, content, width, height)


def _size_of_svg(file: Path, content: bytes) -> tuple[int, int]:
    found = re.search(rb"<svg[^>]*?>", content, re.DOTALL)
    if found is None:
        raise BrandError(f"{file} is no SVG")
    box = re.search(rb'viewBox="[\d.+-]+[ ,]+[\d.+-]+[ ,]+([\d.]+)[ ,]+([\d.]+)"', found[0])
    if box is None:
        raise BrandError(f"{file} has no viewBox, which gives its proportions")
    width, height = (max(1, round(float(value))) for value in box.groups())
    return width, height


def _size(file: Path, content: bytes) -> tuple[int, int]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(content), formats=("PNG", "WEBP", "JPEG")) as image:
            return image.size
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        raise BrandError(f"{file} is no picture that can be read") from None
