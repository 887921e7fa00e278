"""Static files: compressed once, served under names that change with their contents."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from urllib.parse import quote

from flask import Flask
from whitenoise import WhiteNoise
from whitenoise.compress import Compressor
from whitenoise.responders import Headers

from shop import elapsed

#: A year, in seconds: the most that caches honour (RFC 9111 has no limit, browsers do).
FAR_FUTURE = 365 * 24 * 3600

#: For how long the files of a release are kept after another one took its place, in seconds: a
#: week, as pages of it may be open.
OLD_RELEASES = 7 * 24 * 3600

#: Begins the name of the file that says since when a release is superseded.
_SUPERSEDED = ".superseded-"


def install_assets(app: Flask, source: Path, cache: Path) -> None:
    """Serve `source` below /static/<hash>/, gzip and brotli made once into `cache`.

    Adds the template function `asset(path)`, which gives a file's address, and `image(path)`,
    which does so for a product's main image unless that is a path from the root already.
    """
    release = _fingerprint(source)
    files = _prepared(source, cache / release)
    with suppress(OSError):  # a folder that can only be read is left as it is
        _use(files, app)
        _tidy(files)
    prefix = f"/static/{release}/"
    # All files of a release change their names together: fewer moving parts than a hash each,
    # and relative addresses between them stay true.
    app.wsgi_app = WhiteNoise(  # type: ignore[method-assign]
        app.wsgi_app,
        root=str(files),
        prefix=prefix,
        max_age=FAR_FUTURE,
        allow_all_origins=False,
        immutable_file_test=lambda path, url: True,
        add_headers_function=_harden,
    )
    app.jinja_env.globals["asset"] = lambda path: prefix + path
    app.jinja_env.globals["image"] = _image_address(prefix)


def _image_address(prefix: str) -> Callable[[str], str]:
    def address(main_image: str) -> str:
        return main_image if main_image.startswith("/") else f"{prefix}images/{quote(main_image)}"

    return address


def _harden(headers: Headers, path: str, url: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"


def _fingerprint(source: Path) -> str:
    digest = blake2b(digest_size=6)
    for file in sorted(source.rglob("*")):
        if file.is_file():
            digest.update(file.relative_to(source).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _prepared(source: Path, target: Path) -> Path:
    """Copy and compress into place, whole or not at all."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=target.parent))
        copy = Path(shutil.copytree(source, draft / "files"))
        compressor = Compressor(quiet=True)
        for file in [f for f in copy.rglob("*") if f.is_file()]:
            if compressor.should_compress(file.name):
                list(compressor.compress(str(file)))
        _make_public(target.parent, copy)
        with suppress(OSError):  # another process was faster, with the same files
            copy.rename(target)
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _use(files: Path, app: Flask) -> None:
    """Show other processes that a release is served, for as long as the app lives."""
    folder = os.open(files, os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(folder, fcntl.LOCK_SH)
    weakref.finalize(app, os.close, folder)


def _tidy(current: Path) -> None:
    """Note which releases are superseded from now on, and delete those that were for long."""
    _mark_of(current).unlink(missing_ok=True)
    for old in [path for path in current.parent.iterdir() if path.is_dir() and path != current]:
        mark = _mark_of(old)
        seconds = elapsed.since(mark)
        if seconds is None:
            elapsed.note(mark)
        elif seconds > OLD_RELEASES and not _is_used(old):
            shutil.rmtree(old, ignore_errors=True)
            mark.unlink(missing_ok=True)


def _mark_of(release: Path) -> Path:
    return release.with_name(_SUPERSEDED + release.name)


def _is_used(release: Path) -> bool:
    """Tell whether a process serves a release still; a start at the same moment aside."""
    folder = os.open(release, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(folder)
    return False


def _make_public(folder: Path, files: Path) -> None:
    """Let a web server with rights of its own read the files, whatever the umask is.

    Everybody may see them; what else lies in the instance folder stays closed.
    """
    folder.chmod(0o755)
    for file in (files, *files.rglob("*")):
        file.chmod(0o755 if file.is_dir() else 0o644)
