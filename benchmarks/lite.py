"""From a sound given to a LITE avatar to the service's word that it has the first of it.

The service acknowledges each piece, so both ends of the way are on one clock. Both send the first 400 ms first.
"""

from __future__ import annotations

import time

from benchmarks.child import apart
from benchmarks.measure import Row, simulator, turns

WAYNE = "dd73ea75-1218-4ef3-92ce-606d5f7fbc0a"
"""One of LiveAvatar's public avatars."""

RATE = 24_000
SECONDS = 0.8


def rows(*, quick: bool) -> list[Row]:
    rounds, times = (1, 3) if quick else (6, 5)
    with simulator() as address:
        ours, theirs = turns(
            rounds,
            lambda: apart(say_ours, times=times, **address.settings()),
            lambda: apart(say_plain, times=times, **address.settings()),
        )
    return [
        Row(
            what="LITE: sound given to first piece acknowledged",
            unit="ms",
            ours=[one for run in ours for one in run],
            theirs=[one for run in theirs for one in run],
            against="aiohttp alone",
            digits=2,
        )
    ]


def say_ours(base_path: str, api_key: str, times: int) -> list[float]:
    """Milliseconds, for each sound."""
    import numpy as np

    from heygen_avatar import AudioBufferChanged, LiveAvatarOptions, Samples, StreamingAvatar, StreamingEvents

    sound = np.zeros(int(RATE * SECONDS), np.int16)
    acknowledged: list[float] = []
    result = []

    def note(event: AudioBufferChanged) -> None:
        if event.change == "appended":
            acknowledged.append(time.perf_counter())

    with StreamingAvatar(api_key=api_key, base_path=base_path, service="liveavatar") as avatar:
        avatar.on(StreamingEvents.AUDIO_BUFFER_CHANGED, note)
        options = LiveAvatarOptions(mode="LITE")
        avatar.create_start_avatar(avatar_name=WAYNE, quality="low", liveavatar=options)
        for _ in range(times):
            acknowledged.clear()
            began = time.perf_counter()
            avatar.speak_audio(Samples(sound, RATE)).wait(30)
            result.append(1000 * (acknowledged[0] - began))
    return result


def say_plain(base_path: str, api_key: str, times: int) -> list[float]:
    import asyncio
    import base64
    import uuid

    import aiohttp
    from livekit import rtc

    sound = bytes(2 * int(RATE * SECONDS))
    first = 2 * int(RATE * 0.4)

    async def post(http: aiohttp.ClientSession, name: str, body: object, headers: dict[str, str]) -> dict[str, str]:
        async with http.post(f"{base_path}/v1/sessions/{name}", json=body, headers=headers) as reply:
            reply.raise_for_status()
            data: dict[str, str] = (await reply.json())["data"]
            return data

    async def until(socket: aiohttp.ClientWebSocketResponse, kind: str) -> None:
        while (await socket.receive_json())["type"] != kind:
            pass

    async def say() -> list[float]:
        result = []
        async with aiohttp.ClientSession() as http:
            order = {"mode": "LITE", "avatar_id": WAYNE, "video_settings": {"quality": "low"}}
            token = await post(http, "token", order, {"X-API-KEY": api_key})
            bearer = {"Authorization": f"Bearer {token['session_token']}"}
            session = await post(http, "start", {}, bearer)
            room = rtc.Room()
            await room.connect(
                session["livekit_url"], session["livekit_client_token"], rtc.RoomOptions(auto_subscribe=False)
            )
            async with http.ws_connect(session["ws_url"]) as socket:
                await until(socket, "session.state_updated")
                for _ in range(times):
                    utterance = str(uuid.uuid4())
                    began = time.perf_counter()
                    for piece in (sound[:first], sound[first:]):
                        audio = base64.b64encode(piece).decode()
                        await socket.send_json({"type": "agent.speak", "event_id": utterance, "audio": audio})
                    await socket.send_json({"type": "agent.speak_end", "event_id": utterance})
                    await until(socket, "agent.audio_buffer_appended")
                    result.append(1000 * (time.perf_counter() - began))
                    await until(socket, "agent.speak_ended")
            await post(http, "stop", {"session_id": token["session_id"]}, bearer)
            await room.disconnect()
        return result

    return asyncio.run(say())
