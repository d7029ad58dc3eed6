"""The other contender: what one writes on ``livekit.rtc`` and aiohttp without this package, and nothing more.

It does what a session needs, one after the other as asyncio code is written, and looks after nothing: no retries, no
deadlines, no clean-up but its own.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlencode

import aiohttp
from livekit import rtc

AVATAR = "heygen"

MEDIA_NOT_JOINED = 400006
"""A task that came before the service had seen us join: whoever is that quick has to ask again."""


class PlainSession:
    """A session, in one coroutine after the other."""

    def __init__(self, base_path: str, api_key: str, *, quality: str = "low", subscribe: bool = True) -> None:
        self.room = rtc.Room()
        self.session_id = ""
        self._base_path = base_path
        self._api_key = api_key
        self._quality = quality
        self._subscribe = subscribe
        self._http = aiohttp.ClientSession()
        self._token = ""
        self._published = asyncio.Event()
        self._tracks: dict[int, rtc.RemoteTrack] = {}
        self._subscribed = asyncio.Event()
        self._chat: aiohttp.ClientWebSocketResponse | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Token, new, start, room, socket; back when the avatar has published picture and sound."""
        created = await self.post("streaming.create_token", headers={"x-api-key": self._api_key})
        self._token = created["token"]
        wanted = {"quality": self._quality, "version": "v2", "video_encoding": "H264"}
        session = await self.post("streaming.new", wanted)
        self.session_id = session["session_id"]
        await self.post("streaming.start", {"session_id": self.session_id})
        self.room.on("track_published", lambda *_: self._look())
        self.room.on("participant_connected", lambda *_: self._look())
        self.room.on("track_subscribed", self._keep)
        options = rtc.RoomOptions(auto_subscribe=self._subscribe)
        await self.room.connect(session["url"], session["access_token"], options)
        self._look()
        await self._open_chat()
        await self._published.wait()

    async def post(
        self, name: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """A call of the service; the data of its answer."""
        headers = headers or {"Authorization": f"Bearer {self._token}"}
        while True:
            async with self._http.post(f"{self._base_path}/v1/{name}", json=body or {}, headers=headers) as reply:
                answer: dict[str, Any] = await reply.json()
                if answer.get("code") != MEDIA_NOT_JOINED:
                    reply.raise_for_status()
                    data: dict[str, Any] = answer["data"]
                    return data
            await asyncio.sleep(0.02)

    async def track(self, kind: rtc.TrackKind.ValueType) -> rtc.RemoteTrack:
        """The avatar's picture or sound."""
        while kind not in self._tracks:
            self._subscribed.clear()
            await self._subscribed.wait()
        return self._tracks[kind]

    async def stop(self) -> None:
        await self.post("streaming.stop", {"session_id": self.session_id})
        if self._reading is not None:
            self._reading.cancel()
        if self._chat is not None:
            await self._chat.close()
        await self.room.disconnect()
        await self._http.close()

    async def _open_chat(self) -> None:
        query = urlencode({"session_id": self.session_id, "session_token": self._token})
        address = self._base_path.replace("http", "ws", 1)
        self._chat = await self._http.ws_connect(f"{address}/v1/ws/streaming.chat?{query}")
        self._reading = asyncio.create_task(self._read_chat(self._chat))

    async def _read_chat(self, chat: aiohttp.ClientWebSocketResponse) -> None:
        async for message in chat:
            if message.type is aiohttp.WSMsgType.TEXT:
                json.loads(message.data)

    def _look(self) -> None:
        avatar = self.room.remote_participants.get(AVATAR)
        if avatar is not None and len(avatar.track_publications) == 2:
            self._published.set()

    def _keep(self, track: rtc.RemoteTrack, *_: object) -> None:
        self._tracks[track.kind] = track
        self._subscribed.set()
