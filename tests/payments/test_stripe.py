"""Stripe's own library against a double that speaks as Stripe does."""

from __future__ import annotations

import json
import logging
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from shop.payments.provider import (
    Forged,
    PaymentLine,
    PaymentRequest,
    ProviderAway,
    ProviderFailed,
    ProviderRefused,
)
from shop.payments.stripe import StripeProvider
from shop.payments.stripe_amounts import check_currency, from_stripe, to_stripe
from shop.payments.stripe_objects import params as right
from shop.setting_values import SettingError
from tests.support.stripe_books import Answer, refused
from tests.support.stripe_double import KEY, SECRET, Faults, StripeDouble, signature


@pytest.fixture
def double() -> Iterator[StripeDouble]:
    with StripeDouble().serving() as double:
        yield double


@pytest.fixture
def provider(double: StripeDouble) -> StripeProvider:
    return StripeProvider(KEY, SECRET, double.url)


def request(number: str = "K7QX-4MNP", attempt: int = 1, **more: object) -> PaymentRequest:
    asked = PaymentRequest(
        number=number,
        attempt=attempt,
        amount=24_500,
        currency="USD",
        email="kim@example.com",
        lines=(
            PaymentLine("Ostervane Kiln, Bone & Clay, size 9½", 12_000),
            PaymentLine("Ostervane Tideline, size 10", 12_000),
            PaymentLine("Shipping and tax", 500),
        ),
        success_url="https://shop.example/orders/abc/pay?returned=1",
        cancel_url="https://shop.example/orders/abc/pay",
        ends_at=int(time.time()) + 3900,
    )
    return replace(asked, **more)  # type: ignore[arg-type]


def test_a_page_is_opened_paid_and_paid_back(
    double: StripeDouble, provider: StripeProvider
) -> None:
    opened = provider.open(request())
    assert (opened.state, opened.number, opened.amount, opened.currency, opened.live) == (
        *("open", "K7QX-4MNP", 24_500, "USD", False),
    )
    assert opened.url == f"{double.url}/pay/{opened.id}"
    assert provider.fetch(opened.id) == opened
    asked = double.sessions[opened.id]
    assert asked["customer_email"] == "kim@example.com"
    assert asked["names"][0] == "Ostervane Kiln, Bone & Clay, size 9½"

    double.pay(opened.id)
    paid = provider.fetch(opened.id)
    assert (paid.state, paid.url) == ("paid", None)
    assert paid.payment is not None
    first = provider.refund(paid.payment, 12_000, "USD", "refund-K7QX-4MNP-1")
    assert (first.amount, first.state) == (12_000, "done")
    assert provider.refund(paid.payment, 12_000, "USD", "refund-K7QX-4MNP-1") == first
    provider.refund(paid.payment, 12_500, "USD", "refund-K7QX-4MNP-2")
    with pytest.raises(ProviderRefused, match="greater than the charge"):
        provider.refund(paid.payment, 1, "USD", "refund-K7QX-4MNP-3")
    assert [refund.amount for refund in provider.refunds(0)] == [12_500, 12_000]
    assert [session.state for session in provider.sessions(0)] == ["paid"]


def test_it_is_paid_in_the_orders_currency_whatever_the_account_would_rather(
    double: StripeDouble, provider: StripeProvider
) -> None:
    asked: list[dict[str, Any]] = []
    answer = double.answer
    double.answer = lambda *call: (asked.append(call[2]), answer(*call))[1]  # type: ignore[method-assign, func-returns-value]
    provider.open(request())
    assert asked[0]["adaptive_pricing"] == {"enabled": "false"}


def test_an_address_that_stripe_does_not_take_is_typed_there(
    double: StripeDouble, provider: StripeProvider
) -> None:
    asked = request(email="käthe@example.com")
    opened = provider.open(asked)
    assert provider.open(asked) == opened
    assert double.sessions[opened.id]["customer_email"] is None
    assert len(double.sessions) == 1


def test_what_stripe_says_of_an_address_is_not_said_on(
    double: StripeDouble, provider: StripeProvider
) -> None:
    def answer(*_: object) -> Answer:
        return refused(400, "kim@example.com is blocked")

    double.answer = answer  # type: ignore[assignment, method-assign]
    with pytest.raises(ProviderRefused) as error:
        provider.open(request())
    assert str(error.value) == "… is blocked (status 400)"


def test_what_else_is_sold_through_the_account_is_left_out(
    double: StripeDouble, provider: StripeProvider
) -> None:
    opened = provider.open(request())
    double.sessions["cs_link"] = {**double.sessions[opened.id], "id": "cs_link", "metadata": {}}
    assert [session.id for session in provider.sessions(0)] == [opened.id]


def test_the_double_takes_only_what_the_library_has_types_for(
    double: StripeDouble, provider: StripeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong in ({"mode": "pay"}, {"expire_at": 1}, {"adaptive_pricing": {"on": True}}):
        params = lambda asked, wrong=wrong: {**right(asked), **wrong}  # noqa: E731
        monkeypatch.setattr("shop.payments.stripe_objects.params", params)
        with pytest.raises(ProviderRefused, match=r"unknown parameter|must be one of"):
            provider.open(request())
    assert not double.sessions


def test_many_calls_at_once_share_their_connections(
    double: StripeDouble, provider: StripeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    for turn in range(2):
        asked = [request(f"AAAA-AA{turn}{number}") for number in range(20)]
        with ThreadPoolExecutor(20) as pool:
            pages = pool.map(provider.open, asked)
        assert {page.state for page in pages} == {"open"}
    assert not caplog.text


def test_the_same_request_opens_one_page_also_when_its_answer_was_lost(
    double: StripeDouble, provider: StripeProvider
) -> None:
    asked = request()
    double.faults.next_calls.append("lost")
    with pytest.raises(ProviderAway) as lost:
        provider.open(asked)
    assert not isinstance(lost.value, ProviderFailed)
    opened = provider.open(asked)
    assert provider.open(asked) == opened
    assert len(double.sessions) == 1
    with pytest.raises(ProviderFailed):  # other parameters under the same key
        provider.open(replace(asked, success_url="https://shop.example/other"))
    assert provider.open(replace(asked, attempt=2)).id != opened.id


def test_a_refund_is_made_once_also_when_the_key_is_forgotten(
    double: StripeDouble, provider: StripeProvider
) -> None:
    opened = provider.open(request())
    double.pay(opened.id)
    payment = provider.fetch(opened.id).payment or ""
    double.faults.next_calls.extend(["", "lost"])  # it looks for one first
    with pytest.raises(ProviderAway):
        provider.refund(payment, 12_000, "USD", "refund-1")
    double._answered.clear()
    assert provider.refund(payment, 12_000, "USD", "refund-1").amount == 12_000
    assert len(double.refunds) == 1


def test_an_error_of_stripes_own_is_repeated_for_its_key_and_not_for_the_next(
    double: StripeDouble, provider: StripeProvider
) -> None:
    asked = request()
    double.faults.next_calls.append("error after")
    for _ in range(2):
        with pytest.raises(ProviderFailed):
            provider.open(asked)
    assert provider.open(replace(asked, attempt=2)).state == "open"


def test_a_page_is_ended_unless_it_was_paid_before(
    double: StripeDouble, provider: StripeProvider
) -> None:
    first, second = provider.open(request("AAAA-AAAA")), provider.open(request("BBBB-BBBB"))
    before = len(double.calls)
    assert provider.expire(first.id).state == "expired"
    assert len(double.calls) == before + 1
    assert provider.expire(first.id).state == "expired"
    assert not double.pay(first.id)
    double.pay(second.id)
    assert provider.expire(second.id).state == "paid"
    with pytest.raises(ProviderRefused):
        provider.expire("cs_test_unknown")


@pytest.mark.parametrize("comes", [True, False])
def test_money_that_is_on_its_way_is_waited_for(
    double: StripeDouble, provider: StripeProvider, comes: bool
) -> None:
    opened = provider.open(request())
    double.pay(opened.id, delayed=True)
    assert provider.fetch(opened.id).state == "pending"
    assert provider.expire(opened.id).state == "pending"
    double.come_through(opened.id, paid=comes)
    assert provider.fetch(opened.id).state == ("paid" if comes else "expired")


def test_a_page_ends_by_itself_at_its_time(double: StripeDouble, provider: StripeProvider) -> None:
    opened = provider.open(request())
    double.ahead = 4000
    assert provider.fetch(opened.id).state == "expired"
    with pytest.raises(ProviderRefused, match="30 min"):
        provider.open(request(attempt=2))


@pytest.mark.parametrize("fault", ["away", "busy", "gateway"])
def test_no_answer_says_nothing(double: StripeDouble, provider: StripeProvider, fault: str) -> None:
    opened = provider.open(request())
    for ask in (provider.fetch, provider.expire):
        double.faults.next_calls.append(fault)
        with pytest.raises(ProviderAway) as error:
            ask(opened.id)
        assert not isinstance(error.value, ProviderFailed)
    assert provider.fetch(opened.id).state == "open"


def test_what_keeps_an_answer_away_is_said_in_a_line(double: StripeDouble) -> None:
    with pytest.raises(ProviderAway, match=r"^no answer \(ConnectionError\)$"):
        StripeProvider(KEY, SECRET, "http://127.0.0.1:9").fetch("cs_1")
    with pytest.raises(ProviderAway, match=r"^no answer \(SSLError\)$"):
        StripeProvider(KEY, SECRET, double.url.replace("http:", "https:")).fetch("cs_1")


def test_more_calls_than_it_takes_are_an_answer_that_is_still_to_come(
    double: StripeDouble, provider: StripeProvider
) -> None:
    double.faults.most_calls = 3
    for number in range(3):
        provider.open(request(f"AAAA-AAA{number}"))
    with pytest.raises(ProviderAway):
        provider.open(request("BBBB-BBBB"))


@pytest.mark.drill
def test_silence_is_given_up_after_some_seconds(
    double: StripeDouble, provider: StripeProvider
) -> None:
    double.faults.next_calls.append("silence")
    began = time.monotonic()
    with pytest.raises(ProviderAway):
        provider.open(request())
    assert time.monotonic() - began < 10


def test_a_wrong_key_is_said_and_never_shown(
    double: StripeDouble, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "sk_test_a-secret-that-nobody-may-read"
    caplog.set_level(logging.DEBUG)
    provider = StripeProvider(secret, "whsec_another-secret", double.url)
    with pytest.raises(ProviderAway) as error:
        provider.open(request())
    seen = f"{error.value!r} {error.value} {provider!r} {caplog.text}"
    assert "401" in str(error.value)
    assert "nobody-may-read" not in seen
    assert "another-secret" not in seen
    assert "kim@example.com" not in caplog.text


def test_a_developer_switches_what_goes_wrong_by_its_page(
    double: StripeDouble, provider: StripeProvider
) -> None:
    def switch(**faults: object) -> None:
        body = urlencode(faults).encode()
        with urllib.request.urlopen(f"{double.url}/faults", body) as answer:
            assert answer.status == 200

    switch(next_calls="busy, lost", webhooks="twice", most_calls=25, silence=0.5, broken="on")
    assert double.faults == Faults("twice", deque(["busy", "lost"]), 25, False, True, 0.5)
    switch(next_calls="", webhooks="", most_calls=0, silence=0, broken="off", ahead=4000)
    assert double.faults == Faults()
    assert double.ahead == 4000
    switch(ahead=0)
    opened = provider.open(request())
    with urllib.request.urlopen(opened.url or "", b"do=decline") as page:
        assert b"declined" in page.read()
    double.pay(opened.id, delayed=True)
    with urllib.request.urlopen(double.url) as page:
        assert b"The money arrives" in page.read()
    switch(arrived=opened.id)
    assert provider.fetch(opened.id).state == "paid"


# --- Messages -----------------------------------------------------------------------------------

EVENT = {
    "id": "evt_1",
    "object": "event",
    "type": "checkout.session.completed",
    "livemode": False,
    "data": {"object": {"id": "cs_test_1", "object": "checkout.session"}},
}


def signed(event: object, secret: str = SECRET, at: int | None = None) -> tuple[bytes, str]:
    body = json.dumps(event).encode()
    return body, signature(body, secret, at or int(time.time()))


def test_a_message_tells_of_its_session(provider: StripeProvider) -> None:
    message = provider.verify(*signed(EVENT))
    assert (message.id, message.session_id) == ("evt_1", "cs_test_1")
    other = {**EVENT, "type": "charge.refunded"}
    assert provider.verify(*signed(other)).session_id is None


@pytest.mark.parametrize(
    ("body", "header"),
    [
        signed(EVENT, secret="whsec_another"),
        signed(EVENT, at=int(time.time()) - 301),
        signed({**EVENT, "livemode": True}),
        signed({"id": "evt_1"}),
        signed([]),
        (b"{}", ""),
        (b"\xff\xfe", "t=1,v1=00"),
        (signed(EVENT)[0] + b" ", signed(EVENT)[1]),
        (signed(EVENT)[0], "t=x,v1=\xff"),
    ],
    ids=["secret", "old", "mode", "bare", "list", "unsigned", "garbage", "changed", "header"],
)
def test_what_is_not_stripes_is_refused(provider: StripeProvider, body: bytes, header: str) -> None:
    with pytest.raises(Forged):
        provider.verify(body, header)


# --- Amounts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency", "given"),
    [
        *((12_000, "USD", 12_000), (12_000, "EUR", 12_000)),
        *((12_000, "JPY", 12_000), (12_000, "KRW", 12_000)),
        *((12_000, "ISK", 1_200_000), (12_000, "UGX", 1_200_000)),
        *((12_340, "KWD", 12_340), (120_000, "MGA", 1200)),
    ],
)
def test_amounts_are_written_as_stripe_does(amount: int, currency: str, given: int) -> None:
    assert to_stripe(amount, currency) == given
    assert from_stripe(given, currency) == amount


@pytest.mark.parametrize(("amount", "currency"), [(12_345, "KWD"), (12_050, "MGA")])
def test_amounts_that_stripe_cannot_write_are_refused(amount: int, currency: str) -> None:
    with pytest.raises(ProviderRefused):
        to_stripe(amount, currency)


def test_a_currency_that_stripe_does_not_take_ends_the_start() -> None:
    check_currency("USD")
    with pytest.raises(SettingError, match="SHOP_CURRENCY"):
        check_currency("IQD")
