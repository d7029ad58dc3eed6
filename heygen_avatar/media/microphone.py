"""The machine's microphone as a source: echo, noise and level are seen to before anything is sent."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

from ..deadline import Deadline
from ..errors import MediaError
from .devices import BLOCK_SECONDS, RATE, device_errors, sound_library
from .echo import Ear, machine_echo
from .frames import AudioFrame

__all__ = ["Microphone"]

KEPT_SECONDS = 0.3
"""Sound that may wait to be read; of more, the oldest is dropped and counted: late speech is worse than a gap."""

SILENT_DEVICE = 5.0
"""Seconds without a block after which a device is taken for dead."""


class Microphone:
    """A microphone, by sounddevice: mono at 48 kHz, or at the device's own rate where it has no other.

    It is open while it is read, and may be read again and again. Needs the extra ``audio``, and on Linux the system
    library PortAudio.

    Args:
        device: its number or part of its name (``python -m sounddevice`` lists them); the system's default where None.
        echo_cancellation: take out what ``avatar.play()`` plays on this machine.
        noise_suppression: take out steady noise.
        auto_gain_control: bring quiet voices up.

    Attributes:
        sample_rate: samples a second.
        dropped: blocks of 10 ms that were lost because they were not read in time.

    Raises:
        MissingExtraError: sounddevice is not installed.
        MediaError: PortAudio is not installed, or there is no such microphone.
    """

    live = True

    def __init__(
        self,
        device: int | str | None = None,
        *,
        echo_cancellation: bool = True,
        noise_suppression: bool = True,
        auto_gain_control: bool = True,
    ) -> None:
        self.device = device
        self.dropped = 0
        self._wanted = {
            "echo_cancellation": echo_cancellation,
            "noise_suppression": noise_suppression,
            "auto_gain_control": auto_gain_control,
        }
        self._listening: set[_Listening] = set()
        library = sound_library("Microphone")
        with device_errors(library, repr(self)):
            self.sample_rate = _rate(library, device)

    def __iter__(self) -> Iterator[AudioFrame]:
        listening = _Listening(self, self._wanted)
        self._listening.add(listening)
        return listening

    def close(self) -> None:
        """End the reading that is under way."""
        for listening in list(self._listening):
            listening.end()

    def __repr__(self) -> str:
        return "Microphone()" if self.device is None else f"Microphone({self.device!r})"


class _Listening:
    """One opening of a microphone. ``close`` and iteration are the reading thread's."""

    def __init__(self, microphone: Microphone, wanted: dict[str, bool]) -> None:
        self._microphone = microphone
        self._blocks: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._over = False
        self._kept = round(KEPT_SECONDS / BLOCK_SECONDS)
        library = sound_library("Microphone")
        with device_errors(library, repr(microphone)):
            self._stream = library.RawInputStream(
                device=microphone.device,
                samplerate=microphone.sample_rate,
                channels=1,
                dtype="int16",
                blocksize=_block(microphone.sample_rate),
                latency="low",
                callback=self._heard,
            )
            self._stream.start()
        self._processing = _Processing(microphone.sample_rate, wanted) if any(wanted.values()) else None

    def __iter__(self) -> Iterator[AudioFrame]:
        return self

    def __next__(self) -> AudioFrame:
        block = self._next()
        if block is None:
            raise StopIteration
        if self._processing is not None:
            block = self._processing.clean(block)
        return AudioFrame(sample_rate=self._microphone.sample_rate, data=block)

    def end(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def close(self) -> None:
        self.end()
        self._microphone._listening.discard(self)
        self._stream.close(ignore_errors=True)
        if self._processing is not None:
            self._processing.close()

    def _next(self) -> bytes | None:
        deadline = Deadline.after(SILENT_DEVICE)
        with self._changed:
            while not self._blocks and not self._over:
                if not deadline.wait_on(self._changed):
                    raise MediaError(f"{self._microphone!r} has given nothing for {SILENT_DEVICE:g} s: unplugged?")
            return None if self._over else self._blocks.popleft()

    def _heard(self, data: Any, _frames: int, _time: Any, _status: Any) -> None:
        """On the sound library's thread."""
        with self._changed:
            self._blocks.append(bytes(data))
            if len(self._blocks) > self._kept:
                self._blocks.popleft()
                self._microphone.dropped += 1
            self._changed.notify_all()


class _Processing:
    """WebRTC's echo canceller, noise suppressor and gain control, block by block."""

    def __init__(self, rate: int, wanted: dict[str, bool]) -> None:
        from livekit import rtc

        self._frame = rtc.AudioFrame
        self._rate = rate
        self._module = rtc.AudioProcessingModule(high_pass_filter=True, **wanted)
        # The canceller compares at one rate; where the device has another, what is played cannot be told from voice.
        cancels = wanted["echo_cancellation"] and rate == RATE
        self._ear: Ear | None = machine_echo.listen() if cancels else None

    def clean(self, block: bytes) -> bytes:
        if self._ear is not None:
            for played in self._ear.heard():
                self._module.process_reverse_stream(self._frame(bytearray(played), RATE, 1, len(played) // 2))
        frame = self._frame(bytearray(block), self._rate, 1, len(block) // 2)
        self._module.process_stream(frame)
        return bytes(frame.data)

    def close(self) -> None:
        if self._ear is not None:
            self._ear.close()


def _rate(library: Any, device: int | str | None) -> int:
    try:
        library.check_input_settings(device=device, channels=1, dtype="int16", samplerate=RATE)
    except library.PortAudioError:
        own = int(library.query_devices(device, "input")["default_samplerate"])
        library.check_input_settings(device=device, channels=1, dtype="int16", samplerate=own)
        return own
    return RATE


def _block(rate: int) -> int:
    return round(rate * BLOCK_SECONDS)
