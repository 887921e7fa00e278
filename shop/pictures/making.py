"""Photographs as operators have them, made into what a browser is sent.

Nothing of a file is trusted. Its first bytes say what it is, not its name, and its size in pixels
is checked before any of them is decoded. Metadata (where it was taken, by what camera) does not
reach a rendition.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

#: widths of the renditions, in pixels: a phone, a phone with dense pixels, a desktop. A narrower
#: original is never enlarged.
WIDTHS = (400, 800, 1600)
MOST_BYTES = 30_000_000
MOST_PIXELS = 60_000_000
_READ = ("JPEG", "PNG", "WEBP", "AVIF")
_QUALITY = {"avif": 50, "webp": 72}


class PictureError(ValueError):
    """A file that can't be a product's picture; one line names the file and says why."""


@dataclass(frozen=True, slots=True)
class Rendition:
    """A picture in one width (in pixels) and one format (`avif` or `webp`)."""

    format: str
    width: int
    height: int
    content: bytes


@dataclass(frozen=True, slots=True)
class MadePicture:
    """A picture: the original under its SHA-256, its upright size, renditions by width."""

    hash: str
    width: int
    height: int
    original: bytes
    renditions: tuple[Rendition, ...]


def make_file(path: Path) -> MadePicture:
    """Make the picture in the file at `path`.

    Raises `PictureError` for what isn't a plain file (a symbolic link, too), is too large, or holds
    no picture.
    """
    return make(_read(path), path.name)


def make(original: bytes, name: str) -> MadePicture:
    """Make a picture from the bytes of a file; errors call it `name`.

    Raises `PictureError` for another type, more than `MOST_BYTES` or `MOST_PIXELS`, and a file that
    ends too soon.
    """
    if len(original) > MOST_BYTES:
        raise PictureError(f"{name!r} has more than {MOST_BYTES // 1_000_000} MB")
    upright = _decode(original, name)
    return MadePicture(
        hashlib.sha256(original).hexdigest(),
        upright.width,
        upright.height,
        original,
        tuple(_render(upright)),
    )


def _read(path: Path) -> bytes:
    try:
        # Not through a link, and without waiting for a pipe's other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise PictureError(f"{path.name!r} is not a plain file")
            return file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, PictureError):
            raise
        why = (
            os.strerror(error.errno)
            if isinstance(error, OSError) and error.errno
            else "not a name of a file"
        )
        raise PictureError(f"{path.name!r} can't be read: {why}") from None


def _decode(original: bytes, name: str) -> Image.Image:
    """Return the picture upright, in sRGB, and with nothing but its pixels."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bound on pixels is above ours
            with Image.open(io.BytesIO(original), formats=_READ) as opened:
                _check_pixels(opened, name)
                opened.load()
                return _in_srgb(ImageOps.exif_transpose(opened))
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


def _check_pixels(opened: Image.Image, name: str) -> None:
    if opened.width * opened.height > MOST_PIXELS:
        raise PictureError(f"{name!r} has more than {MOST_PIXELS // 1_000_000} million pixels")


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


def _render(upright: Image.Image) -> list[Rendition]:
    widths = sorted({min(width, upright.width) for width in WIDTHS})
    renditions = []
    for width in widths:
        height = max(1, round(upright.height * width / upright.width))
        smaller = upright.resize((width, height), Image.Resampling.LANCZOS)
        for kind, quality in _QUALITY.items():
            file = io.BytesIO()
            smaller.save(file, kind, quality=quality)
            renditions.append(Rendition(kind, width, height, file.getvalue()))
    return renditions
