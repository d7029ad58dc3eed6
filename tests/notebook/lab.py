"""A real JupyterLab on this machine, and notebooks in it as a user's browser sees them.

It writes notebooks, runs their cells by JupyterLab's own commands, and waits for what the page shows. It knows of the
widget only its class names.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import requests

from tests.browser.chromium import HERE, Browser, BrowserFailure
from tests.programs import eventually

DRIVER = HERE / "notebook.mjs"

_PANEL = "jupyterapp.shell.currentWidget"
CONTENT = f"{_PANEL}.content"
"""The open notebook's cells, for JavaScript."""


def missing() -> str:
    """Why there is no JupyterLab here, with what to do about it; nothing if there is one."""
    if subprocess.run([sys.executable, "-c", "import jupyterlab, anywidget"], capture_output=True).returncode:
        return 'JupyterLab or anywidget is not installed: pip install -e ".[dev]"'
    return ""


class Lab:
    """A JupyterLab server whose notebooks lie in ``folder``. Its kernels find ``environment``."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder / "notebooks"
        self.folder.mkdir()
        port = _free_port()
        self.address = f"http://127.0.0.1:{port}"
        homes = {
            name: str(folder / name.lower())
            for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
        }
        settings = folder / "settings"
        quiet = settings / "@jupyterlab/apputils-extension/notification.jupyterlab-settings"
        quiet.parent.mkdir(parents=True)
        quiet.write_text('{"fetchNews": "false"}')
        self._log = (folder / "lab.log").open("wb")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--expose-app-in-browser"),
                *(f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0"),
                *("--IdentityProvider.token=", f"--ServerApp.root_dir={self.folder}"),
                "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            ],
            env={**os.environ, **homes, **environment, "JUPYTERLAB_SETTINGS_DIR": str(settings)},
            stdout=self._log,
            stderr=self._log,
        )
        try:
            assert eventually(self._answers, 30.0), f"JupyterLab does not answer; see {folder / 'lab.log'}"
        except BaseException:
            self.close()
            raise

    def write(self, name: str, cells: Sequence[str]) -> Path:
        """A notebook of these cells."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        )
        path = self.folder / f"{name}.ipynb"
        nbformat.write(notebook, path)
        return path

    def kernels(self) -> list[dict[str, Any]]:
        running: list[dict[str, Any]] = requests.get(f"{self.address}/api/kernels", timeout=10).json()
        return running

    def close(self) -> None:
        """End the server, and with it its kernels."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.address}/api/status", timeout=1).ok
        except requests.RequestException:
            return False


class Notebook:
    """A notebook that is open in a page of its own, with its kernel running."""

    def __init__(self, lab: Lab, browser: Browser, name: str, cells: Sequence[str], *, theme: str = "light") -> None:
        self.path = lab.write(name, cells)
        self._lab = lab
        self._browser = browser
        url = f"{lab.address}/lab/workspaces/{name}/tree/{self.path.name}?reset"
        self._page = self.order("open", url=url, theme=theme)
        self.wait(f"window.jupyterapp && {_PANEL} && {_PANEL}.sessionContext.session?.kernel?.status === 'idle'", 25)
        self.evaluate(f"{_PANEL}.sessionContext.session.kernel.info.then(() => true)")
        if theme == "dark":
            self.command("apputils:change-theme", theme="JupyterLab Dark")
            self.wait("document.body.dataset.jpThemeLight === 'false'")
        # Nothing but the notebook, so that what is looked at is in sight.
        self.evaluate("jupyterapp.shell.collapseLeft()")

    @property
    def kernel_id(self) -> str:
        return str(self.evaluate(f"{_PANEL}.sessionContext.session.kernel.id"))

    # -- cells

    def start(self, cell: int) -> None:
        """Begin to run a cell."""
        self.evaluate(f"void ({CONTENT}.activeCellIndex = {cell}, {CONTENT}.deselectAll())")
        self.evaluate("void jupyterapp.commands.execute('notebook:run-cell')")
        self.wait(f"{_cell(cell)}.promptNode || true")

    def run(self, cell: int, seconds: float = 20) -> str:
        """Run a cell to its end; what it printed and showed as text."""
        before = self.evaluate(f"{_cell(cell)}.model.executionCount")
        self.start(cell)
        self.wait(
            f"{_cell(cell)}.model.executionState !== 'running' && {_cell(cell)}.model.executionCount !== "
            f"{json.dumps(before)} && {_cell(cell)}.model.executionCount !== null",
            seconds,
        )
        return self.text(cell)

    def running(self, cell: int) -> bool:
        return bool(self.evaluate(f"{_cell(cell)}.model.executionState === 'running'"))

    def text(self, cell: int) -> str:
        """What a cell shows."""
        return str(self.evaluate(f"{_cell(cell)}.outputArea.node.innerText"))

    def save(self) -> str:
        """Save it; the file as it is then."""
        self.evaluate(f"{_PANEL}.context.save().then(() => true)")
        return self.path.read_text()

    # -- the page

    def wait(self, code: str, seconds: float = 15) -> Any:
        """Wait for a true value of some JavaScript."""
        return self.order("wait", code=code, seconds=seconds)

    def evaluate(self, code: str) -> Any:
        return self.order("evaluate", code=code)

    def command(self, name: str, **args: Any) -> None:
        self.evaluate(f"void jupyterapp.commands.execute({json.dumps(name)}, {json.dumps(args)})")

    def click(self, selector: str) -> None:
        self.order("click", selector=selector)

    def loudness(self) -> float:
        return float(self.evaluate("window.loudness()"))

    def screenshot(self, path: Path, selector: str = "") -> bytes:
        self.order("screenshot", path=str(path), **({"selector": selector} if selector else {}))
        return path.read_bytes()

    def console(self) -> list[str]:
        lines: list[str] = self.order("console")
        return lines

    def order(self, op: str, **details: Any) -> Any:
        if op != "open":
            details["page"] = self._page
        return self._browser.order(op, **details)

    def close(self) -> None:
        """Close the page and end its kernel."""
        try:
            kernel = self.kernel_id
        except BrowserFailure:
            kernel = ""
        self.order("close")
        if kernel:
            requests.delete(f"{self._lab.address}/api/kernels/{kernel}", timeout=10)


def _cell(number: int) -> str:
    return f"{CONTENT}.widgets[{number}]"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
