"""Photographs for tests: with light, detail and grain, as cameras make them."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

from PIL import Image


@cache
def photograph(width: int = 4000, height: int = 3000, kind: str = "JPEG", shade: int = 0) -> bytes:
    """Return a photograph as a file; of another shade it is another one."""

    def noise(scale: int, sigma: float) -> Image.Image:
        size = (max(1, width // scale), max(1, height // scale))
        return Image.effect_noise(size, sigma).resize((width, height), Image.Resampling.BICUBIC)

    light = Image.linear_gradient("L").resize((width, height))
    bands = [noise(16, 120), noise(5, 60), light.point(lambda value: (value + shade) % 256)]
    grain = noise(1, 24)
    picture = Image.merge("RGB", [Image.blend(band, grain, 0.2) for band in bands])
    file = io.BytesIO()
    picture.save(file, kind, quality=90)
    return file.getvalue()


def write_photographs(folder: Path, *names: str, width: int = 4000, height: int = 3000) -> None:
    """Write a photograph under each of these names, each another one."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        (folder / name).write_bytes(photograph(width, height, shade=number * 20))
