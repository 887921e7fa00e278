"""Charts can be read: every value stands in them, nothing lies over something else."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

from bench.charts import Bar, Bars, bar_chart, number
from bench.lines import Line, Lines, line_chart

SVG = "{http://www.w3.org/2000/svg}"

PANEL = Bars(
    "Memory <per stream>",
    "KB",
    [Bar.of("ours & theirs", [1.2, 1.1, 1.4], ours=True, goal=1.5), Bar.of("nchan", [13.0])],
)


def read(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def words(svg: str) -> list[str]:
    return [text.text or "" for text in read(svg).iter(f"{SVG}text")]


def test_a_bar_tells_median_and_extremes() -> None:
    svg = bar_chart("Streams", "Measured here.", [PANEL])
    assert {"ours & theirs", "1.20 (1.10–1.40)", "nchan", "13.0"} <= set(words(svg))
    assert "Memory <per stream>, KB" in words(svg)


def test_a_chart_has_a_name_and_is_told_to_who_cannot_see_it() -> None:
    picture = read(bar_chart("Streams", "", [PANEL]))
    assert picture.get("role") == "img"
    assert picture.findtext(f"{SVG}title") == "Streams"
    described = picture.findtext(f"{SVG}desc") or ""
    assert "ours & theirs 1.20 (1.10–1.40); nchan 13.0" in described


def test_a_chart_follows_the_readers_screen() -> None:
    assert "prefers-color-scheme: dark" in bar_chart("Streams", "", [PANEL])


def test_bars_are_as_long_as_their_values() -> None:
    svg = bar_chart("", "", [Bars("", "", [Bar.of("a", [1.0]), Bar.of("b", [4.0])])])
    ours = [path for path in read(svg).iter(f"{SVG}path") if path.get("class") == "rest"]
    # From M x y, along to h width less the rounded corner of 3.
    short, long = (float((path.get("d") or "").split("h")[1].split("q")[0]) + 3 for path in ours)
    assert abs(long / short - 4) < 0.01


def test_the_names_of_lines_never_lie_over_each_other() -> None:
    lines = [Line(f"server {n}", [(1000, 1.0), (5000, 2.0 + n / 100)]) for n in range(6)]
    picture = read(line_chart("", "", [Lines("CPU", "open tabs", "µs", lines)]))
    names = [text for text in picture.iter(f"{SVG}text") if (text.text or "").startswith("server")]
    heights = sorted(float(text.get("y") or 0) for text in names)
    assert len(heights) == 6
    assert all(below - above >= 15 for above, below in pairwise(heights))
    title = next(text for text in picture.iter(f"{SVG}text") if text.text == "CPU, µs")
    assert heights[0] > float(title.get("y") or 0) + 15


def test_numbers_are_written_with_three_digits_that_count() -> None:
    wanted = {
        0: "0",
        0.0123456: "0.0123",
        1.5: "1.50",
        14.44: "14.4",
        123.4: "123",
        54321: "54,321",
    }
    assert {value: number(value) for value in wanted} == wanted
