"""What `deploy/` ships: units that systemd accepts, and settings that the shop knows."""

from __future__ import annotations

import re
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from shop.config import LONGEST_DRAIN, load_settings
from shop.serving.workers import TO_FINISH
from shop.setting_values import SettingError
from tests.support.running import ROOT, RunningShop
from tests.support.systemd import settings_in

UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())
EXAMPLE = ROOT / "deploy" / "shop.env.example"

#: How much a service may reach, by systemd's own reckoning: 10 is everything.
MOST_EXPOSURE = 2.0


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units with programs that are there; nothing else of them is changed."""
    for unit in UNITS:
        text = unit.read_text().replace("/srv/shop/current/", f"{ROOT}/")
        (tmp_path / unit.name).write_text(text)
    return tmp_path


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True)


def test_systemd_finds_nothing_wrong_with_the_units(units: Path) -> None:
    done = analyze("verify", *sorted(units.iterdir()))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_mistake_in_a_unit_would_be_found(units: Path) -> None:
    service = units / "shop.service"
    service.write_text(service.read_text().replace("ProtectHome", "ProtectHouse"))
    assert "ProtectHouse" in analyze("verify", service).stderr


@pytest.mark.parametrize("name", ["shop.service", "shop-backup.service"])
def test_a_service_can_reach_little_beside_its_data(units: Path, name: str) -> None:
    said = analyze("security", "--offline=true", units / name).stdout
    found = re.search(r"Overall exposure level for .*: ([\d.]+)", said)
    assert found
    assert float(found[1]) <= MOST_EXPOSURE


def test_stopping_waits_for_longer_than_closing_may_ever_take(tmp_path: Path) -> None:
    unit = (ROOT / "deploy" / "systemd" / "shop.service").read_text()
    timeout = re.search(r"TimeoutStopSec=(\d+)", unit)
    assert timeout
    assert int(timeout[1]) > LONGEST_DRAIN + TO_FINISH + 5
    environ = {"SHOP_INSTANCE": str(tmp_path), "SHOP_DRAIN_SECONDS": str(LONGEST_DRAIN + 1)}
    with pytest.raises(SettingError):
        load_settings(environ)


def test_the_example_names_every_setting_and_no_other() -> None:
    read = [(ROOT / "shop" / name).read_text() for name in ("config.py", "secret_key.py")]
    known = set(re.findall(r'"(SHOP_[A-Z_]+)"', "".join(read)))
    named = re.findall(r"^#?(SHOP_[A-Z_]+)=", EXAMPLE.read_text(), re.M)
    assert len(named) == len(set(named))
    assert set(named) == known


@pytest.mark.parametrize("filled_in", [False, True], ids=["as it is", "filled in"])
def test_the_shop_starts_with_the_example(tmp_path: Path, filled_in: bool) -> None:
    text = EXAMPLE.read_text()
    if filled_in:
        text = re.sub(r"^#(SHOP_(?!DATABASE|REDIS|SECRET|HOST|PORT))", r"\1", text, flags=re.M)
        text = text.replace("#SHOP_SECRET_KEY=", "SHOP_SECRET_KEY='long and random enough'")
    file = tmp_path / "shop.env"
    file.write_text(text.replace("/var/lib/shop", str(tmp_path / "shop")))
    settings = settings_in(file)
    assert len(settings) == len(re.findall(r"^SHOP_", text, re.M)) >= 8
    shop = RunningShop(tmp_path / "shop")
    shop.environ.update(settings)
    with ExitStack() as stack:
        stack.callback(shop.end)
        assert re.search(r'class="masthead__name"[^>]*>(<span[^>]*>)?Noon<', shop.start().page())
