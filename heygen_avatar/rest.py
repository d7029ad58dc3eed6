"""REST calls: one pooled ``requests.Session`` per avatar, deadlines that hold, retries that cannot pay twice.

Knows HTTP and both reply envelopes, not what the calls mean. No token or key leaves this module but in its header: no
message, log line or chained exception has one.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any
from urllib.parse import quote, urlsplit

import requests
import requests.auth
import urllib3.exceptions
from attrs import evolve

from .deadline import Deadline
from .errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AuthenticationError,
    ConfigurationError,
    HeyGenError,
    RateLimitError,
    SessionStateError,
    UsageError,
)
from .http_failures import origin, retry_after, unreadable, what_happened
from .protocols import RestCall, WireError
from .protocols.api_errors import api_error, is_success
from .secret import hidden
from .severable import Adapter, Line
from .version import __version__

log = logging.getLogger("heygen_avatar.rest")

CONNECT_TIMEOUT = 5.0
ATTEMPTS = 4
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 4.0

LATE = 30.0
"""Seconds beyond its caller's patience that a call with a ``receive`` goes on listening: it may have made a session."""

MAX_BODY = 16 * 2**20

_MEDIA_NOT_JOINED = 400006
"""A task that came before the service's media side had seen us join (v1 reference §1b): refused, and soon welcome."""

_PASSING = frozenset({500, 502, 503, 504})

_REQUEST_IDS = ("x-request-id", "request-id", "x-amzn-requestid", "x-correlation-id", "cf-ray")

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

    def __init__(
        self,
        name: str,
        receive: Callable[[Any], None] | None = None,
        failed: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.name = name
        self._receive = receive
        self._failed = failed
        self._unclaimed = threading.Semaphore(1)
        self._line = Line()
        self._done = threading.Event()
        self._abandoned = threading.Event()
        self._data: Any = None
        self._error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self._done.is_set()

    @property
    def heeded(self) -> bool:
        """Whether somebody is to be told of the data even when the caller has left."""
        return self._receive is not None

    @property
    def sent(self) -> bool:
        """Whether the service may have heard of it. False is certain once the call is abandoned."""
        return self._line.sent

    def wait(self, deadline: Deadline) -> bool:
        """Wait for the outcome; false when the deadline passed first."""
        return deadline.wait(self._done)

    def result(self) -> Any:
        """The outcome, of a call that is done. An error is handed over: it is raised once."""
        # Kept here, it would keep itself alive, and by its traceback all that its callers held, such as an avatar whose
        # end stops a session that costs.
        error, self._error = self._error, None
        if error is None:
            return self._data
        try:
            raise error
        finally:
            del error

    def abandon(self) -> None:
        """Nobody waits any more: nothing is sent from now on.

        What has been sent is cut off, unless somebody is to be told of its outcome (``receive``).
        """
        self._abandoned.set()
        self._line.cut(only_unsent=self.heeded)

    # -- for the client

    def claim(self) -> bool:
        """Whether the outcome is the caller's to find: true once."""
        return self._unclaimed.acquire(blocking=False)

    def succeed(self, data: Any) -> None:
        try:
            if self._receive is not None:
                self._receive(data)
            self._data = data
        except WireError as error:
            self._error = APIConnectionError(f"{self.name}: {error}")
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    def fail(self, error: BaseException) -> None:
        if isinstance(error, HeyGenError):
            error.__traceback__ = None  # of this thread, where nobody looks: it holds the credentials
        self._error = error
        try:
            if self._failed is not None:
                self._failed(error)
        finally:
            self._done.set()

    def next_line(self) -> Line:
        """The line of the next attempt. Whichever comes first, this or abandon(), the line ends up cut."""
        self._line = line = Line()
        if self._abandoned.is_set():
            line.cut()
        return line


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
        self.token = hidden(_header_value("token", token))
        self.api_key = hidden(_header_value("api_key", api_key))
        self._secrets: set[str] = {secret for secret in (self.token, self.api_key) if secret}
        self._closed = False
        self._under_way: set[Reply] = set()
        self._session = requests.Session()
        adapter = Adapter(pool_connections=1, pool_maxsize=8)
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
            APIError: the service answered with an error.
            APIConnectionError: no usable answer; ``sent`` is false if the service certainly heard nothing.
            APITimeoutError: no answer within ``timeout``.
            ConfigurationError: there is no secret for this call.
            UsageError: the client is closed.
        """
        reply = Reply(call.name, receive, failed)
        try:  # from before the thread starts: a Ctrl-C may land anywhere
            self._begin(reply, call, timeout, token)
            if not reply.wait(Deadline.after(timeout)):
                reply.abandon()
                raise APITimeoutError(
                    f"{call.name}: {self._place} has not answered within {timeout:g} s", sent=reply.sent
                )
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
        """Send ``call`` without waiting: see :meth:`call`. Whoever has the reply abandons it in the end."""
        reply = Reply(call.name, receive, failed)
        try:
            self._begin(reply, call, timeout, token)
        except BaseException:
            reply.abandon()
            raise
        return reply

    def _begin(self, reply: Reply, call: RestCall, timeout: float, token: str | None) -> None:
        try:
            credentials = self._credentials(call, token)
            self._under_way.add(reply)
            if self._closed:  # looked at after the entry, close() does it the other way round: one of the two sees it
                raise UsageError(f"{call.name}: the client of {self._place} is closed")

            def work() -> None:
                self._work(reply, call, credentials, Deadline.after(timeout))

            try:
                threading.Thread(target=work, name=f"heygen-rest-{next(_numbers)}", daemon=True).start()
            except RuntimeError:
                work()  # at interpreter shutdown no thread can be started; the socket timeouts are the deadline then
        except BaseException as error:
            # A Ctrl-C may land on either side of the thread's beginning: what claims the call first settles it.
            if reply.claim():
                self._under_way.discard(reply)
                reply.fail(error)
            raise

    def spelled_out(self, call: RestCall, *, token: str | None = None) -> dict[str, Any]:
        """``call`` as plain data, credentials and all, for somebody who has no client: the guardian."""
        request = requests.Request(
            call.method,
            self.base_path + call.path,
            params=call.params,
            json=call.body,
            auth=self._credentials(call, token),
        )
        prepared = self._session.prepare_request(request)
        body = prepared.body or b""
        return {
            "method": prepared.method,
            "url": prepared.url,
            "headers": dict(prepared.headers),
            "body": body if isinstance(body, str) else body.decode(),
        }

    def hang_up(self) -> None:
        """Close the connections, those under way when they are done; the next call opens one anew."""
        self._session.close()

    def close(self) -> None:
        """Close the connections. Calls that only their callers wait for end with an error, further ones are refused;
        one with a ``receive`` still has its outcome."""
        self._closed = True
        for reply in tuple(self._under_way):
            reply.abandon()
        self.hang_up()

    # -- on the call's thread

    def _work(self, reply: Reply, call: RestCall, credentials: _Credentials, deadline: Deadline) -> None:
        if not reply.claim():
            return
        try:
            reply.succeed(self._attempts(reply, call, credentials, deadline, late=LATE if reply.heeded else 0.5))
        except BaseException as error:
            reply.fail(error)
        finally:
            self._under_way.discard(reply)

    def _attempts(
        self, reply: Reply, call: RestCall, credentials: _Credentials, deadline: Deadline, *, late: float
    ) -> Any:
        pause = FIRST_PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            began = time.monotonic()
            outcome = self._attempt(call, credentials, deadline, late, reply.next_line())
            log.debug("%s, attempt %d: %s in %.3f s", call.name, attempt, _told(outcome), time.monotonic() - began)
            if not isinstance(outcome, HeyGenError):
                return outcome
            if self._key_is_left(call, outcome) and attempt < ATTEMPTS:
                call = evolve(call, auth="key")
                credentials = self._credentials(call, None)
                continue
            wait = getattr(outcome, "retry_after", None)
            if wait is None:
                wait = pause * random.uniform(0.5, 1.0)
            if attempt == ATTEMPTS or not _may_repeat(call, outcome) or wait >= deadline.left:
                raise outcome
            if reply._abandoned.wait(wait):
                raise outcome
            pause = min(2 * pause, LONGEST_PAUSE)
        raise AssertionError("the last attempt returns or raises")

    def _key_is_left(self, call: RestCall, error: HeyGenError) -> bool:
        """Whether to ask again by the key: what was refused was not done."""
        return isinstance(error, AuthenticationError) and call.auth == "either" and self.api_key is not None

    def _attempt(self, call: RestCall, credentials: _Credentials, deadline: Deadline, late: float, line: Line) -> Any:
        """The data, or the error as a value: raised outside of any ``except``, so that it drags no requests exception
        along, whose request would hold the credentials."""
        if deadline.passed:
            return self._trouble(call, "was not asked: there was no time left", sent=False, timeout=True)
        try:
            with line, _limit(line, deadline.left + late):
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
                    text = _read(response)
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            if line.was_cut:
                return self._trouble(call, "was given up on before it answered", sent=line.sent)
            words, timeout = what_happened(error, sent=line.sent)
            return self._trouble(call, words, sent=line.sent, timeout=timeout)
        return self._outcome(call, response, text)

    def _outcome(self, call: RestCall, response: requests.Response, text: str) -> Any:
        status = response.status_code
        if 300 <= status < 400:
            # Following it could hand the credentials to another host.
            elsewhere = origin(response.headers.get("Location", ""))
            return self._trouble(call, f"redirects to {elsewhere} (HTTP {status}): check base_path", sent=True)
        if not 200 <= status < 300:
            return self._error(call, response, text)
        if status == 204:
            return None
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            what = unreadable(text)
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
            text=text,
            call=call.name,
            request_id=next((headers[name] for name in _REQUEST_IDS if headers.get(name)), None),
            retry_after=retry_after(headers.get("Retry-After")),
            hide=self._without_secrets,
        )

    def _trouble(self, call: RestCall, what: str, *, sent: bool, timeout: bool = False) -> APIConnectionError:
        kind = APITimeoutError if timeout else APIConnectionError
        return kind(f"{call.name}: {self._place} {self._without_secrets(what)}", sent=sent)

    def _without_secrets(self, text: str) -> str:
        for secret in tuple(self._secrets):
            for spelled in (secret, quote(secret, safe="")):
                text = text.replace(spelled, "[redacted]")
        return text

    def _credentials(self, call: RestCall, token: str | None) -> _Credentials:
        token = _header_value("token", token) or self.token
        if call.auth == "key" or not token:
            if not self.api_key:
                raise ConfigurationError(
                    f"{call.name} needs the account's key: give api_key=, or set HEYGEN_API_KEY, or for LiveAvatar "
                    "LIVEAVATAR_API_KEY"
                )
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
    if not isinstance(error, APIError):
        return False
    # A 503 that names a time was refused at the door; any other may come from half-way, from a create that happened.
    refused = error.status == 503 and error.retry_after is not None
    return refused or (call.repeat == "safe" and error.status in _PASSING)


@contextmanager
def _limit(line: Line, seconds: float) -> Iterator[None]:
    """Cut ``line`` off after ``seconds``: requests' own timeouts begin anew with every byte."""
    timer = threading.Timer(seconds, line.cut)
    timer.daemon = True
    timer.name = "heygen-cut-off"
    try:
        with suppress(RuntimeError):  # at interpreter shutdown
            timer.start()
        yield
    finally:
        timer.cancel()


def _read(response: requests.Response) -> str:
    body = bytearray()
    for piece in response.iter_content(65_536):
        body += piece
        if len(body) > MAX_BODY:
            raise requests.exceptions.ChunkedEncodingError("endless")
    # JSON is UTF-8 whatever the header claims, and of anything else only a glimpse is shown.
    return body.decode("utf-8-sig", "replace")


def _told(outcome: Any) -> str:
    if isinstance(outcome, APIError):
        return f"HTTP {outcome.status}, code {outcome.code}"
    return type(outcome).__name__ if isinstance(outcome, HeyGenError) else "answered"


def _header_value(name: str, secret: str | None) -> str | None:
    if secret is None:
        return None
    if not isinstance(secret, str):
        raise ConfigurationError(f"{name} must be a text, not a {type(secret).__name__}")
    if not secret or not all("!" <= character <= "~" for character in secret):
        # The value itself is not shown: it is a secret, even where it is wrong.
        raise ConfigurationError(
            f"{name} is empty, or has a space, a line break or another character that no HTTP header can carry: "
            "strip() what was read from a file"
        )
    return secret


def _base_path(url: str) -> str:
    wanted = "base_path must be like https://api.heygen.com"
    if not isinstance(url, str):
        raise ConfigurationError(f"{wanted}, not a {type(url).__name__}")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # brackets that are no IPv6 address, a port out of range
        usable = False
    if not usable or url != url.strip():
        raise ConfigurationError(f"{wanted}, not {url!r}")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ConfigurationError(f"{wanted}: no user name, no password, no query")
    return url.rstrip("/")
