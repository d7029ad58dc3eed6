"""Giving a session a spoken task: sent by whichever wire its protocol chose, awaited by what is heard of it."""

from __future__ import annotations

from contextlib import suppress

from .connection import Connection
from .deadline import SLICE, Deadline
from .errors import (
    APITimeoutError,
    HeyGenError,
    SessionClosedError,
    SessionNotFoundError,
    SessionStateError,
    WaitTimeoutError,
)
from .protocols import DataMessage, Envelope, RestCall
from .rest import Reply
from .speech import REPLY_GRACE, Speech

__all__ = ["give_task"]


def give_task(connection: Connection, speech: Speech, envelope: Envelope, deadline: Deadline, *, wait: bool) -> None:
    """Send a spoken task; with ``wait``, return when it is over.

    A SYNC task's reply may come late or never (v1 reference §1.4), so what is heard counts, not the reply alone.
    """
    book = connection.book
    known_as = envelope.task_id if isinstance(envelope, DataMessage) else None
    book.sent(speech, reply_follows=isinstance(envelope, RestCall), task_id=known_as)
    try:
        if isinstance(envelope, RestCall):
            reply = connection.begin(
                envelope,
                timeout=deadline.left,
                receive=lambda data: book.named(speech, *connection.protocol.read_task(data)),
            )
            _watch(connection, speech, reply, deadline, until_spoken=wait)
        else:
            connection.carry(envelope, timeout=deadline.left)
    except (HeyGenError, KeyboardInterrupt):
        if not speech.started:
            book.failed(speech)
        raise
    if not wait:
        return
    if speech.duration_ms is not None and not speech.done:
        # A SYNC reply comes when the sound is made, and says how long it is. By the end of that the avatar has been
        # heard to stop, unless the packet that says so fell into a gap: a room is deaf while it is made anew.
        _wait_out(speech, deadline)
        connection.book.end_unheard(speech)
    speech.wait(deadline.left)


def _wait_out(speech: Speech, deadline: Deadline) -> None:
    assert speech.duration_ms is not None
    with suppress(WaitTimeoutError, SessionClosedError):
        speech.wait(min(deadline.left, speech.duration_ms / 1000 + REPLY_GRACE))


def _watch(connection: Connection, speech: Speech, reply: Reply, deadline: Deadline, *, until_spoken: bool) -> None:
    """Wait for the reply, or for what makes it needless."""
    try:
        while not reply.wait(Deadline.after(min(SLICE, deadline.left))):
            connection.book.give_up_replies()
            if until_spoken and speech.done:
                return
            if deadline.passed:
                what = f"the service has not answered to {speech!r} in time"
                if until_spoken:
                    raise WaitTimeoutError(f"{what}; session {connection.session_id} goes on")
                raise APITimeoutError(f"{what}: whether it was taken is not known")
        reply.result()
    except (SessionStateError, SessionNotFoundError) as error:
        connection.raise_if_over(error, deadline)
        raise
    finally:
        reply.abandon()
