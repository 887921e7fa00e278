"""Pictures of an operator's own products: brought by commands, shown, kept, and refused."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from shop.pictures.originals import MOST_BYTES
from tests.pictures.test_making import png_that_claims
from tests.support.photographs import photograph, write_photographs
from tests.support.running import RunningShop
from tests.support.shopper import Shopper, Tab

pytestmark = pytest.mark.both_databases

OWN = "product,name,size,price,count,image\nTIDE,Tide,8,120.00,5,1.png | 2.png\n"

Make = Callable[..., RunningShop]


@pytest.fixture
def shop(make_shop: Make, tmp_path: Path) -> RunningShop:
    """A shop with one product, without a picture."""
    shop = make_shop("new", SHOP_DEMO="off")
    words = ("--name", "Tide", "--price", "1", "--sizes", "8", "--count", "5")
    shop.flask("catalog", "add", "TIDE", *words)
    return shop


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with four small photographs."""
    write_photographs(tmp_path / "photos", "1.png", "2.png", "3.png", width=400, height=300)
    return tmp_path / "photos"


def bring(shop: RunningShop, folder: Path, text: str, *options: str, check: bool = True):
    file = folder / "mine.csv"
    file.write_text(text)
    return shop.flask("catalog", "import", str(file), *options, check=check)


def used(shop: RunningShop) -> list[tuple[str, str]]:
    return shop.sql("SELECT reference, alt FROM product_pictures ORDER BY product_id, position")


def stored(shop: RunningShop) -> int:
    ((count,),) = shop.sql("SELECT count(*) FROM pictures")
    assert shop.sql("SELECT count(DISTINCT hash) FROM renditions") == [(count,)]
    return int(count)


def shown(shop: RunningShop, path: str = "/products/TIDE") -> list[tuple[str, str]]:
    """Return alternative texts and addresses of the pictures on a page, in its order."""
    html = Shopper(shop).get(path).text
    images = re.findall(r"<img [^>]*>", html.partition("<main")[2].partition("</main>")[0])
    return [(re.findall('alt="([^"]*)"', i)[0], re.findall('src="([^"]*)"', i)[0]) for i in images]


def test_pictures_are_imported_by_their_names_and_exporting_brings_them_back(
    shop: RunningShop, photos: Path
) -> None:
    said = bring(shop, photos, OWN, "--images", str(photos)).stdout
    assert "pictures: 0 -> 2" in said
    assert used(shop) == [("1.png", ""), ("2.png", "")]
    exported = photos / "out.csv"
    shop.flask("catalog", "export", str(exported))
    again = json.loads(shop.flask("catalog", "import", str(exported), "--json").stdout)
    assert [product["action"] for product in again["products"]] == ["unchanged"]
    assert again["notes"] == []
    # The same names again, with other pictures.
    shutil.copy(photos / "3.png", photos / "1.png")
    said = bring(shop, photos, OWN, "--images", str(photos)).stdout
    assert "pictures changed" in said
    assert stored(shop) == 3, "what was shown stays for orders and open pages"


def test_a_page_shows_pictures_in_their_order_with_their_texts_and_sizes(
    shop: RunningShop, photos: Path
) -> None:
    files = [str(photos / name) for name in ("2.png", "1.png")]
    alts = ["--alt", "From the <side>", "--alt", "From above"]
    shop.flask("catalog", "image", "TIDE", *files, *alts)
    shop.flask("catalog", "image", "TIDE", str(photos / "3.png"), "--add")
    shop.start()
    assert [alt for alt, _ in shown(shop)] == [
        "From the &lt;side&gt;",
        "From above",
        "Tide, picture 3",
    ]
    assert len(shown(shop, "/")) == 1
    html = Shopper(shop).get("/products/TIDE").text
    assert html.count('width="400" height="300"') == 3
    assert html.count('loading="lazy"') == 2
    for _, path in shown(shop):
        answer = Shopper(shop).get(path)
        assert answer.headers["Content-Type"] == "image/webp"
        assert "immutable" in answer.headers["Cache-Control"]
        assert "Set-Cookie" not in answer.headers
        assert Image.open(io.BytesIO(answer.body)).size == (400, 300)
        again = Shopper(shop).get(path, If_None_Match=answer.headers["ETag"])
        assert (again.status, again.body) == (304, b"")


def test_a_cart_and_an_order_show_the_first_picture(shop: RunningShop, photos: Path) -> None:
    shop.flask("catalog", "edit", "TIDE", "--image", str(photos / "1.png"))
    shop.flask("release", "TIDE")
    shop.start()
    buyer = Shopper(shop)
    buyer.add(1)
    (path,) = re.findall('src="(/media/[^"]+)"', buyer.get("/cart").text)
    receipt = buyer.follow(buyer.buy()).text
    assert f'src="{path}"' in receipt
    shop.flask("catalog", "image", "TIDE", "--none")
    assert shown(shop) == []
    assert buyer.get(path).status == 200, "its receipt goes on to show it"
    assert path in buyer.get("/checkout/complete").text


class DetailTab(Tab):
    """A tab that shows a product's own page."""

    def _connect(self, shop: object, query: str, headers: dict[str, str]) -> None:
        super()._connect(shop, "?detail=1", headers)  # type: ignore[arg-type]


def test_a_new_picture_reaches_open_tabs_and_those_that_open(
    shop: RunningShop, photos: Path
) -> None:
    shop.start()
    with DetailTab(shop) as tab:
        tab.until(lambda tab: "Tide" in tab.shown.get("products", ""))
        shop.flask("catalog", "image", "TIDE", str(photos / "1.png"), "--alt", "One")
        tab.until(lambda tab: 'alt="One"' in tab.shown["products"])
        shop.flask("catalog", "image", "TIDE", str(photos / "2.png"), "--alt", "Two")
        tab.until(lambda tab: 'alt="Two"' in tab.shown["products"])
        assert 'alt="One"' not in tab.shown["products"]
    with DetailTab(shop) as tab:
        tab.until(lambda tab: 'alt="Two"' in tab.shown.get("products", ""))


def test_what_cant_be_had_is_named_and_the_rest_is_imported(
    shop: RunningShop, photos: Path
) -> None:
    text = OWN.replace("2.png", "http://127.0.0.1:1/x.jpg | none.png | http://[::1]/y.jpg | 2.png")
    done = bring(shop, photos, text, "--images", str(photos))
    assert used(shop) == [("1.png", ""), ("2.png", "")]
    notes = done.stderr.splitlines()
    assert len(notes) == 3
    assert "TIDE is without 'http://127.0.0.1:1/x.jpg': 127.0.0.1 is not on the public" in notes[0]
    assert "TIDE is without 'none.png': there is no such file" in notes[1]
    # What it has stays, where nothing new can be had.
    bring(shop, photos, OWN.replace("1.png | 2.png", "none.png"))
    assert len(used(shop)) == 2


@pytest.mark.sqlite_only(why="databases roll back alike")
def test_a_dry_run_stores_nothing_and_asks_nobody(shop: RunningShop, photos: Path) -> None:
    text = OWN.replace("2.png", "https://pictures.example/9.png")
    said = bring(shop, photos, text, "--images", str(photos), "--dry-run")
    assert "pictures: 0 -> 1" in said.stdout
    assert "1 picture would be fetched" in said.stderr
    assert used(shop) == [] and stored(shop) == 0


BAD = {
    "bomb.png": (png_that_claims(60000, 60000), "has more than 65 million pixels"),
    "cut.jpg": (photograph(400, 300)[:3000], "is broken or ends too soon"),
    "text.jpg": (b"<svg/>", "is not a JPEG, PNG, WebP or AVIF picture"),
    "empty.jpg": (b"", "is not a JPEG"),
    "huge.jpg": (b"\xff\xd8\xff" + bytes(MOST_BYTES), "has more than 30 MB"),
    "long.png": (photograph(3000, 10, "PNG"), "over 10 times as long as it is wide"),
}


@pytest.mark.sqlite_only(why="what is refused is refused before the database is asked")
def test_files_that_are_no_pictures_are_named_and_nothing_is_changed(
    shop: RunningShop, photos: Path
) -> None:
    for name, (content, _) in BAD.items():
        (photos / name).write_bytes(content)
    (photos / "link.png").symlink_to(photos.parent / "elsewhere.png")
    write_photographs(photos.parent, "elsewhere.png", width=400, height=300)
    reasons = {name: why for name, (_, why) in BAD.items()}
    wrong = {
        "link.png": "it is a link",
        "../elsewhere.png": "leads out of the folder",
        "/etc/passwd": "is not the name of a file",
        "a/../../x.png": "leads out of the folder",
    }
    for name, why in [*reasons.items()][:2]:
        done = shop.flask("catalog", "image", "TIDE", str(photos / name), check=False)
        assert done.returncode == 2 and why in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) == 1
    text = OWN.replace("2.png", " | ".join({**reasons, **wrong}))
    done = bring(shop, photos, text, "--images", str(photos), check=False)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == len(reasons) + len(wrong)
    for line, (_, why) in zip(lines, (reasons | wrong).items(), strict=True):
        assert "mine.csv: line 2, column image: " in line and why in line
    assert lines[-1].endswith("nothing was changed")
    assert used(shop) == [] and stored(shop) == 0


@pytest.mark.sqlite_only(why="what is refused is refused before the database is asked")
def test_a_picture_stays_as_it_is_until_it_can_be_replaced(shop: RunningShop, photos: Path) -> None:
    shop.flask("catalog", "image", "TIDE", str(photos / "1.png"), "--alt", "Mine")
    calls: list[list[str]] = [
        [],
        [str(photos / "2.png"), "--none"],
        [str(photos / "2.png"), "--alt", "a", "--alt", "b"],
        [str(photos / "2.png"), str(photos)],
    ]
    for call in calls:
        assert shop.flask("catalog", "image", "TIDE", *call, check=False).returncode == 2
    assert shop.flask("catalog", "image", "X", str(photos / "2.png"), check=False).returncode == 2
    assert used(shop) == [("1.png", "Mine")] and stored(shop) == 1
    assert "is as it was" in shop.flask("catalog", "image", "TIDE", str(photos / "1.png")).stdout
    assert used(shop) == [("1.png", "Mine")]


def test_many_ask_at_once_for_what_is_not_laid_out_yet(shop: RunningShop, photos: Path) -> None:
    shop.flask("catalog", "image", "TIDE", str(photos / "1.png"))
    shop.start()
    ((_, path),) = shown(shop)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: Shopper(shop).get(path), range(24)))
    assert len({answer.body for answer in answers}) == 1 and answers[0].status == 200
    folder = shop.instance / Path(path[1:]).parent
    assert [file.name for file in folder.iterdir()] == ["400.webp"], "and no drafts"
    for wrong in ("/media/x/400.webp", f"{path}x", path.replace("400", "401"), "/media/../../x"):
        assert Shopper(shop).get(wrong).status == 404
    (folder / "400.webp").unlink()
    assert Shopper(shop).get(path).body == answers[0].body
    shop.flask("reset", "--yes", "--no-backup")
    assert Shopper(shop).get(path).status == 404
    assert stored(shop) == 0


@pytest.mark.sqlite_only(why="it copies from one to the other")
def test_copies_and_backups_carry_pictures(
    shop: RunningShop, photos: Path, make_shop: Make
) -> None:
    shop.flask("catalog", "image", "TIDE", str(photos / "1.png"), str(photos / "2.png"))
    copy = make_shop("new", "copied", SHOP_DEMO="off")
    copy.instance.mkdir()
    addresses = [f"sqlite:///{each.database}" for each in (shop, copy)]
    shop.flask("db", "copy", "--from", addresses[0], "--to", addresses[1])
    everything = "SELECT * FROM pictures ORDER BY hash"
    assert copy.sql(everything) == shop.sql(everything) != []
    copy.start()
    for _, path in shown(copy):
        assert Shopper(copy).get(path).status == 200
