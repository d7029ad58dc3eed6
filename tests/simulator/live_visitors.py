"""Who comes to LiveAvatar's doors in these tests: a caller over REST, a visitor in the room, one on the LITE socket.

All block, as the tests do.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from livekit import rtc
from numpy.typing import NDArray
from websockets.sync.client import ClientConnection, connect

from heygen_avatar.simulator import Simulator

from .visitors import PATIENCE, Caller, Visitor

WAYNE = "dd73ea75-1218-4ef3-92ce-606d5f7fbc0a"
LITE_RATE = 24_000


class LiveCaller(Caller):
    """Calls LiveAvatar with the API key."""

    def data(self, method: str, path: str, **options: Any) -> Any:
        """What a call that must succeed answers."""
        response = self.call(method, path, **options)
        assert response.status_code in (200, 201), response.text
        assert response.json()["code"] == 1000
        return response.json()["data"]

    def create(self, path: str, **fields: Any) -> Any:
        return self.data("POST", path, json=fields)

    def order(self, **fields: Any) -> dict[str, Any]:
        """A session token, of a FULL session without a context unless the fields say otherwise."""
        persona = {} if fields.get("mode") == "LITE" or "voice_agent" in fields else {"avatar_persona": {}}
        small = {"quality": "low"}
        order: dict[str, Any] = self.create(
            "/v1/sessions/token", **{"avatar_id": WAYNE, "video_settings": small, **persona, **fields}
        )
        return order

    def bearer(self, session_token: str) -> LiveCaller:
        """One who calls with a session token instead."""
        return LiveCaller(self.simulator, token=session_token)

    def begun(self, **fields: Any) -> dict[str, Any]:
        """A session that was started, with its token."""
        order = self.order(**fields)
        started = self.bearer(order["session_token"]).create("/v1/sessions/start")
        return {**order, **started}

    def stop(self, session_id: str, **more: str) -> None:
        self.create("/v1/sessions/stop", session_id=session_id, **more)

    def entry(self, session_id: str) -> dict[str, Any]:
        """What the service tells of a session."""
        entry: dict[str, Any] = self.data("GET", f"/v1/sessions/{session_id}")
        return entry

    def transcript(self, session_id: str) -> list[tuple[str, str]]:
        data = self.data("GET", f"/v1/sessions/{session_id}/transcript")
        return [(remark["role"], remark["transcript"]) for remark in data["transcript_data"]]

    def context(self, **fields: Any) -> str:
        """The id of a new context."""
        whole = {"name": "A context", "prompt": "Your name is Zora.", "opening_text": None, **fields}
        return str(self.create("/v1/contexts", **whole)["id"])

    @contextmanager
    def attended(self, **fields: Any) -> Iterator[tuple[dict[str, Any], LiveVisitor]]:
        """A session whose user is in the room; it is stopped in the end."""
        session = self.begun(**fields)
        visitor = LiveVisitor()
        try:
            visitor.enter(session["livekit_url"], session["livekit_client_token"])
            self.await_state(session["session_id"], "connected")
            yield session, visitor
        finally:
            self.stop(session["session_id"])
            visitor.leave()


class LiveVisitor(Visitor):
    """A user in the room, who keeps the events of ``agent-response`` and may listen to the avatar."""

    def __init__(self) -> None:
        super().__init__()
        self.topics: set[str] = set()
        self.senders: set[str] = set()
        self._sound: list[NDArray[np.int16]] = []
        self._streams: list[asyncio.Task[None]] = []

    def command(self, kind: str, **fields: Any) -> None:
        self.send_as_is(json.dumps({"event_type": kind, **fields}).encode())

    def send_as_is(self, payload: bytes, topic: str = "agent-control") -> None:
        self._run(self.room.local_participant.publish_data(payload, topic=topic))

    def types(self) -> list[str]:
        return [packet["event_type"] for packet in self.packets]

    def until_heard(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        self.until(lambda me: me.types().count(kind) >= count, f"{count} times {kind}")
        return [packet for packet in self.packets if packet["event_type"] == kind]

    def listen(self) -> None:
        """Subscribe to the avatar's sound, and return when there is some."""
        self._run(self._subscribe(rtc.TrackKind.KIND_AUDIO, self._hear))
        self.until(lambda me: me._sound, "sound")

    def picture_size(self) -> tuple[int, int]:
        """The width and height of a frame of the avatar's."""
        sizes: list[tuple[int, int]] = []

        async def look(track: rtc.Track) -> None:
            stream = rtc.VideoStream(track)
            async for event in stream:
                with self._changed:
                    sizes.append((event.frame.width, event.frame.height))
                    self._changed.notify_all()
                break
            await stream.aclose()

        self._run(self._subscribe(rtc.TrackKind.KIND_VIDEO, look))
        self.until(lambda _: sizes, "a picture")
        return sizes[0]

    def heard(self) -> NDArray[np.int16]:
        """All sound since :meth:`listen`."""
        with self._changed:
            return np.concatenate(self._sound)

    def until_quiet_after(self, loud_seconds: float) -> NDArray[np.int16]:
        """The sound, once so much of it was loud and the last 300 ms were not."""

        def is_over(me: LiveVisitor) -> bool:
            sound = np.abs(np.concatenate(me._sound).astype(np.int32))
            return bool((sound > 1000).sum() > loud_seconds * 24_000 and sound[-14_400:].max() < 300)

        self.until(is_over, f"{loud_seconds} s of sound, then silence")  # type: ignore[arg-type]
        return self.heard()

    async def _subscribe(self, kind: Any, read: Callable[[rtc.Track], Any]) -> None:
        tracks = self.room.remote_participants["heygen"].track_publications.values()
        publication = next(publication for publication in tracks if publication.kind == kind)
        self.room.on("track_subscribed", lambda track, *_: self._streams.append(asyncio.ensure_future(read(track))))
        publication.set_subscribed(True)

    async def _hear(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(track)
        try:
            async for event in stream:
                with self._changed:
                    self._sound.append(np.frombuffer(event.frame.data, np.int16).copy())
                    self._changed.notify_all()
        finally:
            await stream.aclose()

    def leave(self) -> None:
        if self._thread.is_alive() and self._streams:
            self._run(self._stop_reading())
        super().leave()

    async def _stop_reading(self) -> None:
        for stream in self._streams:
            stream.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)

    def _heard(self, packet: rtc.DataPacket) -> None:
        self.topics.add(packet.topic or "")
        self.senders.add(packet.participant.identity if packet.participant else "")
        super()._heard(packet)


class LiteClient:
    """A client on a LITE session's socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.events: list[dict[str, Any]] = []

    def send(self, kind: str, **fields: Any) -> None:
        self.connection.send(json.dumps({"type": kind, **fields}))

    def speak(self, samples: NDArray[np.int16], **fields: Any) -> None:
        self.send("agent.speak", audio=as_base64(samples), **fields)

    def hear(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.connection.recv(timeout=PATIENCE))
        self.events.append(event)
        return event

    def until(self, kind: str, **facts: Any) -> dict[str, Any]:
        """The next event of the type, with these facts."""
        while True:
            event = self.hear()
            if event["type"] == kind and facts.items() <= event.items():
                return event

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]


@contextmanager
def lite_socket(session: dict[str, Any], *, connected: bool = True) -> Iterator[LiteClient]:
    """A connection to the session's socket, once it is ``connected``."""
    with connect(session["ws_url"], open_timeout=PATIENCE, close_timeout=PATIENCE, max_size=None) as connection:
        client = LiteClient(connection)
        if connected:
            client.until("session.state_updated", state="connected")
        yield client


def as_base64(samples: NDArray[np.int16]) -> str:
    return base64.b64encode(samples.astype("<i2").tobytes()).decode()


def live(simulator: Simulator) -> LiveCaller:
    return LiveCaller(simulator)
