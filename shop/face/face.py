"""What is seen of a shop's brand and texts, read anew when a file of theirs changed."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from shop.face.brand import LOGOS, Brand, BrandError, read_brand
from shop.face.texts import Text, files_in, read_texts

log = logging.getLogger(__name__)

#: Folders of the instance.
BRAND, TEXTS = "brand", "pages"


@dataclass(frozen=True)
class Appearance:
    """A brand and texts at one moment."""

    brand: Brand
    texts: Mapping[str, Text] = field(default_factory=dict)
    #: differs when anything of it does
    key: str = ""
    stylesheet: str = ""


class Face:
    """A shop's brand and texts."""

    def __init__(self, instance: Path, name: str) -> None:
        """Take the instance folder, and the name of a shop whose brand has none."""
        self._folder = instance
        self._name = name
        self._seen: object = None
        self._files: list[str] = []
        self._present = Appearance(Brand(name))

    def check(self) -> None:
        """Read everything.

        Raises:
            BrandError: something can't be used.
        """
        self._present = self._read(read_brand(self._folder / BRAND, self._name))

    def current(self) -> Appearance:
        """Return what is there now; while the brand can't be used, that from before."""
        if self._signature() != self._seen:
            brand = self._present.brand
            try:
                brand = read_brand(self._folder / BRAND, self._name)
            except BrandError as error:
                log.warning("the shop looks as before: %s", error)
            self._present = self._read(brand)
        return self._present

    def _signature(self) -> object:
        """Return what differs once a file was changed, added or taken away; some microseconds."""
        return tuple([_stamp(path) for path in self._watched()])

    def _watched(self) -> list[str]:
        if not self._files:
            brand, texts = self._folder / BRAND, self._folder / TEXTS
            brand_files = [brand / name for name in ("brand.toml", *LOGOS)]
            there = [brand, texts, *(f for f in brand_files if f.exists()), *files_in(texts)]
            self._files = [*map(str, there)]
        return self._files

    def _read(self, brand: Brand) -> Appearance:
        self._files = []  # others may be there now
        self._seen = self._signature()
        texts = read_texts(self._folder / TEXTS)
        digest = blake2b(repr((brand, sorted(texts.items()))).encode(), digest_size=6)
        return Appearance(brand, texts, digest.hexdigest(), brand.stylesheet())


def _stamp(path: str) -> object:
    try:
        found = os.stat(path)  # noqa: PTH116  (asked for each page, at half the time)
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)
