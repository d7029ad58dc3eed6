"""LITE in a LiveKit room of the client's own: the avatar comes with the token it was given, and is heard there."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from heygen_avatar.simulator import Simulator

from .guests import Hall, loud, open_hall, pitch, tone
from .live_visitors import LITE_RATE, LiveCaller, lite_socket


def config(hall: Hall, identity: str = "my-avatar") -> dict[str, str]:
    return {
        "livekit_url": hall.room.url,
        "livekit_room": hall.room.name,
        "livekit_client_token": hall.room.token(identity),
    }


def say_a_tone(live: LiveCaller, session: dict[str, Any]) -> None:
    with lite_socket(session) as client:
        client.speak(tone(440, 1.0, rate=LITE_RATE), event_id="1")
        client.send("agent.speak_end", event_id="1")
        client.until("agent.speak_ended")
    live.stop(session["session_id"])


def test_the_avatar_is_heard_in_the_clients_own_room(simulator: Simulator) -> None:
    async def run() -> None:
        async with open_hall(avatar=None) as hall:
            live = LiveCaller(simulator)
            session = await asyncio.to_thread(live.begun, mode="LITE", livekit_config=config(hall))
            await hall.listener.have("microphone")
            await asyncio.to_thread(say_a_tone, live, session)
            assert session["livekit_url"] is None
            assert session["livekit_client_token"] is None
            await hall.listener.have("left")
            assert hall.listener.of("joined") == [("my-avatar",)]
            heard = hall.listener.heard()
            windows = np.flatnonzero(loud(heard))
            # A busy machine may put a pause into it, but leaves nothing out and says nothing twice.
            assert 0.9 <= len(windows) / 100 <= 1.1
            unbroken = max(np.split(windows, np.flatnonzero(np.diff(windows) > 1) + 1), key=len)
            assert abs(pitch(heard[unbroken[0] * 480 : (unbroken[-1] + 1) * 480]) - 440) < 3

    asyncio.run(run())


def test_a_room_that_cannot_be_joined_costs_nothing(simulator: Simulator) -> None:
    live = LiveCaller(simulator)
    room = {"livekit_url": "ws://127.0.0.1:9", "livekit_room": "r", "livekit_client_token": "t"}
    session_id = live.begun(mode="LITE", livekit_config=room)["session_id"]
    live.await_state(session_id, "closed")
    entry = live.entry(session_id)
    assert (entry["end_reason"], entry["credits_consumed"]) == ("SERVER_ERROR", 0)
