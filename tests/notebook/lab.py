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

from tests.browser.chromium import HERE, Browser
from tests.programs import eventually

DRIVER = HERE / "notebook.mjs"

_PANEL = "jupyterapp.shell.currentWidget"
_IN_FRONT = ".jp-NotebookPanel:not(.lm-mod-hidden)"

CONTENT = f"{_PANEL}.content"
"""The cells of the notebook in front, for JavaScript."""

FIND = f"{_PANEL}.node.querySelector"
FIND_ALL = f"{_PANEL}.node.querySelectorAll"


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
                # It ends by itself where the tests were killed.
                *("--ServerApp.shutdown_no_activity_timeout=300", "--MappingKernelManager.cull_idle_timeout=300"),
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


class Desk:
    """A page with JupyterLab in it, in which notebooks are opened one after the other."""

    def __init__(self, lab: Lab, browser: Browser, *, theme: str = "light") -> None:
        self.lab = lab
        self._browser = browser
        self._page = browser.order("open", url=f"{lab.address}/lab/workspaces/{theme}?reset", theme=theme)
        self.wait_until_there()
        if theme == "dark":
            self.command("apputils:change-theme", theme="JupyterLab Dark")
            self.order("wait", code="document.body.dataset.jpThemeLight === 'false'")
        # Nothing but the notebook, so that what is looked at is in sight.
        self.order("evaluate", code="jupyterapp.shell.collapseLeft()")

    def open(self, name: str, cells: Sequence[str]) -> Notebook:
        """A new notebook, with its kernel running."""
        path = self.lab.write(name, cells)
        self.command("docmanager:open", path=path.name)
        return Notebook(self, path)

    def wait_until_there(self) -> None:
        self.order("wait", code="window.jupyterapp && jupyterapp.restored.then(() => true)")

    def command(self, name: str, **args: Any) -> None:
        self.order("evaluate", code=f"void jupyterapp.commands.execute({json.dumps(name)}, {json.dumps(args)})")

    def order(self, op: str, **details: Any) -> Any:
        return self._browser.order(op, page=self._page, **details)

    def console(self) -> list[str]:
        lines: list[str] = self.order("console")
        return lines

    def close(self) -> None:
        self.order("close")


class Notebook:
    """The notebook that is in front on a desk."""

    def __init__(self, desk: Desk, path: Path) -> None:
        self.path = path
        self._desk = desk
        self.order = desk.order
        self.command = desk.command
        self._wait_until_ready()

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

    def click(self, selector: str) -> None:
        self.order("click", selector=f"{_IN_FRONT} {selector}")

    def hold(self, selector: str) -> None:
        self.order("hold", selector=f"{_IN_FRONT} {selector}")

    def release(self) -> None:
        self.order("release")

    def loudness(self) -> float:
        return float(self.evaluate("window.loudness()"))

    def screenshot(self, path: Path, selector: str = "") -> bytes:
        self.order("screenshot", path=str(path), **({"selector": f"{_IN_FRONT} {selector}"} if selector else {}))
        return path.read_bytes()

    def reload(self) -> None:
        """As the browser's button does it."""
        self.evaluate("void (window.jupyterapp = null, location.reload())")
        self._desk.wait_until_there()
        self._wait_until_ready()

    def close(self) -> None:
        """Close it and end its kernel."""
        kernel = self.evaluate(f"{_PANEL}.sessionContext.session.kernel.id")
        self.evaluate(f"{_PANEL}.dispose()")
        requests.delete(f"{self._desk.lab.address}/api/kernels/{kernel}", timeout=10)

    def _wait_until_ready(self) -> None:
        here = f"window.jupyterapp && {_PANEL}?.context?.path === {json.dumps(self.path.name)}"
        self.wait(f"{here} && {_PANEL}.sessionContext.session?.kernel?.status === 'idle'", 20)


def _cell(number: int) -> str:
    return f"{CONTENT}.widgets[{number}]"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
