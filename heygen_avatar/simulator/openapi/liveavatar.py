"""The calls of LiveAvatar, as ``simulator/liveavatar/`` answers them; what they read is in ``liveavatar_bodies.py``."""

from __future__ import annotations

from collections.abc import Mapping

from heygen_avatar.simulator.liveavatar.minds import SECRET_KINDS
from heygen_avatar.simulator.openapi import liveavatar_bodies as bodies
from heygen_avatar.simulator.openapi.vocabulary import (
    FLAG,
    MOMENT,
    NULL,
    NUMBER,
    OBJECT,
    SOMETHING,
    TEXT,
    UUID,
    WHOLE,
    Access,
    Call,
    Schema,
    array,
    at_times,
    choice,
    constant,
    named,
    optional,
    record,
    whole,
)

_DETAIL = record(loc=array(TEXT), msg=TEXT, type=TEXT)
_REFUSAL = named("LiveAvatarRefusal")
SCHEMAS: Mapping[str, Schema] = {
    "LiveAvatarRefusal": at_times(record(code=WHOLE, message=TEXT, data=NULL), detail=array(_DETAIL))
}


def _call(
    summary: str,
    data: Schema | None,
    *refusals: int,
    access: Access = "key",
    status: int = 200,
    variable: Schema = SOMETHING,
    message: str = "Success",
    body: Schema | None = None,
    query: Mapping[str, Schema] | None = None,
    needed: tuple[str, ...] = (),
) -> Call:
    """One call. ``data`` is what the envelope holds; None stands for no content at all."""
    answer = None if data is None else record(code=constant(1000), data=data, message=constant(message))
    doors = (429,) if access == "anybody" else (401, 429)
    reading = (413, 422) if body else (422,) if query else ()
    return Call(
        summary=summary,
        access=access,
        variable=variable,
        query=query or {},
        needed=needed,
        body=body,
        answers={status: answer, **{refused: _REFUSAL for refused in sorted({*doors, *reading, *refusals})}},
    )


def _page(rows: Schema) -> Schema:
    return record(count=WHOLE, next=optional(TEXT), previous=optional(TEXT), results=array(rows))


_PAGES: Mapping[str, Schema] = {"page": whole(1, 10**9), "page_size": whole(1, 100)}
_TIMES: Mapping[str, Schema] = {"created_at": MOMENT, "updated_at": MOMENT}

# Sessions.

_ENTRY = at_times(
    record(
        id=UUID,
        **_TIMES,
        duration=WHOLE,
        source=constant("API"),
        mode=choice(("FULL", "LITE")),
        is_sandbox=FLAG,
        credits_consumed=NUMBER,
    ),
    end_at=MOMENT,
    end_reason=choice(bodies.END_REASONS),
)
_CONNECTION = record(
    session_id=UUID,
    livekit_url=optional(TEXT),
    livekit_client_token=optional(TEXT),
    livekit_agent_token=optional(TEXT),
    max_session_duration=NUMBER,
    ws_url=optional(TEXT),
)
_REMARK = record(role=choice(("user", "avatar")), transcript=TEXT, absolute_timestamp=WHOLE, relative_timestamp=WHOLE)
_TRANSCRIPT = record(session_active=FLAG, next_timestamp=optional(WHOLE), transcript_data=array(_REMARK))
_TIME = whole(0, 10**18)
_SESSION = "/v1/sessions/{session_id}"
_SESSIONS: Mapping[str, Call] = {
    "POST /v1/sessions/token": _call(
        "Order a session.", record(session_id=UUID, session_token=TEXT), 400, body=bodies.ORDER
    ),
    "POST /v1/sessions/start": _call(
        "Start the session of the token.", _CONNECTION, 400, 402, 403, 404, access="token", status=201
    ),
    "POST /v1/sessions/stop": _call("End a session.", NULL, 404, access="key or token", body=bodies.STOP),
    "POST /v1/sessions/keep-alive": _call(
        "Begin the idle time anew.", NULL, 400, 404, access="key or token", body=bodies.KEEP_ALIVE
    ),
    "GET /v1/sessions": _call(
        "List the sessions.",
        _page(_ENTRY),
        query={
            "type": choice(("active", "historic")),
            "avatar_id": TEXT,
            "context_id": TEXT,
            "embed_id": TEXT,
            **_PAGES,
        },
        needed=("type",),
    ),
    f"GET {_SESSION}": _call("Tell of a session.", optional(_ENTRY)),
    f"GET {_SESSION}/transcript": _call(
        "Tell what was said.", _TRANSCRIPT, 404, query={"start_timestamp": _TIME, "end_timestamp": _TIME}
    ),
    f"DELETE {_SESSION}/events": _call("Forget what was said.", NULL, 404),
    "GET /v2-alpha/liveavatar/session/{session_id}": Call(
        summary="Open a LITE session's socket.", answers={101: None, 400: _REFUSAL, 404: _REFUSAL}
    ),
}

# Avatars and voices.

_AVATAR = record(
    id=UUID,
    space_id=optional(TEXT),
    type=TEXT,
    status=TEXT,
    name=TEXT,
    preview_url=NULL,
    is_expired=FLAG,
    default_voice=record(id=UUID, name=TEXT),
    is_1080p=FLAG,
    **_TIMES,
    error_message=NULL,
)
_VOICE = record(id=UUID, name=TEXT, description=optional(TEXT), language=TEXT, gender=TEXT, tags=array(TEXT), **_TIMES)
_ONE_AVATAR, _ONE_VOICE = "/v1/avatars/{avatar_id}", "/v1/voices/{voice_id}"
_GALLERY: Mapping[str, Call] = {
    "GET /v1/avatars": _call("List the account's own avatars.", _page(_AVATAR), query=_PAGES),
    "GET /v1/avatars/public": _call("List the public avatars.", _page(_AVATAR), access="anybody", query=_PAGES),
    f"GET {_ONE_AVATAR}": _call("Tell of an avatar.", _AVATAR, 404),
    f"PATCH {_ONE_AVATAR}": _call("Change an avatar.", _AVATAR, 400, 403, 404, body=bodies.AVATAR),
    f"DELETE {_ONE_AVATAR}": _call("Delete an avatar, and end its sessions.", NULL, 403, 404),
    "GET /v1/voices": _call(
        "List the voices.", _page(_VOICE), query={"voice_type": choice(("public", "private")), **_PAGES}
    ),
    "POST /v1/voices/third_party": _call(
        "Bind another provider's voice.",
        record(voice_id=UUID),
        400,
        message="Voice imported successfully",
        body=bodies.FOREIGN_VOICE,
    ),
    f"GET {_ONE_VOICE}": _call("Tell of a voice.", _VOICE, 404),
    f"PATCH {_ONE_VOICE}": _call("Rename a voice.", _VOICE, 403, 404, body=bodies.VOICE),
    f"DELETE {_ONE_VOICE}": _call("Delete a voice.", NULL, 403, 404),
    f"GET {_ONE_VOICE}/preview": _call("Let a voice be heard.", record(audio_base64=TEXT), 404),
}

# Contexts, memories, keys.

_CONTEXT = record(
    id=UUID,
    name=TEXT,
    **_TIMES,
    prompt=TEXT,
    opening_text=optional(TEXT),
    links=array(record(id=UUID, url=TEXT, faq=TEXT)),
    required_dynamic_variables=array(TEXT),
)
_NEW_MEMORY = record(id=UUID, memory_type=TEXT, memory_content=TEXT, created_at=MOMENT)
_EPISODE = record(session_id=UUID, sequence_num=WHOLE, summary=TEXT, created_at=MOMENT)
_MEMORY = record(**_NEW_MEMORY["properties"], updated_at=MOMENT, session_episodes=array(_EPISODE))
_MEMORY_ROW = record(id=UUID, memory_type=TEXT, memory_content_preview=optional(TEXT), **_TIMES)
_SECRET = record(id=UUID, secret_name=TEXT, secret_type=choice(SECRET_KINDS), created_at=MOMENT)
_MODEL_ROW = record(id=UUID, display_name=TEXT, model_name=TEXT, secret_id=UUID)
_MODEL = record(**_MODEL_ROW["properties"], base_url=optional(TEXT), **_TIMES)
_ONE_CONTEXT, _ONE_MEMORY = "/v1/contexts/{context_id}", "/v1/memory/{memory_id}"
_ONE_MODEL = "/v1/llm-configurations/{config_id}"
_MINDS: Mapping[str, Call] = {
    "GET /v1/contexts": _call("List the contexts.", _page(record(id=UUID, name=TEXT, **_TIMES)), query=_PAGES),
    "POST /v1/contexts": _call("Store a context.", _CONTEXT, body=bodies.CONTEXT),
    f"GET {_ONE_CONTEXT}": _call("Tell of a context.", _CONTEXT, 404, 422, variable=UUID),
    f"PATCH {_ONE_CONTEXT}": _call("Replace a context.", _CONTEXT, 404, variable=UUID, body=bodies.CONTEXT),
    f"DELETE {_ONE_CONTEXT}": _call("Delete a context.", NULL, 404, 422, variable=UUID),
    "GET /v1/memory": _call("List the memories.", _page(_MEMORY_ROW), query={"type": choice(("session",)), **_PAGES}),
    "POST /v1/memory": _call("Remember a FULL session.", _NEW_MEMORY, 400, body=bodies.MEMORY),
    f"GET {_ONE_MEMORY}": _call("Tell of a memory.", _MEMORY, 404),
    f"DELETE {_ONE_MEMORY}": _call("Forget a memory.", None, 404, status=204),
    "GET /v1/secrets": _call("List the secrets, without their values.", array(_SECRET)),
    "POST /v1/secrets": _call("Store a secret.", record(id=UUID, secret_name=TEXT), body=bodies.SECRET),
    "DELETE /v1/secrets/{secret_id}": _call("Delete a secret.", NULL, 404),
    "GET /v1/llm-configurations": _call("List the language models.", array(_MODEL_ROW)),
    "POST /v1/llm-configurations": _call("Store a language model.", _MODEL, 400, body=bodies.MODEL),
    f"GET {_ONE_MODEL}": _call("Tell of a language model.", _MODEL, 404),
    f"PATCH {_ONE_MODEL}": _call("Change a language model.", _MODEL, 400, 404, body=bodies.MODEL_CHANGES),
    f"DELETE {_ONE_MODEL}": _call("Delete a language model.", NULL, 404),
}

# The rest.

_EMBED = record(embed_id=UUID, url=TEXT, script=TEXT, orientation=choice(bodies.ORIENTATIONS))
_AGENT = record(id=UUID, agent_type=TEXT, agent_configuration=OBJECT)
_DESK: Mapping[str, Call] = {
    "GET /v1/users/credits": _call("Tell what is left of the credits.", record(credits_left=TEXT)),
    "GET /v1/languages": _call("List the languages.", array(record(language=TEXT, code=TEXT)), access="anybody"),
    "GET /v1/llm-models": _call(
        "List the known language models.",
        record(models=array(record(model_name=TEXT, provider=TEXT))),
        access="anybody",
    ),
    "POST /v2/embeddings": _call("Make an embed.", _EMBED, 400, body=bodies.EMBED),
    "GET /v1/voice_agents/{agent_id}": _call("Tell of a voice agent.", _AGENT, 404),
}

CALLS: Mapping[str, Call] = {**_SESSIONS, **_GALLERY, **_MINDS, **_DESK}
