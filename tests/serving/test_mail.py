"""Mails: each purchase has its own, whatever the mail server does, and none holds up a purchase."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.databases import Databases, shop_in
from tests.support.mail_server import MailServer
from tests.support.running import HURRIED, RunningShop, eventually
from tests.support.shopper import Shopper

pytestmark = [pytest.mark.both_databases, pytest.mark.drill]


@pytest.fixture(scope="module")
def one_server() -> Iterator[MailServer]:
    server = MailServer().start()
    yield server
    server.stop()


@pytest.fixture
def server(one_server: MailServer) -> MailServer:
    """A mail server that has taken nothing yet and takes everything."""
    one_server.be_kind()
    return one_server


@pytest.fixture(scope="module")
def one_mailing(
    dbms: Databases, tmp_path_factory: pytest.TempPathFactory, one_server: MailServer
) -> Iterator[RunningShop]:
    """A shop after the drop that sends its mails to the server, and doesn't wait for long."""
    folder = tmp_path_factory.mktemp("mailing") / "instance"
    options = {"main": HURRIED, "MAIL_REST": "0.2", **one_server.settings}
    with shop_in(dbms, folder, "released", **options) as shop:
        yield shop.start()


@pytest.fixture
def mailing(one_mailing: RunningShop, server: MailServer) -> Iterator[RunningShop]:
    """The shop without any mail of an earlier test."""
    yield one_mailing
    one_mailing.sql("DELETE FROM mails")


def buy(shop: RunningShop, email: str = "kim@example.com", item_id: int = 1, **typed: str) -> None:
    shopper = Shopper(shop)
    shopper.add(item_id)
    answer = shopper.buy(typed={"email": email, **typed})
    assert (answer.status, answer.location) == (303, "/checkout/complete"), answer.text


def mails(shop: RunningShop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(shop.flask("mail", "list", "--all", "--json").stdout)
    return found


def all_sent(shop: RunningShop) -> bool:
    return {mail["state"] for mail in mails(shop)} == {"sent"}


# --- A mail for each purchase -----------------------------------------------------------------


def test_a_purchase_is_followed_by_one_mail_as_text_and_as_html(
    mailing: RunningShop, server: MailServer
) -> None:
    buy(mailing, name="Kim Vale")
    (taken,) = eventually(lambda: server.taken)
    order = mailing.orders()[-1]
    assert (taken.sender, taken.recipients) == ("orders@shop.example", ("kim@example.com",))
    message = taken.message
    assert str(message["From"]) == "Noon <orders@shop.example>"
    assert str(message["To"]) == "kim@example.com"
    assert order["number"] in str(message["Subject"])
    for said in (taken.text, taken.html):
        for fact in (order["number"], "Tideline", "$120.00", "Kim Vale", "Port Elsewhere 1203"):
            assert fact in said, fact
        assert re.search(r"https://shop\.example/orders/[0-9a-f]{48}\b", said)
    eventually(lambda: all_sent(mailing))


def test_the_same_purchase_sent_twice_is_one_mail(mailing: RunningShop, server: MailServer) -> None:
    shopper = Shopper(mailing)
    shopper.add(1)
    form = shopper.checkout_form()
    for _ in range(2):
        assert shopper.buy(form).location == "/checkout/complete"
    eventually(lambda: server.taken)
    eventually(lambda: all_sent(mailing))
    assert len(mails(mailing)) == len(server.taken) == 1


@pytest.mark.sqlite_only("it is about the mail server")
def test_without_a_mail_server_mails_are_files_that_nobody_else_may_read(drop: RunningShop) -> None:
    buy(drop)
    folder = drop.instance / "mail"
    (file,) = eventually(lambda: [*folder.glob("*.eml")] if folder.exists() else [])
    assert drop.orders()[0]["number"] in file.name
    assert (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert b"To: kim@example.com\r\n" in file.read_bytes()


def test_an_operator_has_the_mail_of_an_order_sent_once_more(
    mailing: RunningShop, server: MailServer
) -> None:
    buy(mailing)
    eventually(lambda: all_sent(mailing))
    number = mailing.orders()[-1]["number"]
    assert mailing.flask("orders", "resend", number).stdout == "It is sent once more.\n"
    eventually(lambda: len(server.taken) == 2 and all_sent(mailing))
    assert server.taken[0].text == server.taken[1].text
    wrong = mailing.flask("orders", "resend", "AAAA-AAAA", check=False)
    assert wrong.returncode == 2 and len(mails(mailing)) == 2


# --- What mail servers do ----------------------------------------------------------------------


def test_a_server_that_is_down_holds_up_no_purchase_and_gets_all_mails_when_it_is_back(
    mailing: RunningShop, server: MailServer
) -> None:
    server.stop()
    for number in range(3):
        buy(mailing, f"number{number}@example.com")
    eventually(lambda: "mail: 3 to be sent" in mailing.page("/readyz"), 15)
    assert re.search(r"shop_oldest_unsent_mail_seconds [1-9]", mailing.page("/metrics"))
    assert json.loads(mailing.flask("watch", "--once", "--json").stdout)["mails"]["waiting"] == 3
    refused = mailing.flask("mail", "send", check=False)
    assert refused.returncode == 1 and "3 mails to be sent" in refused.stderr
    server.start()
    eventually(lambda: len(server.taken) == 3)
    assert server.recipients == [f"number{number}@example.com" for number in range(3)]
    eventually(lambda: all_sent(mailing))
    eventually(lambda: mailing.page("/readyz") == "ok\n")


@pytest.mark.sqlite_only("it is about the mail server")
def test_a_slow_server_holds_up_nobody(mailing: RunningShop, server: MailServer) -> None:
    server.delay = 1.0
    buy(mailing)
    eventually(lambda: server.connections)
    began = time.monotonic()
    for _ in range(3):
        buy(mailing)
        mailing.page("/")
    assert not server.taken, "it was that slow"
    assert time.monotonic() - began < 3
    server.delay = 0.0
    eventually(lambda: len(server.taken) == 4, 20)


@pytest.mark.sqlite_only("it is about the mail server")
def test_one_refused_address_is_no_harm_to_others(mailing: RunningShop, server: MailServer) -> None:
    server.refused["gone@example.com"] = "550 5.1.1 nobody here"
    for email in ("gone@example.com", "kim@example.com", "lee@example.com"):
        buy(mailing, email)
    eventually(lambda: sorted(server.recipients) == ["kim@example.com", "lee@example.com"])
    (refused,) = [mail for mail in mails(mailing) if mail["email"] == "gone@example.com"]
    assert refused["state"] == "waiting" and "nobody here" in refused["error"]
    del server.refused["gone@example.com"]
    assert mailing.flask("mail", "send", check=False).returncode == 0
    eventually(lambda: "gone@example.com" in server.recipients)


@pytest.mark.sqlite_only("it is about the mail server")
def test_who_is_greylisted_gets_the_mail_at_a_later_try(
    mailing: RunningShop, server: MailServer
) -> None:
    server.greylisted["kim@example.com"] = 2
    buy(mailing)
    eventually(lambda: server.taken, 20)
    eventually(lambda: all_sent(mailing))
    assert mails(mailing)[0]["attempts"] == 3


@pytest.mark.sqlite_only("it is about the mail server")
def test_a_mail_of_which_nobody_knows_whether_it_was_taken_comes_again_under_the_same_name(
    mailing: RunningShop, server: MailServer
) -> None:
    server.dies_after_data = 1
    buy(mailing)
    buy(mailing, "lee@example.com")
    eventually(lambda: len(server.taken) == 3, 20)
    eventually(lambda: all_sent(mailing))
    assert sorted(server.ids.values()) == [1, 2]


@pytest.mark.sqlite_only("it is about the mail server")
def test_a_server_that_greets_nobody_is_waited_for(
    mailing: RunningShop, server: MailServer
) -> None:
    server.greeting = "421 too busy"
    buy(mailing)
    eventually(lambda: server.connections > 2)
    assert mails(mailing)[0]["attempts"] == 0, "the mail itself was never tried"
    server.greeting = "220 here"
    eventually(lambda: server.taken)


def test_after_two_days_a_mail_is_given_up_and_still_there(
    closed_drop: RunningShop, server: MailServer
) -> None:
    closed_drop.environ |= server.settings
    closed_drop.start()
    server.refused["kim@example.com"] = "550 nobody here"
    buy(closed_drop)
    eventually(lambda: mails(closed_drop)[0]["attempts"] == 1)
    closed_drop.sql("UPDATE mails SET queued = queued - 172801")
    closed_drop.flask("mail", "send", check=False)
    (given_up,) = json.loads(closed_drop.flask("mail", "list", "--json").stdout)
    assert given_up["state"] == "given up"
    closed_drop.flask("mail", "send")
    assert mails(closed_drop) == [given_up]


# --- Several at once, and sudden ends -------------------------------------------------------------


def test_many_processes_send_each_mail_once(closed_drop: RunningShop, server: MailServer) -> None:
    closed_drop.start()
    for number in range(12):
        buy(closed_drop, f"number{number}@example.com")
    eventually(lambda: all_sent(closed_drop))
    closed_drop.stop()
    closed_drop.sql("UPDATE mails SET state = 'waiting', held_until = 0, ended = NULL")
    closed_drop.environ |= server.settings
    server.delay = 0.02
    processes = [closed_drop.start_flask("mail", "send") for _ in range(4)]
    said = [process.communicate(timeout=60)[0] for process in processes]
    assert sum(int(re.findall(r"(\d+) mails? sent", text)[0]) for text in said) == 12
    assert sorted(server.ids.values()) == [1] * 12


def test_a_mail_that_a_process_held_when_it_was_killed_is_sent_when_the_hold_has_run_out(
    mailing: RunningShop, server: MailServer
) -> None:
    server.delay = 2.0
    buy(mailing)
    eventually(lambda: server.connections)
    mailing.kill()
    server.delay = 0.0
    mailing.start()
    assert mailing.flask("mail", "send").stdout == "0 mails sent.\n"
    mailing.sql("UPDATE mails SET held_until = ?", int(time.time()) - 1)
    eventually(lambda: all_sent(mailing))
    assert max(server.ids.values()) == 1


def test_a_server_that_is_stopped_holds_none_of_the_mails_that_wait(
    mailing: RunningShop, server: MailServer
) -> None:
    server.delay = 0.2
    for _ in range(3):
        buy(mailing)
    eventually(lambda: server.connections)
    mailing.stop()
    server.delay = 0.0
    left = mailing.sql("SELECT held_until FROM mails WHERE state = 'waiting'")
    mailing.start()
    assert left and set(left) == {(0,)}
    eventually(lambda: all_sent(mailing))


def test_who_is_forgotten_while_a_mail_goes_out_gets_none_after_that(
    mailing: RunningShop, server: MailServer
) -> None:
    server.delay = 0.5
    buy(mailing)
    eventually(lambda: server.connections)
    said = mailing.flask("privacy", "erase", "kim@example.com", "--yes")
    assert server.recipients == ["kim@example.com"], "it was on its way, and is waited for"
    assert "its buyer is forgotten" in said.stdout and not said.stderr
    assert mailing.sql("SELECT state FROM mails") == [("sent",)]


def test_a_mail_that_hangs_holds_up_no_erasure(mailing: RunningShop, server: MailServer) -> None:
    buy(mailing)
    eventually(lambda: all_sent(mailing))
    held_until = int(time.time()) + 900
    mailing.sql("UPDATE mails SET state = 'waiting', ended = NULL, held_until = ?", held_until)
    said = mailing.flask("privacy", "erase", "kim@example.com", "--yes")
    assert "its buyer is forgotten" in said.stdout
    assert said.stderr == "Warning: a mail to them is being sent and may still arrive\n"
    assert mailing.sql("SELECT state FROM mails") == [("given up",)]


def test_the_mail_of_a_purchase_that_failed_is_never_sent(
    mailing: RunningShop, server: MailServer
) -> None:
    shopper = Shopper(mailing)
    shopper.add(2)
    form = shopper.checkout_form()
    mailing.flask("stock", "set", mailing.sku(2), "0")
    assert shopper.buy(form).location == "/checkout"
    assert mails(mailing) == [] and not server.lines


# --- Nothing that was typed is more than text ----------------------------------------------------


@pytest.mark.sqlite_only("it is about the mail server")
@pytest.mark.parametrize(
    "typed",
    [
        {"email": "kim@example.com\r\nBcc: all@example.com"},
        {"email": "kim@example.com\nBcc: all@example.com"},
        {"email": "kim@example.com, all@example.com"},
        {"email": "<kim@example.com> <all@example.com>"},
        {"email": "kim@example.com> SIZE=1\r\nRCPT TO:<all@example.com"},
        {"email": "kim%0d%0aBcc:all@example.com"},
        {"name": "Kim\r\nBcc: all@example.com\r\n\r\nHello"},
        {"name": "Kim\u2028Bcc: all@example.com", "address": "4 Lane\r\n.\r\nQUIT\r\n9999 Town"},
        {
            "name": "{{ 7777 * 7777 }}",
            "address": "<script>alert(1)</script>\nPort 1203\nNetherland",
        },
    ],
)
def test_nothing_typed_adds_a_header_or_a_recipient(
    mailing: RunningShop, server: MailServer, typed: dict[str, str]
) -> None:
    shopper = Shopper(mailing)
    shopper.add(1)
    if shopper.buy(typed=typed).status == 303:
        (taken,) = eventually(lambda: server.taken)
        assert "Bcc" not in taken.message and len(taken.message.get_all("To", [])) == 1
        assert "<script" not in taken.html and "60481729" not in taken.text
    buy(mailing, "last@example.com")
    eventually(lambda: "last@example.com" in server.recipients)
    assert all(len(taken.recipients) == 1 for taken in server.taken)
    assert "all@example.com" not in server.recipients
    assert not any("all@example.com" in line for line in server.lines if "%0d" not in line)
