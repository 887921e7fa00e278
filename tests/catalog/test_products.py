"""An operator's own products: imported, exported, changed, and gone, while tabs are open."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.running import RunningShop, eventually
from tests.support.shopper import Shopper, Tab

pytestmark = pytest.mark.both_databases

OWN = """\
product,brand,name,color,size,price,count,image,description
TIDE,Me,Tide,Blue,8,120.00,5,,"A shoe, ""blue""
in two lines"
TIDE,Me,Tide,Blue,EU 42 2/3,120.00,7,,
WAVE,Me,Wave,,One size,99.5,0,,
"""

SHOPIFY_OLD = """\
Handle,Title,Body (HTML),Vendor,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,\
Variant SKU,Variant Price,Variant Inventory Qty,Variant Inventory Policy,Image Src,Image Position
tide,Tide,<p>Hi</p>,Me,true,Size,8,Color,Blue,T-8-B,120.00,5,deny,https://x/1.jpg,1
tide,,,,,,9,,Blue,T-9-B,120.00,-2,continue,https://x/2.jpg,2
tide,,,,,,8,,Red,,120.00,3,deny,,
sock,Sock,,Me,false,Title,Default Title,,,S-1,9.00,4,deny,,
"""

Make = Callable[..., RunningShop]


@pytest.fixture
def shop(make_shop: Make) -> RunningShop:
    return make_shop("new", SHOP_DEMO="off")


def bring(shop: RunningShop, tmp_path: Path, text: str | bytes, *options: str) -> str:
    file = tmp_path / "mine.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return shop.flask("catalog", "import", str(file), *options).stdout


def shelf(shop: RunningShop) -> list[tuple[str, str, int]]:
    return [(row["sku"], row["size"], row["available"]) for row in shop.stock().values()]


def test_a_file_of_nine_columns_makes_products_and_exporting_brings_it_back(
    shop: RunningShop, tmp_path: Path
) -> None:
    said = json.loads(bring(shop, tmp_path, OWN, "--dry-run", "--json"))
    assert [product["action"] for product in said["products"]] == ["new", "new"]
    assert shelf(shop) == [], "a dry run changes nothing"
    assert "2 new" in bring(shop, tmp_path, OWN)
    assert shelf(shop) == [
        ("TIDE-080", "8", 5),
        ("TIDE-EU-42-2-3", "EU 42 2/3", 7),
        ("WAVE-ONE-SIZE", "One size", 0),
    ]
    exported = tmp_path / "out.csv"
    shop.flask("catalog", "export", str(exported))
    again = json.loads(shop.flask("catalog", "import", str(exported), "--json").stdout)
    assert [product["action"] for product in again["products"]] == ["unchanged", "unchanged"]


def test_shopifys_export_becomes_a_product_for_each_color(
    shop: RunningShop, tmp_path: Path
) -> None:
    bring(shop, tmp_path, SHOPIFY_OLD)
    assert shelf(shop) == [
        ("T-8-B", "8", 5),
        ("T-9-B", "9", 0),
        ("tide-red-080", "8", 3),
        ("S-1", "One size", 4),
    ]
    listed = json.loads(shop.flask("catalog", "list", "--json").stdout)
    states = {row["sku"]: (row["color"], row["state"]) for row in listed}
    assert states == {
        "tide-blue": ("Blue", "coming soon"),
        "tide-red": ("Red", "coming soon"),
        "sock": ("", "hidden"),
    }


def test_an_import_changes_what_it_says_and_new_sizes_come_where_they_stand(
    shop: RunningShop, tmp_path: Path
) -> None:
    bring(shop, tmp_path, OWN)
    shop.flask("release", "TIDE")
    shop.flask("sell", "TIDE-080", "--count", "2")
    head = "product,size,price,count\n"
    said = bring(shop, tmp_path, head + "tide,7,110,1\nTIDE,8,110,9\nTIDE,EU 42 2/3,110,\n")
    assert "TIDE: price $120.00 -> $110.00; size 8: 3 -> 9; size 7: new, 1" in said
    exported = tmp_path / "out.csv"
    shop.flask("catalog", "export", str(exported))
    rows = exported.read_text().splitlines()
    tide = [row for row in rows if row.startswith("TIDE")]
    assert [row.split(",")[4] for row in tide] == ["7", "8", "EU 42 2/3"]
    assert shop.flask("sell", "TIDE-070").stdout, "what was released stays so"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (OWN + "WAVE,Me,Wave,,XL,99.999,1,,\n", "line 6, column price: '99.999' has 3 digits"),
        (OWN + "WAVE,Me,Wave,,XL,-1,1,,\n", "line 6, column price: '-1' is below zero"),
        (OWN + "WAVE,Me,Wave,,XL,99.5,-1,,\n", "line 6, column count: -1 is not from 0"),
        (OWN + "WAVE,Me,Wave,,XL,99.5,1.5,,\n", "line 6, column count: '1.5' is not a whole"),
        (OWN + "TIDE,Me,Tide,Blue,8,120.00,1,,\n", "line 6: size 8 of TIDE is in line 2 already"),
        (OWN + 'WAVE,Me,"Wave,,XL,99.5,1,,\n', "line 6: a quote is opened here and not closed"),
        (OWN.encode() + b"WAVE,Me,W\0,,XL,1,1,,\n", "line 6: there is a NUL byte"),
        (OWN.encode() + b"WAVE,Me,W\xe9,,XL,1,1,,\n", "line 6: the byte 0xE9 is not UTF-8"),
        (OWN.encode("utf-16"), "line 1: the file is in UTF-16"),
        ("a,b\n1,2\n", "line 1: the headings are neither"),
        ("", "the file is empty"),
        (OWN + "WAVE,Me,Wave\x1b,,XL,99.5,1,,\n", "line 6: the character U+001B is in no text"),
    ],
)
@pytest.mark.sqlite_only(why="what is refused is refused before the database is asked")
def test_what_is_wrong_in_a_file_is_named_and_nothing_is_changed(
    shop: RunningShop, tmp_path: Path, text: str | bytes, said: str
) -> None:
    shop.flask("catalog", "add", "OTHER", "--name", "Other", "--price", "1", "--sizes", "1")
    before, file = shelf(shop), tmp_path / "bad.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    done = shop.flask("catalog", "import", str(file), check=False)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert shelf(shop) == before


@pytest.mark.sqlite_only(why="it is refused before it is read")
def test_a_file_of_300_mb_is_refused_at_once(shop: RunningShop, tmp_path: Path) -> None:
    file = tmp_path / "huge.csv"
    with file.open("wb") as out:
        out.truncate(300_000_000)
    done = shop.flask("catalog", "import", str(file), check=False)
    assert done.returncode == 2 and "300 MB" in done.stderr


def test_100_000_lines_come_at_once_or_the_wrong_one_is_named(
    shop: RunningShop, tmp_path: Path
) -> None:
    head = "product,brand,name,color,size,price,count,image,description\n"
    lines = [
        f"P{n // 13},Brand,Name {n // 13},Red,{n % 13},120.00,{n % 7},,\n" for n in range(99_999)
    ]
    wrong = [*lines[:99_997], "P1,Brand,Name 1,Red,99,much,1,,\n", lines[-1]]
    (tmp_path / "wrong.csv").write_text(head + "".join(wrong))
    done = shop.flask("catalog", "import", str(tmp_path / "wrong.csv"), check=False)
    assert done.returncode == 2 and "line 99999, column price: 'much'" in done.stderr
    assert shop.sql("SELECT count(*) FROM items") == [(0,)]
    assert "7,693 new" in bring(shop, tmp_path, head + "".join(lines)).replace("7693", "7,693")
    assert shop.sql("SELECT count(*) FROM items") == [(99_999,)]


@pytest.mark.parametrize("command", ["hide", "remove"])
def test_what_is_hidden_or_removed_leaves_pages_tabs_and_carts(
    drop: RunningShop, command: str
) -> None:
    visitor, sku = Shopper(drop), drop.sku(2)
    visitor.add(1)
    with Tab(drop, visitor, [1]) as tab:
        tab.until(lambda tab: "size-container" in tab.shown.get("stock-1", ""))
        drop.flask("catalog", command, "OST-TIDELINE")
        tab.until(lambda tab: "No longer in this shop" in tab.shown.get("stock-1", ""))
        tab.until(lambda tab: "No longer sold" in tab.shown.get("cart", ""))
    assert "No longer sold: Tideline" in visitor.follow(visitor.buy()).text
    assert "Tideline" not in Shopper(drop).get("/").text
    assert Shopper(drop).get("/products/OST-TIDELINE").status == 404
    assert Shopper(drop).add(2, hx=True).status == 409
    assert drop.flask("sell", sku, check=False).returncode == 1
    assert "already" in drop.flask("catalog", command, "OST-TIDELINE").stdout, "twice is once"
    if command == "remove":
        assert sku not in drop.flask("stock", "list").stdout
        assert drop.flask("release", "OST-TIDELINE", check=False).returncode == 2
    else:
        drop.flask("catalog", "show", "OST-TIDELINE")
        eventually(lambda: visitor.get("/products/OST-TIDELINE").status == 200)


def test_a_removed_product_keeps_its_orders_and_comes_back_as_coming_soon(
    drop: RunningShop, tmp_path: Path
) -> None:
    buyer = Shopper(drop)
    buyer.add(1)
    buyer.buy()
    before = drop.orders()
    drop.flask("catalog", "remove", "OST-TIDELINE")
    assert drop.orders() == before and len(before) == 1
    bring(drop, tmp_path, "product,size,count\nOST-TIDELINE,6,3\n")
    assert "coming soon" in Shopper(drop).get("/products/OST-TIDELINE").text
