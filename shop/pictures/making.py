"""Photographs as operators have them, made into what a browser is sent.

Nothing of a file is trusted. Its first bytes say what it is, not its name, and its size in pixels
is checked before any of them is decoded. Metadata (where it was taken, by what camera) does not
reach a rendition.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from shop.pictures.originals import PictureError, check_size, hash_of
from shop.pictures.paths import name_of

#: The widths in which pictures are made, in pixels: a line of a cart, a phone, a tablet, a desktop.
#: A narrower original is never enlarged.
WIDTHS = (320, 640, 960, 1600)

#: What the largest cameras take; decoded, it has some 250 MB.
MOST_PIXELS = 65_000_000

#: WebP has a bound on a side, which a picture in this shape stays below in every width.
_LONGEST_TO_SHORTEST = 10
_READ = ("JPEG", "PNG", "WEBP", "AVIF")

#: The modes in which neighbouring pixels can be made into one.
_REDUCIBLE = ("RGB", "RGBA", "L", "LA", "CMYK")

#: By format the qualities to be tried, until a rendition is small enough for a phone's network.
_QUALITIES: dict[str, tuple[int, ...]] = {"avif": (50, 42, 34, 26), "webp": (72, 60, 45, 30)}
_BYTES_PER_PIXEL = 0.16


@dataclass(frozen=True, slots=True)
class Rendition:
    """A picture in one width (in pixels) and one format (`avif` or `webp`)."""

    format: str
    width: int
    height: int
    content: bytes

    @property
    def name(self) -> str:
        """The name of its file, as in `640.avif`."""
        return name_of(self.width, self.format)


@dataclass(frozen=True, slots=True)
class MadePicture:
    """A picture: the original, its upright size, its hash (see `hash_of`), renditions by width."""

    hash: str
    width: int
    height: int
    original: bytes
    renditions: tuple[Rendition, ...]


def make(original: bytes, name: str) -> MadePicture:
    """Make a picture from the bytes of a file; errors call it `name`.

    Raises `PictureError` for another type, more than `MOST_BYTES` or `MOST_PIXELS`, and a file that
    ends too soon.
    """
    check_size(len(original), name)
    upright, width, height = _decode(original, name)
    renditions = tuple(_render(upright, width, height))
    return MadePicture(hash_of(original), width, height, original, renditions)


def _decode(original: bytes, name: str) -> tuple[Image.Image, int, int]:
    """Return the picture upright, in sRGB, and with nothing but its pixels; its width and height.

    A large JPEG is decoded to fewer pixels than it has, as that takes a quarter of the time.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bound on pixels is above ours
            with Image.open(io.BytesIO(original), formats=_READ) as opened:
                _check_pixels(opened, name)
                width, height = opened.size
                opened.draft(None, _enough(width, height))
                opened.load()
                turned = opened.getexif().get(ExifTags.Base.Orientation, 1) >= 5
                upright = _in_srgb(ImageOps.exif_transpose(_reduced(opened)))
                return upright, *((height, width) if turned else (width, height))
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(f"{name!r} is not a JPEG, PNG, WebP or AVIF picture") from None
    except Image.DecompressionBombError:
        raise PictureError(
            f"{name!r} has more than {MOST_PIXELS // 1_000_000} million pixels"
        ) from None
    except (
        Exception
    ):  # decoders raise many kinds for a broken file (OSError, SyntaxError, struct.error, …)
        raise PictureError(f"{name!r} is broken or ends too soon") from None


def _enough(width: int, height: int) -> tuple[int, int]:
    """Return the size, in pixels, that all renditions can be made of, however it is turned."""
    scale = min(1.0, WIDTHS[-1] / min(width, height))
    return math.ceil(width * scale), math.ceil(height * scale)


def _reduced(opened: Image.Image) -> Image.Image:
    """Return the picture with as few pixels as will do: each step from here on makes a copy."""
    factor = min(opened.size) // WIDTHS[-1]
    if factor < 2 or opened.mode not in _REDUCIBLE:
        return opened
    exif, reduced = opened.getexif(), opened.reduce(factor)
    reduced.getexif()[ExifTags.Base.Orientation] = exif.get(ExifTags.Base.Orientation, 1)
    return reduced


def _check_pixels(opened: Image.Image, name: str) -> None:
    if opened.width * opened.height > MOST_PIXELS:
        raise PictureError(f"{name!r} has more than {MOST_PIXELS // 1_000_000} million pixels")
    if max(opened.size) > _LONGEST_TO_SHORTEST * min(opened.size):
        raise PictureError(f"{name!r} is over {_LONGEST_TO_SHORTEST} times as long as it is wide")


def _in_srgb(upright: Image.Image) -> Image.Image:
    """Return the pixels alone, as RGB or RGBA; without a profile other spaces look pale."""
    mode = "RGBA" if upright.has_transparency_data else "RGB"
    profile = upright.info.get("icc_profile")
    if profile and upright.mode in ("RGB", "RGBA", "CMYK"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(
                upright, source, ImageCms.createProfile("sRGB"), outputMode=mode
            )
        except (
            ImageCms.PyCMSError,
            OSError,
        ):  # a profile that can't be used: the colours as they are
            converted = None
        upright = converted or upright
    plain = upright.convert(mode)
    plain.info = {}
    return plain


def _render(upright: Image.Image, full_width: int, full_height: int) -> Iterator[Rendition]:
    qualities = dict(_QUALITIES)
    for width in sorted({min(width, full_width) for width in WIDTHS}):
        height = max(1, round(full_height * width / full_width))
        smaller = upright.resize((width, height), Image.Resampling.LANCZOS)
        for kind in qualities:
            # A larger one can have no better quality than a smaller one: trying takes long.
            content, qualities[kind] = _compress(smaller, kind, qualities[kind])
            yield Rendition(kind, width, height, content)


def _compress(
    picture: Image.Image, kind: str, qualities: tuple[int, ...]
) -> tuple[bytes, tuple[int, ...]]:
    """Compress a picture until it is small enough, or as far as it can be looked at.

    Returns:
        The file, and the qualities from the one that it has on.
    """
    most, content = picture.width * picture.height * _BYTES_PER_PIXEL, b""
    while not content or (len(content) > most and len(qualities) > 1):
        if content:
            qualities = qualities[1:]
        file = io.BytesIO()
        picture.save(file, kind, quality=qualities[0])
        content = file.getvalue()
    return content, qualities
