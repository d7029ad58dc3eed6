"""A sound on its way to a LITE avatar: read, cut and sent by a thread of its own.

The source's code is the user's and may take as long as it likes: it holds up this thread and nobody else, and no more
of it is read than is sent. What is sent waits at the service, so it is never much ahead of what is being said.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING

from .deadline import SLICE, Deadline
from .errors import APIConnectionError, HeyGenError, MediaError, SessionClosedError, WaitTimeoutError
from .media.sources import MonoBlocks, SoundSource, close_source
from .protocols import SocketMessage
from .protocols.lite import SAMPLE_RATE, LiteProtocol

if TYPE_CHECKING:
    from .connection import Connection
    from .speech import Speech

__all__ = ["Recitals"]

log = logging.getLogger("heygen_avatar.media")

BYTES_A_SECOND = 2 * SAMPLE_RATE

BLOCK_SECONDS = 0.1
FIRST_SECONDS = 0.4
"""The first piece is short, so that the avatar begins at once (the official clients send 400 ms)."""

PIECE_SECONDS = 1.0
"""What is recommended; the service takes less than 1 MB, which is 16 s."""

SOON = 0.2
"""Seconds before the service runs dry in which it is given what there is, in place of a full piece."""

AHEAD = 4.0
"""Seconds that are sent before they are due: what an interrupt has to drop, and what a slow network has to spare."""

SEND_TIMEOUT = 30.0
"""Seconds that a piece may wait for a socket that is being reopened."""

_numbers = count(1)


class Recitals:
    """The sounds of one session, sent one after the other: the service puts together what comes together."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._lock = threading.Lock()
        self._running: list[Recital] = []
        connection.at_close(self.stop)

    def begin(self, source: SoundSource, speech: Speech, deadline: Deadline) -> None:
        """Open ``source``, and send what it gives, in the background, after what is being sent.

        Raises:
            HeyGenError: it cannot be read; nothing was sent.
        """
        with self._lock:
            self._running = [each for each in self._running if not each.over]
            recital = Recital(self.connection, source, speech, self._running[-1] if self._running else None)
            self._running.append(recital)
        recital.begin(deadline)

    def silence(self, deadline: Deadline) -> None:
        """Send nothing more; return when nothing is on its way any more, so that what is sent now comes after it."""
        for recital in self.stop():
            recital.settle(deadline)

    def stop(self) -> list[Recital]:
        """Send nothing more. Does not wait: a piece may still be on its way."""
        with self._lock:
            running, self._running = self._running, []
        for recital in running:
            recital.stop()
        return running


class Recital:
    """One sound. ``after`` is the one before it, all of which must be sent first."""

    def __init__(self, connection: Connection, source: SoundSource, speech: Speech, after: Recital | None) -> None:
        assert isinstance(connection.protocol, LiteProtocol)
        self._connection, self._protocol = connection, connection.protocol
        self._source, self._speech = source, speech
        self._after = after
        self._utterance = connection.protocol.new_utterance()
        self._stopped = threading.Event()
        self._opened = threading.Event()
        self._over = threading.Event()
        self._sending = threading.Lock()
        self._sent = 0.0  # seconds
        self._began = 0.0
        self._error: HeyGenError | None = None
        self._thread = threading.Thread(target=self._run, name=f"heygen-recital-{next(_numbers)}", daemon=True)

    @property
    def over(self) -> bool:
        """Whether nothing more will be sent."""
        return self._over.is_set()

    def begin(self, deadline: Deadline) -> None:
        """Open the source, and send what it gives in the background."""
        self._connection.book.sent(self._speech, reply_follows=False, task_id=self._utterance)
        self._thread.start()
        if not deadline.wait(self._opened):
            self._fail(WaitTimeoutError(f"{self._source!r} could not be opened in time; nothing was sent"))
            self.stop()
        if self._error is not None and not self._sent:
            raise self._error

    def stop(self) -> None:
        self._stopped.set()
        if not self.over:
            close_source(self._source)

    def settle(self, deadline: Deadline) -> None:
        """Wait until the piece that is on its way has gone."""
        while not self._sending.acquire(timeout=min(SLICE, deadline.left)):
            if deadline.passed:
                return
        self._sending.release()

    # -- its own thread

    def _run(self) -> None:
        try:
            blocks = MonoBlocks(self._source, sample_rate=SAMPLE_RATE, block_samples=round(BLOCK_SECONDS * SAMPLE_RATE))
            with closing(blocks):
                self._opened.set()
                self._recite(blocks)
        except SessionClosedError:
            pass  # the speech has ended with the session
        except HeyGenError as error:
            self._fail(error)
        except BaseException as error:  # the source's code is the user's: whatever it raises is told to who waits
            failure = MediaError(f"{self._source!r} failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self._fail(failure)
        finally:
            self._over.set()
            self._opened.set()

    def _recite(self, blocks: Iterator[object]) -> None:
        while self._after is not None and not self._after._over.wait(BLOCK_SECONDS):
            if self._stopped.is_set():
                return
        self._after = None
        try:
            for piece in self._pieces(blocks):
                self._keep_pace()
                if not self._send(self._protocol.utterance_chunk(self._utterance, piece), again=False):
                    return
                self._sent += len(piece) / BYTES_A_SECOND
        finally:
            if self._sent:
                # Also when the source failed: without its end an utterance leaves the avatar talking for ever.
                self._send(self._protocol.utterance_end(self._utterance), again=True)
        if not self._sent and not self._stopped.is_set():
            raise MediaError(f"{self._source!r} gave no sound")

    def _pieces(self, blocks: Iterator[object]) -> Iterator[bytes]:
        held = bytearray()
        wanted = FIRST_SECONDS
        for block in blocks:
            if self._stopped.is_set():
                return
            held += memoryview(block).cast("B")  # type: ignore[arg-type]
            seconds = len(held) / BYTES_A_SECOND
            if seconds >= wanted or (seconds >= FIRST_SECONDS and self._left_to_say < SOON):
                yield bytes(held)
                held.clear()
                wanted = PIECE_SECONDS
        if held:
            yield bytes(held)

    def _keep_pace(self) -> None:
        if not self._began:
            self._began = time.monotonic()
        if (early := self._left_to_say - AHEAD) > 0:
            self._stopped.wait(early)

    @property
    def _left_to_say(self) -> float:
        """Seconds of what was sent that the avatar cannot have said yet."""
        return self._sent - (time.monotonic() - self._began) if self._began else 0.0

    def _send(self, message: SocketMessage, *, again: bool) -> bool:
        """False when nothing more is wanted. ``again``: it may be said twice if the socket breaks."""
        with self._sending:
            if self._stopped.is_set():
                return False
            try:
                self._connection.carry(message, timeout=SEND_TIMEOUT)
            except APIConnectionError as error:
                # What a broken socket swallowed is lost: said late, it would be out of place. Either message waits for
                # the socket to come back, and fails if it does not.
                log.warning("%r: %s", self._source, error)
                self._connection.carry(message if again else self._protocol.keep_alive(""), timeout=SEND_TIMEOUT)
        return True

    def _fail(self, error: HeyGenError) -> None:
        if self._stopped.is_set():
            return
        self._error = error
        if not self._sent:
            self._protocol.drop_utterance(self._utterance)
            self._connection.book.failed(self._speech)
        self._speech.fail(error, over=not self._sent)
        if self._opened.is_set():
            self._connection.ears.trouble(error)  # begin() has returned, and nobody need look at the speech
