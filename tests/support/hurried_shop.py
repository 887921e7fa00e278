"""The shop with short timeouts, so that tests can wait for them."""

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import shop.streams  # noqa: E402
import shop.tabs  # noqa: E402

if "HEARTBEAT" in os.environ:  # before anybody else knows these
    shop.streams.HEARTBEAT = float(os.environ["HEARTBEAT"])
    shop.tabs.STALLED = float(os.environ["STALLED"])

import shop.mail.mailing  # noqa: E402
import shop.models.mail_lease  # noqa: E402
import shop.pruning  # noqa: E402
import shop.serving.handler  # noqa: E402
import shop.web.budgets  # noqa: E402

timeout = float(os.environ.get("TIMEOUT", "60"))
handler = shop.serving.handler
handler.IDLE = handler.HEAD = handler.BODY = timeout
if "PRUNE" in os.environ:
    shop.pruning.FIRST = shop.pruning.EVERY = (0.1, 0.2)
if "MAIL_REST" in os.environ:
    rest = float(os.environ["MAIL_REST"])
    shop.mail.mailing.EVERY, shop.mail.mailing.REST = rest, (rest, rest)
    shop.models.mail_lease.FIRST_DELAY = shop.models.mail_lease.FIRST_DELAY_IF_REFUSED = 1
handler.WRITE = min(timeout, handler.WRITE)
shop.web.budgets.WINDOW = int(os.environ.get("WINDOW", "60"))

from shop import create_app  # noqa: E402
from shop.serve_command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())

app = create_app()
