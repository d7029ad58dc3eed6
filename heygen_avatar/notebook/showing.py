"""Showing an avatar in a cell: by the widget, or by a still picture with a sentence that says why."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import cells
from ..errors import HeyGenError, InvalidRequestError, SessionClosedError, WaitTimeoutError
from ..media.streams import VideoFrames
from .kernel import CellOutput
from .live import Live
from .pictures import jpeg, still

if TYPE_CHECKING:
    from ..avatar import StreamingAvatar
    from ..connection import Connection

__all__ = ["show"]

log = logging.getLogger("heygen_avatar.notebook")

STILL_FPS = 1.0

UNANSWERED = 5.0
"""Seconds of a free kernel in which a page that shows widgets has answered."""

NO_WIDGETS = "A still picture, since this front end shows no widgets; in JupyterLab, Notebook 7 or VS Code it is live."
NOT_INSTALLED = 'A still picture, since widgets are not installed: pip install "heygen-avatar[notebook]".'
NOT_SHOWN = "The live avatar is here while its kernel runs and the front end shows widgets."

_numbers = itertools.count(1)
_shown: list[_Shown] = []
_lock = threading.Lock()


def show(avatar: StreamingAvatar, connection: Connection, *, width: int, fps: float) -> None:
    """Show a running session in the cell that runs; what an earlier run of the cell shows gives way.

    Raises:
        InvalidRequestError: ``width`` or ``fps`` is out of range.
    """
    if isinstance(width, bool) or not isinstance(width, int) or not 160 <= width <= 1920:
        raise InvalidRequestError(f"width must be a whole number of pixels from 160 to 1920, not {width!r}")
    if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 1 <= fps <= 30:
        raise InvalidRequestError(f"fps must be a number from 1 to 30, not {fps!r}")
    shown = _Shown(avatar, connection, width=width, fps=fps)
    with _lock:
        for other in list(_shown):
            if other.over or (shown.run is not None and shown.run.replaces(other.run)):
                other.close()
                _shown.remove(other)
        _shown.append(shown)
    shown.open()


class _Shown:
    """One display of one session."""

    def __init__(self, avatar: StreamingAvatar, connection: Connection, *, width: int, fps: float) -> None:
        self.run = cells.running()
        self._connection = connection
        self._width = width
        self._display = _Output(width)
        self._live: Live | None = None
        self._widget: Any = None
        self._outputs: CellOutput | None = None
        self._closed = threading.Event()
        try:
            from .widget import AvatarWidget
        except ImportError:
            return
        self._widget = AvatarWidget(width=width)
        self._live = Live(avatar, connection, send=self._widget.tell, width=width, fps=fps, ended=self._session_ended)
        self._outputs = CellOutput(_shell())
        self._widget.connect(self._hear)

    @property
    def over(self) -> bool:
        return self._closed.is_set() or self._connection.over

    def open(self) -> None:
        if self._live is None:
            self._display.open(still(None, NOT_INSTALLED, width=self._width))
            self._start(self._renew_still, NOT_INSTALLED)
            return
        bundle, _ = self._widget._repr_mimebundle_()
        self._display.open(still(None, NOT_SHOWN, width=self._width), bundle)
        self._live.start()
        self._start(self._wait_for_page)

    def close(self) -> None:
        """Show nothing more. Idempotent, does not wait."""
        self._closed.set()
        if self._live is not None:
            self._live.close()
        if self._outputs is not None:
            self._outputs.close()
        if self._widget is not None:
            self._widget.close()

    def _hear(self, message: Mapping[str, Any], buffers: Sequence[memoryview]) -> None:
        if self._outputs is not None:
            self._outputs.give_back()
        if self._live is not None:
            self._live.hear(message, buffers)

    def _start(self, work: Callable[..., None], *args: object) -> None:
        threading.Thread(target=work, args=args, name=f"heygen-display-{next(_numbers)}", daemon=True).start()

    def _wait_for_page(self) -> None:
        """Give way to a still picture once a kernel that was free to hear a page has heard none."""
        live = self._live
        assert live is not None
        while live.unseen and not self.over:
            if live.main_thread.free_for > UNANSWERED:
                self.close_live()
                self._renew_still(NO_WIDGETS)
                return
            self._closed.wait(0.25)

    def close_live(self) -> None:
        if self._live is not None:
            self._live.close()
        if self._outputs is not None:
            self._outputs.close()

    def _renew_still(self, sentence: str) -> None:
        try:
            with VideoFrames(self._connection.wires.room, fps=STILL_FPS, timeout=1.0) as frames:
                while not self.over:
                    try:
                        picture = jpeg(frames.read(), width=self._width)
                    except WaitTimeoutError:
                        continue
                    self._display.update(still(picture, sentence, width=self._width))
        except SessionClosedError:
            pass
        except HeyGenError as error:
            self._display.update(still(None, f"There is no picture to show: {error}", width=self._width))

    def _session_ended(self, picture: bytes | None) -> None:
        """A widget without a session, or a kernel, shows nothing: leave a picture that the notebook can keep."""
        if self._closed.is_set() or self._live is None or self._live.unseen:
            return
        lasted = time.monotonic() - (self._connection.ready_at or time.monotonic())
        sentence = f"The session has ended after {lasted:.0f} s: {self._connection.end_text}."
        self._display.update(still(picture, sentence, width=self._width))
        self.close()


class _Output:
    """A cell's output that can be replaced, from any thread."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._handle: Any = None

    def open(self, html: str, bundle: Mapping[str, Any] | None = None) -> None:
        from IPython.display import DisplayHandle

        self._handle = DisplayHandle()  # type: ignore[no-untyped-call]
        self._handle.display({**(bundle or {}), "text/html": html, "text/plain": "<the avatar>"}, raw=True)

    def update(self, html: str) -> None:
        if self._handle is not None:
            self._handle.update({"text/html": html, "text/plain": "<the avatar>"}, raw=True)


def _shell() -> Any:
    from IPython.core.getipython import get_ipython

    return get_ipython()
