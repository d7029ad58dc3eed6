"""Rooms of our own on a LiveKit server: each session's, with the cast as ordinary participants.

The simulator has the server's key, so it gives out the tokens, throws clients out and deletes rooms. What is planned
to go wrong in rooms (``accidents.py``) needs the built-in one; here LiveKit's own ``simulate_scenario`` does it.
Everything here runs on the simulator's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Container, Coroutine, Sequence
from typing import Any

import aiohttp
import av
import numpy as np
from livekit import api
from livekit.protocol import models
from numpy.typing import NDArray

from heygen_avatar.simulator.access import room_token
from heygen_avatar.simulator.livekit import LiveKitStage
from heygen_avatar.simulator.stage import AVATAR_IDENTITY, StageListener, VideoFormat

logger = logging.getLogger(__name__)

LOOK_FOR_THE_FIRST = 0.1
"""Seconds between two looks at who is in a room where no client is."""

LOOK_AGAIN = 0.5
"""The same where one is."""

STRANGERS_PACKETS = 1_000
"""Packets that are kept until their sender has been seen."""


class LiveKitRooms:
    """The rooms of one simulator on the server at ``url``."""

    def __init__(self, url: str, *, api_key: str, api_secret: str) -> None:
        self.url = url
        self._api_key = api_key
        self._api_secret = api_secret
        self._rooms: dict[str, LiveKitRoom] = {}
        self._server: api.LiveKitAPI | None = None

    def create(self, room: str, listener: StageListener) -> LiveKitRoom:
        """Open a room; the server makes it when the first of the cast joins."""
        if room in self._rooms:
            raise ValueError(f"room {room} exists already")
        self._rooms[room] = LiveKitRoom(self, room, listener)
        return self._rooms[room]

    async def close(self) -> None:
        """Delete every room. Idempotent."""
        await asyncio.gather(*(room.close() for room in list(self._rooms.values())))
        if self._server is not None:
            await self._server.aclose()
            self._server = None

    def sign(self, room: str, identity: str, *, ttl: float) -> str:
        """An access token to a room."""
        return room_token(api_key=self._api_key, api_secret=self._api_secret, room=room, identity=identity, ttl=ttl)

    async def clients(self, room: str) -> set[str]:
        """Who is in the room and can hear data packets, the cast included."""
        reply = await self._ask(self._service.list_participants(api.ListParticipantsRequest(room=room)))
        participants = () if reply is None else reply.participants
        return {each.identity for each in participants if each.state == models.ParticipantInfo.ACTIVE}

    async def throw_out(self, room: str, identity: str) -> None:
        await self._ask(self._service.remove_participant(api.RoomParticipantIdentity(room=room, identity=identity)))

    async def delete(self, room: str) -> None:
        """Delete the room: who is in it is told so."""
        self._rooms.pop(room, None)
        await self._ask(self._service.delete_room(api.DeleteRoomRequest(room=room)))

    @property
    def _service(self) -> Any:
        if self._server is None:
            self._server = api.LiveKitAPI(self.url, self._api_key, self._api_secret)
        return self._server.room

    async def _ask(self, call: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await call
        except api.TwirpError as error:
            if error.code != api.TwirpErrorCode.NOT_FOUND:  # a room nobody was in is no room
                logger.error("the LiveKit server at %s refuses: %s", self.url, error)
        except (OSError, aiohttp.ClientError, asyncio.TimeoutError) as error:
            logger.error("the LiveKit server at %s does not answer: %s", self.url, error)
        return None


class LiveKitRoom:
    """One room: a :class:`~.stage.Stage` whose cast are participants of ours."""

    def __init__(self, rooms: LiveKitRooms, name: str, listener: StageListener) -> None:
        self.name = name
        self._rooms = rooms
        self._cast: dict[str, LiveKitStage] = {}
        self._audience = _Audience(listener, self._cast)
        self._doorkeeper: asyncio.Task[None] | None = None
        self._errands: set[asyncio.Task[None]] = set()
        self._closed: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return self._rooms.url

    def token(self, identity: str, *, ttl: float = 86_400.0) -> str:
        return self._rooms.sign(self.name, identity, ttl=ttl)

    async def enter(self, identity: str, *, video: VideoFormat | None = None, audio: bool = False) -> None:
        if identity in self._cast:
            raise ValueError(f"{identity} is on stage already")
        # Who comes first hears for all: each of them is told everything that happens in the room.
        first = not self._cast
        listener = self._audience if first else _Deaf()
        member = self._cast[identity] = LiveKitStage(self.url, self.token(identity), listener, hears=first)
        await member.enter(identity, video=video, audio=audio)
        if self._doorkeeper is None:
            self._doorkeeper = asyncio.create_task(self._watch_the_door(), name=f"door of room {self.name}")

    async def leave(self, identity: str) -> None:
        member = self._cast.get(identity)
        if member is not None:
            await member.close()
            del self._cast[identity]

    @property
    def video_wanted(self) -> bool:
        """Somebody is there; whether they look, the server does not tell."""
        return bool(self._audience.clients)

    def push_audio(self, samples: NDArray[np.int16]) -> None:
        for member in self._cast.values():
            member.push_audio(samples)

    def push_video(self, frame: av.VideoFrame) -> None:
        for member in self._cast.values():
            member.push_video(frame)

    async def send_data(
        self, payload: bytes, *, topic: str = "", sender: str = AVATAR_IDENTITY, to: Sequence[str] = ()
    ) -> None:
        member = self._cast.get(sender)
        if member is not None:
            await member.send_data(payload, topic=topic, to=to)

    def remove(self, identity: str) -> None:
        task = asyncio.create_task(self._rooms.throw_out(self.name, identity), name=f"throwing {identity} out")
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def vanish(self) -> None:
        for member in self._cast.values():
            await member.vanish()

    async def close(self) -> None:
        if self._closed is None:
            self._closed = asyncio.create_task(self._close(), name=f"deleting room {self.name}")
        await asyncio.shield(self._closed)

    async def _watch_the_door(self) -> None:
        """Ask who is there: a LiveKit server tells participants of others who publish nothing up to 3 s late."""
        while True:
            self._audience.knocked.clear()
            self._audience.look(await self._rooms.clients(self.name))
            with contextlib.suppress(asyncio.TimeoutError):
                pause = LOOK_AGAIN if self._audience.clients else LOOK_FOR_THE_FIRST
                await asyncio.wait_for(self._audience.knocked.wait(), pause)

    async def _close(self) -> None:
        if self._doorkeeper is not None:
            self._doorkeeper.cancel()
            await asyncio.gather(self._doorkeeper, return_exceptions=True)
        self._audience.look(set())
        if self._errands:
            await asyncio.wait(set(self._errands))
        for identity in list(self._cast):
            await self.leave(identity)
        await self._rooms.delete(self.name)


class _Deaf(StageListener):
    """Hears nothing."""

    def on_joined(self, identity: str) -> None: ...

    def on_left(self, identity: str) -> None: ...

    def on_data(self, identity: str, payload: bytes, topic: str) -> None: ...

    def on_microphone(self, identity: str, samples: NDArray[np.int16]) -> None: ...

    def on_microphone_muted(self, identity: str, muted: bool) -> None: ...


class _Audience(StageListener):
    """Passes on what clients do, as whoever they are; what the cast does is no news."""

    def __init__(self, listener: StageListener, cast: Container[str]) -> None:
        self.clients: set[str] = set()
        self.knocked = asyncio.Event()
        """Something was heard of somebody who has not been seen."""
        self._from_strangers: deque[tuple[bytes, str]] = deque(maxlen=STRANGERS_PACKETS)
        self._listener = listener
        self._cast = cast

    def look(self, present: set[str]) -> None:
        """These are in the room now."""
        clients = {identity for identity in present if identity not in self._cast}
        gone, come = self.clients - clients, clients - self.clients
        self.clients = clients
        for identity in gone:
            self._listener.on_left(identity)
        for identity in come:
            self._listener.on_joined(identity)
        while self._from_strangers and len(clients) == 1:
            self._listener.on_data(next(iter(clients)), *self._from_strangers.popleft())

    def on_joined(self, identity: str) -> None:
        """Seen by looking: what participants are told comes late."""

    def on_left(self, identity: str) -> None:
        """Likewise."""

    def on_data(self, identity: str, payload: bytes, topic: str) -> None:
        if not identity:
            self._from_strangers.append((payload, topic))
            self.knocked.set()
        elif identity not in self._cast:
            self._listener.on_data(identity, payload, topic)

    def on_microphone(self, identity: str, samples: NDArray[np.int16]) -> None:
        if identity not in self._cast:
            self._listener.on_microphone(identity, samples)

    def on_microphone_muted(self, identity: str, muted: bool) -> None:
        if identity not in self._cast:
            self._listener.on_microphone_muted(identity, muted)
