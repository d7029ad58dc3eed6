"""The widget: a page's module and style, and a way for messages. Its state, which notebooks save, says nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

__all__ = ["AvatarWidget"]

Hear = Callable[[Mapping[str, Any], Sequence[memoryview]], None]


class AvatarWidget(anywidget.AnyWidget):
    """Messages pass by; nothing of them is kept."""

    _esm = Path(__file__).parent / "page.js"
    _css = Path(__file__).parent / "page.css"

    width = traitlets.Int(640).tag(sync=True)

    def connect(self, hear: Hear) -> None:
        """Give what pages say to ``hear``, on whichever thread the kernel hears it."""
        self.on_msg(lambda _, message, buffers: hear(message, buffers))
        # ipykernel 7.4 sends a page's messages to the shell that last sent to it. That is the main one, which a cell
        # keeps; without this hook they go where the page says, as in 7.1 to 7.3: to a subshell, while a cell runs.
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = None

    def tell(self, message: dict[str, Any], buffers: Sequence[bytes]) -> None:
        """Send to all pages, from any thread."""
        self.send(message, list(buffers))
