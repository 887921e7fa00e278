"""The benchmarks measure real servers, and what they count can be trusted."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest

from bench.capacity import agrees, compare, time_to_return, time_to_tell
from bench.report import Goal, number, quantile, spread
from bench.servers import event_of
from bench.tabs import Cart, Tab, any_message, marked_cart, own_cart, product_fragment
from bench.visitors import addresses
from tests.support.running import ROOT

SMALL = {
    "streams": "--streams 100 --deliveries 2",
    "sellout": "--tabs 20 --rounds 1",
    "release": "--tabs 20 --rounds 1",
    "release-marked": "--tabs 20 --rounds 1 --marked",
    "herd": "--tabs 20 --way killed",
    "pages": "--streams 10 --rounds 1 --seconds 0.3",
    "cluster": "--streams 30 --rate 6 --seconds 4 --changes 10",
}


def bench(words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *words.split()]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)


@pytest.fixture(scope="module")
def into(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for figures, beside a document that tables are written into."""
    folder = tmp_path_factory.mktemp("docs") / "benchmarks"
    marks = "\n".join(f"<!-- {name} -->\nyesterday's\n<!-- /{name} -->" for name in SMALL)
    folder.with_suffix(".md").write_text(f"# Before\n{marks}\nAfter\n")
    return folder


# --- Every command, in small --------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.drill
def test_a_benchmark_measures_prints_and_keeps_what_it_found(name: str, into: Path) -> None:
    command, _, _ = name.partition("-")
    done = bench(f"{command} {SMALL[name]} --into {into}")
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((into / f"{name}.json").read_text())
    assert {"measured_at", "command", "commit", "machine", "other_work"} < figures.keys()
    assert list(numbers_in(figures)), "it found something"
    assert len((into / f"{name}.json").read_text().splitlines()) < 250
    assert ElementTree.parse(into / f"{name}.svg").getroot().tag.endswith("svg")
    document = into.with_suffix(".md").read_text()
    section = document.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]
    assert "yesterday" not in section
    assert f"![{title_of(section)}](benchmarks/{name}.svg)" in section
    table = [line for line in section.splitlines() if line.startswith("|")]
    assert len(table) > 2 and "\n".join(table) in done.stdout
    assert document.startswith("# Before\n") and document.endswith("\nAfter\n")
    if name == "cluster":
        assert "whatever doesn't agree in the books: 0, at most 0: holds" in done.stdout
        assert figures["made"] > 2


@pytest.mark.drill
def test_a_larger_load_is_estimated_from_what_was_measured(into: Path) -> None:
    done = bench(f"capacity --from {into} --into {into} --shoppers 100000")
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((into / "capacity.json").read_text())
    assert figures["100,000 shoppers"]["servers"] == 3, (
        "8 processes of 10,000 tabs, and one to spare"
    )
    assert "| measured: a change to 100 tabs |" in done.stdout


def test_a_missing_figure_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    done = bench(f"capacity --from {tmp_path} --into {tmp_path}")
    assert done.returncode == 1
    assert "lacks streams.json. Run `bin/bench streams` first." in done.stderr


@pytest.mark.parametrize("streams", ["99", "50001", "many", "1000,5000"])
def test_a_number_of_streams_that_can_not_be_measured_is_refused(streams: str) -> None:
    done = bench(f"streams --streams {streams}")
    assert done.returncode == 2 and "Error: Invalid value for '--streams'" in done.stderr


# --- What the load client takes for a message -----------------------------------------------------


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[socket.socket, Tab]]:
    """The server's end of a tab's connection, and the tab, which shows a cart of two lines."""
    cart = Cart("cart=x", "0123456789abcdef", (3, 7))
    tab = Tab(0, 80, "/stream", cart)
    theirs, tab.socket = socket.socketpair()
    yield theirs, tab
    theirs.close()
    tab.close()


def cart_html(ref: str = "0123456789abcdef", items: tuple[int, ...] = (3, 7), out: int = 0) -> str:
    lines = "".join(
        f'<li class="cart-item{" cart-item--out-of-stock" if item == out else ""}" '
        f'id="cart-item-{item}" data-item-id="{item}">…</li>'
        for item in items
    )
    return f'<section id="cart" data-version="5" data-cart-ref="{ref}">{lines}</section>'


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
BEAT = b"event: beat\ndata:\n\n"


def test_a_message_counts_when_it_is_whole_wherever_it_is_split(
    line: tuple[socket.socket, Tab],
) -> None:
    theirs, tab = line
    message = HEAD + event_of(cart_html())
    for cut in range(1, len(message), 7):
        theirs.sendall(message[:cut])
        assert not tab.read(), f"not whole at {cut}"
        theirs.sendall(message[cut:])
        whole = tab.read()
        assert any_message(tab, whole) and own_cart(tab, whole, None)


def test_a_heartbeat_is_no_message(line: tuple[socket.socket, Tab]) -> None:
    theirs, tab = line
    theirs.sendall(BEAT)
    assert not any_message(tab, tab.read())
    theirs.sendall(event_of("<p id='news'>new</p>") + BEAT)
    assert any_message(tab, tab.read())


def test_a_tab_waits_for_its_cart_with_the_right_line_struck_out(
    line: tuple[socket.socket, Tab],
) -> None:
    theirs, tab = line

    def finds(html: str, struck: int | None) -> bool:
        theirs.sendall(event_of(html))
        return own_cart(tab, tab.read(), struck)

    assert finds(cart_html(out=7), 7)
    assert not finds(cart_html(out=3), 7)
    assert not finds(cart_html(), 7)
    assert not finds(cart_html(out=7), None)
    assert not finds('<div id="stock-2"></div>', None)
    theirs.sendall(event_of('<div id="stock-2"></div>'))
    assert product_fragment(tab, tab.read(), 2)


def test_a_marked_size_is_found_when_it_is_a_line_of_the_tabs_own_cart(
    line: tuple[socket.socket, Tab],
) -> None:
    theirs, tab = line
    marked = '<section id="cart" data-cart-ref="0123456789abcdef"><li data-marked-id="3"></li>'
    for html, is_found in (
        (marked, False),
        (cart_html(items=(3,)), False),
        (cart_html(ref="f" * 16), False),
        (cart_html(), True),
    ):
        theirs.sendall(event_of(html))
        assert marked_cart(tab, tab.read()) == is_found, html


@pytest.mark.parametrize(
    ("html", "words"),
    [
        (cart_html(ref="f" * 16), "another's cart"),
        (cart_html() + cart_html(ref="f" * 16), "another's cart"),
        (cart_html(items=(3,)), "without its lines"),
    ],
)
def test_anothers_cart_or_half_of_ones_own_ends_the_run(
    line: tuple[socket.socket, Tab], html: str, words: str
) -> None:
    theirs, tab = line
    theirs.sendall(event_of(html))
    with pytest.raises(RuntimeError, match=words):
        own_cart(tab, tab.read(), None)


def test_a_refused_or_ended_stream_is_an_error(line: tuple[socket.socket, Tab]) -> None:
    theirs, tab = line
    theirs.sendall(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
    with pytest.raises(ConnectionRefusedError, match="answered 503"):
        tab.read()
    theirs.close()
    with pytest.raises(ConnectionResetError):
        tab.read()


def test_each_visitor_has_an_address_of_its_own() -> None:
    sources = addresses()
    some = {next(sources) for _ in range(10_000)}
    assert len(some) == 10_000 and all(source.startswith("127.") for source in some)


# --- Figures, and the model ---------------------------------------------------------------------


def test_figures_are_written_with_three_digits_that_count() -> None:
    assert [number(n) for n in (1234.5, 123.4, 12.34, 1.234, 0.1234, 0)] == [
        *("1,234", "123", "12.3", "1.23", "0.123", "0"),
    ]
    assert spread([0.003, 0.001, 0.002], "ms") == "2.00 ms (1.00–3.00)"
    assert spread([1024 * 1536], "KB") == "1,536 KB" and spread([26]) == "26"
    assert quantile([1, 2, 3, 4], 0.5) == 2 and quantile([5], 0.99) == 5


def test_a_goal_holds_up_to_its_limit() -> None:
    assert "holds" in str(Goal("time", 1.0, 1.0, "ms"))
    assert "does not hold" in str(Goal("time", 1.01, 1.0, "s"))
    assert "does not hold" in str(Goal("rate", 0.49, 0.5, "×", at_least=True))


def test_in_the_model_all_tabs_take_their_deliveries_and_others_make_them_later() -> None:
    alone = time_to_tell(1000, 1e-5, 0, 0)
    assert alone == pytest.approx(0.020, abs=0.001), "10 ms, after half a tick of 20"
    busy = time_to_tell(1000, 1e-5, 100, 1e-3)
    assert busy == pytest.approx(0.010 + 0.010 / 0.9), "requests take a tenth of the process"
    assert time_to_tell(2000, 1e-5, 0, 0) > alone


def test_in_the_model_nobody_comes_back_sooner_than_openings_take() -> None:
    assert time_to_return(100, 1e-3, 0, 0) == pytest.approx(0.1)
    assert time_to_return(100, 1e-3, 100, 5e-3) == pytest.approx(0.2), "requests take half"


def test_the_model_refuses_more_requests_than_a_process_answers() -> None:
    with pytest.raises(click.ClickException, match="1000 requests a second"):
        time_to_tell(1000, 1e-5, 1000, 1e-3)


def test_a_case_agrees_when_the_model_is_near_what_was_measured() -> None:
    assert agrees(compare(1.0, 1.2)) and not agrees(compare(1.0, 1.4))


def numbers_in(figures: object) -> Iterator[float]:
    if isinstance(figures, dict):
        for value in figures.values():
            yield from numbers_in(value)
    elif isinstance(figures, float):
        yield figures


def title_of(section: str) -> str:
    found = re.search(r"!\[(.*?)\]\(", section)
    return found[1] if found else ""
