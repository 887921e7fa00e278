"""Where pictures are: `/media/<hash>/<file>`, in addresses and below the instance folder alike."""

from __future__ import annotations

import re

FOLDER = "media"

#: What can be the hash of a picture, and the name of a rendition of it.
_HASH = re.compile("[0-9a-f]{32}")
_NAME = re.compile(r"[1-9][0-9]{0,4}\.(avif|webp)")


def path_of(picture_hash: str, width: int, kind: str) -> str:
    """Return the path of a rendition.

    Args:
        width: its own, in pixels.
        kind: its format, `avif` or `webp`.
    """
    return f"/{FOLDER}/{picture_hash}/{name_of(width, kind)}"


def name_of(width: int, kind: str) -> str:
    """Return the name of a rendition's file, as in `640.avif`."""
    return f"{width}.{kind}"


def can_be(picture_hash: str, name: str) -> bool:
    """Tell whether there can be a rendition of this name: so it is also safe as a path."""
    return bool(_HASH.fullmatch(picture_hash) and _NAME.fullmatch(name))
