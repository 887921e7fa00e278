"""The opening of a product as an entry for calendars (RFC 5545)."""

from __future__ import annotations

from shop.moments import at

#: How long the entry is: long enough to be seen in a calendar.
_MINUTES = 15

#: A line has at most so many bytes (RFC 5545, section 3.1); the rest goes on after a space.
_LONGEST = 75

_BEGIN = ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//drop-shop//opening//EN")
_END = "END:VCALENDAR"


def opening_entry(uid: str, title: str, address: str, opens_at: int, version: int) -> str:
    """Return an iCalendar file with one entry, and an alarm ten minutes before.

    Args:
        uid: names the entry: another one with this takes its place in a calendar.
        address: of the product's page.
        opens_at: milliseconds since 1970.
        version: grows with every change of the moment.
    """
    begins = at(opens_at).strftime("%Y%m%dT%H%M%SZ")
    entry = (
        "BEGIN:VEVENT",
        f"UID:{_text(uid)}",
        f"SEQUENCE:{version % 2**31}",
        f"DTSTAMP:{begins}",
        f"DTSTART:{begins}",
        f"DURATION:PT{_MINUTES}M",
        f"SUMMARY:{_text(title)}",
        f"URL:{address}",
        "BEGIN:VALARM",
        "ACTION:DISPLAY",
        f"DESCRIPTION:{_text(title)}",
        "TRIGGER:-PT10M",
        "END:VALARM",
        "END:VEVENT",
    )
    return "".join(f"{_folded(line)}\r\n" for line in (*_BEGIN, *entry, _END))


def _text(value: str) -> str:
    """Escape a text (RFC 5545, section 3.3.11)."""
    value = " ".join(value.split())
    return value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")


def _folded(line: str) -> str:
    parts, part = [], ""
    for letter in line:
        if len(f"{part}{letter}".encode()) > _LONGEST:
            parts.append(part)
            part = " "
        part += letter
    return "\r\n".join([*parts, part])
