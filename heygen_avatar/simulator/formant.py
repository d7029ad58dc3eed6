"""The built-in voice: a formant synthesiser in numpy, for machines without espeak-ng.

It reads letters by a few English rules and speaks them by the source-filter model: a harmonic source shaped by three
moving formants, and filtered noise for consonants. One follows the rhythm rather than the words. It needs no data, no
library and no random state: the same text and delivery give the same samples on every machine. It does not know
languages; every text is read by the same rules.
"""

from __future__ import annotations

import re
import unicodedata
from types import MappingProxyType

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from heygen_avatar.simulator.voice import Delivery, Speech, Word, likeness, prosody, speech_at_stage_rate, words_of

_RATE = 16_000
_FRAME = 80  # samples between two settings of the vocal tract: 5 ms
_FRAME_MS = 1000 * _FRAME / _RATE


@frozen(kw_only=True)
class _Sound:
    """One speech sound: how long, the formants in Hz, how much of it is voice and how much noise of which kind."""

    ms: float
    formants: tuple[float, float, float] = (500.0, 1500.0, 2500.0)
    voice: float = 0.0
    noise: float = 0.0
    hiss: str = "breath"
    accent: bool = False


class FormantVoice:
    """A voice made of arithmetic."""

    def synthesize(self, text: str, delivery: Delivery) -> Speech:
        """Say ``text``; see :class:`~heygen_avatar.simulator.voice.Voice`."""
        emotion = prosody(delivery)
        tempo = delivery.rate * emotion.tempo
        sounds: list[_Sound] = []
        words: list[Word] = []
        elapsed_ms = 0.0
        for written in words_of(text):
            words.append(Word(written, round(elapsed_ms * _RATE / 1000)))
            spoken = [evolve(sound, ms=sound.ms / tempo) for sound in _pronounce(written)]
            elapsed_ms += sum(sound.ms for sound in spoken)
            sounds += spoken
        if not any(sound.voice or sound.noise for sound in sounds):
            return Speech(np.zeros(0, np.int16), tuple(Word(word.text, 0) for word in words))
        tract = _Tract.moving_through(sounds)
        stature = 0.88 + 0.03 * (likeness(delivery.voice_id) % 10)
        pitch = _melody(sounds, 95 + 12 * (likeness(delivery.voice_id) % 10), emotion.pitch, emotion.movement, text)
        signal = _voiced(tract, pitch, stature) + _unvoiced(tract)
        loudness = 0.25 * emotion.loudness / max(1e-9, float(np.sqrt(np.mean(signal**2))))
        samples = (np.tanh(signal * loudness * 0.6) * 28_000).astype(np.int16)
        return speech_at_stage_rate(samples, _RATE, words)


@frozen(eq=False)
class _Tract:
    """The vocal tract over time, one row a frame: formants, voice level, and a level for each kind of noise."""

    formants: NDArray[np.float64]
    voice: NDArray[np.float64]
    noise: dict[str, NDArray[np.float64]]

    @classmethod
    def moving_through(cls, sounds: list[_Sound]) -> _Tract:
        # Rounding the boundaries, not the lengths, keeps long texts in step with the words' times.
        edges = np.round(np.cumsum([0.0, *(sound.ms for sound in sounds)]) / _FRAME_MS).astype(int)
        lengths = np.diff(edges)
        formants = np.repeat([sound.formants for sound in sounds], lengths, axis=0)
        levels = {
            hiss: np.repeat([sound.noise if sound.hiss == hiss else 0.0 for sound in sounds], lengths)
            for hiss in sorted({sound.hiss for sound in sounds if sound.noise})
        }
        return cls(
            np.column_stack([_glide(formants[:, index], 11) for index in range(3)]),
            _glide(np.repeat([sound.voice for sound in sounds], lengths), 5),
            {hiss: _glide(level, 3) for hiss, level in levels.items()},
        )

    @property
    def samples(self) -> int:
        return len(self.voice) * _FRAME


def _glide(track: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """Tongue and lips do not jump: smooth a track over some frames, keeping its length and its ends."""
    window = np.hanning(frames + 2)[1:-1]
    padded = np.pad(track, frames // 2, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")


def _melody(sounds: list[_Sound], base: float, height: float, movement: float, text: str) -> NDArray[np.float64]:
    """The pitch in Hz for each frame: falling through the passage, raised on accents, rising for a question."""
    edges = np.round(np.cumsum([0.0, *(sound.ms for sound in sounds)]) / _FRAME_MS).astype(int)
    accents = np.repeat([1.0 if sound.accent else 0.0 for sound in sounds], np.diff(edges))
    progress = np.linspace(0.0, 1.0, len(accents))
    semitones = 2.0 - 4.0 * progress + 3.0 * _glide(accents, 31) + 0.6 * np.sin(progress * len(accents) / 23.0)
    if text.rstrip().endswith("?"):
        semitones += 9.0 * np.clip((progress - 0.75) / 0.25, 0.0, 1.0)
    return np.asarray(base * height * 2.0 ** (movement * semitones / 12.0))


def _voiced(tract: _Tract, pitch: NDArray[np.float64], stature: float) -> NDArray[np.float64]:
    """The voice: each harmonic of the pitch, as loud as the glottis makes it and the formants let it through."""
    frames = np.arange(len(pitch)) * _FRAME
    clock = np.arange(tract.samples)
    phase = np.cumsum(np.interp(clock, frames, pitch)) * (2 * np.pi / _RATE)
    signal = np.zeros(tract.samples)
    for harmonic in range(1, int(5000 / pitch.min()) + 1):
        frequency = harmonic * pitch
        level = tract.voice * _resonance(frequency, tract.formants / stature) / harmonic**1.1
        level[frequency > 5000] = 0.0
        signal += np.interp(clock, frames, level) * np.sin(harmonic * phase)
    return signal


def _resonance(frequency: NDArray[np.float64], formants: NDArray[np.float64]) -> NDArray[np.float64]:
    gain = np.ones_like(frequency)
    for index, bandwidth in enumerate((80.0, 100.0, 140.0)):
        centre = formants[:, index]
        gain *= centre**2 / np.hypot(centre**2 - frequency**2, bandwidth * frequency)
    return gain


def _unvoiced(tract: _Tract) -> NDArray[np.float64]:
    """The consonants' noise, each kind in its band of frequencies."""
    signal = np.zeros(tract.samples)
    spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal(tract.samples))
    frequency = np.fft.rfftfreq(tract.samples, 1 / _RATE)
    frames = np.arange(len(tract.voice)) * _FRAME
    for hiss, level in tract.noise.items():
        centre, width = _HISSES[hiss]
        band = np.exp(-(((frequency - centre) / width) ** 2))
        noise = np.fft.irfft(spectrum * band, tract.samples)
        signal += np.interp(np.arange(tract.samples), frames, level) * noise / noise.std()
    return signal


_HISSES = MappingProxyType(
    {
        "breath": (1500.0, 1200.0),
        "lips": (3000.0, 3500.0),
        "teeth": (6000.0, 1300.0),
        "palate": (3300.0, 1100.0),
        "throat": (1900.0, 700.0),
    }
)
"""Where each kind of noise lies: centre and width in Hz."""


def _vowel(ms: float, first: float, second: float, third: float) -> _Sound:
    return _Sound(ms=ms, formants=(first, second, third), voice=1.0)


def _murmur(ms: float, first: float, second: float, third: float, voice: float = 0.4) -> _Sound:
    return _Sound(ms=ms, formants=(first, second, third), voice=voice)


def _fricative(hiss: str, noise: float, *, ms: float = 95, voice: float = 0.0) -> _Sound:
    return _Sound(ms=ms, formants=(300.0, 1600.0, 2600.0), voice=voice, noise=noise, hiss=hiss)


def _stop(hiss: str, second: float, *, voice: float = 0.0) -> tuple[_Sound, _Sound]:
    formants = (250.0, second, 2500.0)
    closed = _Sound(ms=55, formants=formants, voice=voice)
    return closed, _Sound(ms=20, formants=formants, voice=voice, noise=0.5 if voice else 0.9, hiss=hiss)


_TH = (_fricative("lips", 0.12),)
_SH = (_fricative("palate", 0.45),)
_ZH = (_fricative("palate", 0.25, ms=70, voice=0.3),)

# Formants of the vowels: the averages of Peterson and Barney (1952).
_SOUNDS = MappingProxyType(
    {
        "aa": (_vowel(130, 730, 1090, 2440),),
        "ae": (_vowel(120, 660, 1720, 2410),),
        "ah": (_vowel(85, 640, 1190, 2390),),
        "eh": (_vowel(100, 530, 1840, 2480),),
        "er": (_vowel(120, 490, 1350, 1690),),
        "ih": (_vowel(80, 390, 1990, 2550),),
        "iy": (_vowel(120, 270, 2290, 3010),),
        "ao": (_vowel(130, 570, 840, 2410),),
        "uh": (_vowel(85, 440, 1020, 2240),),
        "uw": (_vowel(125, 300, 870, 2240),),
        "ax": (_vowel(60, 500, 1500, 2500),),
        "ay": (_vowel(95, 730, 1090, 2440), _vowel(70, 390, 1990, 2550)),
        "aw": (_vowel(95, 730, 1090, 2440), _vowel(70, 440, 1020, 2240)),
        "ey": (_vowel(85, 530, 1840, 2480), _vowel(65, 390, 1990, 2550)),
        "ow": (_vowel(85, 570, 840, 2410), _vowel(65, 440, 1020, 2240)),
        "oy": (_vowel(90, 570, 840, 2410), _vowel(70, 390, 1990, 2550)),
        "m": (_murmur(75, 250, 1100, 2200),),
        "n": (_murmur(70, 250, 1600, 2500),),
        "ng": (_murmur(85, 250, 2000, 2700),),
        "l": (_murmur(65, 360, 1300, 2700, 0.6),),
        "r": (_murmur(65, 400, 1200, 1600, 0.6),),
        "w": (_murmur(65, 300, 700, 2200, 0.5),),
        "y": (_murmur(60, 270, 2200, 3000, 0.5),),
        "h": (_fricative("breath", 0.2, ms=60),),
        "f": (_fricative("lips", 0.16),),
        "v": (_fricative("lips", 0.08, ms=65, voice=0.35),),
        "th": _TH,
        "s": (_fricative("teeth", 0.4),),
        "z": (_fricative("teeth", 0.2, ms=75, voice=0.3),),
        "sh": _SH,
        "ch": (*_stop("palate", 1800), *_SH),
        "j": (*_stop("palate", 1800, voice=0.2), *_ZH),
        "p": _stop("lips", 900),
        "b": _stop("lips", 900, voice=0.2),
        "t": _stop("teeth", 1800),
        "d": _stop("teeth", 1800, voice=0.2),
        "k": _stop("throat", 2100),
        "g": _stop("throat", 2100, voice=0.2),
    }
)
_VOWELS = frozenset(("aa", "ae", "ah", "eh", "er", "ih", "iy", "ao", "uh", "uw", "ax", "ay", "aw", "ey", "ow", "oy"))

# English spelling in few rules; the first that fits wins. A rule's left side is a regular expression.
_READING = tuple(
    (re.compile(letters), tuple(sounds.split()))
    for letters, sounds in (
        ("tion", "sh ax n"),
        ("(?<=[a-z])ture", "ch er"),
        ("ight?(?=t)|igh", "ay"),
        ("ough", "ao"),
        ("augh", "ao"),
        ("tch|ch", "ch"),
        ("sch|sh", "sh"),
        ("th", "th"),
        ("ph|ff", "f"),
        ("ck|cc|kk", "k"),
        ("dge", "j"),
        ("ng", "ng"),
        ("qu", "k w"),
        ("wh", "w"),
        ("^kn", "n"),
        ("^wr", "r"),
        ("ee|ea|ie", "iy"),
        ("oo|ui|ew|eu", "uw"),
        ("ou|ow", "aw"),
        ("ai|ay|ei|ey", "ey"),
        ("oi|oy", "oy"),
        ("oa", "ow"),
        ("au|aw|al(?=[kl])", "ao"),
        ("er|ir|ur", "er"),
        ("ar", "aa r"),
        ("or", "ao r"),
        ("(?<=[a-z])e$|(?<=[^e])es$", ""),
        ("a(?=[b-df-hj-np-tv-z]e)", "ey"),
        ("i(?=[b-df-hj-np-tv-z]e)", "ay"),
        ("o(?=[b-df-hj-np-tv-z]e)|o$", "ow"),
        ("u(?=[b-df-hj-np-tv-z]e)", "uw"),
        ("^a$", "ax"),
        ("^i$", "ay"),
        ("c(?=[eiy])", "s"),
        ("g(?=[eiy])", "j"),
        ("y$", "iy"),
        ("^y", "y"),
        ("x", "k s"),
        ("a", "ae"),
        ("e", "eh"),
        ("i|y", "ih"),
        ("o", "aa"),
        ("u", "ah"),
        ("c|q", "k"),
        ("(?<=[aeiou])s$", "z"),
        ("bb?", "b"),
        ("dd?", "d"),
        ("f", "f"),
        ("gg?", "g"),
        ("h", "h"),
        ("j", "j"),
        ("k", "k"),
        ("ll?", "l"),
        ("mm?", "m"),
        ("nn?", "n"),
        ("pp?", "p"),
        ("rr?", "r"),
        ("ss?", "s"),
        ("tt?", "t"),
        ("v", "v"),
        ("w", "w"),
        ("zz?", "z"),
    )
)
_DIGITS = ("zero", "wun", "too", "three", "for", "five", "siks", "seven", "eit", "nine")
_PAUSES_MS = MappingProxyType(
    {",": 140, ";": 180, ":": 180, ".": 280, "!": 280, "?": 280, "…": 320, "—": 160, "–": 160}
)
_WORD_GAP = _Sound(ms=18)


def _pronounce(written: str) -> list[_Sound]:
    """The sounds of one word as written, with the pause its punctuation asks for."""
    names = [name for letters in _spell(written) for name in _read(letters)]
    sounds: list[_Sound] = []
    for name in names:
        # The first vowel carries the accent: right for most English words of two syllables.
        accented = name in _VOWELS and not any(sound.accent for sound in sounds)
        sounds += [evolve(sound, accent=accented, ms=sound.ms * (1.15 if accented else 1.0)) for sound in _SOUNDS[name]]
    pause = max((_PAUSES_MS.get(character, 0) for character in written), default=0)
    return [*sounds, _Sound(ms=pause)] if pause else [*sounds, _WORD_GAP]


def _spell(written: str) -> list[str]:
    """The word in lower-case Latin letters: digits by their names, other scripts by a fixed babble."""
    plain = unicodedata.normalize("NFKD", written.lower())
    spelled: list[str] = []
    for character in plain:
        if "a" <= character <= "z":
            spelled.append(character)
        elif character.isdecimal():
            spelled.append(f" {_DIGITS[unicodedata.decimal(character)]} ")
        elif character.isalpha():
            spelled.append("bdfgklmnprstvz"[ord(character) % 14] + "aeiou"[ord(character) // 14 % 5])
    return "".join(spelled).split()


def _read(letters: str) -> list[str]:
    """The names of the sounds a Latin spelling stands for."""
    names: list[str] = []
    position = 0
    while position < len(letters):
        for pattern, sounds in _READING:
            match = pattern.match(letters, position)
            if match:
                names += sounds
                position = match.end()
                break
        else:
            raise AssertionError(f"no reading rule for {letters[position:]!r}")
    return names
