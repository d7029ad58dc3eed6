"""Where sound that is to be sent comes from: a file, samples in memory, samples as they are made.

A source is anything that has a ``sample_rate`` and can be iterated over for :class:`AudioFrame`; ``MonoBlocks`` turns
any of them into blocks of the rate a wire needs. Sources are read on threads that may block, never on the media loop.
Importing this loads neither numpy nor PyAV nor livekit.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, Union, runtime_checkable

from ..deadline import Deadline, check_timeout
from ..errors import InvalidRequestError, MediaError, MissingExtraError, UsageError, WaitTimeoutError
from .frames import AudioFrame

if TYPE_CHECKING:
    import av
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MonoBlocks", "Piece", "Samples", "SoundFile", "SoundSource", "as_source", "close_source"]

LOWEST_RATE, HIGHEST_RATE = 8_000, 192_000

MICROSECONDS = 1_000_000

FRAME_SECONDS = 0.1
"""The longest frame a source of this module gives: what is to be cut off ends soon."""

LIVE_SECONDS = 30.0
"""How much pushed sound may wait to be sent; then ``push()`` waits."""

LOUDEST_FLOAT = 10.0
"""Beyond this, float samples were meant as something else than -1..1."""

Piece: TypeAlias = Union[bytes, bytearray, memoryview, "NDArray[np.int16]", "NDArray[np.float32]"]
"""Some sound: int16 in the machine's byte order as bytes, or an array of int16 or of floats from -1 to 1."""


@runtime_checkable
class SoundSource(Protocol):
    """What a user's voice can come from.

    Iterating may block; an exception ends the sound where it is raised. A source that has a ``close()`` is closed, from
    another thread, when its reading must end early; one whose ``live`` is true comes at the pace of the world, so that
    little of it is buffered.
    """

    @property
    def sample_rate(self) -> int:
        """Samples a second of every frame."""

    def __iter__(self) -> Iterator[AudioFrame]: ...


class SoundFile:
    """The sound of a file, in any format that PyAV reads; the first sound track of a video. Can be read several times.

    Needs the extra ``record``.

    Attributes:
        path: the file.
        sample_rate: its samples a second.
        duration: its length in seconds, None where the file does not say.

    Raises:
        MediaError: there is no such file, it cannot be read, or holds no sound: told at once, not when it is played.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._closed = threading.Event()
        with self._open() as container:
            stream = container.streams.audio[0]
            self.sample_rate = int(stream.rate)
            self.duration = None if container.duration is None else container.duration / MICROSECONDS
            if next(self._decode(container), None) is None:
                raise MediaError(f"the sound of {self.path} is empty")
        _check_rate(self.sample_rate, f"the sound of {self.path}")

    def __iter__(self) -> Iterator[AudioFrame]:
        self._closed.clear()
        with self._open() as container:
            for samples in self._decode(container):
                if self._closed.is_set():
                    return
                yield from _frames(samples, self.sample_rate)

    def close(self) -> None:
        """End the reading that is under way; a new one begins at the beginning."""
        self._closed.set()

    def _open(self) -> av.container.InputContainer:
        try:
            import av
        except ImportError:
            raise MissingExtraError(extra="record", feature="SoundFile") from None
        try:
            container = av.open(self.path)
        except (OSError, av.FFmpegError) as error:
            raise MediaError(f"cannot read {self.path}: {error.strerror or error}") from None
        if not container.streams.audio:
            container.close()
            raise MediaError(f"there is no sound in {self.path}")
        return container

    def _decode(self, container: av.container.InputContainer) -> Iterator[NDArray[np.int16]]:
        import av

        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="s16", layout="mono", rate=stream.rate)
        try:
            for decoded in chain(container.decode(stream), [None]):
                for frame in resampler.resample(decoded):
                    yield _as_int16(frame.to_ndarray().reshape(-1))
        except (OSError, av.FFmpegError) as error:
            raise MediaError(f"the sound of {self.path} is damaged: {error.strerror or error}") from None

    def __repr__(self) -> str:
        return f"SoundFile({self.path!r})"


class Samples:
    """Samples in memory, from a generator, or pushed while they are sent.

    ::

        Samples(array, 16_000)                       # int16, or floats from -1 to 1; (n,) or (n, channels)
        Samples(pieces_of_a_voice(), 24_000)         # any iterable of arrays or bytes
        voice = Samples(sample_rate=24_000)          # voice.push(piece) ...; voice.end()

    Arrays, bytes and lists can be read several times; a generator, and what was pushed, once.

    Args:
        data: an array, bytes (int16 in the machine's byte order), or an iterable of either; None to push it.
        sample_rate: samples a second.
        num_channels: of what comes as bytes, interleaved; an array says it by its shape.

    Raises:
        InvalidRequestError: this is no sound, it has no sample, or the rate is none.
    """

    def __init__(
        self,
        data: Piece | Iterable[Piece] | None = None,
        sample_rate: int = 16_000,
        *,
        num_channels: int = 1,
    ) -> None:
        self.sample_rate = _check_rate(sample_rate, "sample_rate")
        if isinstance(num_channels, bool) or not isinstance(num_channels, int) or not 1 <= num_channels <= 8:
            raise InvalidRequestError(f"num_channels must be a whole number from 1 to 8, not {num_channels!r}")
        self._num_channels = num_channels
        self._reading = threading.Lock()
        self._closed = threading.Event()
        self._spent = False
        self._pushed: _Pushed | None = None
        self._whole: NDArray[np.int16] | None = None
        self._pieces: Iterable[Any] = ()
        if data is None:
            self._pushed = _Pushed(round(LIVE_SECONDS * self.sample_rate))
        elif _is_piece(data):
            join = _Joiner(num_channels)
            self._whole = join.take(data)
            join.finish()
            if not self._whole.size:
                raise InvalidRequestError("the sound has no sample; nothing was sent")
        elif isinstance(data, Iterable) and not isinstance(data, (str, dict)):
            self._pieces = data
        else:
            raise InvalidRequestError(f"a sound is an array, bytes, or an iterable of them, not {_kind(data)}")

    def push(self, piece: Piece, *, timeout: float = 60.0) -> None:
        """Add some sound behind what was pushed before. Waits while 30 s of it have not been sent.

        Raises:
            UsageError: this source was not made to be pushed to (``Samples(sample_rate=...)``), or has ended.
            InvalidRequestError: this is no sound.
            WaitTimeoutError: nothing was sent within ``timeout`` seconds; the piece was not added.
        """
        self._live("push()").put(piece, self._num_channels, Deadline.after(check_timeout(timeout)))

    def end(self) -> None:
        """Nothing more will be pushed: the turn ends when all is sent. Idempotent.

        Raises:
            InvalidRequestError: half a sample is left over: the bytes pushed were not int16.
        """
        self._live("end()").end()

    def close(self) -> None:
        """End the reading that is under way; what was pushed and not yet sent is forgotten."""
        self._closed.set()
        if self._pushed is not None:
            self._pushed.discard()

    def __iter__(self) -> Iterator[AudioFrame]:
        if self._spent:
            raise UsageError(f"{self!r} was read to its end, and gives its sound only once")
        self._closed.clear()
        return self._read()

    def _read(self) -> Iterator[AudioFrame]:
        if not self._reading.acquire(blocking=False):
            raise UsageError(f"{self!r} is being read already")
        try:
            for samples in self._samples():
                for frame in _frames(samples, self.sample_rate):
                    if self._closed.is_set():
                        return
                    yield frame
        finally:
            self._reading.release()

    def _samples(self) -> Iterator[NDArray[np.int16]]:
        if self._whole is not None:
            yield self._whole
        elif self._pushed is not None:
            self._spent = True
            yield from self._pushed
        else:
            pieces = iter(self._pieces)
            self._spent = pieces is self._pieces
            join = _Joiner(self._num_channels)
            try:
                for piece in pieces:
                    yield join.take(piece)
                join.finish()
            finally:
                # A generator of the user's that holds a file or a connection lets go of it now.
                if self._spent and callable(stop := getattr(pieces, "close", None)):
                    stop()

    def _live(self, what: str) -> _Pushed:
        if self._pushed is None:
            raise UsageError(f"{what} is for Samples(sample_rate=...), which was given no sound of its own")
        return self._pushed

    def __repr__(self) -> str:
        kind = "pushed" if self._pushed else "in memory" if self._whole is not None else _kind(self._pieces)
        return f"<Samples {kind}, {self.sample_rate:,} Hz>"


def as_source(sound: object) -> SoundSource:
    """``sound`` as a source: a source as it is, a path as its file.

    Raises:
        InvalidRequestError: it is none, or its rate is not known.
    """
    if isinstance(sound, (str, os.PathLike)):
        return SoundFile(sound)
    if isinstance(sound, SoundSource):
        _check_rate(sound.sample_rate, f"the sample_rate of {sound!r}")
        return sound
    if _is_piece(sound) or isinstance(sound, Iterable):
        raise InvalidRequestError(f"the sample rate of {_kind(sound)} is not known: give Samples(it, sample_rate)")
    raise InvalidRequestError(
        f"a sound is a Microphone, a SoundFile, Samples or a file's path, not {_kind(sound)}; nothing was sent"
    )


def close_source(source: SoundSource) -> None:
    """Ask ``source`` to end the reading that is under way, where it can be asked. From any thread."""
    close = getattr(source, "close", None)
    if callable(close):
        with suppress(Exception):  # its reader learns what is wrong, if anything is
            close()


class MonoBlocks:
    """A sound as mono int16 of ``sample_rate``, in blocks of ``block_samples``; only the last one may be shorter.

    ::

        with closing(MonoBlocks(sound, sample_rate=24_000, block_samples=2_400)) as blocks:
            for block in blocks: ...

    The sound is checked, and a device opened, when this is made; it is read as the blocks are asked for, on the thread
    that asks. No sample is lost: what the resampler holds back comes with the end.

    Raises:
        InvalidRequestError, MissingExtraError, MediaError: it is no sound, or one that cannot be had. While iterating:
            it is damaged, or a frame is not what the source promised; other errors are the source's own.
    """

    def __init__(self, sound: object, *, sample_rate: int, block_samples: int) -> None:
        self.source = as_source(sound)
        self._frames = iter(self.source)
        self._blocks = _blocks(self.source, self._frames, sample_rate, block_samples)

    def __iter__(self) -> Iterator[NDArray[np.int16]]:
        return self

    def __next__(self) -> NDArray[np.int16]:
        return next(self._blocks)

    def close(self) -> None:
        """Let go of file or device. On the thread that iterates; ``close_source`` ends it from another."""
        # Not every iterator has an end to be told of; a generator closes its file or device here.
        if callable(stop := getattr(self._frames, "close", None)):
            stop()


def _blocks(
    source: SoundSource, frames: Iterator[AudioFrame], sample_rate: int, block_samples: int
) -> Iterator[NDArray[np.int16]]:
    import numpy

    convert, flush = _resampler(source.sample_rate, sample_rate)
    held = bytearray()
    block_bytes = 2 * block_samples
    for frame in frames:
        held += convert(_mono(source, frame))
        while len(held) >= block_bytes:
            yield numpy.frombuffer(bytes(held[:block_bytes]), numpy.int16)
            del held[:block_bytes]
    held += flush()
    for start in range(0, len(held), block_bytes):
        yield numpy.frombuffer(bytes(held[start : start + block_bytes]), numpy.int16)


def _resampler(from_rate: int, to_rate: int) -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    if from_rate == to_rate:
        return lambda data: data, bytes
    from livekit import rtc

    # Of its qualities this one holds back least, 12 ms, at a fraction of a percent of a core.
    resampler = rtc.AudioResampler(from_rate, to_rate, quality=rtc.AudioResamplerQuality.VERY_HIGH)

    def convert(data: bytes) -> bytes:
        return b"".join(bytes(frame.data) for frame in resampler.push(bytearray(data)))

    return convert, lambda: b"".join(bytes(frame.data) for frame in resampler.flush())


def _mono(source: SoundSource, frame: object) -> bytes:
    if not isinstance(frame, AudioFrame):
        raise MediaError(f"{source!r} gave {_kind(frame)} where an AudioFrame was due; Samples() makes them")
    if frame.sample_rate != source.sample_rate:
        raise MediaError(f"{source!r} has {source.sample_rate:,} Hz and gave a frame of {frame.sample_rate:,} Hz")
    if frame.num_channels == 1:
        return bytes(frame.data)
    return _downmixed(frame.samples).tobytes()


class _Joiner:
    """Pieces into mono int16. Bytes may be cut anywhere, also inside a sample: the rest waits for the next piece."""

    def __init__(self, num_channels: int) -> None:
        self._num_channels = num_channels
        self._rest = b""

    def take(self, piece: object) -> NDArray[np.int16]:
        import numpy

        if isinstance(piece, (bytes, bytearray, memoryview)):
            data = self._rest + bytes(piece)
            whole = len(data) - len(data) % (2 * self._num_channels)
            self._rest = data[whole:]
            return _downmixed(numpy.frombuffer(data[:whole], numpy.int16).reshape(-1, self._num_channels))
        if not _is_piece(piece):
            raise InvalidRequestError(f"a sound is an array or bytes, not {_kind(piece)}")
        return _downmixed(_as_int16(numpy.asarray(piece)))

    def finish(self) -> None:
        if self._rest:
            raise InvalidRequestError(
                f"the sound ends inside a sample: {len(self._rest)} bytes are left over; it must be int16"
            )


class _Pushed:
    """Pushed samples on their way from the thread that makes them to the one that reads them."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: deque[NDArray[np.int16]] = deque()
        self._count = 0
        self._over = False
        self._join: _Joiner | None = None
        self._changed = threading.Condition()

    def put(self, piece: object, num_channels: int, deadline: Deadline) -> None:
        with self._changed:
            self._join = self._join or _Joiner(num_channels)
            while not self._over and self._count >= self._capacity:
                if not deadline.wait_on(self._changed):
                    raise WaitTimeoutError("the pushed sound is not being sent: start a voice chat with it, or ask()")
            if self._over:
                raise UsageError("this sound has ended; make another Samples(sample_rate=...)")
            samples = self._join.take(piece)
            if samples.size:
                self._waiting.append(samples)
                self._count += samples.size
                self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()
            if self._join is not None:
                self._join.finish()

    def discard(self) -> None:
        with self._changed:
            self._over = True
            self._waiting.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[NDArray[np.int16]]:
        while (samples := self._next()) is not None:
            yield samples

    def _next(self) -> NDArray[np.int16] | None:
        with self._changed:
            while not self._waiting:
                if self._over:
                    return None
                Deadline.never().wait_on(self._changed)
            samples = self._waiting.popleft()
            self._count -= samples.size
            self._changed.notify_all()
            return samples


def _frames(samples: NDArray[np.int16], sample_rate: int) -> Iterator[AudioFrame]:
    step = max(1, round(FRAME_SECONDS * sample_rate))
    for start in range(0, len(samples), step):
        yield AudioFrame(sample_rate=sample_rate, data=samples[start : start + step].tobytes())


def _as_int16(samples: NDArray[Any]) -> NDArray[np.int16]:
    import numpy

    if samples.ndim not in (1, 2) or (samples.ndim == 2 and not 1 <= samples.shape[1] <= 8):
        raise InvalidRequestError(f"samples come as (n,) or (n, channels), not in the shape {samples.shape}")
    if samples.dtype == numpy.int16:
        return samples
    if samples.dtype.kind != "f":
        raise InvalidRequestError(f"samples are int16, or floats from -1 to 1, not {samples.dtype}")
    peak = float(numpy.max(numpy.abs(samples))) if samples.size else 0.0
    if not peak <= LOUDEST_FLOAT:  # NaN too
        raise InvalidRequestError(f"float samples go from -1 to 1, and these up to {peak:g}")
    clipped = numpy.clip(samples, -1.0, 1.0)
    # As the official client does it (v1 reference §2.2): each side of zero to its own end of the range.
    return numpy.asarray(numpy.where(clipped < 0, clipped * 32768.0, clipped * 32767.0), dtype=numpy.int16)


def _downmixed(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    import numpy

    if samples.ndim == 1:
        return samples
    if samples.shape[1] == 1:
        return samples[:, 0]
    return numpy.asarray(samples.mean(axis=1), dtype=numpy.int16)


def _is_piece(data: object) -> bool:
    return isinstance(data, (bytes, bytearray, memoryview)) or hasattr(data, "__array__")


def _check_rate(rate: object, name: str) -> int:
    # numpy's integers are numbers too, bool is none.
    if isinstance(rate, bool) or not hasattr(rate, "__index__") or not LOWEST_RATE <= int(rate) <= HIGHEST_RATE:
        raise InvalidRequestError(
            f"{name}: a sample rate is a whole number from {LOWEST_RATE:,} to {HIGHEST_RATE:,}, not {rate!r}"
        )
    return int(rate)


def _kind(thing: object) -> str:
    return f"a {type(thing).__name__}"
