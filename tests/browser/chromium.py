"""Chromium with the official client in it, as the tests see it: pages whose methods block and whose waits all end.

The browser is run by ``driver.mjs`` in a process of its own; this module orders and waits. It knows nothing of what is
tested.
"""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import psutil

HERE = Path(__file__).parent

PATIENCE = 10.0
"""Seconds until a wait within a page is a failure."""


class BrowserFailure(AssertionError):
    """The browser did not do what it was told, or did not see what it was to wait for."""


class ClientError(Exception):
    """What the official client threw: an ``APIError`` with its status and the body of the answer, or another error."""

    def __init__(self, thrown: dict[str, Any]) -> None:
        super().__init__(f"{thrown['name']}: {thrown['message']}")
        self.name: str = thrown["name"]
        self.message: str = thrown["message"]
        self.status: int | None = thrown.get("status")
        self.body: dict[str, Any] = json.loads(thrown.get("responseText") or "{}")


def missing() -> str:
    """Why no browser can be run here, with what to do about it; nothing if one can."""
    if not _chromium():
        return "Chromium is not installed (Debian: apt-get install chromium)"
    if not (shutil.which("node") and shutil.which("npm")):
        return "node and npm are not installed (Debian: apt-get install nodejs npm)"
    if not all((HERE / "node_modules/@heygen" / name).is_dir() for name in ("streaming-avatar", "liveavatar-web-sdk")):
        return "the official clients are not installed: npm ci --prefix tests/browser"
    return ""


class Browser:
    """A running Chromium, driven by ``driver``. Its users say what is in the sound file ``microphone``, once."""

    def __init__(self, microphone: Path | None = None, driver: Path = HERE / "driver.mjs") -> None:
        command = ["node", str(driver), _chromium(), *([str(microphone)] if microphone else [])]
        self._driver = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="browser answers", daemon=True)
        self._reader.start()
        try:
            self.version: str = self._answer()["chromium"]
        except BaseException:
            self.close()
            raise

    def open(self, *, origin: Literal["here", "internet"] = "here", permissions: Sequence[str] = ()) -> Page:
        """A fresh page, from this machine or as if from the internet, on which the user has clicked once."""
        return Page(self, self.order("open", **{"from": origin, "permissions": permissions}))

    def order(self, op: str, **details: Any) -> Any:
        assert self._driver.stdin is not None
        try:
            self._driver.stdin.write(json.dumps({"op": op, **details}) + "\n")
            self._driver.stdin.flush()
        except OSError as error:
            raise BrowserFailure(f"{op}: the driver is gone ({error})") from error
        return self._answer()

    def close(self) -> None:
        """End the browser and its driver, and make sure that they ended by themselves."""
        processes = _family(self._driver.pid)
        assert self._driver.stdin is not None and self._driver.stdout is not None
        self._driver.stdin.close()
        _, left = psutil.wait_procs(processes, timeout=_END_SECONDS)
        for process in left:
            process.kill()
        self._driver.wait(_END_SECONDS)
        self._reader.join(_END_SECONDS)
        self._driver.stdout.close()
        if left:
            raise BrowserFailure(f"the browser left processes behind: {left}")

    def _read(self) -> None:
        assert self._driver.stdout is not None
        for line in self._driver.stdout:
            self._answers.put(line)
        self._answers.put('{"error": "the driver ended; what it said is on stderr"}')

    def _answer(self) -> Any:
        try:
            answer = json.loads(self._answers.get(timeout=_ANSWER_SECONDS))
        except queue.Empty:
            raise BrowserFailure(f"the driver has not answered for {_ANSWER_SECONDS:g} s") from None
        if "error" in answer:
            raise BrowserFailure(answer["error"])
        return answer["result"]


class Page:
    """A page with an official client in it, of either service. It is asked for what it heard since :meth:`mark`."""

    def __init__(self, browser: Browser, number: int) -> None:
        self._browser = browser
        self._number = number
        self._since = 0

    def arrive(self, *, token: str, base_path: str) -> None:
        """Make the client, ``new StreamingAvatar({token, basePath})``."""
        self.look("arrive", token=token, basePath=base_path)

    def arrive_at_liveavatar(
        self, *, token: str, base_path: str, kind: Literal["avatar", "elevenlabs"] = "avatar", **config: Any
    ) -> None:
        """Make LiveAvatar's client, ``new LiveAvatarSession(token, {apiUrl: basePath, ...config})``."""
        self.look("arriveAtLiveAvatar", token=token, basePath=base_path, kind=kind, config=config)

    def call(self, method: str, *args: Any) -> Any:
        """Call a method of the client, and wait for what it promises.

        Raises:
            ClientError: the promise was not kept.
        """
        outcome = self.look("call", method=method, args=args)
        if "error" in outcome:
            raise ClientError(outcome["error"])
        return outcome.get("result")

    def mark(self) -> None:
        """Forget what was heard so far."""
        self._since = self.look("mark")

    def events(self) -> list[dict[str, Any]]:
        """What was heard: ``type``, ``detail``, ``at`` (milliseconds)."""
        heard: list[dict[str, Any]] = self.look("events", since=self._since)
        return heard

    def hear(self, event_type: str, **facts: Any) -> dict[str, Any]:
        """The first event of the type whose detail has these facts; waits for it."""
        heard: dict[str, Any] | None = self._wait("heard", since=self._since, type=event_type, facts=facts)
        if heard is None:
            raise BrowserFailure(f"{event_type} {facts or ''} was not heard within {PATIENCE:g} s")
        return heard

    def picture(self) -> dict[str, int]:
        """What is shown: ``width``, ``height``, ``colours``, and how many pixels ``changed`` from frame to frame."""
        picture: dict[str, int] = self._wait("picture")
        return picture

    def wait_until_loud(self, above: float) -> None:
        if self._wait("loudness", above=above) is None:
            raise BrowserFailure(f"nothing was louder than {above} within {PATIENCE:g} s")

    def wait_until_quiet(self, below: float) -> None:
        if self._wait("loudness", below=below) is None:
            raise BrowserFailure(f"it was never quieter than {below} within {PATIENCE:g} s")

    def livekit_quality(self) -> str | None:
        quality: str | None = self._wait("liveKitQuality")
        return quality

    def look(self, name: str, **options: Any) -> Any:
        """Ask ``window.visitor`` (``page.js``)."""
        return self._browser.order("visit", page=self._number, name=name, options=options)

    def console(self) -> list[str]:
        """What the browser and the client wrote to the page's console."""
        lines: list[str] = self._browser.order("console", page=self._number)
        return lines

    def report(self) -> str:
        """All that the page heard and said, for whoever has to find out what went wrong."""
        events = [json.dumps(event) for event in self.look("events", since=0)]
        return "\n".join(["events of the page:", *events, "its console:", *self.console()])

    def screenshot(self, path: Path) -> None:
        self._browser.order("screenshot", page=self._number, path=str(path))

    def close(self) -> None:
        self._browser.order("close", page=self._number)

    def _wait(self, name: str, **options: Any) -> Any:
        return self.look(name, seconds=PATIENCE, **options)


def _chromium() -> str:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""


def _family(pid: int) -> list[psutil.Process]:
    try:
        driver = psutil.Process(pid)
        return [driver, *driver.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


_ANSWER_SECONDS = 40.0
_END_SECONDS = 10.0
