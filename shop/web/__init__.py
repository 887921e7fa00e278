"""What shoppers reach over HTTP. Thin: parse, one call, answer."""

from __future__ import annotations

from shop.web import (
    alerts,
    budgets,
    cart,
    catalog,
    checkout,
    csrf,
    demo_payments,
    discovery,
    errors,
    face,
    health,
    limits,
    live,
    media,
    orders,
    payments,
    requests,
    security,
    session,
    visitor,
)
from shop.web.app import ShopApp


def install_web(app: ShopApp) -> None:
    """Register every route, and what goes before and after all of them."""
    requests.install(app)
    security.install(app)
    session.install(app)
    visitor.install(app)
    budgets.install(app)
    limits.install(app)
    csrf.install(app)
    errors.install(app)
    health.install(app)
    modules = (catalog, cart, checkout, discovery, face, health, live, media)
    for module in (*modules, alerts, orders, payments, demo_payments):
        app.register_blueprint(module.bp)
    app.stream_paths = frozenset(rule.rule for rule in app.url_map.iter_rules("live.stream"))
