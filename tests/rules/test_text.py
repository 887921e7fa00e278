"""Pasted text: what nobody sees is taken out, what a spelling needs is left, in little time."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop.text import clean, find_no_text, is_blank

#: What is hard to get right, beside one another.
AWKWARD = (
    "aK \n\x85\u2028\u200b\u200c\u200d\ufe0f\U000e0100\u180e\U000e0041\U0001f3f4\u2764\u3164\u1160"
)
AWKWARD += "\u0627\u094d\u0b47\u0b3e\u0308\ufa19\ue000"


@given(st.text() | st.text(st.sampled_from(AWKWARD)))
def test_cleaning_what_is_clean_changes_nothing(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert once == once.strip()


@given(
    st.text(
        st.characters(
            categories=("L", "N", "P", "S", "Co"),
            exclude_characters="\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufffc\U0001d159",
        ),
        min_size=1,
    )
)
def test_letters_numbers_signs_and_private_characters_are_never_lost(text: str) -> None:
    assert unicodedata.normalize("NFC", clean(text)) == unicodedata.normalize("NFC", text)
    assert not is_blank(clean(text))
    assert find_no_text(text) is None


#: Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt), and other blanks.
UNSEEN = [
    *"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u3164\ufeff\uffa0",
    *map(chr, range(0x200B, 0x2010)),
    *map(chr, range(0x2028, 0x2030)),
    *map(chr, range(0x2060, 0x2070)),
    *map(chr, range(0xFE00, 0xFE10)),
    *map(chr, range(0xFFF0, 0xFFFD)),
    *map(chr, range(0x1BCA0, 0x1BCA4)),
    *map(chr, range(0x1D173, 0x1D17B)),
    *map(chr, range(0xE0000, 0xE0200)),
    *map(chr, range(0xE0FF0, 0xE1000)),
    *"\t\n\r\xa0\u1680\u2000\u200a\u205f\u2800\u3000\U0001d159",
]


def test_nothing_that_is_not_seen_makes_a_name() -> None:
    for character in UNSEEN:
        for text in (character, character * 8, f" {character} \u200b"):
            assert is_blank(clean(text)), ascii(text)
        assert clean(f"{character} Kim {character}") == "Kim", ascii(character)
        assert clean(f"Kim{character}") == "Kim", ascii(character)


def test_only_controls_surrogates_and_noncharacters_are_no_text() -> None:
    spaces = {9, 10, 11, 12, 13, 0x85}
    for code in range(0x110000):
        control = code < 0x20 or 0x7F <= code < 0xA0
        surrogate, nonchar = (
            0xD800 <= code < 0xE000,
            0xFDD0 <= code < 0xFDF0 or code & 0xFFFE == 0xFFFE,
        )
        expected = (control and code not in spaces) or surrogate or nonchar
        assert (find_no_text(chr(code)) is not None) == expected, hex(code)


@pytest.mark.parametrize(
    "piece",
    ["\u200d", "\u0627\u200c", "\ufe0f", "\U0001f3f4\U000e0041", "\ufa19", " \u3164"],
    ids=ascii,
)
def test_however_odd_a_long_text_is_it_is_cleaned_in_little_time(piece: str) -> None:
    began = time.perf_counter()
    clean(piece * 20_000)
    assert time.perf_counter() - began < 5
