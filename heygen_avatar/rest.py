"""REST calls: one pooled ``requests.Session`` per avatar, deadlines that hold, retries that cannot pay twice.

Knows HTTP and both reply envelopes, not what the calls mean. No token or key leaves this module but in its header.
"""

from __future__ import annotations

import email.utils
import json
import logging
import random
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import requests
import requests.adapters
import requests.auth

from .deadline import Deadline
from .errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    ConfigurationError,
    HeyGenError,
    RateLimitError,
    SessionStateError,
)
from .protocols import RestCall, WireError
from .protocols.api_errors import api_error, is_success
from .version import __version__

log = logging.getLogger("heygen_avatar.rest")

CONNECT_TIMEOUT = 5.0
ATTEMPTS = 4
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 4.0

LATE = 30.0
"""Seconds beyond its caller's patience that a call with a ``receive`` goes on listening: it may have made a session."""

MAX_BODY = 16 * 2**20

_NOT_DONE = frozenset({429, 503})
"""Statuses by which a service says that it did not act: even a create may be sent again."""

_MEDIA_NOT_JOINED = 400006
"""A task that came before the service's media side had seen us join (v1 reference §1b): refused, and soon welcome."""

_PASSING = frozenset({429, 500, 502, 503, 504})

_numbers = count(1)


class _Credentials(requests.auth.AuthBase):
    """Sets one header. Being an ``auth``, it also keeps requests from replacing it by what a .netrc says."""

    def __init__(self, header: str, value: str) -> None:
        self._header, self._value = header, value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers[self._header] = self._value
        return request


class Reply:
    """A call under way on a thread of its own; whoever started it may wait, or leave."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._done = threading.Event()
        self._abandoned = threading.Event()
        self._data: Any = None
        self._error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self._done.is_set()

    def wait(self, deadline: Deadline) -> bool:
        """Wait for the outcome; false when the deadline passed first."""
        return deadline.wait(self._done)

    def result(self) -> Any:
        """The outcome, of a call that is done."""
        if self._error is not None:
            raise self._error
        return self._data

    def abandon(self) -> None:
        """Nobody waits any more: what is being sent goes on, but nothing is sent again."""
        self._abandoned.set()


class RestClient:
    """Sends :class:`RestCall` envelopes to one service for one avatar. May be used from any thread.

    Args:
        base_path: ``http(s)://host[:port][/prefix]``.
        token: a session token that calls use which bring none of their own.
        api_key: the account's key.

    Raises:
        ConfigurationError: the base path is no URL, or a secret has characters that no header can carry.
    """

    def __init__(self, base_path: str, *, token: str | None = None, api_key: str | None = None) -> None:
        self.base_path = _base_path(base_path)
        self.token = _header_value("token", token)
        self.api_key = _header_value("api_key", api_key)
        self._secrets = {secret for secret in (self.token, self.api_key) if secret}
        self._session = requests.Session()
        adapter = requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=8)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._session.headers["User-Agent"] = f"heygen-avatar/{__version__}"
        self._session.headers["Accept"] = "application/json"

    def __repr__(self) -> str:
        return f"<RestClient {self.base_path}>"

    def call(
        self,
        call: RestCall,
        *,
        timeout: float,
        token: str | None = None,
        receive: Callable[[Any], None] | None = None,
        failed: Callable[[BaseException], None] | None = None,
    ) -> Any:
        """Send ``call`` and return the ``data`` of its reply.

        Args:
            timeout: seconds for everything, retries included. Holds also against a server that trickles.
            token: the session's token, in place of the client's.
            receive, failed: given the outcome on the thread that hears it, before the caller wakes, and also when the
                caller has left: exactly one of them is called, once.

        Raises:
            APIError, APIConnectionError, APITimeoutError.
        """
        reply = self.begin(call, timeout=timeout, token=token, receive=receive, failed=failed)
        try:
            if not reply.wait(Deadline.after(timeout)):
                raise APITimeoutError(f"{call.name}: {self._place} has not answered within {timeout:g} s")
        finally:
            reply.abandon()
        return reply.result()

    def begin(
        self,
        call: RestCall,
        *,
        timeout: float,
        token: str | None = None,
        receive: Callable[[Any], None] | None = None,
        failed: Callable[[BaseException], None] | None = None,
    ) -> Reply:
        """Send ``call`` without waiting. Its thread ends with the reply, or a little after ``timeout``."""
        reply = Reply(call.name)
        credentials = self._credentials(call, token)

        def work() -> None:
            self._work(reply, call, credentials, Deadline.after(timeout), receive, failed)

        try:
            threading.Thread(target=work, name=f"heygen-rest-{next(_numbers)}", daemon=True).start()
        except RuntimeError:
            work()  # at interpreter shutdown no thread can be started; the socket timeouts are the deadline then
        return reply

    def close(self) -> None:
        """Give the pooled connections back."""
        self._session.close()

    # -- on the call's thread

    def _work(
        self,
        reply: Reply,
        call: RestCall,
        credentials: _Credentials,
        deadline: Deadline,
        receive: Callable[[Any], None] | None,
        failed: Callable[[BaseException], None] | None,
    ) -> None:
        try:
            data = self._attempts(reply, call, credentials, deadline, late=LATE if receive else 0.5)
            if receive is not None:
                receive(data)
            reply._data = data
        except WireError as error:
            reply._error = APIConnectionError(f"{call.name}: {error}")
        except BaseException as error:
            reply._error = error
            if failed is not None:
                failed(error)
        finally:
            reply._done.set()

    def _attempts(
        self, reply: Reply, call: RestCall, credentials: _Credentials, deadline: Deadline, *, late: float
    ) -> Any:
        pause = FIRST_PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            began = time.monotonic()
            outcome = self._attempt(call, credentials, deadline, late)
            log.debug("%s, attempt %d: %s in %.3f s", call.name, attempt, _told(outcome), time.monotonic() - began)
            if not isinstance(outcome, HeyGenError):
                return outcome
            wait = getattr(outcome, "retry_after", None)
            if wait is None:
                wait = pause * random.uniform(0.5, 1.0)
            if attempt == ATTEMPTS or not _may_repeat(call, outcome) or wait >= deadline.left:
                raise outcome
            if reply._abandoned.wait(wait):
                raise outcome
            pause = min(2 * pause, LONGEST_PAUSE)
        raise AssertionError("the last attempt returns or raises")

    def _attempt(self, call: RestCall, credentials: _Credentials, deadline: Deadline, late: float) -> Any:
        """The data, or the error as a value: raised outside of any ``except``, so that it drags no requests exception
        along, whose request would hold the credentials."""
        try:
            response = self._session.request(
                call.method,
                self.base_path + call.path,
                json=call.body,
                params=call.params,
                auth=credentials,
                timeout=(min(CONNECT_TIMEOUT, max(0.1, deadline.left)), max(0.1, deadline.left) + late),
                allow_redirects=False,
                stream=True,
            )
            with response:
                text = _read(response, Deadline.after(deadline.left + late))
        except requests.exceptions.ConnectTimeout:
            return self._trouble(call, "could not be reached in time", sent=False, timeout=True)
        except requests.exceptions.ReadTimeout:
            return self._trouble(call, "did not answer in time", sent=True, timeout=True)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError):
            return self._trouble(call, "is no usable address", sent=False)
        except requests.exceptions.SSLError as error:
            return self._trouble(call, f"could not be trusted: {_cause(error)}", sent=False)
        except requests.exceptions.ConnectionError as error:
            sent = not _never_connected(error)
            return self._trouble(call, "closed the connection" if sent else f"refused: {_cause(error)}", sent=sent)
        except (requests.exceptions.RequestException, OSError) as error:
            return self._trouble(call, f"broke off its answer ({type(error).__name__})", sent=True)
        return self._outcome(call, response, text)

    def _outcome(self, call: RestCall, response: requests.Response, text: str) -> Any:
        status = response.status_code
        if 300 <= status < 400:
            # Following it could hand the credentials to another host.
            return self._trouble(call, f"redirects elsewhere (HTTP {status}); check base_path", sent=True)
        if not 200 <= status < 300:
            return self._error(call, response, text)
        if status == 204:
            return None
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            what = "an empty reply" if not text.strip() else "a reply that is not JSON or was cut off"
            return self._trouble(call, f"gave {what} (HTTP {status})", sent=True)
        if not is_success(body):
            return self._error(call, response, text)
        if isinstance(body, dict) and ("data" in body or "code" in body or "error" in body):
            return body.get("data")
        return body

    def _error(self, call: RestCall, response: requests.Response, text: str) -> APIError:
        headers = response.headers
        return api_error(
            status=response.status_code,
            text=self._without_secrets(text),
            call=call.name,
            request_id=headers.get("x-request-id") or headers.get("request-id") or headers.get("cf-ray"),
            retry_after=_retry_after(headers.get("Retry-After")),
        )

    def _trouble(self, call: RestCall, what: str, *, sent: bool, timeout: bool = False) -> APIConnectionError:
        kind = APITimeoutError if timeout else APIConnectionError
        return kind(f"{call.name}: {self._place} {self._without_secrets(what)}", sent=sent)

    def _without_secrets(self, text: str) -> str:
        for secret in tuple(self._secrets):
            text = text.replace(secret, "[redacted]")
        return text

    def _credentials(self, call: RestCall, token: str | None) -> _Credentials:
        token = _header_value("token", token) or self.token
        if call.auth == "key" or not token:
            if not self.api_key:
                raise ConfigurationError(f"{call.name} needs the account's key: give api_key= or set HEYGEN_API_KEY")
            return _Credentials("X-Api-Key", self.api_key)
        self._secrets.add(token)
        return _Credentials("Authorization", f"Bearer {token}")

    @property
    def _place(self) -> str:
        return urlsplit(self.base_path).netloc


def _may_repeat(call: RestCall, error: HeyGenError) -> bool:
    if isinstance(error, APIConnectionError):
        return call.repeat == "safe" or not error.sent
    if isinstance(error, RateLimitError) or (isinstance(error, SessionStateError) and error.code == _MEDIA_NOT_JOINED):
        return True
    if isinstance(error, APIError):
        return error.status in (_PASSING if call.repeat == "safe" else _NOT_DONE)
    return False


def _read(response: requests.Response, deadline: Deadline) -> str:
    body = bytearray()
    for piece in response.iter_content(65_536):
        body += piece
        if len(body) > MAX_BODY or deadline.passed:
            raise requests.exceptions.ChunkedEncodingError("endless")
    return (
        body.decode(response.encoding or "utf-8", "replace")
        if _known(response.encoding)
        else body.decode("utf-8", "replace")
    )


def _known(encoding: str | None) -> bool:
    try:
        "".encode(encoding or "utf-8")
    except LookupError:
        return False
    return True


def _never_connected(error: requests.exceptions.ConnectionError) -> bool:
    """Refused, no route, no such host: whatever else a ConnectionError may be, in these nothing was sent."""
    import urllib3.exceptions

    reason: Any = error.args[0] if error.args else None
    reason = getattr(reason, "reason", reason)
    return isinstance(reason, (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError))


def _cause(error: BaseException) -> str:
    """The system's words from the depth of a requests exception, whose own text would quote the URL."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        current = current.__cause__ or current.__context__
    for deepest in reversed(seen):
        if isinstance(deepest, OSError) and deepest.strerror:
            return deepest.strerror
    return type(seen[-1]).__name__


def _told(outcome: Any) -> str:
    if isinstance(outcome, APIError):
        return f"HTTP {outcome.status}, code {outcome.code}"
    return type(outcome).__name__ if isinstance(outcome, HeyGenError) else "answered"


def _retry_after(header: str | None) -> float | None:
    """Seconds, from a number or an HTTP date."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return min(max(0.0, seconds), 86_400.0) if seconds == seconds else None


def _header_value(name: str, secret: str | None) -> str | None:
    if secret is None:
        return None
    if not isinstance(secret, str):
        raise ConfigurationError(f"{name} must be a text, not a {type(secret).__name__}")
    if not secret.strip() or not secret.isascii() or not secret.isprintable():
        # The value itself is not shown: it is a secret, even where it is wrong.
        raise ConfigurationError(f"{name} is empty, or has a line break or a character that no HTTP header can carry")
    return secret.strip()


def _base_path(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"base_path must be like https://api.heygen.com, not {url!r}")
    if parts.username or parts.password:
        raise ConfigurationError("base_path must not carry a user name or a password")
    return url.rstrip("/")
