"""Whether a postal address that was typed as one text seems to be all of it.

Nobody knows what every address in the world looks like, so nothing is refused here: who typed
one that seems to lack its town is asked, once. Browsers fill such a field with the street alone.
"""

from __future__ import annotations

import re

#: Whoever types so much has typed more than a street.
_LONG = 50

#: What stands for a part of a house: never for a town.
_UNIT = re.compile(
    r"""\b(?:apartment|appartement|appt?|apt|flat|unit|suite|ste|room|rm|floor|fl|building|bldg|block
        |staircase|door|wohnung|whg|top|stiege|lgh|piso|puerta|interno|int|scala)\b[.:]?\s*\#?\s*\w{0,5}\b
    |\b\d+(?:st|nd|rd|th)\s+floor\b
    |\#\s*\w+""",
    re.IGNORECASE | re.VERBOSE,
)

_BETWEEN_PARTS = re.compile(r"[\n,;、،]|\s/\s")

#: A house and a postcode have a number each; "12-14" and "150-0001" are one.
_NUMBER = re.compile(r"\d+(?:[-\u2013]\d+)*")

#: Written without spaces or commas, from the town down to the house.
_DENSE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def seems_to_lack_a_town(address: str) -> bool:
    """Tell whether an address seems to end with the street.

    Args:
        address: as it is stored, in lines.
    """
    if len(address) >= _LONG or _DENSE.search(address):
        return False
    rest = _UNIT.sub(" ", address)
    parts = [part for part in _BETWEEN_PARTS.split(rest) if any(map(str.isalnum, part))]
    return len(parts) < 2 and len(_NUMBER.findall(rest)) < 2
