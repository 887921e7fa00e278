"""A real-time shop for limited drops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def create_app(environ: Mapping[str, str] | None = None) -> Flask:
    """Make the shop's app.

    Args:
        environ: where settings are read from; by default the process's environment and `.env`.

    Raises:
        SettingError: a setting can't be used. Shown by flask commands as one line.
    """
    # Imported when an app is made: `shop.serve_workers` needs some of the packages, in a process
    # that must not know the others before gevent has patched what they build on.
    from shop.commands import install_commands
    from shop.config import load_settings
    from shop.render.template_globals import install_template_globals
    from shop.services import install_services
    from shop.serving.assets import install_assets
    from shop.setting_values import ROOT
    from shop.web import install_web
    from shop.web.app import ShopApp

    settings = load_settings(environ)
    app = ShopApp(__name__, static_folder=None, instance_path=str(settings.instance))
    app.url_map.merge_slashes = False  # an address has one spelling; others are not here
    install_template_globals(app, settings)
    install_services(app, settings)
    install_assets(app, ROOT / "shop" / "static", settings.instance / "static")
    install_web(app)
    install_commands(app)
    return app
