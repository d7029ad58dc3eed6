"""Telling the service that a session is over, and removing what was made for it alone.

Both with whichever credentials the service takes, and both known to the guardian. Nothing here decides when.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from attrs import evolve

from . import guardian
from .deadline import Deadline
from .errors import HeyGenError, NotFoundError, SessionStateError
from .models import StartAvatarRequest
from .protocols import Protocol, RestCall
from .rest import Reply, RestClient

__all__ = ["Belongings", "StopCall"]

log = logging.getLogger("heygen_avatar.session")

STOP_TIMEOUT = 10.0
"""Seconds a stop call may take, all retries included."""


class StopCall:
    """One session's stop call."""

    def __init__(self, rest: RestClient, protocol: Protocol, *, guarded: bool) -> None:
        self._rest = rest
        self._protocol = protocol
        self._guarded = guarded
        self._watched: str | None = None

    def guard(self, session_id: str, token: str | None) -> None:
        """Let the guardian make it if this process is killed: with the session's token, then with the account's key."""
        if not self._guarded:
            return
        call = self._protocol.stop(session_id)
        calls = [self._rest.spelled_out(call, token=token)]
        if self._rest.api_key:
            calls.append(self._rest.spelled_out(evolve(call, auth="key")))
        self._forget()
        self._watched = session_id
        guardian.watch(session_id, calls)

    def make(self, session_id: str, token: str | None, deadline: Deadline, *, reason: str) -> None:
        """Stop the session; one that is over already is stopped.

        Raises:
            HeyGenError: the service could not be told.
        """
        with suppress(SessionStateError, NotFoundError):  # it was over already
            self._rest.call(self._protocol.stop(session_id, reason=reason), token=token, timeout=_patience(deadline))
        self._forget()

    def _forget(self) -> None:
        if self._watched is not None:
            guardian.forget(self._watched)
            self._watched = None


class Belongings:
    """What the service keeps for one session alone: made before the session, removed after it."""

    def __init__(self, rest: RestClient, protocol: Protocol, *, guarded: bool) -> None:
        self._rest = rest
        self._protocol = protocol
        self._guarded = guarded
        self._lock = threading.Lock()
        self._removal: RestCall | None = None
        self._unwanted = False
        self._request: StartAvatarRequest | None = None

    def make(self, request: StartAvatarRequest, deadline: Deadline) -> StartAvatarRequest:
        """Make what ``request`` needs, and return the request that uses it.

        As with a session, the reply is taken in on the thread that receives it: whoever has left meanwhile would leave
        something behind that nobody knows of.
        """
        call = self._protocol.prerequisite(request)
        if call is None:
            return request
        self._request = request
        self._rest.call(call, timeout=deadline.left, receive=self._made)
        return self._request

    def remove(self) -> Reply | None:
        """Begin to remove it; whoever has the time waits for what is returned."""
        with self._lock:
            self._unwanted = True
            call, self._removal = self._removal, None
        if call is None:
            return None
        name = _name(call)

        def gone(_: object) -> None:
            if self._guarded:
                guardian.forget(name)

        def kept(error: BaseException) -> None:
            if isinstance(error, NotFoundError):
                gone(None)
            else:
                log.warning("%s was made for a session that is over and could not be removed: %s", name, error)

        try:
            return self._rest.begin(call, timeout=STOP_TIMEOUT, receive=gone, failed=kept)
        except HeyGenError as error:
            kept(error)
            return None

    def _made(self, data: Any) -> None:
        assert self._request is not None
        request, removal = self._protocol.read_prerequisite(self._request, data)
        with self._lock:
            self._request, self._removal = request, removal
            unwanted = self._unwanted
        if self._guarded:
            guardian.watch(_name(removal), self._spelled_out(removal))
        if unwanted:
            self.remove()

    def _spelled_out(self, removal: RestCall) -> Sequence[dict[str, Any]]:
        return [self._rest.spelled_out(removal)]


def _name(removal: RestCall) -> str:
    return removal.path.removeprefix("/")


def _patience(deadline: Deadline) -> float:
    # A caller out of time still has its chance, but no more than callers may be late by.
    return max(0.2, min(deadline.left, STOP_TIMEOUT))
