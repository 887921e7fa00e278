"""An operator's texts: Markdown files, and HTML that may come from anywhere, made safe to show."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

log = logging.getLogger(__name__)

#: The most bytes of a text, and the most texts.
MOST_BYTES = 256 * 1024
MOST_TEXTS = 50

_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

#: What may be in a text. No pictures: the shop's pages show none from elsewhere.
_TAGS = {
    *("a", "b", "blockquote", "br", "code", "dd", "del", "div", "dl", "dt", "em", "h1", "h2"),
    *("h3", "h4", "h5", "h6", "hr", "i", "li", "ol", "p", "pre", "s", "small", "span", "strong"),
    *("sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "u", "ul"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan"}}
_SCHEMES = {"http", "https", "mailto", "tel"}


@dataclass(frozen=True, slots=True)
class Text:
    """A page of the shop's own words."""

    name: str
    title: str
    html: Markup


def read_texts(folder: Path) -> dict[str, Text]:
    """Read all texts of a folder by their names; what can't be used is left out, and logged."""
    texts: dict[str, Text] = {}
    for file in files_in(folder):
        try:
            if file.stat().st_size > MOST_BYTES:
                raise ValueError(f"it has more than {MOST_BYTES} bytes")
            source = file.read_text("utf-8-sig")
        except UnicodeDecodeError:
            log.warning("the text %s is left out: it is not in UTF-8", file)
            continue
        except (OSError, ValueError) as error:
            log.warning("the text %s is left out: %s", file, error)
            continue
        html = from_markdown(source)
        texts[file.stem] = Text(file.stem, _title(html) or _words(file.stem), html)
    return texts


def files_in(folder: Path) -> list[Path]:
    """Return the files of texts, in the order of their names."""
    try:
        found = sorted(folder.glob("*.md"))
    except OSError:
        return []
    return [file for file in found if _NAME.fullmatch(file.stem)][:MOST_TEXTS]


def from_markdown(source: str) -> Markup:
    """Make HTML of Markdown, with nothing in it that could act."""
    return from_html(_markdown().render(source))


def from_html(source: str) -> Markup:
    """Reduce HTML to what a text needs."""
    cleaned = nh3.clean(
        source,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer nofollow",
    )
    return Markup(cleaned)  # noqa: S704  (it was cleaned)


def from_description(source: str) -> Markup:
    """Make HTML of what describes a product: HTML as Shopify has it, or Markdown or plain text."""
    is_html = re.search(r"</?(p|div|br|ul|ol|li|span|strong|em|h[1-6]|table)\b", source)
    return from_html(source) if is_html else from_markdown(source)


@cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": True, "breaks": True}).enable("table")


def _title(html: Markup) -> str:
    found = re.search(r"<h[1-6]>(.*?)</h[1-6]>", html, re.DOTALL)
    return Markup(found[1]).striptags() if found else ""  # noqa: S704  (it was cleaned)


def _words(name: str) -> str:
    return re.sub("[_-]+", " ", name).capitalize()
