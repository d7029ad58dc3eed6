"""The calls of HeyGen's streaming v1, and of its account, as ``streaming.py`` and ``management.py`` answer them."""

from __future__ import annotations

from collections.abc import Mapping

from heygen_avatar.simulator.openapi.vocabulary import (
    FLAG,
    MOMENT,
    NULL,
    NUMBER,
    TEXT,
    WHOLE,
    WORDS,
    Access,
    Call,
    Schema,
    array,
    at_times,
    choice,
    constant,
    fields,
    named,
    number,
    optional,
    record,
    whole,
)
from heygen_avatar.simulator.sessions import State
from heygen_avatar.simulator.streaming import EMOTIONS, LANGUAGE, QUALITIES

REFUSAL = named("Refusal")
SCHEMAS: Mapping[str, Schema] = {"Refusal": at_times(record(code=WHOLE, message=TEXT), details=TEXT)}


def _call(
    summary: str,
    access: Access,
    answer: Schema,
    *,
    body: Schema | None = None,
    query: Mapping[str, Schema] | None = None,
    more_refusals: tuple[int, ...] = (),
) -> Call:
    statuses = (400, 401, 413, *more_refusals) if body else (400, 401, *more_refusals)
    return Call(
        summary=summary,
        access=access,
        query=query or {},
        body=body,
        answers={200: answer, **{status: REFUSAL for status in statuses}},
    )


def _socket(summary: str, *more_refusals: int, needed: tuple[str, ...] = (), **query: Schema) -> Call:
    refusals = {status: REFUSAL for status in (400, *more_refusals)}
    return Call(summary=summary, query=query, needed=needed, answers={101: None, **refusals})


def _success(data: Schema) -> Schema:
    return record(code=constant(100), message=constant("success"), data=data)


def _plain_success(data: Schema) -> Schema:
    return record(error=NULL, data=data)


_DONE = _success(NULL)
_DONE_BY_WORD = record(**_DONE["properties"], status=constant("success"))
_SESSION = fields({"session_id": WORDS})

_ELEVENLABS = fields(stability=number(0, 1), similarity_boost=number(0, 1), style=number(0, 1), use_speaker_boost=FLAG)
_NEW = fields(
    version=choice(("v1", "v2")),
    avatar_id=TEXT,
    avatar_name=TEXT,
    quality=choice(QUALITIES),
    video_encoding=choice(("H264", "VP8")),
    voice=fields(
        voice_id=TEXT,
        rate=number(0.5, 1.5),
        emotion=choice(("", *sorted(EMOTIONS))),
        elevenlabs_settings=_ELEVENLABS,
    ),
    language={**TEXT, "pattern": f"^({LANGUAGE.pattern})?$"},
    stt_settings=fields(provider=choice(("deepgram", "gladia")), confidence=number(0, 1)),
    knowledge_base=TEXT,
    knowledge_base_id=TEXT,
    activity_idle_timeout=whole(30, 3600),
    disable_idle_timeout=FLAG,
    silence_response=FLAG,
    ia_is_livekit_transport=FLAG,
    livekit_settings=NULL,  # this simulator has its own rooms only
)

_CREATED = _success(
    record(
        session_id=TEXT,
        sdp=NULL,
        access_token=TEXT,
        url=TEXT,
        ice_servers=NULL,
        ice_servers2=NULL,
        is_paid=FLAG,
        session_duration_limit=NUMBER,
        realtime_endpoint=TEXT,
        livekit_agent_token=TEXT,
    )
)
_TASK = fields(
    {"session_id": WORDS, "text": WORDS},
    task_type=choice(("repeat", "talk", "chat")),
    task_mode=choice(("sync", "async")),
)
_SUMMARY = record(session_id=TEXT, status=choice(State), created_at=WHOLE)
_PAST = record(
    **_SUMMARY["properties"],
    api_key_type=choice(("api_key", "session_token")),
    avatar_id=TEXT,
    voice_name=TEXT,
    duration=WHOLE,
)
_TIME: Schema = {"anyOf": [MOMENT, {**TEXT, "maxLength": 0}], "examples": ["2030-01-31T23:59:59Z"]}
"""In UTC and whole seconds; an empty text counts as absent."""

_MAKING: Mapping[str, Call] = {
    "new": _call("Make a session; its room is open from now on.", "key or token", _CREATED, body=_NEW),
    "start": _call("Bring the avatar into the room.", "key or token", _DONE_BY_WORD, body=_SESSION),
    "task": _call(
        "Let the avatar say a text, or answer it.",
        "key or token",
        _success(record(duration_ms=NUMBER, task_id=TEXT)),
        body=_TASK,
    ),
    "stop": _call("End the session.", "key or token", _DONE_BY_WORD, body=_SESSION),
}
_SESSIONS: Mapping[str, Call] = {
    "POST /v1/streaming.create_token": _call(
        "Make a session token.", "key", _plain_success(record(token=TEXT)), body=fields(session_id=TEXT)
    ),
    **{f"POST /v1/streaming.{name}": call for name, call in _MAKING.items()},
    **{f"POST /v1/realtime.{name}": call for name, call in _MAKING.items()},
    "POST /v1/streaming.interrupt": _call("Silence the avatar.", "key or token", _DONE, body=_SESSION),
    "POST /v1/streaming.keep_alive": _call("Begin the idle time anew.", "key or token", _DONE, body=_SESSION),
    "POST /v1/streaming.start_listening": _call("Take a listening pose.", "key or token", _DONE, body=_SESSION),
    "POST /v1/streaming.stop_listening": _call("Leave the listening pose.", "key or token", _DONE, body=_SESSION),
    "GET /v1/streaming.list": _call("List the open sessions.", "key", _success(record(sessions=array(_SUMMARY)))),
    "GET /v2/streaming.list": _call(
        "List all sessions, the newest first, in pages.",
        "key",
        record(
            total=WHOLE,
            page=WHOLE,
            page_size=WHOLE,
            next_pagination_token=optional(TEXT),
            data=array(_PAST),
        ),
        query={
            "page": whole(1, 999_999),
            "page_size": whole(1, 999_999),
            "token": TEXT,
            "status": TEXT,
            "date_from": _TIME,
            "date_to": _TIME,
        },
    ),
    "GET /v1/ws/streaming.chat": _socket(
        "Open a session's chat socket.",
        401,
        needed=("session_id", "session_token"),
        session_id=TEXT,
        session_token=TEXT,
        opening_text=TEXT,
        push_to_talk=choice(("true", "false")),
        silence_response=choice(("true", "false")),
    ),
    "GET /v2-alpha/interactive-avatar/session/{session_id}": _socket("Open the socket for a client's own sound."),
}

_AVATAR = record(
    avatar_id=TEXT,
    created_at=WHOLE,
    default_voice=TEXT,
    is_public=FLAG,
    normal_preview=TEXT,
    pose_name=TEXT,
    status=choice(("ACTIVE", "INACTIVE")),
)
_VOICE = record(
    voice_id=TEXT,
    name=TEXT,
    language=TEXT,
    gender=TEXT,
    preview_audio=TEXT,
    support_pause=FLAG,
    emotion_support=FLAG,
    support_interactive_avatar=FLAG,
)
_BASE = record(id=TEXT, name=TEXT, opening=TEXT, prompt=TEXT)
_BASES, _ONE_BASE = "/v1/streaming/knowledge_base", "/v1/streaming/knowledge_base/{id}"
_ACCOUNT: Mapping[str, Call] = {
    "GET /v1/streaming/avatar.list": _call("List the avatars.", "key", _success(array(_AVATAR))),
    "GET /v2/voices": _call("List the voices.", "key", _plain_success(record(voices=array(_VOICE)))),
    "GET /v2/user/remaining_quota": _call(
        "Tell what is left of the credits.",
        "key",
        _plain_success(record(remaining_quota=WHOLE, details=record(api=WHOLE))),
    ),
    f"GET {_BASES}/list": _call("List the knowledge bases.", "key", _success(array(_BASE))),
    f"POST {_BASES}/create": _call(
        "Store a knowledge base.",
        "key",
        _success(record(**_BASE["properties"], knowledge_base_id=TEXT)),
        body=fields({"name": WORDS}, opening=TEXT, prompt=TEXT),
    ),
    f"GET {_ONE_BASE}": _call("Tell of a knowledge base.", "key", _success(_BASE), more_refusals=(404,)),
    f"POST {_ONE_BASE}": _call(
        "Change a knowledge base.",
        "key",
        _success(_BASE),
        body=fields(name=TEXT, opening=TEXT, prompt=TEXT),
        more_refusals=(404,),
    ),
    f"POST {_ONE_BASE}/delete": _call("Delete a knowledge base.", "key", _DONE, more_refusals=(404,)),
    f"DELETE {_ONE_BASE}": _call("Delete a knowledge base.", "key", _DONE, more_refusals=(404,)),
}

CALLS: Mapping[str, Call] = {**_SESSIONS, **_ACCOUNT}
