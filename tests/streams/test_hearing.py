"""Tabs whose news got lost: they are true again after the next look at everything."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from shop import create_app
from shop.changes import cart_name
from shop.models.cart import new_cart_id
from shop.services import Services
from shop.tabs import QueueTab

SIZE = 1


@pytest.fixture
def deaf(released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """A shop that is told of every commit, as it believes, and hears of none; told by hand."""
    instance = shutil.copytree(released, tmp_path / "instance")
    services: Services = create_app({"SHOP_INSTANCE": str(instance)}).extensions["shop"]
    services.database.on_commit = lambda names: None
    monkeypatch.setattr(services.live, "_relay", SimpleNamespace(up=True))
    monkeypatch.setattr(services.live, "start", lambda: None)
    yield services
    services.database.close()


def look_at_everything(services: Services) -> None:
    services.live._sweep_at = 0.0
    services.live._turn()


def empty_cart(services: Services) -> str:
    cart_id = new_cart_id()
    services.carts.add(cart_id, SIZE)
    services.carts.remove(cart_id, SIZE)
    return cart_id


def open_tab(services: Services, cart_id: str) -> QueueTab:
    return QueueTab(services.hub, (cart_name(cart_id),), threading.Event(), is_event_stream=False)


def test_a_tab_of_an_empty_cart_is_led_to_the_one_that_it_was_merged_into(deaf: Services) -> None:
    secondary, leading = empty_cart(deaf), new_cart_id()
    deaf.carts.add(leading, SIZE)
    tab = open_tab(deaf, secondary)
    deaf.live.present_state(tab.topics)
    deaf.carts.merge(leading, [secondary])
    look_at_everything(deaf)
    assert tab.topics == (cart_name(leading),)
    assert f'data-item-id="{SIZE}"' in tab.take(0)[-1].text


def test_so_is_one_that_opened_while_it_was_merged(deaf: Services) -> None:
    secondary, leading = empty_cart(deaf), new_cart_id()
    deaf.carts.add(leading, SIZE)
    tab = open_tab(deaf, secondary)
    deaf.carts.merge(leading, [secondary])
    look_at_everything(deaf)  # which knows nothing yet of the tab's cart
    deaf.live.present_state(tab.topics)
    deaf.live._turn()
    assert tab.topics == (cart_name(leading),)
    assert f'data-item-id="{SIZE}"' in tab.take(0)[-1].text


def test_a_tab_names_the_next_purchase_when_the_same_is_in_the_cart_again(deaf: Services) -> None:
    cart_id = new_cart_id()
    deaf.carts.add(cart_id, SIZE)
    tab = open_tab(deaf, cart_id)
    assert 'id="seen-purchase-0"' in deaf.live.present_state(tab.topics)
    bought = text("UPDATE carts SET purchases = 1, version = version + 1")
    deaf.database.transact(lambda tx: tx.execute(bought))
    look_at_everything(deaf)
    assert 'id="seen-purchase-1"' in tab.take(0)[-1].text


def test_what_a_tab_sees_differently_is_newer_for_it_whatever_the_database_says(
    deaf: Services,
) -> None:
    # As when a cart was bought, and its item then sold out to another, of which was heard first.
    cart_id = new_cart_id()
    deaf.carts.add(cart_id, SIZE)
    tab = open_tab(deaf, cart_id)
    deaf.live.present_state(tab.topics)
    change(deaf, "UPDATE items SET available = 0, version = version + 60000 WHERE id = 1")
    look_at_everything(deaf)
    sold_out = tab.take(0)[-1].text
    deaf.carts.remove(cart_id, SIZE)
    change(deaf, "UPDATE carts SET version = version - 60000")
    look_at_everything(deaf)
    emptied = tab.take(0)[-1].text
    assert "sold out" in sold_out and "sold out" not in emptied
    assert version_of(emptied) > version_of(sold_out)


def change(services: Services, statement: str) -> None:
    services.database.transact(lambda tx: tx.execute(text(statement)))


def version_of(message: str) -> int:
    found = re.search(r'id="cart"[^>]* data-version="(\d+)"', message)
    assert found is not None
    return int(found[1])
