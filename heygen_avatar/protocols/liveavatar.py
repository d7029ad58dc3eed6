"""What FULL and LITE have in common: a session's life by REST (liveavatar §1.2, §2), and the ids of its commands."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from attrs import evolve

from ..liveavatar import SANDBOX_SECONDS, LiveAvatarOptions
from ..models import Service, StartAvatarRequest, StartAvatarResponse
from . import Lifetime, ListedSession, RestCall, WireError, reading
from .token_request import body, context_prompt, options_of

__all__ = ["CommandIds", "LiveAvatarSession"]

IDLE_SECONDS = 300.0
"""A session without activity is ended after five minutes (docs/lite-mode/lifecycle)."""

CONTEXT_NAME = "heygen-avatar: one session's"
"""Of a context that is removed again: where it was not, this is what it can be known by."""

REMEMBERED = 256


class CommandIds:
    """The ids that our commands went out with; what the service answers is told apart by them."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()

    def new(self) -> str:
        event_id = str(uuid.uuid4())
        self._known[event_id] = None
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return event_id

    def task_of(self, source: Mapping[str, Any]) -> str:
        """The command that an event is about: its ``source_event_id``, or its own id or task's where that is ours.

        The official client looks for the command's id in event_id, older pages name a task, the wire has it in
        source_event_id (liveavatar §4.2, §8.16). Empty where no command brought it about.
        """
        if named := reading.text(source, "source_event_id"):
            return named
        task = source.get("task")
        candidates = [reading.text(source, "event_id"), reading.text(task, "id") if isinstance(task, Mapping) else ""]
        return next((candidate for candidate in candidates if candidate in self._known), "")


class LiveAvatarSession:
    """A session's life, whichever way it is talked to. ``request`` is an adapted one."""

    service = Service.LIVEAVATAR
    avatar_identity = "heygen"

    def __init__(self, request: StartAvatarRequest) -> None:
        self.options: LiveAvatarOptions = options_of(request)
        self.ids = CommandIds()

    # -- a session's life

    def token(self, request: StartAvatarRequest) -> RestCall | None:
        return None

    def read_token(self, data: Any) -> str:
        return reading.required(data, "session_token", "the reply to sessions/token")

    def prerequisite(self, request: StartAvatarRequest) -> RestCall | None:
        prompt = context_prompt(request)
        if prompt is None:
            return None
        content = {"name": CONTEXT_NAME, "prompt": prompt, "opening_text": None}
        return RestCall(name="contexts", path="/v1/contexts", body=content, auth="key", repeat="unsent")

    def read_prerequisite(self, request: StartAvatarRequest, data: Any) -> tuple[StartAvatarRequest, RestCall]:
        context_id = reading.required(data, "id", "the reply to contexts")
        removal = RestCall(name="contexts", method="DELETE", path=f"/v1/contexts/{context_id}", auth="key")
        return evolve(request, knowledge_id=context_id, knowledge_base=None), removal

    def new_session(self, request: StartAvatarRequest) -> RestCall:
        # It costs nothing and ends by itself if it is not started, so it may be asked for again.
        return RestCall(name="sessions/token", path="/v1/sessions/token", body=body(request), auth="key")

    def read_session(self, data: Any) -> StartAvatarResponse:
        what = "the reply to sessions/token"
        return StartAvatarResponse(
            session_id=reading.required(data, "session_id", what),
            session_token=reading.required(data, "session_token", what),
            raw=data,
        )

    def session_of_token(self, token: str) -> StartAvatarResponse | None:
        """A token is that of a session; whether it says of which is not documented, starting it will."""
        return StartAvatarResponse(
            session_id=reading.text(reading.jwt_claims(token), "session_id"), session_token=token
        )

    def start(self, session: StartAvatarResponse) -> RestCall | None:
        if session.url and session.access_token:
            return None  # its maker has started it: a second time is refused
        return RestCall(name="sessions/start", path="/v1/sessions/start", repeat="unsent")

    def read_started(self, session: StartAvatarResponse, data: Any) -> StartAvatarResponse:
        if not isinstance(data, Mapping):
            raise WireError("the reply to sessions/start is no object")
        room = self.options.room
        url = room.url if room else reading.required(data, "livekit_url", "the reply to sessions/start")
        token = room.user_token if room else reading.text(data, "livekit_client_token")
        return evolve(
            session,
            session_id=session.session_id or reading.required(data, "session_id", "the reply to sessions/start"),
            url=url,
            access_token=token,
            session_duration_limit=reading.number(data, "max_session_duration"),
            realtime_endpoint=reading.optional_text(data, "ws_url"),
            livekit_agent_token=reading.optional_text(data, "livekit_agent_token"),
            raw={**session.raw, **data},
        )

    def lifetime(self, session: StartAvatarResponse) -> Lifetime:
        sandbox = SANDBOX_SECONDS if self.options.sandbox else None
        longest = session.session_duration_limit or self.options.max_session_duration or sandbox
        return Lifetime(duration=longest or None, idle=IDLE_SECONDS)

    def list_sessions(self) -> RestCall | None:
        return None  # what the create call makes is a token; the session, known by then, begins with the start call

    def read_sessions(self, data: Any) -> tuple[ListedSession, ...]:
        return ()

    def stop(self, session_id: str, *, reason: str = "USER_CLOSED") -> RestCall:
        # With a session's token its id is implied, with the key it is needed; given, either will do.
        content = {"session_id": session_id, "reason": reason} if session_id else {"reason": reason}
        return RestCall(name="sessions/stop", path="/v1/sessions/stop", body=content, auth="either")

    def read_task(self, data: Any) -> tuple[str | None, float | None]:
        return None, None
