"""The machine's sound devices, by sounddevice: finding the library, and saying in words what is wrong.

No import of it but here, and only when a device is asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import MediaError, MissingExtraError

__all__ = ["BLOCK_SECONDS", "RATE", "device_errors", "sound_library"]

RATE = 48_000
"""What rooms carry, so that nothing is converted on the way."""

BLOCK_SECONDS = 0.01
"""What echo cancellation works on (livekit's AudioProcessingModule takes exactly 10 ms)."""

_PORTAUDIO = (
    "apt install libportaudio2 (Debian, Ubuntu), dnf install portaudio (Fedora), pacman -S portaudio (Arch)"
    if sys.platform.startswith("linux")
    else "pip install --force-reinstall sounddevice, whose wheel brings it"
)


def sound_library(feature: str) -> Any:
    """The module sounddevice.

    Raises:
        MissingExtraError: it is not installed.
        MediaError: PortAudio, the system's library below it, is not installed.
    """
    try:
        import sounddevice
    except ImportError:
        raise MissingExtraError(extra="audio", feature=feature) from None
    except OSError:  # sounddevice loads PortAudio when it is imported; its Linux wheel does not bring it
        raise MediaError(f"{feature} needs the system library PortAudio, which is not there: {_PORTAUDIO}") from None
    return sounddevice


@contextmanager
def device_errors(library: Any, feature: str) -> Iterator[None]:
    """PortAudio's errors as ours, with the devices there are."""
    try:
        yield
    except (library.PortAudioError, ValueError) as error:
        raise MediaError(f"{feature} cannot be opened: {_words(error)}. {_devices(library)}") from None


def _words(error: Exception) -> str:
    # PortAudioError's second argument is a number.
    return str(error.args[0]) if error.args else type(error).__name__


def _devices(library: Any) -> str:
    try:
        names = [f"{number}: {device['name']}" for number, device in enumerate(library.query_devices())]
    except library.PortAudioError:
        names = []
    return f"Sound devices here: {'; '.join(names)}" if names else "There is no sound device here"
