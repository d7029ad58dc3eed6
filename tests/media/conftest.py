from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from studio import Diary, Scene, Studio

from heygen_avatar.engine import Engine
from heygen_avatar.media.room import MediaRoom


class Guest:
    """A client of a scene: a real MediaRoom on a real media thread, driven from the test's thread."""

    def __init__(self, engine: Engine, scene: Scene) -> None:
        self.engine = engine
        self.diary = Diary()
        self.room: MediaRoom = engine.call(self._make(), timeout=10, what="making the room")
        self.scene = scene

    async def _make(self) -> MediaRoom:
        return MediaRoom(self.diary)

    def connect(self, *, identity: str = "client", url: str | None = None, token: str | None = None) -> None:
        token = self.scene.room.token(identity) if token is None else token
        joining = self.room.connect(url or self.scene.room.url, token, attempt_timeout=5)
        self.engine.call(joining, timeout=30, what="connecting")

    def send(self, payload: bytes, topic: str = "") -> None:
        self.engine.call(self.room.send_data(payload, topic), timeout=10, what="sending")

    def leave(self) -> None:
        self.engine.call(self.room.disconnect(), timeout=10, what="leaving")


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.stop(5)


@pytest.fixture(scope="session")
def studio() -> Iterator[Studio]:
    studio = Studio()
    yield studio
    studio.close()


@pytest.fixture
def scene(studio: Studio) -> Iterator[Scene]:
    scene = studio.scene()
    yield scene
    scene.close()


@pytest.fixture
def visit(engine: Engine, scene: Scene) -> Iterator[Callable[[], Guest]]:
    """Make guests of the scene; whoever is still there in the end is led out."""
    guests: list[Guest] = []

    def make() -> Guest:
        guests.append(Guest(engine, scene))
        return guests[-1]

    yield make
    for guest in guests:
        guest.leave()


@pytest.fixture
def guest(visit: Callable[[], Guest]) -> Guest:
    """Somebody who has joined, and sees the avatar."""
    guest = visit()
    guest.connect()
    guest.diary.wait_for("ready")
    return guest


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """After each test: no native subscription, no recorder thread."""
    yield
    from livekit.rtc._ffi_client import FfiClient

    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        gc.collect()
        subscribers = 0 if FfiClient._instance is None else len(FfiClient._instance.queue._subscribers)
        recorders = [thread.name for thread in threading.enumerate() if thread.name.startswith("heygen-recorder")]
        if not subscribers and not recorders:
            return
        time.sleep(0.05)
    pytest.fail(f"{subscribers} native subscriptions and the threads {recorders} are left")
