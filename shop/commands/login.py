"""The name of the operator who types a command."""

from __future__ import annotations

import getpass
import os


def login_name() -> str:
    """Return the operator's login name, for the books; by sudo, the name of its caller."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return f"user {os.getuid()}"
