"""The avatar in pages: picture, sound, captions and state out of a session, presses of buttons and a voice into it.

Four threads of its own for each display, none of which ever holds the user's avatar. What a page is made of, the
widget's module knows; here are only its messages, a dictionary and maybe one buffer each.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from ..deadline import Deadline
from ..errors import HeyGenError, SessionClosedError, WaitTimeoutError
from ..events import AvatarStartTalking, AvatarStopTalking, ConnectionQualityChanged, StreamDisconnected
from ..media.streams import AudioFrames, VideoFrames
from .flow import Flow, Kind
from .kernel import MainThread
from .pictures import jpeg
from .talk import HoldToTalk, Order

if TYPE_CHECKING:
    from ..avatar import StreamingAvatar
    from ..connection import Connection
    from ..dispatch import Dispatcher, EventQueue
    from ..media.frames import AudioFrame
    from ..transcript import Transcript

__all__ = ["Live", "Send"]

log = logging.getLogger("heygen_avatar.notebook")

Send = Callable[[dict[str, Any], Sequence[bytes]], None]
"""Sends a message to all pages; from any thread, without blocking."""

SAMPLE_RATE = 24_000
SOUND_MS = 40

QUIET = 48
"""The loudest sample of what need not be sent, -57 dB: pages play silence by themselves."""

LINGER = 0.4
"""Seconds of quiet sent all the same, so that words are not cut off."""

TICK = 2.0
"""Seconds between messages that pages answer, by which they are known to be there."""

LOOK = 0.2
"""Seconds between looks whether anybody wants picture or sound again."""

CAPTIONS = 2
"""Turns of the conversation that a page shows."""

_numbers = itertools.count(1)


class _Feed(Protocol):
    """Picture or sound, while somebody wants it."""

    def open(self) -> Any: ...
    def give(self, frame: Any) -> None: ...


class Live:
    """A session shown by a widget, from its making until the session has ended or ``close()``.

    Args:
        ended: called once at the end, in a thread of this object, with the last picture.
    """

    def __init__(
        self,
        avatar: StreamingAvatar,
        connection: Connection,
        *,
        send: Send,
        width: int,
        fps: float,
        ended: Callable[[bytes | None], None],
    ) -> None:
        self._avatar = weakref.ref(avatar)
        self._connection = connection
        self._transcript: Transcript = avatar._transcript
        self._dispatcher: weakref.ref[Dispatcher] = weakref.ref(avatar._dispatcher)
        self._events: EventQueue = avatar._dispatcher.listen()
        self._send = send
        self._ended = ended
        self._talking = False
        self._quality = avatar.connection_quality
        self._started = time.monotonic()
        self._over = threading.Event()
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._subshells = False
        self.main_thread = MainThread()
        self.flow = Flow(time.monotonic())
        self.picture = _Pictures(self, width=width, fps=fps)
        self.sound = _Sounds(self)
        self._talk = HoldToTalk(self._orders.put)
        self._threads = [
            threading.Thread(target=work, args=args, name=f"heygen-view-{name}-{next(_numbers)}", daemon=True)
            for name, work, args in (
                ("picture", self._feed, ("picture", self.picture)),
                ("sound", self._feed, ("sound", self.sound)),
                ("events", self._tell, ()),
                ("orders", self._obey, ()),
            )
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Take nothing more from the session. Idempotent, does not wait."""
        self._over.set()
        self._events.close()
        self._orders.put(None)
        self.main_thread.stop()
        dispatcher = self._dispatcher()
        if dispatcher is not None:
            dispatcher.unlisten(self._events)

    @property
    def over(self) -> bool:
        return self._over.is_set() or self._connection.over

    @property
    def room(self) -> Any:
        return self._connection.wires.room

    @property
    def unseen(self) -> bool:
        """Whether no page has ever been heard of."""
        return not self.flow.ever_heard

    @property
    def deaf(self) -> bool:
        """Whether pages cannot be heard at the moment: a cell keeps the main thread, and there are no subshells."""
        return self.main_thread.busy and not self._subshells

    # -- from the pages: any thread, and it must not wait

    def hear(self, message: Mapping[str, Any], buffers: Sequence[memoryview]) -> None:
        """A page says something."""
        if threading.current_thread() is not threading.main_thread():
            self._subshells = True
        match message.get("kind"):
            case "ack":
                self.flow.hear(str(message.get("page")), int(message.get("n", 0)), time.monotonic())
            case "here":
                self._hear_of(message)
            case "gone":
                self.flow.forget(str(message.get("page")))
            case "press":
                self._press(str(message.get("button")))
            case "talk":
                self._hear_talk(message)
            case "voice" if buffers:
                self._talk.hear(bytes(buffers[0]))

    def _hear_of(self, message: Mapping[str, Any]) -> None:
        wants: set[Kind] = set()
        if message.get("picture"):
            wants.add("picture")
        if message.get("sound"):
            wants.add("sound")
        new = bool(message.get("new"))
        # A page that has just come does not wait for what was sent before.
        acknowledged = self.flow.newest if new else int(message.get("n", 0))
        self.flow.hear(str(message.get("page")), acknowledged, time.monotonic(), frozenset(wants))
        if new:
            self._orders.put(lambda _: self._tell_all())

    def _press(self, button: str) -> None:
        if button == "interrupt":
            self._orders.put(lambda avatar: avatar.interrupt())
        elif button == "stop":
            self._orders.put(lambda avatar: avatar.stop_avatar())

    def _hear_talk(self, message: Mapping[str, Any]) -> None:
        if not message.get("held"):
            self._talk.end()
            return
        try:
            self._talk.start(int(message.get("rate", 0)))
        except HeyGenError as error:
            self._notice(str(error))

    # -- picture and sound: a thread each

    def _feed(self, kind: Kind, feed: _Feed) -> None:
        try:
            while not self.over:
                if not self._wanted(kind):
                    self._over.wait(LOOK)
                    continue
                with feed.open() as frames:
                    while self._wanted(kind) and not self.over:
                        with suppress(WaitTimeoutError):
                            feed.give(frames.read())
        except SessionClosedError:
            pass
        except Exception:
            log.exception("the avatar's %s cannot be shown any more", kind)

    def _wanted(self, kind: Kind) -> bool:
        return self.flow.wanted(kind, time.monotonic(), deaf=self.deaf)

    # -- captions and state: a thread

    def _tell(self) -> None:
        try:
            while not self.over:
                event = self._events.get(Deadline.after(TICK))
                if isinstance(event, StreamDisconnected):
                    break
                if isinstance(event, (AvatarStartTalking, AvatarStopTalking)):
                    self._talking = isinstance(event, AvatarStartTalking)
                elif isinstance(event, ConnectionQualityChanged):
                    self._quality = event.quality
                self._tell_all()
            self._tell_all()
            self._ended(self.picture.last)
        except Exception:
            log.exception("the avatar's display ended early")
        finally:
            self.close()

    def _tell_all(self) -> None:
        turns = self._transcript.snapshot()[-CAPTIONS:]
        self._send(
            {
                "kind": "state",
                "n": self.flow.newest,
                "state": str(self._connection.state),
                "quality": str(self._quality),
                "talking": self._talking,
                "seconds": round(time.monotonic() - (self._connection.ready_at or self._started)),
                "captions": [{"speaker": turn.speaker, "text": turn.text} for turn in turns],
            },
            (),
        )

    def _notice(self, sentence: str) -> None:
        self._send({"kind": "notice", "text": sentence}, ())

    # -- buttons: a thread

    def _obey(self) -> None:
        while (order := self._orders.get()) is not None:
            avatar = self._avatar()
            if avatar is None:
                return
            try:
                order(avatar)
            except HeyGenError as error:
                self._notice(str(error))
            except Exception as error:
                log.exception("a button failed")
                self._notice(f"{type(error).__name__}: {error}")
            del avatar, order


class _Pictures:
    """The picture, as often as pages take it."""

    def __init__(self, live: Live, *, width: int, fps: float) -> None:
        self.last: bytes | None = None
        self.sent = 0
        self.skipped = 0
        self._live = live
        self._width = width
        self._fps = fps

    def open(self) -> VideoFrames:
        return VideoFrames(self._live.room, fps=self._fps, timeout=1.0)

    def give(self, frame: Any) -> None:
        flow = self._live.flow
        if not flow.may_send(time.monotonic(), deaf=self._live.deaf):
            self.skipped += 1
            return
        self.last = jpeg(frame, width=self._width)
        number = flow.send(time.monotonic())
        self.sent += 1
        self._live._send({"kind": "picture", "n": number}, (self.last,))


class _Sounds:
    """The sound, but for its silences."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._loud_at = float("-inf")

    def open(self) -> AudioFrames:
        return AudioFrames(self._live.room, sample_rate=SAMPLE_RATE, frame_ms=SOUND_MS, buffer=1.0, timeout=1.0)

    def give(self, frame: AudioFrame) -> None:
        now = time.monotonic()
        samples = frame.samples
        if int(samples.max()) > QUIET or int(samples.min()) < -QUIET:
            self._loud_at = now
        if now - self._loud_at <= LINGER:
            self._live._send({"kind": "sound", "rate": SAMPLE_RATE}, (bytes(frame.data),))
