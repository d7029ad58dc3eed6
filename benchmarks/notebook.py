"""What the live avatar in a notebook costs, and how late it is: ``python -m benchmarks.notebook [--seconds 600]``.

A real JupyterLab in headless Chromium shows an avatar of the simulator, 1280x720 at 25 frames a second, shown at up to
15. The simulator writes each frame's number into the picture's corner, black and white, and the page reads it from what
it shows, on the same clock: glass to glass, from when the frame was drawn. There is no contender, so this is no group
of ``python -m benchmarks``.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil

from benchmarks.measure import machine
from benchmarks.slopes import slope
from heygen_avatar.simulator import Limits, Simulator
from heygen_avatar.simulator.face import Face
from tests.browser.chromium import Browser
from tests.browser.chromium import missing as missing_browser
from tests.notebook.lab import CONTENT, DRIVER, FIND, Desk, Lab, Notebook
from tests.notebook.lab import missing as missing_lab

BITS = 16
SQUARE = 32
"""Pixels of a bit's side: it survives the video codec, half the size, and JPEG."""

WARM_UP = 5.0
SAMPLES = 60
"""Looks at the memory within one measurement."""

START = """
import os
from heygen_avatar import StreamingAvatar
avatar = StreamingAvatar()
session = avatar.create_start_avatar(avatar_name="default", quality="high", activity_idle_timeout=3600)
print("pid", os.getpid())
"""
TALK = """
import itertools
for number in itertools.count():
    avatar.say(f"This is sentence number {number}, and it is said so that there is something to hear.")
"""

READ_NUMBERS = f"""void (() => {{
  window.seen = [];
  const canvas = {FIND}('.heygen-picture');
  let last = -1;
  const look = () => {{
    const square = canvas.width / 1280 * {SQUARE};
    const row = canvas.getContext('2d').getImageData(0, square / 2, Math.ceil(square * {BITS}), 1).data;
    let number = 0;
    for (let bit = 0; bit < {BITS}; bit++) number |= (row[4 * Math.floor((bit + 0.5) * square)] > 127) << bit;
    if (number !== last) window.seen.push([number, Date.now() / 1000]);
    last = number;
    requestAnimationFrame(look);
  }};
  look();
}})()"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.notebook", description=__doc__)
    parser.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        help="how long to look while it speaks; before, a tenth of it at each of idle, shown",
    )
    options = parser.parse_args()
    if reason := missing_lab() or missing_browser():
        raise SystemExit(reason)
    print(*machine(), sep="\n")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        drawn = stack.enter_context(numbered_frames())
        simulator = stack.enter_context(Simulator(limits=Limits(session_duration=1e6, credits=1e9)))
        keys = {"HEYGEN_API_KEY": simulator.api_key, "HEYGEN_BASE_PATH": simulator.base_path}
        lab = stack.enter_context(closing(Lab(folder, keys)))
        browser = stack.enter_context(closing(Browser(driver=DRIVER)))
        look(stack.enter_context(closing(Desk(lab, browser))), drawn, options.seconds)


def look(desk: Desk, drawn: dict[int, float], seconds: float) -> None:
    """Measure a session that nobody looks at, one that is shown, and one that speaks, one after the other."""
    with closing(desk.open("benchmark", [START, "avatar.display()", TALK])) as notebook:
        watch = Watch(notebook, psutil.Process(int(notebook.run(0).split("pid ")[1].split()[0])))
        report("a session, not shown", watch.over(seconds / 10))
        notebook.run(1)
        notebook.wait(f"{FIND}('.heygen-stage.shown')")
        notebook.evaluate(READ_NUMBERS)
        report("shown, silent", watch.over(seconds / 10), delays(watch.seen(), drawn))
        notebook.start(2)
        report("shown, speaking", watch.over(seconds), delays(watch.seen(), drawn))
        notebook.click("[data-command='notebook:interrupt-kernel']")
        notebook.wait(f"{CONTENT}.widgets[2].model.executionState !== 'running'")


class Watch:
    """What kernel, page and browser use, and the pictures that the page shows meanwhile."""

    def __init__(self, notebook: Notebook, kernel: psutil.Process) -> None:
        self._notebook = notebook
        self._kernel = kernel
        family = psutil.Process().children(recursive=True)
        self._browser = [process for process in family if process.name().startswith("chrom")]
        self._seen: list[list[float]] = []

    def over(self, seconds: float) -> dict[str, float]:
        """CPU in percent of one core; memory in MB at first and at last, and what each minute adds to it."""
        time.sleep(WARM_UP)
        self._take_seen()
        self._seen.clear()
        began, cpu, page = time.monotonic(), self._cpu(), self._metrics()
        kernel, browser = [self._kernel_memory()], [self._browser_memory()]
        while time.monotonic() - began < seconds:
            time.sleep(seconds / SAMPLES)
            kernel.append(self._kernel_memory())
            browser.append(self._browser_memory())
            self._take_seen()
        lasted = time.monotonic() - began
        after = self._metrics()
        heap = [metrics["JSHeapUsedSize"] / 1e6 for metrics in (page, after)]
        return {
            "kernel, % of a core": 100 * (self._cpu() - cpu) / lasted,
            "page, % of a core": 100 * (after["ProcessTime"] - page["ProcessTime"]) / lasted,
            **_course("kernel", kernel, lasted),
            **_course("browser", browser, lasted),
            "page's heap, MB, first": heap[0],
            "page's heap, MB, last": heap[1],
        }

    def seen(self) -> list[list[float]]:
        """The numbers of the pictures seen since ``over()`` began, and when."""
        return self._seen

    def _take_seen(self) -> None:
        """Often, so that they are no part of the page's memory."""
        self._seen += self._notebook.evaluate("window.seen?.splice(0) ?? []")

    def _cpu(self) -> float:
        times = self._kernel.cpu_times()
        return float(times.user + times.system)

    def _kernel_memory(self) -> float:
        return float(self._kernel.memory_info().rss) / 1e6

    def _browser_memory(self) -> float:
        """Of all its processes, what they share left out: pictures on their way lie in more than the page's own."""
        return sum(float(process.memory_full_info().uss) for process in self._browser if process.is_running()) / 1e6

    def _metrics(self) -> dict[str, float]:
        metrics: dict[str, float] = self._notebook.order("metrics")
        return metrics


def _course(name: str, values: list[float], lasted: float) -> dict[str, float]:
    a_minute = 60 * (len(values) - 1) / lasted
    return {
        f"{name}, MB, first": values[0],
        f"{name}, MB, last": values[-1],
        f"{name}, MB, most": max(values),
        f"{name}, MB a minute": a_minute * slope(values),
        f"{name}, MB a minute, last half": a_minute * slope(values[len(values) // 2 :]),
    }


def delays(seen: list[list[float]], drawn: dict[int, float]) -> dict[str, float]:
    """Of the pictures seen: how many a second, and how old they were."""
    late = sorted(1000 * (at - drawn[int(number)]) for number, at in seen if int(number) in drawn)
    return {
        "pictures a second": (len(seen) - 1) / (seen[-1][1] - seen[0][1]),
        "glass to glass, ms, median": statistics.median(late),
        "glass to glass, ms, 95 of 100": late[int(0.95 * len(late))],
        "pictures not recognised": len(seen) - len(late),
    }


@contextmanager
def numbered_frames() -> Iterator[dict[int, float]]:
    """Let the simulator write each frame's number into its picture; when each was drawn, as it goes."""
    drawn: dict[int, float] = {}
    draw = Face.draw

    def number_too(self: Face, number: int, *args: Any) -> Any:
        frame = draw(self, number, *args)
        luma = np.frombuffer(frame.planes[0], np.uint8).reshape(-1, frame.planes[0].line_size)
        bits = (number % (1 << BITS)) >> np.arange(BITS) & 1
        stripe = np.kron(bits, np.ones((SQUARE, SQUARE))) * 219 + 16
        luma = luma.copy()
        luma[:SQUARE, : BITS * SQUARE] = stripe.astype(np.uint8)
        frame.planes[0].update(luma.tobytes())
        drawn[number % (1 << BITS)] = time.time()
        return frame

    with mock.patch.object(Face, "draw", number_too):
        yield drawn


def report(what: str, *facts: dict[str, float]) -> None:
    print(f"\n{what}", flush=True)
    for each in facts:
        for name, value in each.items():
            print(f"  {name:36}{value:8.2f}", flush=True)


if __name__ == "__main__":
    main()
