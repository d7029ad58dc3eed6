"""Whether somebody speaks: voice activity in a stream of sound, with the patience of a listener.

It decides and keeps no sound. What was said is the recogniser's business, what follows from it the listener's.
"""

from __future__ import annotations

from collections import deque
from functools import cache

import numpy as np
import webrtcvad
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""What is judged: 16 kHz, mono, int16."""

FRAME_SAMPLES = 320
"""Samples of one judgement: 20 ms."""

FRAME_SECONDS = FRAME_SAMPLES / SAMPLE_RATE


class VoiceActivity:
    """Follows one microphone. Somebody speaks from ``shortest_speech`` of voice on, until a silence of ``pause``.

    WebRTC's detector takes any loud tone for a voice, so a frame counts as voice only if it is above the noise of a
    quiet microphone and if its spectrum has moved lately: a hum stands still, speech never does.
    """

    def __init__(self, *, shortest_speech: float, pause: float) -> None:
        self._detector = webrtcvad.Vad(_STRICT)
        self.needed_frames = max(1, round(shortest_speech / FRAME_SECONDS))
        self._patience = max(1, round(pause / FRAME_SECONDS))
        self._spectra: deque[NDArray[np.float64] | None] = deque(maxlen=_MOVING_FRAMES)
        self._latest: deque[bool] = deque(maxlen=self.needed_frames + _STUTTER_FRAMES)
        self.speaking = False
        self.quiet_frames = 0
        """Frames since voice was last heard."""

    def take(self, frame: NDArray[np.int16]) -> bool:
        """Judge the next frame, (320,) int16; the result is :attr:`speaking`, this frame included."""
        voiced = self._is_voice(frame)
        # A single voiced frame in a pause is a click, not the speaker's return.
        returned = voiced and (not self._latest or self._latest[-1])
        self._latest.append(voiced)
        self.quiet_frames = 0 if returned else self.quiet_frames + 1
        if self.speaking:
            self.speaking = self.quiet_frames < self._patience
        else:
            self.speaking = voiced and sum(self._latest) >= self.needed_frames
        if not self.speaking and self.quiet_frames == self._patience:
            self._latest.clear()
        return self.speaking

    def _is_voice(self, frame: NDArray[np.int16]) -> bool:
        if not self._detector.is_speech(frame.tobytes(), SAMPLE_RATE):
            self._spectra.append(None)
            return False
        wave = frame.astype(np.float64)
        if float(np.sqrt(np.mean(wave * wave))) < _QUIET:
            self._spectra.append(None)
            return False
        spectrum = np.abs(np.fft.rfft(wave * _window()))
        spectrum /= np.linalg.norm(spectrum) or 1.0
        before = self._spectra[0] if len(self._spectra) == _MOVING_FRAMES else None
        self._spectra.append(spectrum)
        return before is None or 1.0 - float(before @ spectrum) > _MOVED


@cache
def _window() -> NDArray[np.float64]:
    return np.hanning(FRAME_SAMPLES)


_STRICT = 3  # the most demanding of WebRTC's four modes
_QUIET = 100.0  # RMS: -50 dB of full scale
_MOVING_FRAMES = 3  # 60 ms: longer than a vowel stands still, shorter than a syllable
_MOVED = 0.02
"""How far apart two spectra are (1 - cosine) that differ: hums stay below 0.01, also noisy ones, speech seldom does."""
_STUTTER_FRAMES = 3  # so many frames of beginning speech may be missed
