"""An import has its pictures once, and while nobody waits for the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shop.catalog.entries import CatalogError, Picture, ProductEntry
from shop.catalog.obtaining import Sources, obtain
from shop.db import Database, open_database
from shop.models.picture import discard_pictures
from shop.pictures import fetching, making
from shop.pictures.originals import PictureError, hash_of
from tests.support.photographs import photograph
from tests.support.running import RunningShop

PHOTO = photograph(300, 200, "PNG")
ADDRESS = "https://pictures.example/files/a%20b.png?v=1"


@pytest.fixture
def database(closed_drop: RunningShop) -> Iterator[Database]:
    with closing(open_database(closed_drop.database_url)) as opened:
        yield opened


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that are fetched, of a web that has one photograph and lame servers."""
    addresses = list[str]()

    def fetch(reference: str) -> bytes:
        addresses.append(reference)
        if "lame" in reference:
            raise PictureError("it takes more than 30 s")
        return b"<html>" if "page" in reference else PHOTO

    monkeypatch.setattr(fetching, "fetch", fetch)
    return addresses


def entry(sku: str, *references: str) -> ProductEntry:
    return ProductEntry(sku, 2, pictures=tuple(map(Picture, references)))


def test_an_address_is_asked_once_for_all_products(database: Database, asked: list[str]) -> None:
    obtained = obtain([entry("A", ADDRESS), entry("B", ADDRESS)], database, Sources())
    assert asked == [ADDRESS]
    assert obtained.hashes == {ADDRESS: hash_of(PHOTO)} and obtained.notes == []
    again = obtain([entry("A", ADDRESS + "&v=2")], database, Sources())
    assert again.new == [], "what is stored is not made again"


def test_an_address_that_a_product_has_is_not_asked_again(
    closed_drop: RunningShop, database: Database, asked: list[str]
) -> None:
    obtain([entry("A", ADDRESS)], database, Sources())
    closed_drop.sql("INSERT INTO product_pictures VALUES (1, 1, ?, '', ?)", hash_of(PHOTO), ADDRESS)
    asked.clear()
    obtained = obtain([entry("OST-TIDELINE", ADDRESS)], database, Sources())
    assert asked == [] and obtained.hashes == {ADDRESS: hash_of(PHOTO)}


def test_a_file_of_the_folder_goes_before_the_address(
    database: Database, asked: list[str], tmp_path: Path
) -> None:
    (tmp_path / "a b.png").write_bytes(photograph(200, 200, "PNG"))
    obtained = obtain([entry("A", ADDRESS)], database, Sources(tmp_path))
    assert asked == [] and obtained.hashes == {ADDRESS: hash_of(photograph(200, 200, "PNG"))}
    sly = "https://pictures.example/..%2f..%2fsecret.png"
    obtain([entry("A", sly)], database, Sources(tmp_path))
    assert asked == [sly]


def test_a_server_that_fails_again_and_again_is_left_alone(
    database: Database, asked: list[str]
) -> None:
    lame = [f"https://lame.example/{number}.jpg" for number in range(6)]
    obtained = obtain([entry("A", *lame, ADDRESS)], database, Sources())
    assert asked == [*lame[:3], ADDRESS]
    assert len(obtained.notes) == 6 and ADDRESS in obtained.hashes
    assert "asked in vain" in obtained.notes[-1]


def test_an_address_without_a_picture_is_a_note(database: Database, asked: list[str]) -> None:
    obtained = obtain([entry("A", "https://x.example/page")], database, Sources())
    (note,) = obtained.notes
    why = "it is not a JPEG, PNG, WebP or AVIF picture"
    assert note == f"A is without 'https://x.example/page': {why}"


def test_others_write_while_a_picture_is_made(
    closed_drop: RunningShop, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1.png").write_bytes(PHOTO)
    make = making.make

    def slow(original: bytes, name: str) -> making.MadePicture:
        closed_drop.sql("UPDATE products SET name = 'Written meanwhile' WHERE id = 1")
        return make(original, name)

    monkeypatch.setattr(making, "make", slow)
    obtained = obtain([entry("A", "1.png")], database, Sources(tmp_path))
    assert obtained.new == [hash_of(PHOTO)]
    assert closed_drop.sql("SELECT name FROM products WHERE id = 1") == [("Written meanwhile",)]
    discard_pictures(database, obtained.new)
    assert closed_drop.sql("SELECT count(*) FROM renditions") == [(0,)]


def test_a_product_has_fifty_pictures_at_most(database: Database, asked: list[str]) -> None:
    many = entry("A", *(f"https://x.example/{number}.jpg" for number in range(51)))
    with pytest.raises(CatalogError, match="line 2, column image: A has more than 50 pictures"):
        obtain([many], database, Sources())
    assert asked == []


def test_what_comes_with_the_shop_can_only_be_the_first(
    database: Database, asked: list[str]
) -> None:
    both = [entry("A", "icon.svg", ADDRESS), entry("B", ADDRESS, "icon.svg")]
    obtained = obtain(both, database, Sources())
    assert obtained.notes == ["B is without 'icon.svg': what comes with the shop can only be first"]
