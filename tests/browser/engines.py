"""Firefox and WebKit as Debian has them, driven by the commands of WebDriver.

Both take the same commands: Firefox by Marionette, its own protocol beneath WebDriver, as Debian
has no geckodriver; WebKit by HTTP, from WebKitWebDriver. See https://www.w3.org/TR/webdriver2/ and
https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO, Any, ClassVar, Self

from tests.support.machines import guardian, processes
from tests.support.machines.service import NotThere, free_port
from tests.support.running import eventually, listens

FIREFOX = "/usr/bin/firefox-esr"
WEBKIT_DRIVER = "/usr/bin/WebKitWebDriver"
#: WebKit's example browser in /usr/lib, of whichever API version Debian has.
WEBKIT = "*/webkit2gtk-4*/MiniBrowser"
XVFB = "/usr/bin/Xvfb"

#: How a reference to an element is called in WebDriver's JSON.
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"

#: How long a program may take to be there, and to answer a command, in seconds.
START, ANSWER = 30.0, 30.0

#: How long a page may take to show what is waited for, on a busy machine, in seconds.
TIMEOUT = 30.0


class Engine(ABC):
    """A running browser; as a context manager nothing is left of it."""

    #: what a new tab is opened as: WebKit's example browser does nothing in tabs behind another
    _tab = "tab"

    def __init__(self, folder: Path) -> None:
        """Prepare a browser that keeps what it knows in a folder of its own."""
        self._folder = folder
        self._said = folder / "said.log"
        self._programs: list[subprocess.Popen[bytes]] = []
        self._gone: list[Callable[[], None]] = []
        self._first = self._current = ""
        self._unused: list[str] = []

    @abstractmethod
    def _start(self) -> None:
        """Start it and begin a session."""

    @abstractmethod
    def _execute(self, name: str, parameters: dict[str, Any]) -> Any:
        """Have it carry out a command of WebDriver's and return the answer's value."""

    def __enter__(self) -> Self:
        try:
            self._start()
            self._first = self._current = self._execute("GetWindowHandle", {})
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for program, gone in zip(reversed(self._programs), reversed(self._gone), strict=True):
            processes.kill(program.pid)
            program.wait(10)
            gone()

    def open(self, address: str) -> Tab:
        """Open a tab, or one that was put away, and a page in it."""
        if self._unused:
            handle = self._unused.pop()
        else:
            handle = self.ask(self._first, "NewWindow", type=self._tab)["handle"]
        return Tab(self, handle).go(address)

    def put_away(self, handle: str) -> None:
        """Leave nothing of a tab's page, and keep the tab for the next one."""
        self.ask(handle, "ExecuteScript", script="sessionStorage.clear()", args=[])
        self.ask(handle, "Navigate", url="about:blank")
        self._unused.append(handle)

    def ask(self, handle: str, name: str, **parameters: Any) -> Any:
        """Have a command carried out in a tab."""
        if handle != self._current:
            self._execute("SwitchToWindow", {"handle": handle})
            self._current = handle
        return self._execute(name, parameters)

    def complaints(self, address: str) -> list[str]:
        """Return what a console shows of errors in a site's scripts, as far as it can be had."""
        said = self._said.read_text(errors="replace").splitlines()
        return [line for line in said if line.startswith(f"JavaScript error: {address}")]

    def _run(self, *command: str, pass_fds: tuple[int, ...] = (), **environ: str) -> None:
        if not Path(command[0]).exists():
            raise NotThere(f"{command[0]} is not installed; bin/test installs it")
        with self._said.open("ab") as said:
            program = subprocess.Popen(
                command,
                env={**os.environ, "HOME": str(self._folder), **environ},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                pass_fds=pass_fds,
            )
        self._programs.append(program)
        self._gone.append(guardian.watch(program.pid))


class Tab:
    """One tab of a browser."""

    def __init__(self, engine: Engine, handle: str) -> None:
        self._engine = engine
        self._handle = handle

    def _ask(self, name: str, **parameters: Any) -> Any:
        return self._engine.ask(self._handle, name, **parameters)

    def go(self, address: str) -> Self:
        """Open a page and wait until it has loaded."""
        self._ask("Navigate", url=address)
        return self

    def back(self) -> None:
        """Go back, as by the browser's button."""
        self._ask("Back")

    def run(self, script: str, *arguments: object) -> Any:
        """Return what a script returns."""
        return self._ask("ExecuteScript", script=script, args=list(arguments))

    def wait(self, condition: str, seconds: float = TIMEOUT) -> Self:
        """Wait until an expression is true in the page."""
        eventually(lambda: self.run(f"return !!({condition})"), seconds)
        return self

    def wait_for(self, selector: str, seconds: float = TIMEOUT) -> Self:
        """Wait until there is an element."""
        return self.wait(f"document.querySelector({json.dumps(selector)})", seconds)

    def click(self, selector: str) -> None:
        """Click an element as a pointer does, once it is in the middle of what is seen."""
        # WebKit's driver scrolls no further than to the edge, where something may lie over it.
        found = self._find(selector)
        self.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)
        self._ask("ElementClick", id=found)

    def type(self, selector: str, text: str) -> None:
        """Type into a field."""
        self._ask("ElementSendKeys", id=self._find(selector), text=text)

    def close(self) -> None:
        """Leave the page. The tab is opened again, as a new one takes a browser seconds."""
        self._engine.put_away(self._handle)

    def _find(self, selector: str) -> str:
        found = self._ask("FindElement", using="css selector", value=selector)
        # Marionette wraps what isn't an object itself.
        element: str = found.get("value", found)[_ELEMENT]
        return element


class Firefox(Engine):
    """Debian's Firefox ESR, without a window."""

    def _start(self) -> None:
        port = free_port()
        preferences = {
            "marionette.port": port,
            "devtools.console.stdout.content": True,
            "app.normandy.enabled": False,
            "datareporting.policy.dataSubmissionEnabled": False,
            "network.captive-portal-service.enabled": False,
            "network.connectivity-service.enabled": False,
        }
        with (self._folder / "user.js").open("w") as file:
            for name, value in preferences.items():
                file.write(f'user_pref("{name}", {json.dumps(value)});\n')
        self._run(FIREFOX, "--headless", "--marionette", "--profile", str(self._folder))
        eventually(lambda: listens(port), START)
        self._line = socket.create_connection(("127.0.0.1", port), ANSWER)
        self._came: IO[bytes] = self._line.makefile("rb")
        self._read()  # it says who it is
        self._execute("NewSession", {})

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if hasattr(self, "_line"):
            self._came.close()
            self._line.close()

    def _execute(self, name: str, parameters: dict[str, Any]) -> Any:
        message = json.dumps([0, 1, f"WebDriver:{name}", parameters]).encode()
        self._line.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._read()
        if error:
            raise AssertionError(f"{name}: {error['message']}")
        # A plain value is wrapped, an object is not.
        return result["value"] if isinstance(result, dict) and set(result) == {"value"} else result

    def _read(self) -> Any:
        """Read a message: its length in digits, a colon, and JSON."""
        digits = b""
        while (digit := self._came.read(1)) != b":":
            if not digit:
                raise AssertionError("Firefox ended")
            digits += digit
        return json.loads(self._came.read(int(digits)))


class WebKit(Engine):
    """WebKitGTK and its example browser, on a screen that nobody sees."""

    _tab = "window"

    #: method and path of each command
    _PATHS: ClassVar = {
        "GetWindowHandle": ("GET", "/window"),
        "NewWindow": ("POST", "/window/new"),
        "SwitchToWindow": ("POST", "/window"),
        "Navigate": ("POST", "/url"),
        "Back": ("POST", "/back"),
        "ExecuteScript": ("POST", "/execute/sync"),
        "FindElement": ("POST", "/element"),
        "ElementClick": ("POST", "/element/{id}/click"),
        "ElementSendKeys": ("POST", "/element/{id}/value"),
    }

    def _start(self) -> None:
        found = [*Path("/usr/lib").glob(WEBKIT)]
        if not found:
            raise NotThere("WebKitGTK is not installed; bin/test installs it")
        display = self._open_screen()
        port = free_port()
        self._run(
            WEBKIT_DRIVER,
            f"--port={port}",
            "--host=127.0.0.1",
            DISPLAY=display,
            GDK_BACKEND="x11",
            LIBGL_ALWAYS_SOFTWARE="1",
        )
        eventually(lambda: listens(port), START)
        self._address = f"http://127.0.0.1:{port}/session"
        options = {"binary": str(found[0]), "args": ["--automation"]}
        wanted = {"alwaysMatch": {"webkitgtk:browserOptions": options}}
        session = self._send("POST", "", {"capabilities": wanted})
        self._address += f"/{session['sessionId']}"

    def _open_screen(self) -> str:
        """Start an X server and return the display that it says is free."""
        ours, theirs = os.pipe()
        with closing(os.fdopen(ours)) as said:
            self._run(
                XVFB,
                *("-displayfd", str(theirs)),
                *("-screen", "0", "1280x900x24"),
                *("-nolisten", "tcp"),
                pass_fds=(theirs,),
            )
            os.close(theirs)
            return f":{said.readline().strip()}"

    def _execute(self, name: str, parameters: dict[str, Any]) -> Any:
        method, path = self._PATHS[name]
        return self._send(method, path.format(**parameters), parameters)

    def _send(self, method: str, path: str, parameters: dict[str, Any]) -> Any:
        body = json.dumps(parameters).encode() if method == "POST" else None
        request = urllib.request.Request(
            self._address + path, body, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=ANSWER) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                said = json.load(error)["value"]
            raise AssertionError(f"{method} {path}: {said['error']}: {said['message']}") from None
