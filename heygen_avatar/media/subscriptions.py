"""Which of the avatar's tracks are sent to us, and what feeds which sink. On the media loop only.

A track is subscribed when it gets its first sink, and paused while it has none: a session without consumers receives
and decodes nothing. It is paused and not unsubscribed because livekit 1.2.1 never hands out a track a second time (it
tells ``track_unsubscribed``, and nothing when the same track comes back). A sink outlives tracks: after a full
reconnect it is fed from the new one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Literal

from livekit import rtc
from livekit.rtc._ffi_client import FfiClient
from livekit.rtc._proto.ffi_pb2 import FfiRequest

from .feed import Feed
from .sinks import Sink

__all__ = ["KINDS", "Kind", "Subscriptions"]

logger = logging.getLogger(__name__)

Kind = Literal["video", "audio"]

KINDS: tuple[Kind, ...] = ("video", "audio")


LINGER = 1.0
"""Seconds a track is still sent after its last sink left: snapshot after snapshot must not wait for a keyframe each."""


class Subscriptions:
    """The sinks of one room.

    ``publication`` tells what the avatar publishes of a kind at the moment, or None; ``clock`` turns a monotonic time
    into the time that sinks are told.
    """

    def __init__(
        self, publication: Callable[[Kind], rtc.RemoteTrackPublication | None], clock: Callable[[float], float]
    ) -> None:
        self._publication = publication
        self._clock = clock
        self._sinks: dict[Sink, Feed | None] = {}
        self._asked: dict[Kind, rtc.RemoteTrackPublication] = {}
        self._loop = asyncio.get_running_loop()
        self._lingering: dict[Kind, asyncio.TimerHandle] = {}
        self._paused: set[Kind] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = False

    def add(self, sink: Sink) -> None:
        """Feed ``sink`` from the next ``review()`` on. After the end it is told so at once."""
        if self._over:
            sink.end()
        else:
            self._sinks.setdefault(sink, None)

    def remove(self, sink: Sink) -> None:
        """Feed ``sink`` no more. Unknown ones are ignored."""
        feed = self._sinks.pop(sink, None)
        if feed is not None:
            feed.stop()

    def review(self) -> None:
        """Bring subscriptions and feeds into line with the sinks and with what the avatar publishes."""
        if self._over:
            return
        for kind in KINDS:
            sinks = [sink for sink in self._sinks if sink.kind == kind]
            if sinks:
                self._serve(kind, sinks)
            elif kind in self._asked and kind not in self._paused and kind not in self._lingering:
                self._lingering[kind] = self._loop.call_later(LINGER, self._pause, kind)

    def ask_again(self) -> None:
        """Forget the requests that brought no track, so that the next ``review()`` makes them again."""
        for kind, publication in list(self._asked.items()):
            if publication.track is None:
                del self._asked[kind]

    def end(self) -> None:
        """Stop all feeds and tell the sinks that it is over. Idempotent."""
        self._over = True
        sinks, self._sinks = self._sinks, {}
        for sink, feed in sinks.items():
            if feed is not None:
                feed.stop()
            sink.end()
        for timer in self._lingering.values():
            timer.cancel()
        self._lingering.clear()
        self._asked.clear()

    async def closed(self) -> None:
        """Wait until what was stopped is closed; each feed bounds that."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    def _serve(self, kind: Kind, sinks: list[Sink]) -> None:
        if timer := self._lingering.pop(kind, None):
            timer.cancel()
        publication = self._publication(kind)
        # By identity: after a full reconnect the same track is published anew, and must be asked for anew.
        if publication is not None and self._asked.get(kind) is not publication:
            self._asked[kind] = publication
            self._paused.discard(kind)
            publication.set_subscribed(True)
        elif publication is not None and kind in self._paused:
            self._paused.discard(kind)
            _send(publication, wanted=True)
        track = publication.track if publication is not None else None
        for sink in sinks:
            self._feed(sink, track)

    def _feed(self, sink: Sink, track: Any) -> None:
        feed = self._sinks[sink]
        if feed is not None and feed.track is track:
            return
        if feed is not None:
            feed.stop()
        self._sinks[sink] = None
        if track is not None:
            self._sinks[sink] = feed = Feed(track, sink, self._clock)
            self._tasks.add(feed.task)  # asyncio keeps no strong reference to a task
            feed.task.add_done_callback(self._closed)

    def _closed(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("feeding a consumer of the avatar's media failed: %s", error, exc_info=error)

    def _pause(self, kind: Kind) -> None:
        del self._lingering[kind]
        if publication := self._asked.get(kind):
            self._paused.add(kind)
            _send(publication, wanted=False)


def _send(publication: rtc.RemoteTrackPublication, *, wanted: bool) -> None:
    """Have the server send a subscribed track or not; nothing is negotiated anew."""
    # The native library can, its Python part has no method for it (1.2.1). Where a later version differs, the track
    # goes on being sent, which costs but does no harm.
    try:
        request = FfiRequest()
        request.enable_remote_track_publication.track_publication_handle = publication._ffi_handle.handle
        request.enable_remote_track_publication.enabled = wanted
        FfiClient.instance.request(request)
    except (AttributeError, AssertionError) as error:
        logger.debug("an unread track could not be paused: %r", error)
