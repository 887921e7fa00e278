"""Where settings come from: the process's environment, and the file .env below it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

import click

_PREFIX = "SHOP_"


class UnreadableFile(click.ClickException):
    """The file of settings can't be read. Ends any command with one line and status 2."""

    exit_code = 2


def read_environment(file: Path) -> dict[str, str]:
    """Return the process's variables, and below them those of a file if it is there.

    Values of the file are literal, `${x}` too: systemd reads the same file (EnvironmentFile=).
    An empty variable of the process counts as not set.

    Raises:
        UnreadableFile: the file can't be opened, or a line of it is not NAME=value.
    """
    own = {name: value for name, value in os.environ.items() if value}
    return {**_read_file(file), **own}


def message_of_file_error(error: OSError) -> str | None:
    """Say in a line which file the system refused, and what that may come from; None: no file."""
    if isinstance(error, shutil.Error):  # of a folder that was copied: what was wrong with each
        _, file, reason = error.args[0][0]
        return f"{file} can't be written: {reason}"
    if error.filename is None:
        return None
    line = f"{error.filename} can't be used: {error.strerror}"
    if isinstance(error, PermissionError):
        line += "; is this the user that the shop runs as?"
    return line


def is_text(value: str) -> bool:
    """Tell whether what a process was given is text; bytes that are none come as surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_file(file: Path) -> dict[str, str]:
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UnreadableFile(str(message_of_file_error(error))) from None
    except UnicodeDecodeError as error:
        number = error.object[: error.start].count(b"\n") + 1
        allowed = "it is not UTF-8: save the file in that encoding"
        raise UnreadableFile(f"{file}, line {number}: {allowed}") from None
    values = {}
    for number, line in enumerate(text.split("\n"), 1):
        try:
            values.update(_read_line(line))
        except ValueError as error:
            raise UnreadableFile(f"{file}, line {number}: {error}") from None
    return values


def _read_line(line: str) -> dict[str, str]:
    """Read a line of which systemd, a shell and this shop understand the same.

    systemd.exec(5), EnvironmentFile=, takes backslashes and quotes for more than themselves, and
    what follows # in a line for a part of the value.

    Raises:
        ValueError: saying what is allowed.
    """
    line = line.strip(_BLANKS)
    if not line or line[0] in "#;":
        return {}
    if line.startswith("\ufeff"):
        raise ValueError("it begins with a byte order mark: save the file without one")
    if _CONTROL.search(line):
        raise ValueError("there is a control character in it")
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError("NAME=value is allowed, without `export`, or a comment that begins with #")
    value = found["value"]
    for pattern in (_PLAIN, _QUOTED):
        if match := pattern.fullmatch(value):
            return {found["name"]: match["value"]}
    raise ValueError(
        f"the value of {found['name']} means different things to different programs: "
        "put it into 'single quotes', without a quote or a backslash in it and nothing behind it"
    )


#: What systemd takes for space around names and values: no-break spaces and the like are text.
_BLANKS = " \t\r"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_LINE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(?P<value>.*)")
_PLAIN = re.compile(r"""(?P<value>(?:(?<!\s)\#|[^'"\\#])*)""")
_QUOTED = re.compile(r"""(?P<quote>['"])(?P<value>(?:(?!(?P=quote))[^\\])*)(?P=quote)""")


class Variables(Mapping[str, str]):
    """Variables, of which is known which ones were asked for: those are the settings there are."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._known: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self._known.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def unknown(self) -> tuple[str, ...]:
        """Say which names look like settings but nobody asked for, each with the nearest one."""
        strange = sorted(name for name in self._values if name.startswith(_PREFIX))
        return tuple(self._said(name) for name in strange if name not in self._known)

    def _said(self, name: str) -> str:
        nearest = get_close_matches(name, self._known, 1, 0.8)
        return f"{name} is no setting" + (f"; did you mean {nearest[0]}?" if nearest else "")
