"""Who comes to the simulator's doors in these tests: a caller over HTTP, a visitor in the room, one on the socket.

All block, as the tests do. The visitor is a real LiveKit client on a loop of its own.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import numpy as np
import requests
from livekit import rtc
from numpy.typing import NDArray
from websockets.sync.client import ClientConnection, connect

from heygen_avatar.simulator import Simulator

PATIENCE = 15.0
"""Seconds until a wait is a failure."""

SPEECH_RATE = 16_000
"""Samples a second of what a visitor says."""


class Caller:
    """Calls as one who has the API key, or a session token."""

    def __init__(self, simulator: Simulator, *, token: str = "", headers: dict[str, str] | None = None) -> None:
        self.simulator = simulator
        self._headers = {"Authorization": f"Bearer {token}"} if token else {"x-api-key": simulator.api_key}
        if headers is not None:
            self._headers = headers

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        url = self.simulator.base_path + path
        headers = {**self._headers, **options.pop("headers", {})}
        return requests.request(method, url, headers=headers, timeout=PATIENCE, **options)

    def post(self, path: str, **fields: Any) -> requests.Response:
        return self.call("POST", path, json=fields)

    def get(self, path: str, **query: Any) -> requests.Response:
        return self.call("GET", path, params=query)

    def token(self, **fields: Any) -> str:
        return str(self.post("/v1/streaming.create_token", **fields).json()["data"]["token"])

    def new(self, **fields: Any) -> dict[str, Any]:
        """A session that is made and not started."""
        data: dict[str, Any] = self.post("/v1/streaming.new", **{"version": "v2", **fields}).json()["data"]
        return data

    def started(self, **fields: Any) -> dict[str, Any]:
        """A session whose avatar is in its room, and nobody else."""
        session = self.new(**fields)
        self.post("/v1/streaming.start", session_id=session["session_id"])
        return session

    @contextmanager
    def visited(self, **fields: Any) -> Iterator[tuple[str, Visitor]]:
        """A session with a visitor in its room; it is stopped in the end."""
        session = self.started(**fields)
        visitor = Visitor()
        try:
            visitor.enter(session["url"], session["access_token"])
            self.await_state(session["session_id"], "connected")
            yield session["session_id"], visitor
        finally:
            self.post("/v1/streaming.stop", session_id=session["session_id"])
            visitor.leave()

    def record(self, session_id: str) -> dict[str, Any]:
        """What the simulator's owner is told of a session."""
        records = self.get("/simulator/sessions").json()
        return next(record for record in records if record["session_id"] == session_id)

    def await_state(self, session_id: str, state: str) -> dict[str, Any]:
        """The session's record, once it is in this state."""
        # The admin path tells of no changes, so this asks again and again.
        pause = threading.Event()
        for _ in range(int(PATIENCE / 0.02)):
            record = self.record(session_id)
            if record["state"] == state:
                return record
            pause.wait(0.02)
        raise AssertionError(f"session is {record['state']}, not {state}, after {PATIENCE} s")


class Visitor:
    """A LiveKit client that keeps the packets it hears."""

    def __init__(self) -> None:
        self.packets: list[dict[str, Any]] = []
        self.disconnect_reason: int | None = None
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.room: rtc.Room = self._run(self._make())

    async def _make(self) -> rtc.Room:
        room = rtc.Room()
        room.on("data_received", self._heard)
        room.on("disconnected", self._disconnected)
        return room

    def enter(self, url: str, token: str) -> None:
        self._run(self.room.connect(url, token, rtc.RoomOptions(auto_subscribe=False)))

    def send(self, payload: bytes) -> None:
        self._run(self.room.local_participant.publish_data(payload))

    def open_microphone(self) -> rtc.LocalAudioTrack:
        """Publish a microphone that can be spoken into."""
        track: rtc.LocalAudioTrack = self._run(self._publish())
        return track

    async def _publish(self) -> rtc.LocalAudioTrack:
        self._source = rtc.AudioSource(SPEECH_RATE, 1)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self.room.local_participant.publish_track(track, options)
        return track

    def speak(self, *sounds: NDArray[np.int16]) -> None:
        """Say these into the microphone, 16 kHz mono, at the pace at which they sound; return when they have."""
        self._run(self._speak(np.concatenate(sounds)))

    async def _speak(self, samples: NDArray[np.int16]) -> None:
        for start in range(0, len(samples), SPEECH_RATE // 100):
            piece = samples[start : start + SPEECH_RATE // 100]
            await self._source.capture_frame(rtc.AudioFrame(piece.tobytes(), SPEECH_RATE, 1, len(piece)))
        await self._source.wait_for_playout()

    def send_all(self, payloads: list[bytes]) -> None:
        """As fast as they are taken."""

        async def send() -> None:
            for payload in payloads:
                await self.room.local_participant.publish_data(payload)

        self._run(send())

    def leave(self) -> None:
        if self._thread.is_alive():
            self._run(self._leave())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE)
            self._loop.close()

    async def _leave(self) -> None:
        await self.room.disconnect()
        # From a room that the server has ended this returns at once, and what listens to it ends a little later: with
        # its loop closed by then, LiveKit would complain of it at each event of the process.
        listening = asyncio.all_tasks() - {asyncio.current_task()}
        if listening:
            _, late = await asyncio.wait(listening, timeout=PATIENCE)
            for task in late:
                task.cancel()

    def until(self, reached: Callable[[Visitor], Any], what: str) -> None:
        with self._changed:
            done = self._changed.wait_for(lambda: reached(self), PATIENCE)
        assert done, f"{what} within {PATIENCE} s; heard {self.types()}"

    def until_heard(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """The packets of a type, once there are so many."""
        self.until(lambda me: me.types().count(kind) >= count, f"{count} times {kind}")
        return [packet for packet in self.packets if packet["type"] == kind]

    def types(self) -> list[str]:
        return [packet["type"] for packet in self.packets]

    def _heard(self, packet: rtc.DataPacket) -> None:
        with self._changed:
            self.packets.append(json.loads(packet.data))
            self._changed.notify_all()

    def _disconnected(self, reason: Any) -> None:
        with self._changed:
            self.disconnect_reason = int(reason)
            self._changed.notify_all()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)


@contextmanager
def chatting(caller: Caller, session_id: str, **query: str) -> Iterator[ClientConnection]:
    """A chat socket of the session."""
    given = {"session_id": session_id, "session_token": caller.token(session_id=session_id), **query}
    with chat_socket(caller.simulator, **given) as socket:
        yield socket


def chat_socket(simulator: Simulator, **query: str) -> ClientConnection:
    address = simulator.base_path.replace("http", "ws", 1) + "/v1/ws/streaming.chat"
    return connect(f"{address}?{urlencode(query)}", open_timeout=PATIENCE, close_timeout=PATIENCE)
