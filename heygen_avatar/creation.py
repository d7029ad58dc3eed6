"""Making a session: its token, what it needs, its create call, and the outcome of that, however late it comes.

A session costs money from the moment the service makes it, so the reply is taken in on the thread that receives it: if
the caller was interrupted or ran out of time, nobody else would ever learn the session's id.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from . import cleanup
from .deadline import Deadline
from .errors import APIConnectionError
from .lost_session import LostSession, may_have_happened
from .models import StartAvatarRequest, StartAvatarResponse
from .protocols import Protocol, WireError
from .rest import RestClient
from .secret import hidden

__all__ = ["Creation", "understood"]

T = TypeVar("T")


class Creation:
    """One session's create call.

    ``taken`` and ``never_was`` are told its outcome, on any thread: one of them, once, if :meth:`make` got as far as
    sending it.
    """

    def __init__(
        self,
        rest: RestClient,
        protocol: Protocol,
        *,
        taken: Callable[[StartAvatarResponse], None],
        never_was: Callable[[], None],
    ) -> None:
        self._rest = rest
        self._protocol = protocol
        self._taken = taken
        self._never_was = never_was
        self._lost: LostSession | None = None

    def fetch_token(self, request: StartAvatarRequest, deadline: Deadline) -> str | None:
        """A fresh token, where the service has one to give before the session."""
        call = self._protocol.token(request)
        if call is None:
            return None
        return hidden(understood(self._protocol.read_token, self._rest.call(call, timeout=deadline.left)))

    def make(self, request: StartAvatarRequest, token: str | None, deadline: Deadline) -> None:
        call = self._protocol.new_session(request)
        self._lost = LostSession(self._rest, self._protocol, token)
        self._rest.call(call, token=token, timeout=deadline.left, receive=self._created, failed=self._failed)

    def _created(self, data: Any) -> None:
        try:
            self._taken(self._protocol.read_session(data))
        except WireError as error:
            self._failed(error)
            raise

    def _failed(self, error: BaseException) -> None:
        if not may_have_happened(error):
            self._never_was()
            return
        try:
            threading.Thread(target=self._look_for_it, name="heygen-cleanup-lost", daemon=True).start()
        except RuntimeError:  # at interpreter shutdown, where no thread can be started any more
            self._look_for_it()

    def _look_for_it(self) -> None:
        assert self._lost is not None
        self._lost.stop({session.session_id for session in cleanup.open_sessions()})
        self._never_was()


def understood(read: Callable[..., T], *reply: Any) -> T:
    """What ``read`` makes of a reply.

    Raises:
        APIConnectionError: it makes no sense.
    """
    try:
        return read(*reply)
    except WireError as error:
        raise APIConnectionError(str(error)) from None
