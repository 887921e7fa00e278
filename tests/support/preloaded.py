"""Start a shop's processes from one that has imported all of it, in a tenth of the processor time.

Most of what a start costs are imports. So a template process beside the tests imports the shop
once, and forks for each server or command. What is forked runs the same file as `__main__`, with
the arguments, environment, folder and descriptors that it was given, and is a child of the tests
like any other. Only what can tell the difference, Python's own settings say, gets a real start.
"""

from __future__ import annotations

import ast
import atexit
import ctypes
import fcntl
import functools
import gc
import inspect
import json
import os
import runpy
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / "wsgi.py"
#: a shop that waits for hardly anything
HURRIED = ROOT / "tests" / "support" / "hurried_shop.py"

#: What the shop imports when it first needs it.
_IMPORTED_LATER = (
    "alembic.command",
    "alembic.context",
    "alembic.ddl.postgresql",
    "alembic.ddl.sqlite",
    "alembic.op",
    "babel.dates",
    "encodings.idna",
    "mako.template",
    "psycopg",
    "shop.output",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
)

#: What the hurried shop reads and can still set when all is imported.
_SHORTER_WAITS = {"TIMEOUT", "PRUNE", "MAIL_REST", "WINDOW"}

#: How `machines.network` has a command run on a machine of its own.
_NETWORK = "--net="

_LENGTH = 8  # bytes that say how long the message is
_PR_SET_CHILD_SUBREAPER = 36
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def preloaded(command: list[str], env: Mapping[str, str]) -> str | None:
    """Tell which template process can start a command, if one can: `server` or `commands`."""
    if _foreign(env):
        return None
    _, command = _place_and_rest(command)
    if command[0] == sys.executable and command[1] in (str(SERVER), str(HURRIED)):
        return "server"
    if command[:4] == [sys.executable, "-P", "-m", "shop.commands"]:
        return "commands"
    return None


def _place_and_rest(command: list[str]) -> tuple[str, list[str]]:
    """Return the network namespace that a command is to run in, "" for this one, and the rest."""
    if command[0] == "nsenter" and command[1].startswith(_NETWORK):
        return command[1].removeprefix(_NETWORK), command[2:]
    return "", command


def _foreign(env: Mapping[str, str]) -> bool:
    """Tell whether an environment may change what Python or a library does as it starts."""
    changed = {name for name in env | os.environ if env.get(name) != os.environ.get(name)}
    changed.discard("PYTEST_CURRENT_TEST")  # says another phase of the test by now
    if env.get("PYTHONPATH") == str(ROOT):
        changed.discard("PYTHONPATH")
    return any(not name.startswith(("SHOP_", "FLASK_")) for name in changed - _SHORTER_WAITS)


def start(command: list[str], env: Mapping[str, str], **options: Any) -> subprocess.Popen[str]:
    """Start a server or a command as `subprocess.Popen` does, from a template if one can."""
    template = preloaded(command, env)
    if template is None:
        return subprocess.Popen(command, env=env, **options)
    return _Forked(command, env=env, template=template, **options)


def run(
    command: list[str], env: Mapping[str, str], seconds: float, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a server or a command to its end, and return what it wrote, as `subprocess.run` does."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = start(command, env, **{**pipes, **options})
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


class _Forked(subprocess.Popen[str]):
    """A process that was forked from a template: a child of this process all the same."""

    def __init__(self, command: list[str], template: str, **options: Any) -> None:
        self._template = template
        super().__init__(command, **options)

    def _execute_child(self, *args: Any, **more: Any) -> None:  # in the place of fork and exec
        signature = inspect.signature(subprocess.Popen._execute_child)  # type: ignore[attr-defined]
        given = signature.bind(self, *args, **more).arguments
        pipes = [given[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        standard = [number if pipe == -1 else pipe for number, pipe in enumerate(pipes)]
        passed = list(given["pass_fds"])
        network, command = _place_and_rest(list(given["args"]))
        told = {
            "network": network,
            # of a server with its file, of a command without what names the shop's commands
            "arguments": command[1 if self._template == "server" else 4 :],
            "environ": dict(given["env"]),
            "folder": str(given["cwd"] or Path.cwd()),
            "descriptors": [0, 1, 2, *passed],
        }
        self.pid = _templates[self._template].fork(told, [*standard, *passed])
        self._child_created = True
        pairs = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[name] for name in pairs))  # type: ignore[attr-defined]


class _Template:
    """This process's side of a template, which is started when it is first needed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._socket: socket.socket | None = None

    def fork(self, told: dict[str, Any], descriptors: list[int]) -> int:
        """Have a process forked, and return its pid."""
        with _turn:
            if self._socket is None:
                self._socket = self._started()
            text = json.dumps(told).encode()
            # An orphan becomes the child of the nearest process above that asks for orphans: this
            # one, only while the new process loses the parent that forked it.
            _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            try:
                socket.send_fds(self._socket, [len(text).to_bytes(_LENGTH, "big")], descriptors)
                self._socket.sendall(text)
                answer = self._socket.recv(_LENGTH)
            finally:
                _libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        assert answer, f"the template of {self._name} has ended"
        return int.from_bytes(answer, "big")

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.preloaded", self._name, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
            start_new_session=True,  # neither Ctrl-C nor a killed group is meant for it
        )
        theirs.close()

        def end() -> None:
            ours.close()
            process.wait()

        atexit.register(end)
        return ours


_turn = threading.Lock()
_templates = {name: _Template(name) for name in ("server", "commands")}


# --- The template's side --------------------------------------------------------------------


def main(name: str, descriptor: int) -> None:
    """Import what is asked for, and fork until the tests have ended."""
    asks = socket.socket(fileno=descriptor)  # gevent has not replaced these yet
    fork = os.fork
    if name == "server":
        _preload_server()
    else:
        _preload_commands()
    _make_an_app()
    gc.collect()
    gc.freeze()  # else the collector would touch, and so copy, all of it in each process
    while True:
        head, descriptors, _, _ = socket.recv_fds(asks, _LENGTH, 64)
        if not head:
            return
        told = json.loads(_whole(asks, int.from_bytes(head, "big")))
        if name == "server":
            _know_key(told["environ"])
        reading, writing = os.pipe()
        between = fork()
        if between == 0:
            new = fork()
            if new:  # ends, so that the new process becomes the tests' own
                os.write(writing, new.to_bytes(_LENGTH, "big"))
                os._exit(0)
            asks.close()
            os.close(reading)
            os.close(writing)
            _become(name, told, descriptors)
            return
        for one in (*descriptors, writing):
            os.close(one)
        os.waitpid(between, 0)
        asks.sendall(os.read(reading, _LENGTH))
        os.close(reading)


def _whole(asks: socket.socket, length: int) -> bytes:
    text = b""
    while len(text) < length:
        text += asks.recv(length - len(text))
    return text


def _become(name: str, told: dict[str, Any], descriptors: list[int]) -> None:
    """Run the file that was asked for as it would run in an interpreter of its own."""
    if told["network"]:
        _enter_network(told["network"])
    _place(descriptors, told["descriptors"])
    for number, stream, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        errors = getattr(sys, stream).errors
        lines = 1 if number == 2 or os.isatty(number) else -1
        fresh = open(number, mode, lines, "utf-8", errors, closefd=False)  # noqa: SIM115
        setattr(sys, stream, fresh)
        setattr(sys, f"__{stream}__", fresh)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(told["environ"])
    os.chdir(told["folder"])
    sys.argv = list(told["arguments"])
    try:
        if name == "server":
            runpy.run_path(sys.argv[0], run_name="__main__")
        else:
            sys.argv.insert(0, "shop.commands")
            runpy.run_module("shop.commands", run_name="__main__", alter_sys=True)
    except SystemExit as left:
        if left.code is not None and not isinstance(left.code, int):
            raise
        _leave(left.code or 0)


def _leave(status: int) -> None:
    """End as an interpreter does, but take nothing apart: that took as long as a command."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for the threads that must end
    atexit._run_exitfuncs()
    for left in gc.get_objects():
        if isinstance(left, sqlite3.Connection):  # the last one puts the journal into the file
            with suppress(sqlite3.Error):  # another thread's
                left.close()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # which the interpreter's own end says
        return
    os._exit(status & 0xFF)


def _enter_network(namespace: str) -> None:
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"can't enter {namespace}")
    os.close(descriptor)


def _place(given: list[int], wanted: list[int]) -> None:
    """Give descriptors the numbers that are wanted."""
    above = max(*given, *wanted) + 1
    aside = [fcntl.fcntl(one, fcntl.F_DUPFD, above) for one in given]
    for one in given:
        os.close(one)
    for one, number in zip(aside, wanted, strict=True):
        os.dup2(one, number, inheritable=True)
        os.close(one)


def _preload_server() -> None:
    from gevent import monkey

    monkey.patch_all()
    # What the server's own file imports, and what is imported when it makes the app.
    for part in ast.walk(ast.parse(SERVER.read_text())):
        if isinstance(part, ast.ImportFrom) and part.module:
            import_module(part.module)
    for module in ("shop.render.template_globals", "shop.serving.assets", "shop.web.app"):
        import_module(module)
    _preload_commands()


def _know_key(environ: Mapping[str, str]) -> None:
    """Work the fingerprint of a shop's key out once: that takes long, and most shops share one."""
    from shop import servers

    if not hasattr(servers._fingerprint, "cache_info"):
        servers._fingerprint = functools.cache(servers._fingerprint)
    with suppress(OSError, KeyError, UnicodeError):  # the server itself will say so
        file = Path(environ["SHOP_INSTANCE"], "secret_key")
        servers._fingerprint(environ.get("SHOP_SECRET_KEY") or file.read_text().strip())


def _preload_commands() -> None:
    """Import all commands and both databases' parts, and have the ORM put its tables together."""
    from sqlalchemy.orm import configure_mappers

    import shop.commands

    modules = [f"shop.commands.{module.name}" for module in iter_modules(shop.commands.__path__)]
    for module in (*modules, *_IMPORTED_LATER):
        if not module.endswith("__main__"):
            import_module(module)
    configure_mappers()


def _make_an_app() -> None:
    """Have done once what takes each shop as long as the rest of its start and its first page.

    That is to translate templates and routes, to compress static files, and to read what the
    world's money looks like.
    """
    from jinja2 import Environment
    from werkzeug.routing import Rule
    from whitenoise.compress import Compressor

    from shop import create_app
    from shop.money import format_money

    _keep(Environment, "compile", _template)
    _keep(Rule, "_compile_builder", _route)
    for compress in ("compress_brotli", "compress_gzip"):
        kept = functools.cache(getattr(Compressor, compress))
        setattr(Compressor, compress, staticmethod(kept))
    with tempfile.TemporaryDirectory() as folder:
        app = create_app({"SHOP_INSTANCE": folder})
        for template in app.jinja_env.list_templates():
            app.jinja_env.get_template(template)
    format_money(1, "USD")


def _template(environment: Any, source: str, *rest: Any, **options: Any) -> tuple[object, ...]:
    """Return all that a template's code depends on."""
    whitespace = environment.trim_blocks, environment.lstrip_blocks
    return (type(environment), *whitespace, source, *rest, *options.items())


def _route(rule: Any, append_unknown: bool) -> tuple[object, ...]:
    """Return all that the code which writes a route's addresses depends on."""
    return (rule.rule, *rule._trace, *(rule.defaults or {}).items(), append_unknown)


def _keep(owner: type, method: str, made_of: Callable[..., tuple[object, ...]]) -> None:
    """Have a method return what it returned before, if that was made of the same."""
    make = getattr(owner, method)
    kept: dict[tuple[object, ...], object] = {}

    def find(self: object, *args: Any, **options: Any) -> object:
        key = made_of(self, *args, **options)
        if key not in kept:
            kept[key] = make(self, *args, **options)
        return kept[key]

    setattr(owner, method, find)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
