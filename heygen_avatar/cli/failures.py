"""What goes wrong, as exit codes and as one line on standard error."""

from __future__ import annotations

from enum import IntEnum

from heygen_avatar.errors import (
    APIConnectionError,
    AuthenticationError,
    ConcurrentSessionLimitError,
    ConfigurationError,
    InvalidRequestError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    SessionError,
    WaitTimeoutError,
)


class ExitCode(IntEnum):
    """What the exit code of ``heygen-avatar`` means. ``simulator -- PROGRAM`` passes on the program's own instead."""

    DONE = 0
    FAILED = 1
    """What has no code of its own: a file, a missing extra, an unknown avatar, a server's failure."""
    USAGE = 2
    """The command line makes no sense; nothing was sent."""
    KEY = 3
    """There is no API key, or the service does not accept it."""
    UNREACHABLE = 4
    """The service gave no usable answer, or none in time."""
    LIMIT = 5
    """No credits, too many sessions, or too many requests: later, or after ``sessions stop-all``."""
    SESSION = 6
    """The session could not be started, or ended early, or the avatar did not finish in time."""
    INTERRUPTED = 130
    """Ctrl-C; every session was ended first."""


class NoKeyError(ConfigurationError):
    """There is no API key in the environment."""


_CODES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], ExitCode], ...] = (
    ((NoKeyError, AuthenticationError, PermissionDeniedError), ExitCode.KEY),
    (APIConnectionError, ExitCode.UNREACHABLE),
    ((QuotaExceededError, ConcurrentSessionLimitError, RateLimitError), ExitCode.LIMIT),
    ((SessionError, WaitTimeoutError), ExitCode.SESSION),
    (InvalidRequestError, ExitCode.USAGE),
)


def exit_code(error: Exception) -> ExitCode:
    """The code of an error; the first row that fits counts."""
    return next((code for kinds, code in _CODES if isinstance(error, kinds)), ExitCode.FAILED)


def advice(error: Exception) -> str:
    """What one can do about it on the command line, where its message speaks of Python."""
    if isinstance(error, ConcurrentSessionLimitError):
        return "heygen-avatar sessions list shows the open ones, heygen-avatar sessions stop-all ends them"
    if isinstance(error, APIConnectionError):
        return "heygen-avatar doctor looks at the network"
    return ""
