"""One cart for every visitor, whatever their browser does, and nobody else's."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from contextlib import closing
from itertools import count

import pytest
from itsdangerous import TimestampSigner, URLSafeSerializer, URLSafeTimedSerializer

from shop.models.cart import cart_ref
from tests.support.databases import Databases
from tests.support.running import RunningShop, eventually
from tests.support.shopper import (
    Answer,
    Shopper,
    SocketTab,
    Tab,
    cookies_of,
    element,
    items_in,
    notices_in,
    ref_in,
    token_of,
    version_in,
)

pytestmark = pytest.mark.both_databases

WEEK = 7 * 24 * 3600


def first_pages(shop: RunningShop, how_many: int) -> list[Answer]:
    """What a browser gets that opens several tabs before it has a cookie."""
    return [Shopper(shop).get("/") for _ in range(how_many)]


def cart_cookies(shopper: Shopper) -> list[str]:
    return [n for n in shopper.cookies if n.startswith("cart-")]


def add_with(shopper: Shopper, token: str, item_id: int) -> Answer:
    shopper.token = token
    return shopper.add(item_id, hx=True)


def test_a_new_visitor_gets_a_cart_id_of_64_url_safe_characters(open_drop: RunningShop) -> None:
    shopper = Shopper(open_drop)
    shopper.get("/")
    (name,) = cart_cookies(shopper)
    payload = shopper.cookies[name].split(".")[0]
    cart_id = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))[0]
    assert len(cart_id) == 64
    assert cart_id.replace("-", "").replace("_", "").isalnum()


def test_a_page_that_does_not_exist_gives_a_new_visitor_their_cart_as_well(
    open_drop: RunningShop,
) -> None:
    shopper = Shopper(open_drop)
    missing = shopper.get("/no/such/page")
    assert missing.status == 404
    assert len(cart_cookies(shopper)) == 1
    assert add_with(shopper, token_of(missing.text), 1).status == 200
    assert shopper.cart() == [1]


def test_two_visitors_have_two_carts(open_drop: RunningShop) -> None:
    one, other = Shopper(open_drop), Shopper(open_drop)
    one.add(1)
    assert (one.cart(), other.cart()) == ([1], [])
    assert ref_in(one.get("/").text) != ref_in(other.get("/").text)


def test_a_cart_keeps_its_fingerprint_on_every_page(open_drop: RunningShop) -> None:
    shopper = Shopper(open_drop)
    shopper.add(1)
    paths = ["/", "/cart", "/checkout", "/products/OST-KILN", "/nowhere"]
    assert len({ref_in(shopper.get(path).text) for path in paths}) == 1


def test_several_first_pages_at_once_end_in_one_cart(open_drop: RunningShop) -> None:
    shopper, pages = Shopper(open_drop), first_pages(open_drop, 6)
    for page in pages:
        shopper.keep_cookies(page)
    assert len(cart_cookies(shopper)) == 6

    refs = {ref_in(shopper.get("/").text) for _ in range(3)}

    assert len(refs) == 1
    assert refs <= {ref_in(page.text) for page in pages}
    shopper.add(1)
    assert refs == {ref_in(shopper.get("/").text)}
    assert len(cart_cookies(shopper)) == 1


def test_every_one_of_the_first_pages_can_act_before_and_after_they_became_one(
    open_drop: RunningShop,
) -> None:
    shopper, pages = Shopper(open_drop), first_pages(open_drop, 5)
    for page in pages:
        shopper.keep_cookies(page)
    tokens = [token_of(page.text) for page in pages]

    added = [
        add_with(shopper, token, i).status for token, i in zip(tokens, (1, 2, 3, 5, 6), strict=True)
    ]
    tokens.append(token_of(shopper.get("/").text))
    added += [
        add_with(shopper, token, i).status for token, i in zip(tokens, count(7), strict=False)
    ]

    assert added == [200] * 11
    assert shopper.cart() == [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]


def test_the_newest_first_page_can_act_before_any_other_answered(open_drop: RunningShop) -> None:
    shopper, pages = Shopper(open_drop), first_pages(open_drop, 3)
    for item_id, page in zip((1, 2, 3), reversed(pages), strict=True):
        shopper.keep_cookies(page)
        assert add_with(shopper, token_of(page.text), item_id).status == 200
    assert shopper.cart() == [1, 2, 3]
    assert ref_in(shopper.get("/").text) == ref_in(pages[0].text), "the oldest cart stays"


def test_nothing_is_lost_that_was_added_while_other_first_pages_were_on_their_way(
    open_drop: RunningShop,
) -> None:
    shopper = Shopper(open_drop)
    for item_id in (1, 2, 3, 5):
        late = Shopper(open_drop).get("/")  # asked for before the jar held anything
        shopper.add(item_id)
        shopper.keep_cookies(late)
    assert shopper.cart() == [1, 2, 3, 5]


def test_an_item_in_two_of_the_carts_is_there_once(open_drop: RunningShop) -> None:
    shopper, (first, second) = Shopper(open_drop), first_pages(open_drop, 2)
    for page in (second, first):
        shopper.cookies.clear()
        shopper.keep_cookies(page)
        assert add_with(shopper, token_of(page.text), 1).status == 200
    shopper.keep_cookies(second)
    assert shopper.cart() == [1]


def test_a_tab_of_a_merged_cart_follows_the_one_that_it_became(open_drop: RunningShop) -> None:
    shopper, pages = Shopper(open_drop), first_pages(open_drop, 2)
    shopper.keep_cookies(pages[1])
    with Tab(open_drop, shopper) as tab:
        shopper.keep_cookies(pages[0])
        assert add_with(shopper, token_of(pages[0].text), 1).status == 200
        assert add_with(shopper, token_of(pages[1].text), 2).status == 200
        tab.until(lambda tab: tab.shown.get("cart") and tab.cart == [1, 2])
        assert tab.shown["cart"] == element(shopper.get("/").text, "cart")


@pytest.mark.parametrize("hx", [True, False], ids=["with HTMX", "without"])
def test_another_visitors_token_is_refused(open_drop: RunningShop, hx: bool) -> None:
    shopper, other = Shopper(open_drop), Shopper(open_drop)
    shopper.get("/")
    shopper.token = other.token
    answer = shopper.add(1, hx=hx)
    assert answer.status == 400
    assert "Reload it" in answer.text
    assert shopper.cart() == []


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_a_request_from_another_site_is_refused_by_sec_fetch_site(
    open_drop: RunningShop, site: str
) -> None:
    shopper = Shopper(open_drop)
    answer = shopper.post("/cart/items", {"item_id": "1"}, Sec_Fetch_Site=site)
    assert (answer.status, shopper.cart()) == (400, [])


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://127.0.0.1:1",
        "http://127.0.0.1",
        "x",
        "",
        "http://[",
        "http://127.0.0.1:port",
        "http://127.0.0.1:0\xb2",
        "\xff",
        "//",
    ],
)
def test_a_request_from_another_site_is_refused_by_origin(
    open_drop: RunningShop, origin: str
) -> None:
    shopper = Shopper(open_drop)
    answer = shopper.post("/cart/items", {"item_id": "1"}, Origin=origin)
    assert (answer.status, shopper.cart()) == (400, [])


OWN = "own"

#: What browsers send with a form of the shop, and what becomes of it on the way.
FROM_HERE: dict[str, dict[str, str]] = {
    "as it is": {"Origin": OWN, "Sec-Fetch-Site": "same-origin"},
    "on plain HTTP": {"Origin": OWN},
    "reloaded": {"Sec-Fetch-Site": "none"},
    "behind a published port": {
        "Origin": "https://shop.example.com:8443",
        "Host": "shop.example.com",
        "Sec-Fetch-Site": "same-origin",
    },
    "behind a published port, on plain HTTP": {
        "Origin": "http://shop.example.com:8080",
        "Host": "shop.example.com",
    },
    "behind a proxy that says its own name": {
        "Origin": "https://shop.example.com",
        "Host": "10.0.0.5:8000",
        "Sec-Fetch-Site": "same-origin",
    },
    "with the usual port": {"Origin": "https://shop.example.com", "Host": "shop.example.com:443"},
    "without a referrer": {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
    "under a name with an underscore": {"Origin": "http://my_shop:8000", "Host": "my_shop:8000"},
    "under a name in capitals": {"Origin": "http://my-shop", "Host": "My-Shop"},
    "by an address of IPv6": {"Origin": "http://[::1]:8000", "Host": "[::1]:8000"},
    "by no browser": {},
}


@pytest.mark.parametrize("headers", FROM_HERE.values(), ids=FROM_HERE)
def test_a_request_from_the_shops_own_page_is_taken_however_it_comes(
    open_drop: RunningShop, headers: dict[str, str]
) -> None:
    shopper = Shopper(open_drop)
    sent = {name: open_drop.url if value == OWN else value for name, value in headers.items()}
    item = [("item_id", "1"), ("csrf_token", shopper.token)]
    assert shopper.send("POST", "/cart/items", sent, item).status == 303
    assert shopper.cart() == [1]
    with closing(SocketTab(open_drop, shopper, **sent)) as tab:
        assert 'data-item-id="1"' in tab.next().data


@pytest.mark.sqlite_only("about what is said")
@pytest.mark.parametrize("hx", [True, False], ids=["with HTMX", "without"])
def test_a_refusal_for_its_origin_says_so_and_is_logged_with_what_met_what(
    open_drop: RunningShop, hx: bool
) -> None:
    shopper, logged = Shopper(open_drop), len(open_drop.output)
    origins = ["https://shop.example:8443", "https://kim@example.com/Kim Vale"]
    for origin in origins:
        answer = shopper.post("/cart/items", {"item_id": "1"}, hx=hx, Origin=origin, Host="inner")
        assert answer.status == 400
        assert "not say that this was sent from one of the shop’s own pages" in answer.text
        assert "earlier visit" not in answer.text

    def said() -> str:
        return "".join(open_drop.output[logged:])

    eventually(lambda: said().count("not sent from here") == 2)
    assert "Origin https://shop.example:8443, Host inner, Sec-Fetch-Site (none)" in said()
    assert "Origin (unreadable), Host inner" in said()
    assert "Vale" not in said()


def test_a_forged_cart_cookie_is_nobodys_cart(open_drop: RunningShop) -> None:
    victim, thief = Shopper(open_drop), Shopper(open_drop)
    victim.add(1)
    (name,) = cart_cookies(victim)
    payload, _, signature = victim.cookies[name].partition(".")
    forged = [
        payload,
        f"{payload}.",
        f"{payload}.{signature[::-1]}",
        "",
        ".",
        "{}",
        "é",
        "a" * 4000,
    ]
    for value in forged:
        page = thief.get("/cart", Cookie=f"{name}={value}".encode().decode("latin-1"))
        assert (page.status, items_in(page.text)) == (200, [])
        assert ref_in(page.text) != ref_in(victim.get("/").text)


def test_cookies_and_tokens_that_were_signed_by_earlier_versions_are_good(
    open_drop: RunningShop,
) -> None:
    """Those compressed what they signed, where that made it shorter."""
    shopper = Shopper(open_drop)
    shopper.add(1)
    ((name, signed),) = [(k, v) for k, v in shopper.cookies.items() if k.startswith("cart-")]
    cookies = URLSafeSerializer(open_drop.secret_key, salt="cart")
    shopper.cookies[name] = cookies.dumps(cookies.loads(signed))
    shopper.token = URLSafeSerializer(open_drop.secret_key, salt="csrf").dumps(
        ref_in(shopper.get("/").text)
    )
    assert shopper.add(2, hx=True).status == 200
    assert shopper.cart() == [1, 2]


def test_more_cart_cookies_than_a_browser_could_have_do_no_harm(open_drop: RunningShop) -> None:
    shopper = Shopper(open_drop)
    shopper.add(1)
    shopper.cookies |= {f"cart-{number:08x}": "nonsense" for number in range(100)}
    assert shopper.cart() == [1]


def test_a_page_does_not_wait_long_to_merge_carts_and_a_later_one_does_it(
    drop: RunningShop,
) -> None:
    shopper, pages = Shopper(drop), first_pages(drop, 2)
    for item_id, page in enumerate(pages, 1):
        shopper.cookies.clear()
        shopper.keep_cookies(page)
        assert add_with(shopper, token_of(page.text), item_id).status == 200
    shopper.keep_cookies(pages[0])
    with drop.writers_held_up():
        started = time.monotonic()
        page_meanwhile = shopper.get("/")
        lasted = time.monotonic() - started
    assert page_meanwhile.status == 200
    assert lasted < 2
    assert len(cart_cookies(shopper)) == 2
    assert shopper.cart() == [1, 2]
    assert len(cart_cookies(shopper)) == 1


# --- The signed export ----------------------------------------------------------------------


def lose_the_database(shop: RunningShop, dbms: Databases) -> None:
    """Put a fresh database, with the same catalogue, in the place of the shop's."""
    shop.stop()
    dbms.replace(shop, "released")
    shop.start()


def test_a_cart_comes_back_from_its_export_when_the_database_was_lost(
    drop: RunningShop, dbms: Databases
) -> None:
    shopper, buyer, other = Shopper(drop), Shopper(drop), Shopper(drop)
    for item_id in (1, 3, 15):
        shopper.add(item_id)
    shopper.remove(3)
    buyer.add(1)
    buyer.buy()
    other.add(2)
    before = version_in(shopper.get("/").text)

    lose_the_database(drop, dbms)

    page = shopper.get("/").text
    assert items_in(page) == [1, 15]
    assert version_in(page) > before
    assert shopper.add(16, hx=True).status == 200
    assert shopper.cart() == [1, 15, 16]
    assert buyer.cart() == [], "what was bought doesn't come back"
    first_thing = other.add(5, hx=True)
    assert items_in(first_thing.text) == [2, 5], "restored before it is acted upon"
    with Tab(drop, shopper) as tab:
        tab.next()
        assert tab.cart == [1, 15, 16]


def exported(shop: RunningShop, shopper: Shopper, age: float, key: str | None = None) -> str:
    """Sign what a shopper's export says, as if it had been done `age` seconds ago."""

    class Then(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time() - age)

    own = shop.secret_key
    said = URLSafeTimedSerializer(own, salt="cart-export").loads(shopper.cookies["cart_export"])
    then = URLSafeTimedSerializer(key or own, salt="cart-export", signer=Then)
    signed: str = then.dumps(said)
    return signed


@pytest.fixture(scope="module")
def forgetful(open_drop: RunningShop) -> Callable[[], Shopper]:
    """Give a function that makes a shopper with a full cart which the shop doesn't know."""

    def forgotten() -> Shopper:
        shopper = Shopper(open_drop)
        shopper.add(1)
        ref = ref_in(shopper.get("/").text)
        for cart_id, *_ in open_drop.sql("SELECT id FROM carts"):
            if cart_ref(cart_id) == ref:
                open_drop.sql("DELETE FROM cart_items WHERE cart_id = ?", cart_id)
                open_drop.sql("DELETE FROM carts WHERE id = ?", cart_id)
        return shopper

    return forgotten


def test_a_lost_cart_comes_back_also_when_a_late_first_page_brings_another_one(
    open_drop: RunningShop, forgetful: Callable[[], Shopper]
) -> None:
    late = Shopper(open_drop).get("/")
    shopper = forgetful()
    shopper.keep_cookies(late)
    assert len(cart_cookies(shopper)) == 2
    assert shopper.cart() == [1]
    assert len(cart_cookies(shopper)) == 1


def test_an_export_of_the_last_week_is_good(
    open_drop: RunningShop, forgetful: Callable[[], Shopper]
) -> None:
    shopper = forgetful()
    shopper.cookies["cart_export"] = exported(open_drop, shopper, age=WEEK - 60)
    assert shopper.cart() == [1]


def test_an_expired_export_is_an_empty_cart(
    open_drop: RunningShop, forgetful: Callable[[], Shopper]
) -> None:
    shopper = forgetful()
    shopper.cookies["cart_export"] = exported(open_drop, shopper, age=WEEK + 60)
    assert shopper.cart() == []


def test_an_export_signed_by_somebody_else_is_an_empty_cart(
    open_drop: RunningShop, forgetful: Callable[[], Shopper]
) -> None:
    shopper = forgetful()
    shopper.cookies["cart_export"] = exported(open_drop, shopper, 0, "another shop's secret key")
    assert shopper.cart() == []


def test_another_visitors_export_is_an_empty_cart(
    open_drop: RunningShop, forgetful: Callable[[], Shopper]
) -> None:
    shopper, other = forgetful(), Shopper(open_drop)
    other.add(2)
    shopper.cookies["cart_export"] = other.cookies["cart_export"]
    assert shopper.cart() == []


@pytest.mark.parametrize("broken", ["", ".", "x", "eyJ9.a.b", "a" * 3000, "null", "é"])
def test_a_broken_export_is_an_empty_cart(forgetful: Callable[[], Shopper], broken: str) -> None:
    shopper = forgetful()
    shopper.cookies["cart_export"] = broken.encode().decode("latin-1")
    page = shopper.get("/cart")
    assert (page.status, items_in(page.text)) == (200, [])
    assert notices_in(page.text) == []


def test_every_cookie_is_kept_from_scripts_and_other_sites(open_drop: RunningShop) -> None:
    shopper = Shopper(open_drop)
    answers = [shopper.get("/"), shopper.add(1)]
    answers.append(shopper.follow(answers[-1]))
    set_cookies = [morsel for answer in answers for morsel in cookies_of(answer).values()]
    assert {m.key.split("-")[0] for m in set_cookies} == {"cart", "cart_export", "shop_session"}
    for morsel in set_cookies:
        assert morsel["httponly"] and morsel["samesite"] == "Lax", morsel.OutputString()
