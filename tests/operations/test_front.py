"""The shipped nginx in front of the shop: what it serves, passes on, refuses and survives."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest
import websocket

from tests.support.front import (
    Echo,
    Front,
    ShopperInFront,
    SocketTabInFront,
    TabInFront,
    open_folder,
)
from tests.support.photographs import write_photographs
from tests.support.running import ROOT, RunningShop, eventually
from tests.support.shopper import Answer, Shopper, Tab, notices_in

#: A browser that opened many first pages at once.
MANY_COOKIES = "; ".join(f"__Host-cart-{number:08x}=x" for number in range(40))


#: What an operator fills in behind a CDN: here, whoever is on this machine is one.
BEHIND_A_CDN = {
    "#set_real_ip_from 192.0.2.0/24;": "set_real_ip_from 127.0.0.0/8;",
    "#real_ip_header": "real_ip_header",
    "#real_ip_recursive": "real_ip_recursive",
}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder for instances, where nginx's user may pass through as in /var/lib."""
    made = open_folder()
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def served(folder: Path, released: Path) -> Iterator[RunningShop]:
    """A server of the shop as its unit starts it: by HTTPS only, and umask 077."""
    instance = Path(shutil.copytree(released, folder / "shop"))
    shutil.rmtree(instance / "static", ignore_errors=True)
    instance.chmod(0o711)  # StateDirectoryMode
    shop = RunningShop(instance, SHOP_HTTPS="on")
    before = os.umask(0o077)
    try:
        shop.start()
    finally:
        os.umask(before)
    yield shop
    shop.end()


@pytest.fixture(scope="module")
def front(served: RunningShop) -> Iterator[Front]:
    with Front([served], served.instance) as nginx:
        yield nginx


@pytest.fixture
def shopper(front: Front) -> ShopperInFront:
    return ShopperInFront(front)


@pytest.fixture
def second(served: RunningShop) -> Iterator[RunningShop]:
    """A second server of the same shop, to be killed or frozen."""
    shop = RunningShop(served.instance, SHOP_HTTPS="on").start()
    yield shop
    shop.end()


@pytest.fixture
def front_of_two(served: RunningShop, second: RunningShop) -> Iterator[Front]:
    with Front([served, second], served.instance) as nginx:
        yield nginx


@pytest.fixture
def front_of(tmp_path: Path) -> Iterator[Callable[..., Front]]:
    """Give a function that starts nginx in front of some servers."""
    with ExitStack() as stack:
        yield lambda *servers, **edits: stack.enter_context(Front(servers, tmp_path, **edits))


def style_of(page: Answer) -> str:
    found = re.search(r'href="(/static/[^"]+/shop\.css)"', page.text)
    assert found
    return found[1]


def answered_by(front: Front, path: str) -> set[str]:
    """Return the servers that answered requests for a path, as nginx wrote down; '' is itself."""
    return eventually(
        lambda: {str(line["server"]) for line in front.requests() if line["path"] == path}
    )


def by_the_shop(front: Front, path: str) -> set[str]:
    return answered_by(front, path) - {""}


# --- What it serves --------------------------------------------------------------------------


def test_a_page_comes_by_https_with_cookies_for_https_only(shopper: ShopperInFront) -> None:
    page = shopper.get("/")
    assert page.status == 200
    assert page.headers["Strict-Transport-Security"]
    assert "__Host-cart-" in page.headers["Set-Cookie"] and "Secure" in page.headers["Set-Cookie"]
    assert shopper.add(1, hx=True).status == 200
    assert shopper.cart() == [1]


def test_plain_http_is_sent_on_to_https(front: Front) -> None:
    with closing(socket.create_connection(("127.0.0.1", front.plain_port))) as plain:
        plain.sendall(b"GET /products/X?a=1 HTTP/1.0\r\nHost: elsewhere.example\r\n\r\n")
        head = plain.recv(4096).decode()
    assert head.startswith("HTTP/1.1 301")
    assert "Location: https://localhost/products/X?a=1\r\n" in head


def test_another_name_is_refused_in_the_handshake(front: Front) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        closing(socket.create_connection(("127.0.0.1", front.port))) as plain,
        pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name|handshake.failure"),
    ):
        context.wrap_socket(plain, server_hostname="elsewhere.example")


def test_static_files_are_served_by_nginx_as_the_shop_would(
    front: Front, shopper: ShopperInFront, served: RunningShop
) -> None:
    for path in static_paths(shopper):
        for coding in ("gzip", "identity"):
            here = shopper.get(path, Accept_Encoding=coding)
            there = Shopper(served).get(path, Accept_Encoding=coding)
            assert here.status == there.status == 200
            assert here.body == there.body
            for name in ("Content-Encoding", "X-Content-Type-Options", "Vary"):
                assert here.headers[name] == there.headers[name], (path, coding, name)
            assert here.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert here.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            kinds = [a.headers["Content-Type"].split(";")[0] for a in (here, there)]
            # Both are right for scripts, by RFC 9239 and by what was used before it.
            assert kinds[0].replace("application/java", "text/java") == kinds[1]
    for path in static_paths(shopper):
        assert answered_by(front, path) == {""}


def test_pictures_come_from_the_shop_once_and_from_nginx_ever_after(
    front: Front, shopper: ShopperInFront, served: RunningShop, tmp_path: Path
) -> None:
    write_photographs(tmp_path, "1.png", width=500, height=400)
    before = os.umask(0o077)  # as the unit has it, for commands too
    try:
        served.flask("catalog", "image", "OST-KILN", str(tmp_path / "1.png"))
    finally:
        os.umask(before)
    page = eventually(lambda: re.findall(r"(/media/[^ \"]+)", shopper.get("/").text))
    for path in sorted({*page}):
        first, second = shopper.get(path), shopper.get(path)
        assert first.status == second.status == 200
        assert first.body == second.body
        for name in ("Content-Type", "Cache-Control", "X-Content-Type-Options"):
            assert first.headers[name] == second.headers[name], (path, name)
        assert first.headers["Content-Type"] in ("image/avif", "image/webp")
        assert "immutable" in first.headers["Cache-Control"]
        assert "Set-Cookie" not in first.headers
        # The shop was asked for it, and nginx has it; each worker of nginx writes in its own time.
        assert eventually(partial(by_the_shop, front, path))
    assert shopper.get(f"/media/{'0' * 32}/500.webp").status == 404
    assert shopper.get("/media/../secret_key").status in (400, 404)


def static_paths(shopper: Shopper) -> list[str]:
    return sorted(set(re.findall(r'(?:href|src)="(/static/[^"]+)"', shopper.get("/").text)))


def test_nginx_reads_static_files_and_nothing_else_of_the_instance(
    front: Front, served: RunningShop
) -> None:
    assert os.geteuid() == 0, "the tests must run as root: nginx can't change to its user else"
    for name, readable in (("static", True), ("shop.sqlite3", False), ("secret_key", False)):
        test = ["test", "-r", str(served.instance / name)]
        done = subprocess.run(["setpriv", "--reuid=www-data", "--clear-groups", *test])
        assert (done.returncode == 0) == readable, name
    for inside in ("/static/..%2fsecret_key", "/static/0/../../secret_key"):
        assert ShopperInFront(front).get(inside).status in (400, 404)


def test_a_file_of_another_release_comes_from_the_server_that_has_it(
    folder: Path, released: Path, served: RunningShop, shopper: ShopperInFront
) -> None:
    newer = Path(shutil.copytree(ROOT / "shop", folder / "newer" / "shop")).parent
    shutil.copytree(ROOT / "examples", newer / "examples")
    shutil.copy(ROOT / "wsgi.py", newer)
    style = newer / "shop" / "static" / "shop.css"
    style.write_text(f"{style.read_text()}\n/* another release */\n")
    other = RunningShop(folder / "other", main=newer / "wsgi.py", SHOP_HTTPS="on").start()
    try:
        with Front([served, other], served.instance) as nginx:
            path = style_of(Shopper(other).get("/"))
            assert path != style_of(shopper.get("/"))
            for _ in range(4):  # whichever server is asked first
                assert "another release" in ShopperInFront(nginx).get(path).text
            assert ShopperInFront(nginx).get("/static/00/shop.css").status == 404
    finally:
        other.end()


# --- Live ------------------------------------------------------------------------------------


def test_changes_arrive_at_once_through_nginx(
    front: Front, shopper: ShopperInFront, served: RunningShop
) -> None:
    shopper.get("/")
    item_ids = [i for i, row in served.stock().items() if row["available"]][:12]
    with TabInFront(front, shopper, [1]) as tab, SocketTabInFront(front, shopper, [1]) as other:
        assert tab.headers["content-type"] == "text/event-stream"
        assert "content-encoding" not in tab.headers
        for each in (tab, other):
            each.next()
        delays = []
        for item_id in item_ids:
            started = time.monotonic()
            shopper.add(item_id, hx=True)
            for each in (tab, other):
                each.until(partial(holds, item_id))
            delays.append((time.monotonic() - started) * 1000)
    print(
        f"\na click, over nginx, in two tabs: {statistics.median(delays):.0f} ms, at most "
        f"{max(delays):.0f} ms"
    )
    assert statistics.median(delays) < 150


def holds(item_id: int, tab: Tab) -> bool:
    return item_id in tab.cart


def test_a_quiet_stream_stays_open(front: Front, shopper: ShopperInFront) -> None:
    shopper.get("/")
    with TabInFront(front, shopper) as tab, SocketTabInFront(front, shopper) as other:
        for each in (tab, other):
            each.next()
            while each.heartbeats < 3:  # two heartbeats apart is longer than nginx waits for one
                each.listen(7)


def test_a_websocket_from_another_site_is_refused(front: Front) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        SocketTabInFront(front, Origin="https://elsewhere.example")


# --- What it refuses ---------------------------------------------------------------------------


def test_too_large_a_body_is_refused_in_the_shops_words(
    served: RunningShop, shopper: ShopperInFront
) -> None:
    for size in (70_000, 200_000):  # more than the shop takes, and more than nginx does
        page = shopper.send("POST", "/cart/items", {}, b"x" * size)
        assert page.status == 413
        assert "more than this shop reads at once" in page.text
        notice = shopper.send("POST", "/cart/items", {"HX-Request": "true"}, b"x" * size)
        assert notice.status == 413
        assert notices_in(notice.text) == [
            "That is more than this shop reads at once. Nothing was changed."
        ]


def test_metrics_are_not_for_the_world(shopper: ShopperInFront) -> None:
    for path in ("/metrics", "/metrics/", "/%6detrics", "//metrics"):
        assert shopper.get(path).status == 404


def test_what_a_client_claims_of_itself_is_not_passed_on(front_of: Callable[..., Front]) -> None:
    with Echo() as echo:
        nginx = front_of(echo)
        claims = {
            "X-Forwarded-For": "203.0.113.9",
            "X-Forwarded-Host": "elsewhere.example",
            "X-Forwarded-Port": "1",
            "X-Forwarded-Proto": "http",
            "X-Forwarded-Prefix": "/evil",
            "Forwarded": "for=203.0.113.9",
            "X-Real-IP": "203.0.113.9",
            "X-Request-Id": "mine",
            "Upgrade": "h2c",
            "Connection": "upgrade",
        }
        head = json.loads(ShopperInFront(nginx).send("GET", "/", claims).text)
        assert head["X-Forwarded-For"] == "127.0.0.1"
        assert head["X-Forwarded-Host"] == head["Host"] == f"localhost:{nginx.port}"
        assert head["X-Forwarded-Proto"] == "https"
        assert re.fullmatch("[0-9a-f]{32}", head["X-Request-Id"])
        assert head["Connection"] == "close"
        gone = {"X-Forwarded-Port", "X-Forwarded-Prefix", "Forwarded", "X-Real-Ip", "Upgrade"}
        assert not gone & head.keys()


def test_behind_a_cdn_visitors_have_their_own_addresses(front_of: Callable[..., Front]) -> None:
    with Echo() as echo:
        nginx = front_of(echo, edits=BEHIND_A_CDN)
        claims = {
            "203.0.113.9": "203.0.113.9",
            "10.9.9.9, 203.0.113.9": "203.0.113.9",
            "203.0.113.9, 127.0.0.2": "203.0.113.9",
            "2001:db8::7": "2001:db8::7",
            "garbage": "127.0.0.1",
        }
        for claim, address in claims.items():
            answer = ShopperInFront(nginx).send("GET", "/", {"X-Forwarded-For": claim})
            assert json.loads(answer.text)["X-Forwarded-For"] == address


def test_a_home_of_ipv6_is_limited_as_one(front_of: Callable[..., Front]) -> None:
    few = {"zone=shop_requests:10m rate=200r/s": "zone=shop_requests:10m rate=1r/m", "3000": "1"}
    homes = [
        ["2001:db8:1:2::1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2:ffff::"],
        ["2001:db8:1:3::1", "2001:db8:1:3::2"],
        ["2001:db8::1", "2001:db8::2:0:0:1", "2001:db8::3"],
        ["203.0.113.9", "203.0.113.9", "203.0.113.9"],
        ["203.0.113.10"],
    ]
    with Echo() as echo:
        nginx = front_of(echo, edits=BEHIND_A_CDN | few)
        for home in homes:
            sent = [{"X-Forwarded-For": address} for address in home]
            answers = [ShopperInFront(nginx).send("GET", "/", claim) for claim in sent]
            assert [answer.status for answer in answers] == [200, 200, 429][: len(home)], home


def test_behind_a_published_port_the_shops_own_pages_are_known(front: Front) -> None:
    """The port that browsers see, and say, is not the one that nginx listens on."""
    shopper, there = ShopperInFront(front), {"Host": "localhost:8443"}
    origins = {"https://localhost:8443": 303, "https://localhost:9443": 400}
    for origin, status in origins.items():
        item = [("item_id", "1"), ("csrf_token", shopper.token)]
        sent = {**there, "Origin": origin}
        assert shopper.send("POST", "/cart/items", sent, item).status == status
    with closing(SocketTabInFront(front, shopper, **there, Origin="https://localhost:8443")) as tab:
        assert "<hx-partial" in tab.next().data


def test_a_head_with_forty_cookies_is_no_error(front: Front) -> None:
    page = ShopperInFront(front).send("GET", "/", {"Cookie": MANY_COOKIES})
    assert page.status == 200
    assert len(page.headers.get_all("Set-Cookie") or []) > 40


def test_the_access_log_holds_no_address_and_no_cookie(front: Front) -> None:
    ShopperInFront(front).send("GET", "/cart?email=kim@example.com", {"Cookie": "a=secret"})
    lines = eventually(lambda: [line for line in front.requests() if line["path"] == "/cart"])
    assert lines[-1]["network"] == "127.0.0.0"
    assert not re.search('127[.]0[.]0[.]1"|kim@|secret', json.dumps({**lines[-1], "server": ""}))


# --- What it survives --------------------------------------------------------------------------


def test_when_a_server_is_killed_the_other_one_answers(
    front_of_two: Front, second: RunningShop
) -> None:
    shopper = ShopperInFront(front_of_two)
    shopper.get("/")
    tabs = [TabInFront(front_of_two, None, [1]) for _ in range(6)]
    second.kill()
    for count in range(20):
        assert shopper.get("/").status == 200
        assert shopper.add(14 + count % 6, hx=True).status in (200, 409)
    lost = 0
    for tab in tabs:
        try:
            while True:
                tab.next(0.5)
        except EOFError:
            lost += 1
        except AssertionError:
            pass
        tab.close()
    assert lost == 3  # new streams go where there are fewest
    with TabInFront(front_of_two, shopper, [1]) as tab:
        assert tab.next().data


def test_a_post_is_sent_once_and_a_page_is_asked_for_again(front_of: Callable[..., Front]) -> None:
    with Echo(silent=True) as one, Echo(silent=True) as other:
        nginx = front_of(one, other)
        assert ShopperInFront(nginx).send("POST", "/checkout", {}, b"a=1").status == 503
        assert len(one.heads) + len(other.heads) == 1
        assert ShopperInFront(nginx).get("/").status == 503
        assert len(one.heads) + len(other.heads) > 2


def test_a_post_of_which_nothing_was_sent_goes_to_another_server(
    front_of: Callable[..., Front], tmp_path: Path
) -> None:
    with Echo() as echo:
        nobody = RunningShop(tmp_path)
        nginx = front_of(nobody, echo)
        for _ in range(4):
            assert ShopperInFront(nginx).send("POST", "/checkout", {}, b"a=1").status == 200
        assert len(echo.heads) == 4


def test_tabs_of_a_frozen_server_are_cut_off_and_find_the_other_one(
    front_of_two: Front, second: RunningShop
) -> None:
    tabs = [TabInFront(front_of_two, None, [1]) for _ in range(8)]
    for tab in tabs:
        tab.next()
    second.freeze()
    frozen = time.monotonic()
    cut, seconds = [], []
    for tab in tabs:
        if _is_cut(tab, frozen + 9):
            cut.append(tab)
            with TabInFront(front_of_two, None, [1]) as again:
                assert again.next(3).data
            seconds.append(time.monotonic() - frozen)
        tab.close()
    print(f"\na server froze: {len(cut)} of 8 tabs were live again after {max(seconds):.1f} s")
    assert len(cut) == 4
    assert max(seconds) < 10


def _is_cut(tab: TabInFront, until: float) -> bool:
    """Wait until a tab's stream ends, or until it was heard of."""
    before = tab.heartbeats
    try:
        while tab.heartbeats < before + 2:
            tab.listen(until - time.monotonic())
    except EOFError:
        return True
    return False


@pytest.mark.drill
def test_servers_that_were_slow_all_at_once_are_asked_again_at_once(
    front_of_two: Front, served: RunningShop, second: RunningShop
) -> None:
    shopper = ShopperInFront(front_of_two)
    shopper.get("/")
    for shop in (served, second):
        shop.freeze()
    try:
        away = shopper.get("/stream")
        assert away.status == 503
        assert away.headers["Retry-After"] == "2"
    finally:
        for shop in (served, second):
            shop.thaw()
    assert shopper.get("/").status == 200
    with TabInFront(front_of_two, shopper, [1]) as tab:
        assert tab.next().data
