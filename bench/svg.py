"""As much of SVG as a chart needs: text, lines, rectangles, and colours for day and night.

Written out rather than drawn by a library: a picture of a few kilobytes that scales, that a screen
reader can read, and that follows the reader's light or dark screen by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

#: Width of every picture, in the units that its text is set in.
WIDTH = 800

#: Between what is drawn and the picture's edge.
MARGIN = 24

#: How wide a character is on average, as a part of the font's size. Generous: fonts differ.
_CHARACTER = 0.56

_STYLE = """
svg { color-scheme: light dark; --paper: #fcfcfb; --ink: #0b0b0b; --soft: #52514e; --faint: #e4e3df;
  --rest: #b9b7b0; --ours: #1f66c7; --goal: #a8480f;
  --s0: #1f66c7; --s1: #c2410c; --s2: #0f766e; --s3: #9333ea; --s4: #a16207; --s5: #be185d; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #1a1a19; --ink: #ffffff; --soft: #c3c2b7; --faint: #383835;
    --rest: #6a6963; --ours: #5b9cf0; --goal: #f0a26b;
    --s0: #5b9cf0; --s1: #fb923c; --s2: #2dd4bf; --s3: #c084fc; --s4: #facc15; --s5: #f472b6; }
}
text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: var(--ink);
  paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; }
.title { font-size: 18px; font-weight: 600; }
.panel { font-size: 14px; font-weight: 600; }
.soft { fill: var(--soft); font-size: 12px; }
.number { font-variant-numeric: tabular-nums; }
.goal { fill: var(--goal); font-size: 12px; }
.end { text-anchor: end; }
.middle { text-anchor: middle; }
.paper { fill: var(--paper); }
.rest { fill: var(--rest); }
.ours { fill: var(--ours); }
.axis, .grid, .whisker, .target, .line { fill: none; }
.axis { stroke: var(--soft); }
.grid { stroke: var(--faint); }
.whisker { stroke: var(--ink); stroke-width: 1.5; }
.target { stroke: var(--goal); stroke-width: 1.5; stroke-dasharray: 4 3; }
.line { stroke-width: 2; stroke-linejoin: round; }
.point { stroke: var(--paper); stroke-width: 2; }
"""
#: How many lines of one panel can be told apart by colour.
COLOURS = 6


def picture(title: str, description: str, height: float, drawn: Iterable[str]) -> str:
    """Return a whole SVG file.

    Args:
        title: what it shows, in a few words; for who sees it and who hears it.
        description: all that it says, for who can't see it.
    """
    colours = "".join(
        f".line.s{n} {{ stroke: var(--s{n}); }} .point.s{n} {{ fill: var(--s{n}); }}\n"
        for n in range(COLOURS)
    )
    size = f'width="{WIDTH}" height="{height:g}" viewBox="0 0 {WIDTH} {height:g}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" '
            'aria-labelledby="title description">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="description">{escape(description)}</desc>',
            f"<style>{_STYLE}{colours}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{height:g}" rx="6"/>',
            *drawn,
            "</svg>\n",
        ]
    )


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """Write words; `y` is the line that they stand on."""
    return f'<text x="{x:.1f}" y="{y:.1f}"{_class(kind)}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"{_class(kind)}/>'


def polyline(points: Iterable[tuple[float, float]], kind: str) -> str:
    """Draw a line through points."""
    way = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="M{way}"{_class(kind)}/>'


def bar(x: float, y: float, width: float, height: float, kind: str, told: str) -> str:
    """Draw a bar that grows to the right from `x`; `told` is said of it when one points at it."""
    turn = min(3.0, width)
    outline = (
        f"M{x:.1f} {y:.1f}h{width - turn:.1f}q{turn:.1f} 0 {turn:.1f} {turn:.1f}"
        f"v{height - 2 * turn:.1f}q0 {turn:.1f} {-turn:.1f} {turn:.1f}h{turn - width:.1f}z"
    )
    return f'<path d="{outline}"{_class(kind)}>{_told(told)}</path>'


def point(x: float, y: float, kind: str, told: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5"{_class(kind)}>{_told(told)}</circle>'


def width_of(words: str, size: float = 13) -> float:
    """Return how much room words take, about."""
    return len(words) * size * _CHARACTER


def wrapped(words: str, width: float, size: float = 12) -> list[str]:
    """Break words into lines that are no wider than `width`."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and width_of(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _class(kind: str) -> str:
    return f" class={quoteattr(kind)}" if kind else ""


def _told(words: str) -> str:
    return f"<title>{escape(words)}</title>" if words else ""
