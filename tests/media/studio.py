"""A LiveKit room in this process, with an avatar that shows a colour and hums a note, for the media tests."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import av
import numpy as np
from aiohttp import web

from heygen_avatar.events import ConnectionQuality, DisconnectReason
from heygen_avatar.simulator.sfu import Sfu, SfuRoom
from heygen_avatar.simulator.stage import AVATAR_IDENTITY, BLOCK_SAMPLES, SAMPLE_RATE, VideoFormat

T = TypeVar("T")

PITCH = 440.0
WIDTH, HEIGHT, FPS = 320, 240, 25
RED = (200, 40, 40)
BLUE = (40, 40, 200)


class Studio:
    """The server: its own thread and loop, as many rooms as are asked for."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="studio", daemon=True)
        self._thread.start()
        self._names = itertools.count()
        self.run(self._open())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def scene(self) -> Scene:
        return self.run(self._scene())

    def close(self) -> None:
        self.run(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _open(self) -> None:
        self._sfu = Sfu(api_key="studio", api_secret="a-secret-of-the-studio-with-enough-length")
        app = web.Application()
        app.add_routes(self._sfu.routes())
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self._sfu.base_url = f"ws://{host}:{port}"

    async def _scene(self) -> Scene:
        scene = Scene(self)
        scene.room = self._sfu.create(f"room-{next(self._names)}", scene)
        await scene.start()
        return scene

    async def _close(self) -> None:
        await self._sfu.close()
        await self._runner.cleanup()


class Scene:
    """One room and its performance. It is also the stage's listener; its methods are called on any thread."""

    room: SfuRoom

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.colour = RED
        self.pictures_pushed = 0
        self.heard: list[tuple[str, bytes, str]] = []
        self.changed = threading.Condition()
        self._performance: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        picture = VideoFormat(width=WIDTH, height=HEIGHT, bitrate=500_000, fps=FPS, codec="VP8")
        await self.room.enter(AVATAR_IDENTITY, video=picture, audio=True)
        self._performance = [asyncio.ensure_future(self._hum()), asyncio.ensure_future(self._show())]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.studio.run(work)

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call one of the room's plain methods on the studio's loop."""

        async def call() -> T:
            return function(*args, **kwargs)

        return self.run(call())

    def close(self) -> None:
        async def close() -> None:
            for task in self._performance:
                task.cancel()
            await self.room.close()

        self.run(close())

    async def _hum(self) -> None:
        start = self.studio.loop.time()
        for block in itertools.count():
            t = (np.arange(BLOCK_SAMPLES) + block * BLOCK_SAMPLES) / SAMPLE_RATE
            self.room.push_audio((np.sin(2 * np.pi * PITCH * t) * 8000).astype(np.int16))
            await asyncio.sleep(start + (block + 1) * BLOCK_SAMPLES / SAMPLE_RATE - self.studio.loop.time())

    async def _show(self) -> None:
        start = self.studio.loop.time()
        for number in itertools.count(1):
            pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
            pixels[:] = self.colour
            if self.room.video_wanted:
                self.pictures_pushed += 1
                self.room.push_video(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p"))
            await asyncio.sleep(start + number / FPS - self.studio.loop.time())

    # StageListener

    def on_joined(self, identity: str) -> None: ...

    def on_left(self, identity: str) -> None: ...

    def on_data(self, identity: str, payload: bytes, topic: str) -> None:
        with self.changed:
            self.heard.append((identity, payload, topic))
            self.changed.notify_all()

    def on_microphone(self, identity: str, samples: Any) -> None: ...

    def on_microphone_muted(self, identity: str, muted: bool) -> None: ...


class Diary:
    """A room's listener that writes down what it hears, and lets a test wait for it."""

    def __init__(self) -> None:
        self.entries: list[tuple[Any, ...]] = []
        self._changed = threading.Condition()

    def wait_for(self, name: str, *, count: int = 1, timeout: float = 20.0) -> tuple[Any, ...]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.of(name)) >= count, timeout), f"{name} not in {self.entries}"
            return self.of(name)[count - 1]

    def of(self, name: str) -> list[tuple[Any, ...]]:
        return [entry for entry in self.entries if entry[0] == name]

    def _write(self, *entry: Any) -> None:
        with self._changed:
            self.entries.append(entry)
            self._changed.notify_all()

    def on_data(self, payload: bytes, topic: str, identity: str | None) -> None:
        self._write("data", payload, topic, identity)

    def on_stream_ready(self) -> None:
        self._write("ready")

    def on_quality(self, quality: ConnectionQuality) -> None:
        self._write("quality", quality)

    def on_reconnecting(self) -> None:
        self._write("reconnecting")

    def on_reconnected(self) -> None:
        self._write("reconnected")

    def on_disconnected(self, reason: DisconnectReason) -> None:
        self._write("disconnected", reason)


def pitch_of(samples: Any, sample_rate: int) -> float:
    """The strongest frequency in a piece of sound."""
    sound = np.asarray(samples, float).ravel()
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(sound.size)))
    return float(np.argmax(spectrum) * sample_rate / sound.size)
