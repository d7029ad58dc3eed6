"""The event half of the facade: handlers, waits, iteration, transcript.

What is heard comes from the dispatcher; nothing here knows how it was heard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .deadline import Deadline, check_timeout
from .dispatch import Dispatcher, EventQueue, Handler, iterate
from .errors import SessionClosedError, UsageError, WaitTimeoutError
from .events import Event, StreamingEvents
from .models import SessionState
from .signals import Signals
from .transcript import Transcript

if TYPE_CHECKING:
    from typing_extensions import Self

    from .connection import Connection

H = TypeVar("H", bound=Handler)


class Hearing:
    """What one can do with an avatar's events. :class:`StreamingAvatar` is the only one to inherit it."""

    def __init__(self, *, threaded: bool, timeout: float) -> None:
        self._timeout = timeout
        self._holder: list[Connection] = []  # at most one; shared with a finalizer, which must not hold self
        self._dispatcher = Dispatcher(self, threaded=threaded)
        self._transcript = Transcript()
        self._dispatcher.tap(self._transcript.hear)

    @overload
    def on(self, event: StreamingEvents | str, handler: Handler) -> Self: ...
    @overload
    def on(self, event: StreamingEvents | str) -> Callable[[H], H]: ...
    def on(self, event: StreamingEvents | str, handler: Handler | None = None) -> Self | Callable[[H], H]:
        """Call ``handler(event)`` for each such event, in order, in the events thread; also usable as a decorator.

        Any name is taken: a server's events that this version does not know come under their own. The same handler
        given twice is called once. A handler that raises is logged and kept in :attr:`last_handler_error`.
        """
        return self._connect(event, handler, once=False)

    @overload
    def once(self, event: StreamingEvents | str, handler: Handler) -> Self: ...
    @overload
    def once(self, event: StreamingEvents | str) -> Callable[[H], H]: ...
    def once(self, event: StreamingEvents | str, handler: Handler | None = None) -> Self | Callable[[H], H]:
        """Like :meth:`on`, for the next such event only."""
        return self._connect(event, handler, once=True)

    def off(self, event: StreamingEvents | str, handler: Handler) -> Self:
        """Take ``handler`` off; nothing happens if it is not on."""
        self._dispatcher.off(str(event), handler)
        return self

    @contextmanager
    def expect(
        self, event: StreamingEvents | str, *, timeout: float | None = None, where: Callable[[Any], bool] | None = None
    ) -> Iterator[Expected]:
        """Wait, at the end of the block, for an event that the block brings about: no event can be too early.

        ::

            with avatar.expect(StreamingEvents.AVATAR_STOP_TALKING) as stopped:
                avatar.speak("Hello!", task_type=TaskType.REPEAT)
            print(stopped.value.duration_ms)

        Args:
            where: a condition on the event; called in this thread.

        Raises:
            WaitTimeoutError: no such event within ``timeout`` seconds after the block.
            SessionClosedError: the session ended first.
            UsageError: a handler waits for the end of its own session.
        """
        name = self._awaitable(event)
        if timeout is not None:
            check_timeout(timeout)
        queue = self._dispatcher.listen(name, StreamingEvents.STREAM_DISCONNECTED.value)
        try:
            expected = Expected()
            yield expected
            expected._value = self._await(queue, name, timeout, where)
        finally:
            self._dispatcher.unlisten(queue)

    def wait_for(
        self, event: StreamingEvents | str, *, timeout: float | None = None, where: Callable[[Any], bool] | None = None
    ) -> Any:
        """Wait for the next such event and return it. Takes and raises what :meth:`expect` does."""
        with self.expect(event, timeout=timeout, where=where) as expected:
            pass
        return expected.value

    def events(self, *, timeout: float | None = None) -> Iterator[Event]:
        """All events from now on, as they come, until the session has ended or ``timeout`` seconds bring none.

        Reading more slowly than they come loses none uncounted: an :class:`EventsDropped` stands in their place.
        """
        if timeout is not None:
            check_timeout(timeout)
        queue = self._dispatcher.listen()

        def read() -> Iterator[Event]:
            try:
                yield from iterate(queue, timeout)
            finally:
                self._dispatcher.unlisten(queue)

        return read()

    def run_handlers(self, timeout: float = 0.0) -> int:
        """With ``dispatch="manual"``: call the handlers of what was heard, here; wait up to ``timeout`` for the first.

        Returns how many events were handled.
        """
        if self._dispatcher.threaded:
            raise UsageError(
                'run_handlers() is for StreamingAvatar(dispatch="manual"); here a thread calls the handlers'
            )
        check_timeout(timeout)
        return self._dispatcher.run_handlers(timeout)

    @property
    def signals(self) -> Signals:
        """The blinker signals themselves, by event name; receivers are called as ``receiver(avatar, event=event)``."""
        return self._dispatcher.signals

    @property
    def last_handler_error(self) -> BaseException | None:
        """What the last handler that failed raised."""
        return self._dispatcher.last_handler_error

    @property
    def transcript(self) -> Transcript:
        """Who said what so far; kept after the session's end until the next one begins."""
        return self._transcript

    @property
    def state(self) -> SessionState:
        """Where the session stands."""
        return SessionState.INACTIVE if self._connection is None else self._connection.state

    @property
    def session_id(self) -> str | None:
        """The id of the session, also after its end; None before the first."""
        return None if self._connection is None else self._connection.session_id

    # -- inside

    @property
    def _connection(self) -> Connection | None:
        return self._holder[-1] if self._holder else None

    def _connect(self, event: StreamingEvents | str, handler: Handler | None, *, once: bool) -> Self | Callable[[H], H]:
        if handler is None:

            def decorate(function: H) -> H:
                self._dispatcher.on(str(event), function, once=once)
                return function

            return decorate
        self._dispatcher.on(str(event), handler, once=once)
        return self

    def _awaitable(self, event: StreamingEvents | str) -> str:
        if str(event) == StreamingEvents.STREAM_DISCONNECTED.value and self._dispatcher.in_handler:
            raise UsageError("a handler cannot wait for the end of its own session; handle stream_disconnected instead")
        return str(event)

    def _await(self, queue: EventQueue, name: str, timeout: float | None, where: Callable[[Any], bool] | None) -> Event:
        seconds = self._timeout if timeout is None else timeout
        deadline = Deadline.after(seconds)
        while (event := queue.get(deadline)) is not None:
            if event.type == name and (where is None or where(event)):
                return event
            if event.type == StreamingEvents.STREAM_DISCONNECTED.value:
                break
        if event is None and not queue.closed:
            raise WaitTimeoutError(f"no {name} within {seconds:g} s; session {self.session_id} is {self.state}")
        reason = "" if self._connection is None else self._connection.end_text
        raise SessionClosedError(
            f"session {self.session_id} ended ({reason}) before there was a {name}",
            session_id=self.session_id,
            reason=reason,
        )


class Expected:
    """What :meth:`StreamingAvatar.expect` waits for; ``value`` is the event, once the block is left."""

    _value: Event | None = None

    @property
    def value(self) -> Any:
        if self._value is None:
            raise UsageError("the expected event is there after the with block, not inside it")
        return self._value
