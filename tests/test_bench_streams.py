"""The benchmark of streams measures real servers, and says which ones it had to do without."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import pytest

from bench.broadcasts import Figures, Load, measure_streams
from bench.carts import make_carts, pairs
from bench.contenders import ASGI, HUB, NCHAN, NODE, OTHERS, Contender, missing, publisher
from bench.crowd import END, Crowd, addresses
from bench.loopback import Floor
from bench.machine import Machine
from bench.processes import client
from bench.report import Report
from bench.shops import open_shop
from bench.streams import measure_trial, small_text
from bench.streams_charts import charts_of
from bench.streams_goals import goals_of
from bench.tables import Table
from bench.trials import CARTS, FRAGMENT, SHOP, SMALL, Results, Trial
from tests.running import ROOT


def bench(words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *words.split()],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=110,
    )


def test_streams_are_measured_without_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "found.md").write_text(
        "# Before\n<!-- streams -->\nyesterday\n<!-- /streams -->\nAfter\n"
    )
    words = f"streams --streams 100 --deliveries 2 --into {tmp_path}/found"
    done = bench(words, PATH="/nowhere")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Missing: nginx with nchan (nginx and libnginx-mod-nchan)" in done.stderr
    assert "Missing: Node's http (nodejs)" in done.stderr
    assert "bin/bench --install" in done.stderr

    figures = json.loads((tmp_path / "found" / "streams.json").read_text())
    assert {NCHAN.label, NODE.label} <= set(figures["missing"])
    assert not [version for version in figures["versions"] if "nginx" in version]
    measured = {(one["message"], one["who"]) for one in figures["trials"]}
    ours = {(SMALL, "hub"), (SMALL, "plain"), (FRAGMENT, SHOP), (FRAGMENT, CARTS)}
    assert ours <= measured
    assert not {who for _, who in measured} & {"nchan", "node"}
    assert all(value > 0 for one in figures["trials"] for value in costs(one["median"]))
    assert figures["options"] == {"streams": [100], "deliveries": 2, "runs": 1}
    assert figures["machine"]["processors"] and figures["measured_at"]
    assert [goal["holds"] for goal in figures["goals"] if "nchan" in goal["what"]] == [None] * 4

    told = (tmp_path / "found.md").read_text()
    assert "yesterday" not in told
    assert told.startswith("# Before\n<!-- streams -->\n")
    assert told.endswith("<!-- /streams -->\nAfter\n")
    assert "![100 open tabs in one process](found/streams.svg)" in told
    assert "| CPU per opening |" in told
    assert well_formed((tmp_path / "found" / "streams.svg").read_text())


def costs(figures: dict[str, float]) -> list[float]:
    return [value for name, value in figures.items() if not name.startswith("memory")]


def well_formed(svg: str) -> bool:
    return ElementTree.fromstring(svg).tag.endswith("svg")


@pytest.mark.parametrize("contender", [HUB, *OTHERS], ids=lambda one: one.name)
def test_every_server_is_measured_or_named_as_missing(contender: Contender) -> None:
    if not contender.is_there():
        assert contender in missing()
        return
    assert contender not in missing()
    with contender.run(100) as server, client("bench.crowd") as crowd:
        publish = publisher(server, small_text())
        publish()
        figures = measure_streams(server, crowd, Load("/stream", publish, 100, 3))
    assert figures.cpu_per_opening > 0 and figures.cpu_per_delivery > 0
    assert 0 < figures.first_to_last < figures.to_last <= figures.to_last_worst


def test_a_package_that_is_not_there_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.contenders.find_spec", lambda name: None)
    assert not ASGI.is_there()
    assert ASGI in missing()


def test_carts_are_their_visitors() -> None:
    with open_shop() as shop:
        item_ids = [item["id"] for item in shop.items()]
        contents = pairs(item_ids, 40, holding=item_ids[3])
        cookies = make_carts(shop, contents)
        assert len(set(cookies)) == 40
        for wanted, cookie in list(zip(contents, cookies, strict=True))[::13]:
            assert lines_of(shop.server.port, cookie) == [
                str(item_id) for item_id in sorted(wanted)
            ]


def lines_of(port: int, cookie: str) -> list[str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/cart", headers={"Cookie": cookie})
        page = connection.getresponse().read().decode()
    finally:
        connection.close()
    return re.findall(r'id="cart-item-\d+" data-item-id="(\d+)"', page)


def test_carts_are_as_different_as_the_items_allow() -> None:
    assert len(set(pairs(range(26), 10_000))) == 325  # pairs of 26
    assert all(1 in pair for pair in pairs(range(26), 50, holding=1))
    assert len(pairs(range(26), 50, holding=1)) == 50


# --- The load client ----------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
MESSAGE = b"data: <p>one</p>\ndata: <p>two</p>\n\n"


@pytest.mark.parametrize("most", range(1, len(MESSAGE) + 4))
def test_a_message_counts_wherever_it_is_split(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.crowd._buffer", bytearray(most))  # no read brings more
    crowd = Crowd()
    with Scripted() as server:
        server.answers([HEAD + MESSAGE])
        crowd.open(server.port, "/stream", 1, 10)
        crowd.prepare()
        server.sends([b":\n\n", MESSAGE])
        heard = crowd.expect(10)
        assert heard["first"] <= heard["half"] <= heard["last"]
    crowd.leave()


def test_half_a_message_is_none() -> None:
    crowd = Crowd()
    with Scripted() as server:
        server.answers([HEAD + MESSAGE])
        crowd.open(server.port, "/stream", 1, 10)
        crowd.prepare()
        server.sends([b":\n\n" + MESSAGE[:-1]])
        with pytest.raises(RuntimeError, match="did not reach all"):
            crowd.expect(0.3)
    crowd.leave()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "answered 'HTTP/1.1 503 Service"),
        (b"", "closed a stream"),
    ],
)
def test_a_refused_stream_is_told(answer: bytes, said: str) -> None:
    crowd = Crowd()
    with Scripted() as server:
        server.answers([answer], then_closes=True)
        with pytest.raises(RuntimeError, match=re.escape(said)):
            crowd.open(server.port, "/stream", 1, 10)
    crowd.leave()


class Scripted:
    """A server of one connection that sends what it is told to, piece by piece."""

    def __enter__(self) -> Scripted:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._connection: socket.socket | None = None
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._listener.close()
        if self._connection is not None:
            self._connection.close()

    def answers(self, pieces: list[bytes], then_closes: bool = False) -> None:
        self._run(lambda: self._answer(pieces, then_closes))

    def sends(self, pieces: list[bytes]) -> None:
        self._thread.join()
        self._run(lambda: self._send(pieces))

    def _run(self, does: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=does)
        self._thread.start()

    def _answer(self, pieces: list[bytes], then_closes: bool) -> None:
        self._connection, _ = self._listener.accept()
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection.recv(4096)
        self._send(pieces)
        if then_closes:
            self._connection.shutdown(socket.SHUT_WR)

    def _send(self, pieces: list[bytes]) -> None:
        assert self._connection is not None
        for piece in pieces:
            self._connection.sendall(piece)


def test_messages_of_the_shop_end_as_the_client_expects() -> None:
    assert MESSAGE.endswith(END)
    assert small_text().endswith(">")


def test_each_tab_has_an_address_of_its_own_and_no_run_those_of_another() -> None:
    runs = [[address for address, _ in zip(addresses(), range(300), strict=False)] for _ in "ab"]
    assert all(len(set(run)) == 300 for run in runs)
    assert all(address.startswith("127.") for run in runs for address in run)
    assert all(one != other for one, other in pairwise(runs[0]))
    assert runs[0] != runs[1]


# --- What is told -------------------------------------------------------------------------------


def results(**changed: float) -> Results:
    """Figures of 10,000 streams that hold all goals, but for what is changed."""
    good = {"memory": 1000.0, "cpu_per_delivery": 10e-6, "first_to_last": 0.1}
    poor = {name: value * 3 for name, value in good.items()}
    found = Results(10_000, [])
    found.begin_run()
    for who, message in (("hub", SMALL), (SHOP, FRAGMENT), (CARTS, FRAGMENT)):
        add(found, who, message, {**good, **changed})
    for message in (SMALL, FRAGMENT):
        add(found, "nchan", message, poor)
        add(found, "plain", message, {name: value * 3 for name, value in poor.items()})
    return found


def add(found: Results, who: str, message: str, figures: dict[str, float]) -> None:
    size = 300 if message == SMALL else 3000
    trial = Trial(who, who, message, size, found.most)
    found.add(trial, figures_of(figures), Floor(size, 5e-6, 3e-6))


def figures_of(given: dict[str, float]) -> Figures:
    names = Figures.__dataclass_fields__
    return Figures(**{name: given.get(name, 0.0005) for name in names})


def verdicts(found: Results) -> dict[str, bool | None]:
    return {goal.what: goal.holds for goal in goals_of(found)}


def test_goals_hold_or_not() -> None:
    assert all(verdicts(results()).values())
    heavy = verdicts(results(memory=1.6 * 1024))
    assert not heavy["10,000 tabs: memory of an idle one, bare"]
    assert heavy["10,000 tabs: with a cart of two lines"]
    slow = verdicts(results(cpu_per_delivery=12.1e-6))
    assert not slow["CPU per delivery, 300 bytes, to a bare send and receive"]
    assert slow["CPU per delivery, 300 bytes, to nchan's"]
    late = verdicts(results(first_to_last=0.31))
    assert not late["first tab to last, product fragment, to nchan's"]
    assert not verdicts(results(cpu_per_opening=0.00081))["CPU to open a stream with a cart"]


def test_what_was_measured_at_several_numbers_is_drawn_as_lines() -> None:
    found = results()
    assert list(charts_of(found, MACHINE, 1)) == ["streams"]
    few = Trial("hub", "hub", SMALL, 300, 1000)
    found.add(few, figures_of({}), Floor(300, 5e-6, 3e-6))
    charts = charts_of(found, MACHINE, 1)
    assert list(charts) == ["streams", "streams-growing"]
    assert all(map(well_formed, charts.values()))
    assert "1,000" in charts["streams-growing"]


def test_a_server_that_fails_is_left_out_and_ours_is_not(capsys: Any) -> None:
    def fail() -> Figures:
        raise click.ClickException("it fell over")

    found = results()
    nchan = next(trial for trial in found.trials if trial.who == "nchan")
    measure_trial(found, nchan, fail)
    assert found.missing == ["nchan"]
    assert "nchan could not be measured: it fell over" in capsys.readouterr().err
    assert verdicts(found)["CPU per delivery, 300 bytes, to nchan's"] is None
    ours = next(trial for trial in found.trials if trial.who == "hub")
    with pytest.raises(click.ClickException):
        measure_trial(found, ours, fail)


def test_tables_in_a_document_stand_between_their_marks_and_nowhere_else(tmp_path: Path) -> None:
    report = Report("herd", MACHINE, {}, {}, [Table(["a | b", ""], [["c", "1"]])], {}, "A note.")
    document = tmp_path / "found.md"
    (tmp_path / "found").mkdir()
    text = "<!-- streams -->\nkept\n<!-- /streams -->\n<!-- herd -->\ngone\n<!-- /herd -->\nend\n"
    document.write_text(text)
    for _ in range(2):
        report.publish(tmp_path / "found")
    told = document.read_text()
    assert "kept" in told and "gone" not in told and told.endswith("<!-- /herd -->\nend\n")
    assert told.count("| a \\| b |  |\n| --- | ---: |\n| c | 1 |") == 1


MACHINE = Machine("a processor", 2, 1 << 33, "Linux", "CPython", "26", "3", 0.0)
