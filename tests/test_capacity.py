"""The model of many servers keeps its own laws, and `bin/bench capacity` tells what it reckons."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.actions import quantile
from bench.capacity import capacity
from bench.coming_back import Manner
from bench.costs import COMMANDS, Benchmarks, Costs
from bench.model_drop import Rush, Shop
from bench.model_tabs import LOOK, SetUp, attempts, come_back, tell
from bench.restart import AS_PAGES, AT_ONCE
from bench.simulation import Loop, Simulation, Station
from bench.small_cases import small_cases
from shop.turns import LENGTH
from tests.running import ROOT

#: What costs nothing: whatever a test is not about.
NOTHING: dict[str, Any] = dict.fromkeys(Costs.__dataclass_fields__, 0) | {"servers": 2}

#: Costs in round numbers.
ROUND = Costs(
    **NOTHING
    | {
        "delivery": 10e-6,
        "opening": 1e-3,
        "page": 1e-3,
        "change": 2e-3,
        "checkout": 3e-3,
        "purchase": 6e-3,
        "purchase_database": 2e-3,
        "purchase_redis": 0.1e-3,
        "hearing_message": 50e-6,
        "redis_message": 10e-6,
        "redis_subscriber": 2e-6,
        "shelf_read": 0.1e-3,
        "hot_row": 1e-3,
    }
)

PLENTY = 1_000_000


def drop_on(
    servers: int, stock: list[int], *, rate: float = 200.0, seed: int = 1, costs: Costs = ROUND
) -> Any:
    return Shop(costs, SetUp(servers, 1000, 4), Rush(rate, 3.0, stock), seed).play()


# --- The parts -------------------------------------------------------------------------------


def test_events_of_one_moment_happen_in_the_order_they_were_made() -> None:
    simulation, done = Simulation(), []
    for number in (1, 2, 3):
        simulation.after(0.5, lambda n=number: done.append(n))  # type: ignore[misc]
    simulation.after(0.1, lambda: done.append(0))
    simulation.run()
    assert done == [0, 1, 2, 3]
    assert simulation.now == 0.5


def test_a_station_takes_as_many_at_a_time_as_it_has_workers() -> None:
    simulation, ends = Simulation(), []
    station = Station(simulation, workers=2)
    for _ in range(5):
        station.use(1.0, lambda: ends.append(simulation.now))
    simulation.run()
    assert ends == [1.0, 1.0, 2.0, 2.0, 3.0]
    assert station.worked == 5.0
    assert station.busy(3.0) == pytest.approx(5 / 6)


def test_a_request_waits_for_a_slice_of_a_broadcast_and_not_for_all_of_it() -> None:
    simulation, answered = Simulation(), []
    loop = Loop(simulation)
    loop.tell(10_000, 10e-6, lambda tabs: None)
    loop.act(0.0, lambda: answered.append(simulation.now))
    simulation.run()
    assert simulation.now == pytest.approx(0.1)
    assert answered == [pytest.approx(LENGTH)]


def test_a_request_waits_for_one_lane_of_openings() -> None:
    simulation, answered = Simulation(), []
    loop = Loop(simulation)
    for _ in range(1000):
        loop.open(1e-3, lambda: None)
    simulation.after(0.1, lambda: loop.act(0.0, lambda: answered.append(simulation.now)))
    simulation.run()
    assert simulation.now == pytest.approx(1.0)
    assert answered[0] - 0.1 <= 8e-3 + 1e-9


def test_half_a_processor_takes_twice_as_long() -> None:
    simulation = Simulation()
    Loop(simulation, speed=0.5).tell(1000, 10e-6, lambda tabs: None)
    simulation.run()
    assert simulation.now == pytest.approx(0.02)


# --- A release -------------------------------------------------------------------------------


def test_one_server_needs_as_long_as_all_deliveries_together() -> None:
    told = tell(Costs(**NOTHING | {"delivery": 10e-6}), SetUp(1, 10_000), 10e-6)
    assert told.tabs == 10_000
    assert told.last == pytest.approx(LOOK / 2 + 10_000 * 10e-6)
    assert told.half == pytest.approx(LOOK / 2 + 5_000 * 10e-6, abs=LENGTH)


@pytest.mark.parametrize("tabs", [1, 999, 10_000])
def test_every_tab_is_told_once(tabs: int) -> None:
    assert tell(ROUND, SetUp(7, tabs, 4), ROUND.delivery).tabs == tabs


def test_more_servers_are_never_slower_to_tell_all() -> None:
    lasts = [tell(ROUND, SetUp(n, 100_000, 8), ROUND.delivery).last for n in (1, 2, 4, 8, 16, 32)]
    assert lasts == sorted(lasts, reverse=True)


def test_more_tabs_are_never_told_sooner() -> None:
    lasts = [tell(ROUND, SetUp(4, n, 8), ROUND.delivery).last for n in (10, 1000, 10_000, 90_000)]
    assert lasts == sorted(lasts)


def test_an_action_during_a_release_is_answered_in_turns() -> None:
    told = tell(ROUND, SetUp(1, 50_000), ROUND.delivery, rate=50.0)
    assert told.actions
    assert quantile(told.actions, 0.99) < 10 * LENGTH


# --- A herd ----------------------------------------------------------------------------------


def test_a_herd_that_comes_in_one_moment_takes_all_its_openings() -> None:
    herd = come_back(ROUND, SetUp(1, 5000), [0.0] * 5000, rate=0.0)
    assert len(herd.current) == 5000
    assert max(herd.current) == pytest.approx(5.0)


def test_nobody_comes_back_before_there_is_a_server() -> None:
    arrivals = attempts([-3.0, -1.0, 0.0] * 100, 0.5, AS_PAGES, random.Random(1))
    longest = AS_PAGES.longest * (1 + AS_PAGES.jitter)
    assert all(0.5 <= at <= 0.5 + longest for at in arrivals)
    assert attempts([-3.0, 0.0], 0.5, AT_ONCE, random.Random(1)) == [0.5, 0.5]


def test_a_tab_waits_twice_as_long_after_each_attempt_that_failed() -> None:
    arrivals = attempts([0.0], 5.0, Manner(0.3, 2.5, 0.0), random.Random(1))
    assert arrivals == [pytest.approx(0.3 + 0.6 + 1.2 + 2.4 + 2.5)]


# --- Purchases -------------------------------------------------------------------------------


def test_nothing_is_sold_twice() -> None:
    drop = drop_on(4, [5, 0, 50, PLENTY])
    assert drop.sold[:3] == [5, 0, 50]
    assert 0 < drop.sold[3] < PLENTY
    assert drop.refused > 0
    assert drop.made <= sum(drop.sold) <= drop.offered


def test_the_same_seed_plays_the_same_drop() -> None:
    assert drop_on(3, [40] * 5, seed=7) == drop_on(3, [40] * 5, seed=7)
    assert drop_on(3, [40] * 5, seed=7) != drop_on(3, [40] * 5, seed=8)


def test_one_item_sells_no_faster_than_its_row_is_free() -> None:
    costs = replace(ROUND, hot_row=10e-3)
    drop = drop_on(8, [PLENTY], rate=400.0, costs=costs)
    assert drop.made <= 3.0 / 10e-3
    assert drop.hot_row > 0.95
    spread = drop_on(8, [PLENTY] * 20, rate=400.0, costs=costs)
    assert spread.made > 2 * drop.made


def test_a_set_up_sells_no_more_than_its_processors_can() -> None:
    drop = drop_on(1, [PLENTY] * 20, rate=1000.0)
    assert drop.servers > 0.95
    assert drop.made <= 3.0 / ROUND.purchase


def test_a_light_load_is_answered_at_its_own_cost() -> None:
    costs = replace(ROUND, hearing_message=0.0)
    drop = drop_on(4, [PLENTY] * 20, rate=5.0, costs=costs)
    own = (2 / 6) * costs.requests + 0.3 * costs.purchase_database
    assert quantile(drop.add, 0.5) == pytest.approx(own, rel=0.05)


# --- The command -----------------------------------------------------------------------------


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """Files as small benchmarks write them."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    for name, figures in SMALL.items():
        about = {"measured_at": "2026-01-02T03:04:05", "command": COMMANDS[name], "commit": "abc"}
        machine = {"processors": 2, "load_before": 0.1}
        text = json.dumps(about | {"machine": machine} | figures)
        (folder / f"{name}.json").write_text(text)
    return folder


def reckon(*words: str | Path) -> Any:
    return CliRunner().invoke(capacity, list(map(str, words)))


def test_the_model_is_told_beside_what_was_measured(measured: Path, tmp_path: Path) -> None:
    document = tmp_path / "capacity.md"
    document.write_text("".join(f"<!-- {n} -->\nold\n<!-- /{n} -->\n" for n in BLOCKS))
    done = reckon("--from", measured, "--shoppers", "20000", "--into", tmp_path / "capacity")
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "capacity" / "capacity.json").read_text())
    assert found["large"][0]["plan"]["servers"] == 2
    assert all(case["predicted"] > 0 for case in found["small"])
    assert {"sellout", "herd of 1,000, killed"} < {c["what"].split(":")[0] for c in found["small"]}
    text = document.read_text()
    assert "\nold\n" not in text
    assert "For 20,000 waiting shoppers: 1 server and one to spare" in text.replace("**", "")
    assert (tmp_path / "capacity" / "capacity.svg").read_text().startswith("<svg")


def test_small_cases_agree_with_what_made_them(measured: Path) -> None:
    benchmarks = Benchmarks.read(measured)
    cases = {case.what: case for case in small_cases(benchmarks, benchmarks.costs())}
    for what, case in cases.items():
        if what.endswith(("the last", "made")):
            assert 0.8 < case.ratio < 1.25, what


def test_the_parts_are_measured_on_real_ones(tmp_path: Path) -> None:
    words = "--streams 50 --messages 200 --seconds 0.3 --into"
    command = [sys.executable, "-m", "bench", "parts", *words.split(), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "parts.json").read_text())
    for part, figures in SMALL["parts"].items():
        assert all(found[part][figure] >= 0 for figure in figures)
    assert found["postgresql"]["hot_per_second"] > 10
    assert found["nginx"]["memory"] > 1000


def test_what_others_do_is_heard_late_when_redis_has_too_much_to_carry() -> None:
    slow = replace(ROUND, redis_subscriber=1e-3)
    assert quantile(drop_on(8, [PLENTY] * 20).heard, 0.99) < 0.1
    assert quantile(drop_on(8, [PLENTY] * 20, costs=slow).heard, 0.99) > 0.5


def test_figures_of_different_commits_are_not_passed_off_as_one(measured: Path) -> None:
    file = measured / "herd.json"
    words = ("--from", measured, "--shoppers", "1000", "--into", measured / "out")
    assert "different commits" not in " ".join(reckon(*words).output.split())
    file.write_text(file.read_text().replace('"abc"', '"def"'))
    assert "different commits** (streams abc," in " ".join(reckon(*words).output.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_missing_file_is_named_with_the_command_that_makes_it(measured: Path, name: str) -> None:
    (measured / f"{name}.json").unlink()
    done = reckon("--from", measured, "--into", measured / "out")
    assert done.exit_code == 1
    assert f"{name}.json" in done.output
    assert COMMANDS[name] in done.output


BLOCKS = ("capacity", "capacity: answer")


def trial(who: str, streams: int) -> dict[str, Any]:
    last = LOOK / 2 + 0.001 + streams * 12e-6
    found = {
        "memory": 2500.0,
        "cpu_per_opening": 0.8e-3,
        "cpu_per_delivery": 12e-6,
        "first_to_last": streams * 12e-6,
        "to_half": last / 2,
        "to_last": last,
    }
    about = {"who": who, "message": "product fragment", "bytes": 3600, "streams": streams}
    return about | {"median": found}


def told(what: str, each: float) -> dict[str, Any]:
    first, work = LOOK / 2 + 0.001, 1000 * each
    return {"what": what, "cpu": work, "first": first, "last": first + work}


def slices(cpu: float) -> dict[str, Any]:
    one = {"where": "", "per_second": 100.0, "cpu": cpu, "client_cpu": 0.0, "busy": 1.0}
    return {"streams open": one | {"p50": {}, "p99": {}}}


def kept(p50: float) -> dict[str, Any]:
    return {"while tabs come back": {"kept": {"p50": p50}}}


BACK = {
    "lost": [-0.5] * 101,
    "current": [i / 100 for i in range(101)],
    "cpu": 0.8,
    "actions": kept(0.004),
}

SMALL: dict[str, dict[str, Any]] = {
    "streams": {"trials": [trial(who, n) for who in ("shop", "carts") for n in (1000, 5000)]},
    "sellout": {
        "options": {"tabs": 1000, "rate": 50.0},
        "told": [told("carts", 40e-6), told("shared", 12e-6)],
    },
    "herd": {
        "options": {"tabs": 1000, "rate": 50.0},
        "restarts": {"killed": [BACK], "all at once": [BACK]},
    },
    "pages": {
        "rounds": [
            {"slices": {"page": slices(1e-3), "add": slices(2e-3), "checkout": slices(3e-3)}}
        ]
    },
    "parts": {
        "process": {"memory": 70_000_000},
        "hearing": {"message": 50e-6, "name": 1e-6},
        "redis": {"message": 10e-6, "subscriber": 2e-6},
        "postgresql": {"hot_row": 1e-3, "shelf_read": 0.1e-3, "cart_read": 0.05e-3},
        "nginx": {"memory": 40_000.0, "opening": 0.8e-3, "delivery": 16e-6},
    },
    "cluster": {
        "drop": {
            "load": {"servers": 2, "streams": 100, "rate": 20.0, "seconds": 5.0},
            "lasted": 6.0,
            "seconds": 5.0,
            "in_time": 98,
            "outcomes": {"bought": 98},
            "cpu": {
                "servers": 1.0,
                "PostgreSQL": 0.4,
                "Redis": 0.01,
                "load client": 0.1,
                "all else on this machine": 0.1,
            },
            "delays": {
                "answers": {"add": [0.005], "checkout page": [0.004], "purchase": [0.008]},
            },
        }
    },
}
