"""Everything this package raises on purpose.

Each error also subclasses the builtin that a user would catch without reading this page::

    HeyGenError
    ├── ConfigurationError (ValueError)          no key, both keys, an unusable base_path
    ├── InvalidRequestError (ValueError)         refused here, before anything was sent
    ├── MissingExtraError (ImportError)          pip install "heygen-avatar[...]"
    ├── UsageError (RuntimeError)                a call from the wrong thread, after a fork, inside a handler
    ├── WaitTimeoutError (TimeoutError)          a wait's deadline passed; the session goes on
    ├── SessionError
    │   ├── SessionNotStartedError (RuntimeError)   a call that needs a session, and there is none
    │   ├── SessionClosedError (ConnectionError)    the session ended: stopped, timed out, or lost
    │   ├── SessionStartError (ConnectionError)     the session could not be started; it was stopped again
    │   │   └── StartTimeoutError (TimeoutError)    ... within the deadline
    │   └── MediaError (RuntimeError)               a frame, a recording or a sound could not be had
    ├── APIConnectionError (ConnectionError)     no usable answer: refused, cut off, not HTTP, not JSON
    │   └── APITimeoutError (TimeoutError)       ... within the deadline
    └── APIError                                 the service answered with an error
        ├── BadRequestError (ValueError)         400/422 that has no class of its own
        ├── AuthenticationError (PermissionError)   401: missing, wrong, expired or used-up key or token
        ├── PermissionDeniedError (PermissionError) 403: the plan or the account may not
        ├── NotFoundError (LookupError)          404, or a code that says so
        │   ├── AvatarNotFoundError              unknown avatar, or not allowed to this account
        │   └── SessionNotFoundError             the session never was, or is forgotten
        ├── SessionStateError (RuntimeError)     the session is not in a state for this call
        ├── ConcurrentSessionLimitError          too many sessions are open at once
        ├── QuotaExceededError                   no credits left
        ├── RateLimitError                       too many requests; retry_after says when
        └── ServerError                          5xx

and what it warns of: ``UnsupportedOptionWarning`` (UserWarning), an option that the service has no place for.
"""

from __future__ import annotations

from typing import Any, TypeVar

__all__ = [
    "APIConnectionError",
    "APIError",
    "APITimeoutError",
    "AuthenticationError",
    "AvatarNotFoundError",
    "BadRequestError",
    "ConcurrentSessionLimitError",
    "ConfigurationError",
    "HeyGenError",
    "InvalidRequestError",
    "MediaError",
    "MissingExtraError",
    "NotFoundError",
    "PermissionDeniedError",
    "QuotaExceededError",
    "RateLimitError",
    "ServerError",
    "SessionClosedError",
    "SessionError",
    "SessionNotFoundError",
    "SessionNotStartedError",
    "SessionStartError",
    "SessionStateError",
    "StartTimeoutError",
    "UnsupportedOptionWarning",
    "UsageError",
    "WaitTimeoutError",
]


E = TypeVar("E", bound=Exception)


class HeyGenError(Exception):
    """The root: ``except HeyGenError`` catches all that this package raises on purpose."""


class ConfigurationError(HeyGenError, ValueError):
    """The avatar cannot be set up with what it was given; nothing was sent."""


class InvalidRequestError(HeyGenError, ValueError):
    """An argument is outside what the service takes; nothing was sent. The message names the allowed range."""


class MissingExtraError(HeyGenError, ImportError):
    """A feature needs an optional package that is not installed."""

    def __init__(self, *, extra: str, feature: str) -> None:
        super().__init__(f'{feature} needs the extra "{extra}": pip install "heygen-avatar[{extra}]"')
        self.extra = extra
        self.feature = feature

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.args, self.__dict__))


class UsageError(HeyGenError, RuntimeError):
    """A call that could only deadlock or corrupt: on the media thread, after a fork, in a handler for its own end."""


class UnsupportedOptionWarning(UserWarning):
    """The service has no place for an option, so it has no effect there; nothing else is changed by it."""


class WaitTimeoutError(HeyGenError, TimeoutError):
    """What was waited for did not happen within the deadline. The session is untouched and goes on."""


class SessionError(HeyGenError):
    """Something about one session; ``session_id`` says which, if it got as far as having an id."""

    def __init__(self, message: str, *, session_id: str | None = None) -> None:
        super().__init__(message)
        self.session_id = session_id


class SessionNotStartedError(SessionError, RuntimeError):
    """The call needs a running session, and this avatar has none yet."""


class SessionClosedError(SessionError, ConnectionError):
    """The session is over: stopped here, ended by the server, or lost. ``reason`` says which."""

    def __init__(self, message: str, *, session_id: str | None = None, reason: str = "unknown") -> None:
        super().__init__(message, session_id=session_id)
        self.reason = reason


class SessionStartError(SessionError, ConnectionError):
    """The service made a session, but its media or its socket could not be reached. The session was stopped again."""


class StartTimeoutError(SessionStartError, TimeoutError):
    """The session was not ready within the deadline. It was stopped again."""


class MediaError(SessionError, RuntimeError):
    """A picture, a sound or a recording could not be had."""


class APIConnectionError(HeyGenError, ConnectionError):
    """The service gave no usable answer. ``sent`` is false when it is certain that nothing reached it."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class APITimeoutError(APIConnectionError, TimeoutError):
    """The service did not answer within the deadline. Whether it acted is not known."""


class APIError(HeyGenError):
    """The service answered with an error.

    Attributes:
        status: the HTTP status.
        code: the service's own code (``10005``, ``400112``, ``4003``, ...), or None where the body had none.
        message: the service's own words.
        response_text: the body as it came, shortened to 2,000 characters.
        request_id: the id to quote to the service's support, where it sent one.
        retry_after: seconds after which the service asked to be called again, where it did.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: int | str | None = None,
        response_text: str = "",
        request_id: str | None = None,
        retry_after: float | None = None,
        call: str = "",
        hint: str = "",
    ) -> None:
        facts = [f"HTTP {status}"]
        if code is not None:
            facts.append(f"code {code}")
        if request_id:
            facts.append(f"request {request_id}")
        text = f"{call}: {message}" if call else message
        super().__init__(f"{text} ({', '.join(facts)})" + (f". {hint}" if hint else ""))
        self.message = message
        self.status = status
        self.code = code
        self.response_text = response_text
        self.request_id = request_id
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments defeat the default reduction, and errors cross process borders (pytest-xdist, pools).
        return (_rebuild, (type(self), self.args, self.__dict__))


class BadRequestError(APIError, ValueError):
    """The service refused the request's content."""


class AuthenticationError(APIError, PermissionError):
    """The key or token is missing, wrong, expired, already used for another session, or of the other service."""


class PermissionDeniedError(APIError, PermissionError):
    """The account or plan may not do this."""


class NotFoundError(APIError, LookupError):
    """The thing named does not exist for this account."""


class AvatarNotFoundError(NotFoundError):
    """The avatar is unknown, not allowed to this account, or of a version that the service no longer runs."""


class SessionNotFoundError(NotFoundError):
    """The service knows no session of this id."""


class SessionStateError(APIError, RuntimeError):
    """The session is not in a state for this call: not yet connected, closing, or closed."""


class ConcurrentSessionLimitError(APIError):
    """Too many sessions of this account are open at once; ``heygen_avatar.stop_all()`` ends those of this process."""


class QuotaExceededError(APIError):
    """The account has no credits (or trial calls) left."""


class RateLimitError(APIError):
    """Too many requests; ``retry_after`` says when to try again, where the service did."""


class ServerError(APIError):
    """The service failed (5xx)."""


def _rebuild(kind: type[E], args: tuple[Any, ...], state: dict[str, Any]) -> E:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error
