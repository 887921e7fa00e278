"""Servers whose wall clocks are wrong: by libfaketime, which leaves the monotonic clock alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.running import RunningShop

_LIBRARY = "faketime/libfaketime.so.1"


def clock_off_by(seconds: int) -> dict[str, str]:
    """Return the settings of a process whose wall clock is ahead, or (negative) behind."""
    (library,) = Path("/usr/lib").glob(f"*/{_LIBRARY}")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{seconds:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


def beside(shop: RunningShop, seconds: int = 0, instance: Path | None = None) -> RunningShop:
    """Return another server of a shop, with a wall clock of its own, that does not run yet."""
    own = ("SHOP_HOST", "SHOP_PORT", "SHOP_INSTANCE")
    settings: dict[str, Any] = {
        k: v for k, v in shop.environ.items() if k.startswith("SHOP_") and k not in own
    }
    if seconds:
        settings |= clock_off_by(seconds)
    return RunningShop(instance or shop.instance, **settings)
