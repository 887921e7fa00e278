"""The log: a line for each event, as JSON or to be read by people. Nothing personal is in it.

Shoppers type names and addresses, and exceptions like to repeat what was typed: so an exception
is told by its kind and by where it was raised. Its own words are added only where they can't
hold anything but the program's and the machine's.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any

from gevent.hub import Hub

from shop.config import Settings
from shop.output import Output

#: The id of the request that is being answered here.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

#: Exceptions whose words are told; those of all others may be a visitor's.
_SPEAKING = frozenset(
    {
        *("ArithmeticError", "AttributeError", "ImportError", "MemoryError", "NameError"),
        *("OSError", "RuntimeError", "TypeError", "TimeoutError", "ConnectionError"),
        *("OperationalError", "InterfaceError", "TemplateError", "ClickException", "Warning"),
    }
)

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_encode = json.JSONEncoder(default=str).encode  # made once, not for each line

log = logging.getLogger(__name__)


def configure_logging(settings: Settings) -> None:
    """Write the log of this process to stderr: JSON lines, or short ones if that is a terminal.

    Also warnings, and exceptions that nobody catches, become lines of the log. The shop speaks
    from `settings.log_level` on; libraries only in warnings, as some tell at lower levels what
    they are given.
    """
    terminal = sys.stderr.isatty()
    level = settings.log_level or ("WARNING" if terminal else "INFO")
    formatter = Readable() if terminal else Json()
    handler = Lines(Output(sys.stderr, lambda count: _about_dropped(formatter, count)))
    handler.setFormatter(formatter)
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(max(logging.WARNING, getattr(logging, level)))
    logging.getLogger("shop").setLevel(level)
    logging.raiseExceptions = False  # a line that can't be written is no reason for others
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.captureWarnings(True)
    _log_uncaught()


def _log_uncaught() -> None:
    """Take the places of what would print a traceback to stderr."""

    def failed(what: str, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
            log.critical("%s failed", what, exc_info=error)

    sys.excepthook = lambda _, error, __: failed("the program", error)
    threading.excepthook = lambda fields: failed("a thread", fields.exc_value)
    sys.unraisablehook = lambda fields: failed("a tidying up", fields.exc_value)
    Hub.print_exception = lambda _hub, _context, _kind, error, _: failed("a greenlet", error)


def dropped_lines() -> int:
    """Return how many lines of this process's log were dropped: its reader stood still."""
    return sum(output.dropped for output in _outputs())


def flush_log() -> None:
    """Wait until the lines so far are written, but not for long."""
    for output in _outputs():
        output.flush()


def _outputs() -> list[Output]:
    return [h.stream for h in logging.root.handlers if isinstance(h, Lines)]


def _about_dropped(formatter: logging.Formatter, count: int) -> str:
    fields = {"name": log.name, "levelname": "WARNING", "msg": "lines of the log were dropped"}
    return f"{formatter.format(logging.makeLogRecord({**fields, 'count': count}))}\n"


class Lines(logging.StreamHandler[Any]):
    """Writes lines to an `Output`, which sends each on its way by itself."""

    def flush(self) -> None:
        """Do nothing: there is nothing to be sent on."""


class Json(logging.Formatter):
    """One object on one line: time, level, logger, message, and whatever else belongs to it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(int(record.created * 1000)),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
        }
        current = request_id.get()
        if current is not None:
            line["request_id"] = current
        line |= _extras(record)
        if record.exc_info:
            line["exception"] = describe_error(record.exc_info[1])
        return _encode(line)


def log_answer(logger: logging.Logger, method: str, route: str, status: int, ms: float) -> None:
    """Log that a request was answered.

    The line is the one that `logger.info("answered", extra=…)` gives. As there is one for every
    request, the usual one is written in one piece, past records and formatters: that takes a
    third of the time.
    """
    if not logger.isEnabledFor(logging.INFO):
        return
    handler = logging.root.handlers[0] if logging.root.handlers else None
    if not isinstance(handler, Lines) or not isinstance(handler.formatter, Json):
        fields = {"method": method, "route": route, "status": status, "ms": ms}
        logger.info("answered", extra=fields)
        return
    line = (
        f'{{"time": "{_time(time.time_ns() // 1_000_000)}", "level": "INFO", '
        f'"logger": "{logger.name}", "message": "answered", "request_id": "{request_id.get()}", '
        f'"method": "{method}", "route": {_quoted(route)}, "status": {status}, "ms": {ms}}}\n'
    )
    handler.stream.write(line)


@lru_cache
def _quoted(route: str) -> str:
    return _encode(route)


class Readable(logging.Formatter):
    """Short lines for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        current = request_id.get()
        extras = _extras(record) | ({"request_id": current} if current else {})
        fields = "".join(f" {name}={value}" for name, value in extras.items())
        time_of_day = _time(int(record.created * 1000))[11:19]
        line = f"{time_of_day} {record.levelname} {record.name}: {_message(record)}{fields}"
        return f"{line}\n{describe_error(record.exc_info[1])}" if record.exc_info else line


def _time(since_1970: int) -> str:
    seconds, milliseconds = divmod(since_1970, 1000)
    return f"{_second(seconds)}.{milliseconds:03}Z"


@lru_cache(maxsize=1)  # a busy shop writes a thousand lines in one
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _PLAIN}


def _message(record: logging.LogRecord) -> str:
    if not isinstance(record.args, tuple) or not record.args:
        return record.getMessage()
    args = tuple(describe(a) if isinstance(a, BaseException) else a for a in record.args)
    return str(record.msg) % args


def describe_error(error: BaseException | None) -> str:
    """Tell an exception and those that led to it, with where each was raised."""
    chain = [f"{_where(each.__traceback__)}{describe(each)}" for each in _chain(error)]
    return "\n\n".join(reversed(chain))


def _where(raised: TracebackType | None) -> str:
    frames = "".join(traceback.format_tb(raised))
    return f"Traceback (most recent call last):\n{frames}" if frames else ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def describe(error: BaseException) -> str:
    """Name an exception, with its words if they can't hold anything that a visitor typed."""
    # SQLAlchemy's own words show the statement and all that was given to it.
    cause = getattr(error, "orig", None)
    fields = cause if isinstance(cause, BaseException) else error
    name = f"{type(fields).__module__}.{type(fields).__qualname__}".removeprefix("builtins.")
    words = _words(fields)
    return f"{name}: {words}" if words else name


def _words(error: BaseException) -> str:
    if _speaks(error):
        return " ".join(str(error).partition("\n")[0].split())
    # A PostgreSQL error would show the row: its code and the constraint's name don't.
    constraint = getattr(getattr(error, "diag", None), "constraint_name", None)
    return " ".join(filter(None, (getattr(error, "sqlstate", None), constraint)))


def _speaks(error: BaseException) -> bool:
    if type(error).__module__ == "sqlite3":
        return True  # they name tables and columns, never what is in them
    return any(kind.__name__ in _SPEAKING for kind in type(error).__mro__)
