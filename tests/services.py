"""The same avatar on each of HeyGen's services, for tests that must not care which."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from heygen_avatar import LiveAvatarOptions, Samples, Service, Speech, StreamingAvatar
from heygen_avatar.simulator import Simulator

WAYNE = "dd73ea75-1218-4ef3-92ce-606d5f7fbc0a"
"""An avatar of the simulated LiveAvatar."""

RATE = 24_000


def tone(seconds: float, hertz: float = 440.0, rate: int = RATE) -> NDArray[np.int16]:
    """A tone that begins and ends softly, so that no click is heard."""
    samples = 12_000 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    edge = np.minimum(1.0, np.minimum(np.arange(len(samples)), np.arange(len(samples))[::-1]) / (0.01 * rate))
    return (samples * edge).astype(np.int16)


@frozen(kw_only=True)
class House:
    """A service as a script sees it: how an avatar is started there, and how it is made to say something."""

    service: Service
    start: dict[str, Any]
    say: Callable[..., Speech]

    @contextmanager
    def avatar(self, simulator: Simulator, **settings: Any) -> Iterator[StreamingAvatar]:
        """An avatar that is not started yet; it is stopped in the end."""
        avatar = StreamingAvatar(
            **{
                "api_key": simulator.api_key,
                "base_path": simulator.base_path,
                "service": self.service,
                **settings,
            }
        )
        try:
            yield avatar
        finally:
            avatar.stop_avatar()

    @contextmanager
    def started(self, simulator: Simulator, **fields: Any) -> Iterator[StreamingAvatar]:
        with self.avatar(simulator) as avatar:
            avatar.create_start_avatar(**{**self.start, **fields})
            yield avatar


def _say_text(avatar: StreamingAvatar, seconds: float, mode: str = "sync") -> Speech:
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    count = max(1, round(2.2 * seconds))
    return avatar.speak(" ".join((words * count)[:count]), task_type="repeat", task_mode=mode)


def _say_tone(avatar: StreamingAvatar, seconds: float, mode: str = "sync") -> Speech:
    return avatar.speak_audio(Samples(tone(seconds), RATE), task_mode=mode)


STREAMING = House(service=Service.HEYGEN, start={"avatar_name": "default", "quality": "low"}, say=_say_text)
FULL = House(service=Service.LIVEAVATAR, start={"avatar_name": WAYNE, "quality": "low"}, say=_say_text)
LITE = House(
    service=Service.LIVEAVATAR,
    start={"avatar_name": WAYNE, "quality": "low", "liveavatar": LiveAvatarOptions(mode="LITE")},
    say=_say_tone,
)
