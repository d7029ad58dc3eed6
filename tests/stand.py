"""An avatar that things are done to, with the simulator that does them and all that was heard."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from heygen_avatar import SpeechOutcome, StreamingAvatar
from heygen_avatar.events import Event
from heygen_avatar.simulator import Simulator
from tests.programs import eventually


class Stand:
    """An avatar, the simulator it talks to, and all events it hears."""

    def __init__(self, simulator: Simulator, **settings: Any) -> None:
        self.simulator = simulator
        self.avatar = StreamingAvatar(**{"api_key": simulator.api_key, "base_path": simulator.base_path, **settings})
        self.events: list[Event] = []

    def start(self, **fields: Any) -> Stand:
        self.avatar.create_start_avatar(**{"quality": "low", **fields})
        threading.Thread(target=self._read, args=(self.avatar.events(),), daemon=True).start()
        # The service's side may be behind: a task that comes before it counts the user in is refused, and given again.
        assert eventually(lambda: self.state == "connected"), self.state
        return self

    def _read(self, heard: Iterator[Event]) -> None:
        for event in heard:
            self.events.append(event)

    def suffers(self, kind: str, **fields: Any) -> None:
        """Let it happen, and return when it has."""
        self.simulator.inject({"kind": kind, **fields})
        assert eventually(lambda: self.struck), f"{kind} did not happen"

    def is_planned(self, kind: str, **fields: Any) -> None:
        self.simulator.inject({"kind": kind, **fields})

    @property
    def struck(self) -> int:
        return int(self.simulator.fault_calls()[-1]["struck"])

    def told(self, *names: str) -> list[str]:
        return [event.type for event in list(self.events) if not names or event.type in names]

    def hears(self, name: str, timeout: float = 10.0, **fields: Any) -> Any:
        """Wait for an event that was, or will be, heard since the start."""

        def found() -> Event | None:
            for event in list(self.events):
                if event.type == name and all(getattr(event, key) == value for key, value in fields.items()):
                    return event
            return None

        event = eventually(found, timeout)
        assert event, f"no {name} {fields or ''} among {self.told()}"
        return event

    def goes_on(self) -> None:
        assert self.avatar.say("Hi.", timeout=20).outcome is SpeechOutcome.SPOKEN
        assert self.state == "connected"

    @property
    def state(self) -> str:
        return str(self.simulator.sessions()[-1]["state"])

    def is_stopped(self, timeout: float = 10.0) -> None:
        assert eventually(lambda: [one["state"] for one in self.simulator.sessions()] == ["closed"], timeout)
