"""The shop as a WSGI app, and the embedded server when run: `python wsgi.py`.

Run, it creates or migrates the database first. A server that only imports the app finds it so
after any `flask` command. Nothing else imports this: what it does is `shop.serve_command`'s.
"""

from shop.output import open_standard_streams

open_standard_streams()

from gevent import monkey  # noqa: E402

monkey.patch_all()

import sys  # noqa: E402

from shop import create_app  # noqa: E402
from shop.serve_command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())

app = create_app()
