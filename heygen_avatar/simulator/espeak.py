"""The voice of espeak-ng, from the shared library and data that the pip package ``espeakng-loader`` carries (GPL).

Importing this module needs that package; nothing else in the simulator does. The library has one global state per
process and is not thread-safe, so every use of it holds one lock.
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
import threading
from ctypes import CFUNCTYPE, POINTER, Structure, Union, c_char, c_char_p, c_int, c_short, c_size_t, c_uint, c_void_p
from functools import lru_cache
from typing import Any

import espeakng_loader
import numpy as np

from heygen_avatar.simulator.voice import Delivery, Speech, Word, likeness, prosody, speech_at_stage_rate, words_of

logger = logging.getLogger(__name__)


class EspeakVoice:
    """Real words in about a hundred languages.

    The same text sounds the same but is not the same samples: the library's slight flutter of the pitch runs on from
    one utterance to the next.
    """

    def __init__(self) -> None:
        with _lock:
            self._library, self._rate = _load()

    def synthesize(self, text: str, delivery: Delivery) -> Speech:
        """Say ``text``; see :class:`~heygen_avatar.simulator.voice.Voice`."""
        with _lock:
            self._choose_voice(delivery)
            self._set_prosody(delivery)
            samples, heard = self._speak(text)
        return speech_at_stage_rate(samples, self._rate, _locate_words(text, heard))

    def _choose_voice(self, delivery: Delivery) -> None:
        variant = _VARIANTS[likeness(delivery.voice_id) % len(_VARIANTS)] if delivery.voice_id else _DEFAULT_VARIANT
        language = delivery.language.lower().replace("_", "-")
        language = _DIALECTS.get(language, language)
        for name in (language, language.partition("-")[0], _DEFAULT_LANGUAGE):
            if self._library.espeak_SetVoiceByName(f"{name}+{variant}".encode()) == _OK:
                return
        raise RuntimeError(f"espeak-ng has no voice {_DEFAULT_LANGUAGE}+{variant}: its data files are incomplete")

    def _set_prosody(self, delivery: Delivery) -> None:
        emotion = prosody(delivery)
        own_pitch = (likeness(delivery.voice_id) >> 8) % 21 - 10 if delivery.voice_id else 0
        settings = {
            _RATE: _WORDS_A_MINUTE * delivery.rate * emotion.tempo,
            _VOLUME: 100 * emotion.loudness,
            _PITCH: (50 + own_pitch) * emotion.pitch,
            _RANGE: 50 * emotion.movement,
        }
        for parameter, value in settings.items():
            self._library.espeak_SetParameter(parameter, round(value), 0)

    def _speak(self, text: str) -> tuple[np.ndarray[Any, np.dtype[np.int16]], list[tuple[int, int]]]:
        """The samples at the library's rate, and where each word event was: (index in ``text``, sample)."""
        blocks: list[bytes] = []
        heard: list[tuple[int, int]] = []

        def on_sound(samples: Any, count: int, events: Any) -> int:
            if samples and count:
                blocks.append(ctypes.string_at(samples, count * 2))
            index = 0
            while events[index].type != _EVENT_LIST_TERMINATED:
                if events[index].type == _EVENT_WORD:
                    heard.append((events[index].text_position - 1, events[index].sample))
                index += 1
            return 0

        callback = _SynthCallback(on_sound)
        self._library.espeak_SetSynthCallback(callback)
        # A NUL would end the C string; other control characters would only confuse the clause reader.
        encoded = re.sub(r"[\x00-\x08\x0b-\x1f]", " ", text).encode(errors="replace") + b"\0"
        status = self._library.espeak_Synth(encoded, len(encoded), 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None)
        if status != _OK:
            raise RuntimeError(f"espeak-ng refused to speak (status {status})")
        return np.frombuffer(b"".join(blocks), dtype=np.int16), heard


def _locate_words(text: str, heard: list[tuple[int, int]]) -> list[Word]:
    """Give each written word the sample of the first spoken one inside it ("1,234" is spoken as five words)."""
    words: list[Word] = []
    begin, at, upcoming = 0, 0, 0
    for word in words_of(text):
        end = begin + len(word)
        while upcoming < len(heard) and heard[upcoming][0] < begin:
            upcoming += 1
        if upcoming < len(heard) and heard[upcoming][0] < end:
            at = max(at, heard[upcoming][1])
        words.append(Word(word, at))
        begin = end
    return words


# Names and numbers from espeak-ng's speak_lib.h, 1.52.
_OK = 0
_SYNCHRONOUS = 2
_NO_EXIT_ON_ERROR = 0x8000
_CHARS_UTF8 = 1
_POSITION_CHARACTER = 1
_EVENT_LIST_TERMINATED = 0
_EVENT_WORD = 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4

_WORDS_A_MINUTE = 165
_DEFAULT_LANGUAGE = "en-us"
_DEFAULT_VARIANT = "f2"
_VARIANTS = ("f1", "m1", "f2", "m2", "f3", "m3", "f4", "m4", "f5", "m7")
_DIALECTS = {"en": "en-us", "zh": "cmn", "pt": "pt-br", "no": "nb"}

_lock = threading.Lock()


class _EventId(Union):
    _fields_ = [("number", c_int), ("name", c_char_p), ("string", c_char * 8)]


class _Event(Structure):
    _fields_ = [
        ("type", c_int),
        ("unique_identifier", c_uint),
        ("text_position", c_int),
        ("length", c_int),
        ("audio_position", c_int),
        ("sample", c_int),
        ("user_data", c_void_p),
        ("id", _EventId),
    ]


_SynthCallback = CFUNCTYPE(c_int, POINTER(c_short), c_int, POINTER(_Event))


@lru_cache(maxsize=1)
def _load() -> tuple[ctypes.CDLL, int]:
    """The library, initialised once for the process, and its sample rate.

    Raises:
        OSError: the library or its data cannot be loaded on this platform.
    """
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_Initialize.argtypes = [c_int, c_int, c_char_p, c_int]
    library.espeak_SetVoiceByName.argtypes = [c_char_p]
    library.espeak_SetParameter.argtypes = [c_int, c_int, c_int]
    library.espeak_SetSynthCallback.argtypes = [_SynthCallback]
    library.espeak_Synth.argtypes = [c_char_p, c_size_t, c_uint, c_int, c_uint, c_uint, c_void_p, c_void_p]
    data = os.fsencode(espeakng_loader.get_data_path())
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _NO_EXIT_ON_ERROR)
    if rate <= 0:
        raise OSError(f"espeak-ng could not read its data in {data!r}")
    logger.debug("espeak-ng speaks at %d Hz", rate)
    return library, rate
