"""What people type and paste: what can't be seen is taken out of it, what is no text is found.

Copying from a page, a chat or a contact list brings invisible characters along: directions of
writing, places where a line may break, marks of the program. To whom it belongs they mean
nothing, and two addresses that look the same should be the same. What a spelling needs stays:
joiners in Persian or Sinhala words and in emoji, variants of ideographs and of emoji.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator


def clean(text: str) -> str:
    """Return a text without what nobody sees, in lines without space around or twice.

    It is composed (Unicode's form C), so that what looks the same is mostly the same.
    """
    if not text.isascii():
        text = _TAGS.sub(r"\1", text.translate(_CLEANED))
        text = _compose(_VARIANTS.sub(r"\1", text))
        text = _compose("".join(_without_needless_joiners(_JOINERS.sub(r"\1", text))))
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def on_one_line(text: str) -> str:
    """Return a text with spaces for the line breaks that a field for one line doesn't show.

    Browsers keep CR and LF out of such a field, and leave the others in it.
    """
    return text if text.isprintable() else text.translate(_HIDDEN_BREAKS)


def is_blank(text: str) -> bool:
    """Tell whether there is nothing to be seen in a text that was cleaned."""
    return not any(unicodedata.category(character) not in _UNSEEN for character in text)


def find_no_text(text: str) -> str | None:
    """Return the first character that is in no text, as U+001B; None: all are.

    That is controls, surrogates and noncharacters. Characters that this Python's Unicode doesn't
    know yet, and private ones, are in people's names: who typed them sees them.
    """
    if text.isprintable():  # nearly always
        return None
    found = next(filter(_is_no_text, text), None)
    return None if found is None else f"U+{ord(found):04X}"


def _is_no_text(character: str) -> bool:
    if character.isprintable():
        return False
    code, category = ord(character), unicodedata.category(character)
    if category == "Cc":
        return character not in _LINE_BREAKS and character != "\t"
    return category == "Cs" or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


#: Combining marks, spaces and format characters: with nothing else, nobody is named.
_UNSEEN = frozenset({"Mn", "Mc", "Me", "Zs", "Zl", "Zp", "Cf", "Cc"})

_LINE_BREAKS = "\n\v\f\r\x85\u2028\u2029"

_HIDDEN_BREAKS = str.maketrans(dict.fromkeys("\v\f\x85\u2028\u2029", " "))

#: What looks like a space: Unicode's other white space, and blanks that are letters or symbols
#: by name (fillers of Hangul, Braille without a dot, a note without a head).
_BLANKS = "\t\xa0\u1680\u2000-\u200a\u202f\u205f\u3000\u2800\u3164\uffa0\U0001d159"

#: What isn't seen wherever it stands: Unicode's Default_Ignorable_Code_Point without those that
#: a spelling may need (see below), interlinear annotations, and what stands for a pasted picture.
_NOISE = (
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ufeff\ufff0-\ufffc\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e001f\U000e0080-\U000e00ff\U000e01f0-\U000e0fff"
)


def _expand(ranges: str) -> Iterable[int]:
    for first, last in re.findall("(.)(?:-(.))?", ranges, re.DOTALL):
        yield from range(ord(first), ord(last or first) + 1)


_CLEANED: dict[int, str | None] = {
    **dict.fromkeys(_expand(_NOISE)),
    **dict.fromkeys(_expand(_BLANKS), " "),
    **dict.fromkeys(_expand(_LINE_BREAKS), "\n"),
}

#: Tags spell the flags of parts of a country, after a black flag (Unicode TR 51, ED-14a).
_TAGS = re.compile("(\U0001f3f4[\U000e0020-\U000e007f]{1,7})|[\U000e0020-\U000e007f]")

#: One variation selector chooses how a character is drawn; no letter of Latin has variants.
_VARIANT = "[\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]"
_VARIED = "[#*0-9©®\u1800-\u180a\u1810-\u1fff\u2010-\ufdff\ufe10-\U000dffff]"
_VARIANTS = re.compile(f"((?<={_VARIED}){_VARIANT}){_VARIANT}*|{_VARIANT}+")

#: Joiners (ZWNJ, ZWJ): one is enough. They follow letters of scripts that join, with their marks,
#: from Hebrew to Vedic, and emoji (Unicode, section 23.2; RFC 5892, appendix A).
_JOINERS = re.compile("([\u200c\u200d])[\u200c\u200d]*")
_JOINS = re.compile(
    "[\u0590-\u10ff\u1200-\u1cff\ua800-\uabff\ufb1d-\ufdff\ufe70-\ufefc\U00010a00-\U00011fff"
    "\U0001e900-\U0001e95f\u2190-\u2bff\U0001f000-\U0001ffff]"
)
_VIRAMA = 9  # the combining class of signs that take a letter's vowel away


def _without_needless_joiners(text: str) -> Iterator[str]:
    """Give the characters of a text, joiners only between two that they may join.

    After a virama a joiner has its meaning also at the end of a word.
    """
    joins = without_vowel = False
    for place, character in enumerate(text):
        if character in "\u200c\u200d":
            if not (joins and (without_vowel or text[place + 1 : place + 2].strip())):
                continue
        elif unicodedata.category(character).startswith("M"):
            without_vowel |= unicodedata.combining(character) == _VIRAMA
        else:
            joins, without_vowel = _JOINS.match(character) is not None, False
        yield character


#: Ideographs that composing would replace by others: people write their names with these.
_COMPATIBILITY_IDEOGRAPHS = re.compile("([\uf900-\ufaff\U0002f800-\U0002fa1f])")


def _compose(text: str) -> str:
    pieces = _COMPATIBILITY_IDEOGRAPHS.split(text)
    pieces[::2] = [unicodedata.normalize("NFC", piece) for piece in pieces[::2]]
    return "".join(pieces)
