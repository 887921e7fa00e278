"""What every request is answered with: by HTMX, by a plain form, by somebody who plays tricks."""

from __future__ import annotations

import base64
import gzip
import json
import re
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import unquote, urljoin, urlsplit

import brotli  # type: ignore[import-untyped]
import pytest

from tests.support.running import RunningShop
from tests.support.shopper import (
    BUYER,
    Answer,
    Shopper,
    Tab,
    cookies_of,
    element,
    inputs_of,
    items_in,
    notices_in,
    partials_in,
    text_of,
    token_of,
    without_version,
)

pytestmark = pytest.mark.both_databases

FREE, ANOTHER, SOLD_OUT, UNRELEASED = 1, 2, 4, 14
PAGES = ["/", "/cart", "/checkout", "/products/OST-TIDELINE", "/products/OST-KILN", "/nowhere"]


@pytest.fixture(scope="module")
def shop(open_drop: RunningShop) -> RunningShop:
    """A shop in which the first shoe is released and the second one is not."""
    open_drop.sql("UPDATE products SET released = false WHERE id = 2")
    return open_drop


@pytest.fixture
def shopper(shop: RunningShop) -> Shopper:
    return Shopper(shop)


# --- The table of the contract --------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A row of the table: what is done, and how it is answered."""

    do: Callable[[Shopper, bool], Answer]
    hx: int
    plain: int
    says: str = ""
    #: whether HTMX gets the cart
    cart: bool = True


def with_stock(item_id: int, count: int, do: Callable[[], Answer], shop: RunningShop) -> Answer:
    shop.sql("UPDATE items SET available = ? WHERE id = ?", count, item_id)
    answer = do()
    shop.sql("UPDATE items SET available = 300 WHERE id = ?", item_id)
    return answer


def add_twice(shopper: Shopper, hx: bool) -> Answer:
    shopper.add(FREE)
    return shopper.add(FREE, hx=hx)


def remove(shopper: Shopper, hx: bool) -> Answer:
    shopper.add(FREE)
    return shopper.remove(FREE, hx=hx)


def swap(new: int) -> Callable[[Shopper, bool], Answer]:
    def do(shopper: Shopper, hx: bool) -> Answer:
        shopper.add(FREE)
        return shopper.post(f"/cart/items/{FREE}/swap", {"item_id": str(new)}, hx=hx)

    return do


def post_item(text: str) -> Callable[[Shopper, bool], Answer]:
    return lambda shopper, hx: shopper.post("/cart/items", {"item_id": text}, hx=hx)


def with_token(token: str | None) -> Callable[[Shopper, bool], Answer]:
    def do(shopper: Shopper, hx: bool) -> Answer:
        fields = [("item_id", str(FREE))]
        headers = {"HX-Request": "true"} if hx else {}
        if token is not None:
            fields.append(("csrf_token", token))
            headers |= {"X-CSRFToken": token} if hx else {}
        return shopper.send("POST", "/cart/items", headers, fields)

    return do


def buy_sold_out(shopper: Shopper, hx: bool) -> Answer:
    shopper.add(FREE)
    return with_stock(FREE, 0, lambda: shopper.buy(hx=hx), shopper.shop)


def buy_unreleased(shopper: Shopper, hx: bool) -> Answer:
    shopper.shop.sql("UPDATE products SET released = true WHERE id = 2")
    shopper.add(UNRELEASED)
    shopper.shop.sql("UPDATE products SET released = false WHERE id = 2")
    return shopper.buy(hx=hx)


def buy_nothing(shopper: Shopper, hx: bool) -> Answer:
    return shopper.buy([("purchase", "0")], hx=hx)


def put(shopper: Shopper, hx: bool) -> Answer:
    return shopper.get("/cart/items", method="PUT", **({"HX-Request": "true"} if hx else {}))


def go_nowhere(shopper: Shopper, hx: bool) -> Answer:
    return shopper.post("/no/such/path", hx=hx)


def send_too_much(shopper: Shopper, hx: bool) -> Answer:
    return shopper.post("/cart/items", {"item_id": "1" * 70_000}, hx=hx)


TABLE = {
    "added": Case(lambda s, hx: s.add(FREE, hx=hx), 200, 303),
    "removed": Case(remove, 200, 303),
    "swapped": Case(swap(ANOTHER), 200, 303),
    "in the cart already": Case(add_twice, 409, 303, "Tideline, size 6, is in your cart already."),
    "swapped for itself": Case(swap(FREE), 200, 303),
    "sold out": Case(
        lambda s, hx: s.add(SOLD_OUT, hx=hx), 409, 303, "Tideline, size 7.5, is sold out."
    ),
    "swapped for a sold-out one": Case(
        swap(SOLD_OUT), 409, 303, "Tideline, size 7.5, is sold out."
    ),
    "not released": Case(
        lambda s, hx: s.add(UNRELEASED, hx=hx), 409, 303, "Kiln, size 6, is not released yet."
    ),
    "not in the cart": Case(lambda s, hx: s.remove(FREE, hx=hx), 404, 303, "not in your cart"),
    "swapped, not in the cart": Case(
        lambda s, hx: s.post("/cart/items/3/swap", {"item_id": "1"}, hx=hx),
        *(404, 303, "not in your cart"),
    ),
    "no such item": Case(post_item("999"), 404, 404, "no such size", cart=False),
    "swapped for no such item": Case(swap(999), 404, 404, "no such size", cart=False),
    "not a number": Case(post_item("seven"), 400, 400, "by its number", cart=False),
    "no item named": Case(
        lambda s, hx: s.post("/cart/items", hx=hx), 400, 400, "No size was chosen", cart=False
    ),
    "no token": Case(with_token(None), 400, 400, "Reload it", cart=False),
    "a bad token": Case(with_token("bad"), 400, 400, "Reload it", cart=False),
    "checkout, sold out": Case(buy_sold_out, 409, 303, "Sold out: Tideline, size 6. Nothing"),
    "checkout, not released": Case(buy_unreleased, 409, 303, "Not released yet: Kiln, size 6."),
    "checkout, empty": Case(buy_nothing, 409, 303, "Your cart is empty. Nothing was bought."),
    "too large": Case(send_too_much, 413, 413, "more than this shop reads", cart=False),
    "unknown method": Case(put, 405, 405, "does not take that kind", cart=False),
    "unknown path": Case(go_nowhere, 404, 404, "not here", cart=False),
}
rows = pytest.mark.parametrize("case", TABLE.values(), ids=TABLE.keys())


@rows
def test_with_htmx(shopper: Shopper, case: Case) -> None:
    shopper.get("/")
    answer = case.do(shopper, True)

    assert answer.status == case.hx
    partials = dict(partials_in(answer.text))
    assert "".join(answer.text.split("</hx-partial>")).count("<hx-partial") == len(partials)
    assert "<html" not in answer.text
    assert ("cart" in partials) == case.cart
    notices = notices_in(partials["notices-action"])
    assert len(notices) == bool(case.says)
    assert case.says in "".join(notices)
    if case.cart and case.do is not buy_sold_out:  # by now it is there again
        fresh = element(shopper.get("/").text, "cart")
        assert without_version(partials["cart"]) == without_version(fresh)


@rows
def test_without_htmx(shopper: Shopper, case: Case) -> None:
    shopper.get("/")
    answer = case.do(shopper, False)

    assert answer.status == case.plain
    if answer.status != 303:
        assert "<html" in answer.text
        assert case.says in text_of(element(answer.text, "main"))
        assert element(answer.text, "cart")
        return
    page = shopper.follow(answer)
    while page.status == 303:
        page = shopper.follow(page)
    assert page.status == 200
    assert case.says in " ".join(notices_in(element(page.text, "notices-action")))
    again = shopper.get("/")
    assert notices_in(element(again.text, "notices-action")) == [], "flashed once"


def test_a_refused_checkout_goes_back_to_the_checkout(shopper: Shopper) -> None:
    for buy in (buy_sold_out, buy_unreleased, buy_nothing):
        assert buy(shopper, False).location == "/checkout"


def test_nothing_refused_changes_the_cart(shopper: Shopper) -> None:
    shopper.add(ANOTHER)
    for name, case in TABLE.items():
        if case.plain in (400, 404, 405, 413) and "swapped" not in name:
            case.do(shopper, False)
            assert shopper.cart() == [ANOTHER], name


def test_what_was_bought_is_answered_with_the_receipt_in_both_ways(shopper: Shopper) -> None:
    for hx in (True, False):
        shopper.add(FREE)
        answer = shopper.buy(hx=hx)
        assert (answer.status, answer.location) == (303, "/checkout/complete")


# --- Reading --------------------------------------------------------------------------------


def test_the_catalogue_shows_sizes_of_what_is_released_and_else_coming_soon(
    shopper: Shopper,
) -> None:
    page = shopper.get("/").text
    assert re.findall(r'class="product-listing" data-product-id="(\d+)"', page) == ["1", "2"]
    released, soon = element(page, "stock-1"), element(page, "stock-2")
    assert "size-container" in released and "coming soon" not in released
    assert "coming soon" in soon and "size-container" not in soon
    assert re.findall(r'name="item_id" value="(\d+)"', released) == [str(n) for n in range(1, 14)]
    sold_out = re.search(r'<button[^>]*value="4"[^>]*>', released)
    assert sold_out and "level-out" in sold_out[0] and "disabled" in sold_out[0]


def test_products_stand_in_their_order(shop: RunningShop, shopper: Shopper) -> None:
    shop.sql("UPDATE products SET position = 3 WHERE id = 1")
    assert re.findall(r'data-product-id="(\d+)"', shopper.get("/").text) == ["2", "1"]
    shop.sql("UPDATE products SET position = 1 WHERE id = 1")


def test_a_product_has_a_page_of_its_own(shopper: Shopper) -> None:
    page = shopper.get("/products/OST-TIDELINE").text
    assert re.findall(r'data-product-id="(\d+)"', page) == ["1"]
    assert '/stream?detail=1"' in page


@pytest.mark.parametrize(
    "path",
    [
        "/products/none",
        "/products/",
        "/products/%00",
        "/products/%F0%9F%91%9F",
        "/%00",
        "/x/",
    ],
)
def test_what_is_not_there_is_a_page_that_says_so(shopper: Shopper, path: str) -> None:
    answer = shopper.get(path)
    assert answer.status == 404
    assert element(answer.text, "cart")


def test_the_cart_is_on_every_page(shopper: Shopper) -> None:
    shopper.add(FREE)
    assert [items_in(shopper.get(path).text) for path in PAGES] == [[FREE]] * len(PAGES)


@pytest.mark.parametrize("path", [*PAGES, "/healthz", "/readyz", "/stream?product=1"])
def test_head_is_answered_like_get_without_a_body(
    shop: RunningShop, shopper: Shopper, path: str
) -> None:
    head = shopper.get(path, method="HEAD")
    with Tab(shop, products=[1]) if path.startswith("/stream") else closing(socket.socket()):
        expected = 200 if path.startswith("/stream") else shopper.get(path).status
    assert (head.status, head.body) == (expected, b"")


def test_health_is_plain_text(shopper: Shopper) -> None:
    for path in ("/healthz", "/readyz"):
        answer = shopper.get(path)
        assert (answer.status, answer.text) == (200, "ok\n")
        assert cookies_of(answer) == {}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/"),
        ("GET", "/cart/items"),
        ("DELETE", "/cart"),
        ("PUT", "/checkout"),
        ("PATCH", "/cart/items/1/remove"),
        ("BREW", "/"),
    ],
)
def test_another_method_is_refused_with_those_that_are_allowed(
    shopper: Shopper, method: str, path: str
) -> None:
    answer = shopper.get(path, method=method)
    assert answer.status == 405
    assert answer.headers["Allow"]


# --- Tricks ---------------------------------------------------------------------------------

NO_NUMBERS = [
    "",
    " ",
    "-1",
    "+1",
    "1.0",
    "1e3",
    "0x1",
    "٣",
    "\uff11",
    "²",
    "1 2",
    "\0",
    "1\0",
    "nan",
]
NO_ITEMS = ["0", "27", "999", str(2**31), str(2**63 - 1), str(2**63), "9" * 5000]


@pytest.mark.parametrize("hx", [True, False], ids=["with HTMX", "without"])
def test_a_number_that_is_none_or_nobodys_is_refused(shopper: Shopper, hx: bool) -> None:
    for text in NO_NUMBERS:
        assert shopper.add(text, hx=hx).status == 400, text
    for text in NO_ITEMS:
        assert shopper.add(text, hx=hx).status == 404, text
    assert shopper.cart() == []


def test_a_number_in_the_path_that_is_none_or_nobodys_is_refused(shopper: Shopper) -> None:
    for text in ("x", "-1", "1.0", "%D9%A3", "1%00", "%20"):
        for action in ("remove", "swap"):
            assert shopper.post(f"/cart/items/{text}/{action}", {"item_id": "1"}).status == 400
    for text in ("0", "999", str(2**63 - 1), str(2**63), "9" * 1000):
        assert shopper.remove(text, hx=True).status == 404
        assert shopper.remove(text).status in (303, 404)


def test_a_field_that_is_sent_twice_adds_one_item_at_most(shopper: Shopper) -> None:
    answer = shopper.post("/cart/items", [("item_id", "1"), ("item_id", "2")])
    assert answer.status in (303, 400)
    assert len(shopper.cart()) <= 1


def test_a_body_of_another_kind_is_refused(shopper: Shopper) -> None:
    for kind in ("application/json", "text/plain", "multipart/form-data", "x"):
        headers = {"Content-Type": kind, "X-CSRFToken": shopper.token}
        assert shopper.send("POST", "/cart/items", headers, b'{"item_id": 1}').status == 400


@pytest.mark.parametrize("hx", ["HX-Request: true\r\n", ""], ids=["with HTMX", "without"])
@pytest.mark.parametrize("size", [70_000, 400_000])
def test_too_large_a_body_in_chunks_is_refused(shop: RunningShop, hx: str, size: int) -> None:
    chunk = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
    head = f"POST /cart/items HTTP/1.1\r\nHost: x\r\n{hx}Transfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shop.port), timeout=10) as connection:
        connection.sendall(head.encode() + chunk * (size // 0x1000) + b"0\r\n\r\n")
        assert connection.makefile("rb").readline().split()[1] == b"413"


def test_a_length_that_is_a_lie_takes_nothing_down(shop: RunningShop, shopper: Shopper) -> None:
    for length in ("-1", "x", "99999999999999999999", "1e3"):
        with socket.create_connection(("127.0.0.1", shop.port), timeout=10) as connection:
            head = f"POST /cart/items HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
            connection.sendall(head.encode())
            connection.shutdown(socket.SHUT_WR)
            status = connection.makefile("rb").readline().split()[1:2]
            assert status in ([b"400"], [b"413"], [b"408"]), length
    assert shopper.get("/").status == 200


BACK = ["//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example/", "evil"]
BACK += [
    "/\n/evil.example",
    "/\t/evil.example",
    "\t//evil.example",
    "javascript:alert(1)",
    "",
    "/\r",
]
BACK += ["http:evil.example", "///evil.example", "/x\r\nSet-Cookie: a=b", " //evil.example", "/\0"]


@pytest.mark.sqlite_only("about addresses")
@pytest.mark.parametrize("back", BACK, ids=ascii)
def test_nobody_is_sent_to_another_site(shopper: Shopper, back: str) -> None:
    answer = shopper.post("/cart/items", {"item_id": "1", "back": back})
    assert answer.status == 303
    as_browsers_read_it = re.sub(r"[\t\r\n]", "", answer.location).strip().replace("\\", "/")
    arrives_at = urlsplit(urljoin("http://shop.example/cart", as_browsers_read_it))
    assert (arrives_at.scheme, arrives_at.netloc) == ("http", "shop.example")
    assert "a" not in cookies_of(answer)


@pytest.mark.parametrize("path", ["//evil.example", "//evil.example//cart", "/cart//", "/\\evil"])
def test_no_path_leads_to_another_site(shopper: Shopper, path: str) -> None:
    answer = shopper.get(path)
    arrives_at = urljoin(f"{shopper.shop.url}/", answer.location.replace("\\", "/"))
    assert urlsplit(arrives_at).netloc == urlsplit(shopper.shop.url).netloc


@pytest.mark.parametrize("back", ["/products/OST-KILN", "/cart", "/"])
def test_a_form_leads_back_to_the_page_that_it_was_on(shopper: Shopper, back: str) -> None:
    assert shopper.post("/cart/items", {"item_id": "1", "back": back}).location == back
    hidden = element(shopper.get(back).text, "actions")
    assert f'name="back" value="{back}"' in hidden


# --- What every answer carries --------------------------------------------------------------


def assert_hardened(answer: Answer) -> None:
    policy = answer.headers["Content-Security-Policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert "unsafe" not in policy
    assert directives["default-src"] in ("'none'", "'self'")
    assert set(" ".join(directives.values()).split()) <= {"'none'", "'self'"}
    assert directives["frame-ancestors"] == "'none'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


def test_every_answer_is_hardened(shopper: Shopper) -> None:
    shopper.add(FREE)
    answers = [shopper.get(path) for path in [*PAGES, "/healthz", "/checkout/complete"]]
    answers += [case.do(shopper, hx) for case in TABLE.values() for hx in (True, False)]
    for answer in answers:
        assert_hardened(answer)


def test_pages_hold_nothing_that_a_strict_policy_would_stop(shopper: Shopper) -> None:
    shopper.add(FREE)
    for path in PAGES:
        page = shopper.get(path).text
        # What is data for search engines is no script to a browser.
        page = page.replace('<script type="application/ld+json">', "")
        assert re.findall(r"<script(?![^>]* src=)", page) == []
        assert re.findall(r"<style|<[^>]*\s(?:style|on\w+)=", page) == []


def test_pages_name_no_other_origin(shopper: Shopper) -> None:
    shopper.add(FREE)
    shopper.buy()
    for path in [*PAGES, "/checkout/complete"]:
        page = shopper.get(path).text
        assert re.findall(r"""(?:https?:)?//[^\s"'<]*""", page) == []


def test_the_id_of_a_cart_is_in_its_cookie_and_nowhere_else(
    shop: RunningShop, shopper: Shopper
) -> None:
    shopper.add(FREE)
    (cookie,) = (value for name, value in shopper.cookies.items() if name.startswith("cart-"))
    payload = cookie.split(".")[0]
    cart_id = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))[0]
    assert len(cart_id) == 64

    answers = [shopper.get(path) for path in PAGES]
    answers += [case.do(shopper, hx) for case in TABLE.values() for hx in (True, False)]
    answers += [shopper.add(ANOTHER), shopper.buy(), shopper.get("/checkout/complete")]
    for answer in answers:
        others = [v for name, v in answer.headers.items() if name != "Set-Cookie"]
        others += [m.value for m in cookies_of(answer).values() if not m.key.startswith("cart-")]
        for text in (answer.text, *others):
            assert cart_id not in text and payload not in text
    with Tab(shop, shopper, [1]) as tab:
        assert cart_id not in tab.next().data


@pytest.mark.sqlite_only("about headers")
def test_behind_a_proxy_with_https_everything_is_secure(
    open_shop: Callable[..., RunningShop],
) -> None:
    shopper = Shopper(open_shop(stage="released", SHOP_HTTPS="on"))
    proxy = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example", "Host": "inner"}

    first = shopper.get("/", **proxy)
    item = [("item_id", "1"), ("csrf_token", token_of(first.text))]
    refused, added = (
        shopper.send("POST", "/cart/items", {**proxy, "Origin": origin}, item)
        for origin in ("https://inner", "https://shop.example")
    )

    assert (refused.status, added.status) == (400, 303)
    assert added.location == "/"
    for answer in (first, refused, added, shopper.get("/nowhere", **proxy)):
        assert int(answer.headers["Strict-Transport-Security"].removeprefix("max-age=")) >= 31536000
        assert all(morsel["secure"] for morsel in cookies_of(answer).values())
    assert len(cookies_of(added)) == 3


def test_without_https_nobodys_word_is_taken_for_the_host(shopper: Shopper) -> None:
    claim = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    item = [("item_id", "1"), ("csrf_token", shopper.token)]
    headers = {**claim, "Origin": "https://evil.example"}
    answer = shopper.send("POST", "/cart/items", headers, item)
    assert answer.status == 400
    assert "Strict-Transport-Security" not in answer.headers
    assert not any(morsel["secure"] for morsel in cookies_of(shopper.get("/")).values())


# --- Static files ---------------------------------------------------------------------------


def assets_of(html: str) -> list[str]:
    """Return the addresses of all that a browser loads for a page."""
    linked = re.findall(r'<(?:link|script|img)\b[^>]*\s(?:href|src)="([^"]+)"', html)
    return sorted(set(linked))


@pytest.fixture(scope="module")
def assets(shop: RunningShop) -> dict[str, Answer]:
    """Everything that the first page loads, as a browser asks for it."""
    shopper = Shopper(shop)
    found = {}
    wanted = assets_of(shopper.get("/").text)
    while wanted:
        address = wanted.pop()
        found[address] = shopper.get(address, **{"Accept-Encoding": "br, gzip"})
        if address.endswith(".css"):
            css = decoded(found[address])
            urls = re.findall(r"""url\(["']?([^"')]+)""", css.decode())
            wanted += [urljoin(address, url) for url in urls if not url.startswith(("data:", "#"))]
            wanted = [address for address in wanted if address not in found]
    return found


def decoded(answer: Answer) -> bytes:
    """Return a body as it was before it was compressed."""
    decode = {"br": brotli.decompress, "gzip": gzip.decompress, None: bytes}
    body: bytes = decode[answer.headers["Content-Encoding"]](answer.body)
    return body


def test_the_first_page_loads_at_most_120_kb(shopper: Shopper, assets: dict[str, Answer]) -> None:
    answers = [shopper.get("/", **{"Accept-Encoding": "br, gzip"}), *assets.values()]
    assert len(assets) >= 8
    assert {answer.status for answer in answers} == {200}
    weight = sum(len(answer.body) + len(answer.headers.as_bytes()) for answer in answers)
    print(f"the first page weighs {weight / 1024:.1f} KB in {len(answers)} answers")
    assert weight <= 120 * 1024


def test_assets_are_kept_for_a_year_under_names_that_change(assets: dict[str, Answer]) -> None:
    for address, answer in assets.items():
        assert re.match(r"/static/[0-9a-f]{12}/", address)
        cache = answer.headers["Cache-Control"]
        assert "immutable" in cache and "max-age=31536000" in cache
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_texts_are_sent_compressed_as_the_browser_asks(
    shopper: Shopper, assets: dict[str, Answer]
) -> None:
    for address in (a for a in assets if a.endswith((".css", ".js", ".svg"))):
        plain = shopper.get(address)
        assert "Content-Encoding" not in plain.headers
        for encoding in ("gzip", "br"):
            answer = shopper.get(address, **{"Accept-Encoding": encoding})
            assert answer.headers["Content-Encoding"] == encoding, address
            assert "Accept-Encoding" in answer.headers["Vary"]
            assert decoded(answer) == plain.body
            assert len(answer.body) < len(plain.body)


@pytest.mark.parametrize(
    "path",
    ["nothing.css", "../../../wsgi.py", "..%2f..%2fwsgi.py", "%2e%2e/%2e%2e/wsgi.py", "", "images"],
)
def test_static_files_are_all_that_is_there(
    shopper: Shopper, assets: dict[str, Answer], path: str
) -> None:
    release = "/".join(next(iter(assets)).split("/")[:3])
    assert shopper.get(f"{release}/{path}").status == 404
    assert shopper.get("/static/000000000000/shop.css").status == 404


def test_a_form_full_of_unreadable_bytes_is_refused(shopper: Shopper) -> None:
    shopper.add(FREE)
    body = b"email=%ff%fe&name=%00&address=%80&csrf_token=" + shopper.token.encode()
    answer = shopper.send("POST", "/checkout", {}, body)
    assert answer.status in (400, 422)
    assert shopper.cart() == [FREE]
    assert BUYER["email"] not in answer.text


def test_a_sku_of_awkward_characters_has_a_page_and_its_form_leads_back_there(
    shop: RunningShop, shopper: Shopper
) -> None:
    sku = "OST/É 1#2?3%"
    shop.sql("UPDATE products SET sku = ? WHERE id = 1", sku)
    try:
        links = re.findall(r'href="(/products/[^"]+)"', shopper.get("/").text)
        (path,) = {link for link in links if unquote(link) == f"/products/{sku}"}
        page = shopper.get(path)
        assert page.status == 200
        back = dict(inputs_of(page.text))["back"]
        answer = shopper.post("/cart/items", {"item_id": str(FREE), "back": back})
        again = shopper.follow(answer)
        assert again.status == 200
        assert "<h1" in again.text and 'id="stock-1"' in again.text
        assert 'id="stock-2"' not in again.text
        assert items_in(again.text) == [FREE]
    finally:
        shop.sql("UPDATE products SET sku = 'OST-TIDELINE' WHERE id = 1")


# --- What isn't a page ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/wp-login.php", {}),
        ("/.env", {"Accept": "text/html"}),
        ("/favicon.ico", {"Accept": "image/avif,image/webp,*/*;q=0.8"}),
        ("/nowhere", {"Accept": "application/json"}),
        ("/nowhere", {"Sec_Fetch_Dest": "image", "Accept": "*/*"}),
        ("/static/000000000000/shop.css", {}),
        ("/nowhere/" + "x" * 4000 + ".txt", {}),
    ],
)
def test_who_asks_for_what_is_no_page_is_refused_in_a_line(
    shop: RunningShop, path: str, headers: dict[str, str]
) -> None:
    answer = Shopper(shop).get(path, **headers)
    assert answer.status == 404
    assert answer.headers.get_content_type() == "text/plain"
    assert len(answer.body) < 100
    assert answer.headers["Set-Cookie"] is None
