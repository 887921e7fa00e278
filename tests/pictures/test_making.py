"""Photographs become small pictures, and no file can do harm on its way."""

import io
import struct
import zlib

import pytest
from PIL import Image

from shop.pictures.making import make
from shop.pictures.originals import MOST_BYTES, PictureError, read_file


def photograph(width=2000, height=1000, kind="JPEG", **saving):
    file = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(file, kind, **saving)
    return file.getvalue()


def png_that_claims(width, height):
    """A PNG of some bytes whose head promises that many pixels."""

    def chunk(name, content):
        return (
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", zlib.crc32(name + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def test_a_photograph_becomes_four_widths_in_two_formats():
    made = make(photograph(), "kiln.jpg")
    assert (made.width, made.height) == (2000, 1000)
    sizes = [(r.format, r.width, r.height) for r in made.renditions]
    assert sizes == [(f, w, w // 2) for w in (320, 640, 960, 1600) for f in ("avif", "webp")]
    for rendition in made.renditions:
        with Image.open(io.BytesIO(rendition.content)) as read:
            assert (str(read.format).lower(), *read.size) == (
                rendition.format,
                rendition.width,
                rendition.height,
            )


def test_a_small_picture_is_never_enlarged():
    assert {r.width for r in make(photograph(500, 500), "small.jpg").renditions} == {320, 500}


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_a_photograph_taken_upright_stays_upright_and_says_nothing_of_where(kind):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    exif[0x010F] = "A camera of mine"
    made = make(photograph(4000, 3200, kind, exif=exif), "upright.jpg")
    assert (made.width, made.height) == (3200, 4000)
    for rendition in made.renditions:
        assert (rendition.width, rendition.height) == (rendition.width, rendition.width * 5 // 4)
        with Image.open(io.BytesIO(rendition.content)) as read:
            assert not read.getexif()
            top = read.convert("L").crop((0, 0, rendition.width, 4)).tobytes()
            assert top[3] > 200 and top[rendition.width - 4] < 50, "the top is at the right"
        assert b"camera" not in rendition.content


def test_transparency_is_kept():
    file = io.BytesIO()
    Image.new("RGBA", (600, 600), (200, 0, 0, 0)).save(file, "PNG")
    for rendition in make(file.getvalue(), "clear.png").renditions:
        with Image.open(io.BytesIO(rendition.content)) as read:
            assert read.convert("RGBA").getchannel("A").getextrema() == (0, 0)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not a JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a JPEG"),
        (photograph(kind="GIF"), "not a JPEG"),
        (photograph(kind="PPM"), "not a JPEG"),
        (photograph()[:3000], "broken"),
        (photograph(kind="PNG")[:-2000], "broken"),
        (photograph(kind="WEBP")[:-200], "broken"),
        (png_that_claims(100, 100), "broken"),
        (png_that_claims(9000, 9000), "million pixels"),
        (png_that_claims(60000, 60000), "million pixels"),
        (b"\xff\xd8\xff" + bytes(MOST_BYTES), "more than 30 MB"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(content, why):
    with pytest.raises(PictureError, match=why) as refused:
        make(content, "a\nname.jpg")
    assert len(str(refused.value).splitlines()) == 1


def test_only_plain_files_are_read(tmp_path):
    (tmp_path / "real.jpg").write_bytes(photograph())
    (tmp_path / "link.jpg").symlink_to(tmp_path / "real.jpg")
    assert read_file(tmp_path / "real.jpg") == (tmp_path / "real.jpg").read_bytes()
    for path in (tmp_path / "link.jpg", tmp_path, tmp_path / "none.jpg", tmp_path / "a\0b"):
        with pytest.raises(PictureError):
            read_file(path)
