"""The payment page of the provider that moves no money."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from shop.payments.demo import DemoProvider
from shop.payments.provider import ProviderRefused
from shop.services import services
from shop.web.pages import PROBLEM, Notice, back_with, show_private

bp = Blueprint("demo_payments", __name__)


@bp.get("/demo-payments/<session_id>")
def show(session_id: str) -> BaseResponse:
    provider = _provider()
    try:
        page, session = provider.page(session_id), provider.fetch(session_id)
    except ProviderRefused:
        abort(404)
    return show_private("payments/demo.html", page=page, state=session.state)


@bp.post("/demo-payments/<session_id>")
def act(session_id: str) -> BaseResponse:
    provider, here = _provider(), f"/demo-payments/{session_id}"
    try:
        page = provider.page(session_id)
        if request.form.get("do") == "decline":
            return back_with(Notice("The card was declined. No money moved.", PROBLEM), here)
        if request.form.get("do") != "pay":
            abort(400)
        paid = provider.pay(session_id).state == "paid"
    except ProviderRefused:
        abort(404)
    return redirect(page.success_url, 303) if paid else back_with(None, here)


def _provider() -> DemoProvider:
    if not isinstance(services.provider, DemoProvider):
        abort(404)
    return services.provider
