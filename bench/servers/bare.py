"""A Flask route that answers `ok`, under the shop's own server: the least a request can cost."""

from gevent import monkey

monkey.patch_all()

from flask import Flask  # noqa: E402

from bench.servers import serve  # noqa: E402
from shop.serving.server import Server  # noqa: E402

app = Flask(__name__)
app.add_url_rule("/", view_func=lambda: "ok")
serve(app, Server)
